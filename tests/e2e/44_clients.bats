#!/usr/bin/env bats
# tus-js-client and tuspy, from their packages, against the gateway: by itself, and behind nginx with
# TLS and the location that the project ships.
# shellcheck disable=SC2030,SC2031,SC2034,SC2153 # read by lib.bash; each test is a shell of its own
load lib
load gateway

CLIENTS=$(cd "$BATS_TEST_DIRNAME/../clients" && pwd)
CACHE=$(cd "$BATS_TEST_DIRNAME/../.." && pwd)/build/clients

# Both clients are installed once into build/clients, and anew when what they are pinned to changed.
install_js() {
	cp "$CLIENTS"/package*.json "$CLIENTS/tus.mjs" . &&
		timeout 180 npm ci --no-audit --no-fund --ignore-scripts
}
install_py() {
	cp "$CLIENTS/tus.py" . &&
		timeout 300 python3 -m pip install -q --target lib -r "$CLIENTS/requirements.txt"
}
install_client() { # js|py FILE…: its lists of packages
	local kind=$1 sum
	shift
	sum=$(cat "$@" | sha256sum)
	mkdir -p "$CACHE/$kind"
	(
		flock 9
		cd "$CACHE/$kind" || exit
		[ "$(cat installed 2>/dev/null)" != "$sum" ] || exit 0
		rm -rf node_modules lib installed
		"install_$kind" >log 2>&1 && echo "$sum" >installed
	) 9>"$CACHE/$kind.lock"
}
setup_file() {
	install_client js "$CLIENTS"/package*.json "$CLIENTS/tus.mjs" || true
	install_client py "$CLIENTS/requirements.txt" "$CLIENTS/tus.py" || true
}

setup() {
	begin
	anonymous
	head -c 20000001 /dev/urandom >"$T/a.bin"
	export CHUNK=$((4 << 20)) CUT=$((9 << 20))
}
teardown() { finish; }

# js CASE FILE…, py CASE FILE…: URLS are what it printed; SAID is what it complained of.
js() {
	[ -f "$CACHE/js/installed" ] ||
		skip "tus-js-client could not be installed: node and npm are needed, and a registry"
	client node "$CACHE/js/tus.mjs" "$@"
}
py() {
	[ -f "$CACHE/py/installed" ] ||
		skip "tuspy could not be installed: python3 and pip are needed, and an index"
	PYTHONPATH=$CACHE/py/lib client python3 "$CACHE/py/tus.py" "$@"
}
client() {
	local program=$1 driver=$2 what=$3
	shift 3
	CODE=0
	env NODE_EXTRA_CA_CERTS="${CACERT-}" REQUESTS_CA_BUNDLE="${CACERT-}" SSL_CERT_FILE="${CACERT-}" \
		timeout $((120 * UR_SLOW)) "$program" "$driver" "$what" "$FILES" "$@" >"$T/urls" \
		2>"$T/said" || CODE=$?
	mapfile -t URLS <"$T/urls"
	SAID=$(<"$T/said")
}
fine() { equals "$CODE" 0 "it said: $SAID"; }

# holds URL FILE: the gateway has this file, whole, under this name.
holds() {
	UPLOAD=$1
	equals "$(say .state)" complete || return
	equals "$(say .sha1)" "$(sha1sum "$2" | cut -c1-40)" || return
	ask HEAD "$UPLOAD" "${TUS[@]}"
	has "$(header upload-metadata)" "filename $(base64_of "${2##*/}")"
}

# Where the clients go: to the gateway itself, or to nginx.
through_nginx() {
	front_nginx
	FILES=$URL/uringest/files/
}

# --- each of them, for both clients and both ways -------------------------------------------------

uploads() { # CLIENT
	"$1" upload "$T/a.bin"
	fine
	holds "${URLS[0]}" "$T/a.bin"
}

cut_and_resumed() { # CLIENT: another process goes on where the first one was cut off
	export STORAGE=$T/storage.json
	"$1" cut "$T/a.bin"
	fine
	UPLOAD=${URLS[0]}
	local reached
	reached=$(offset)
	[ "$reached" -ge "$((CHUNK * 2))" ] && [ "$reached" -lt 20000001 ]
	"$1" resume "$T/a.bin"
	fine
	equals "${URLS[0]}" "$UPLOAD"
	holds "$UPLOAD" "$T/a.bin"
	equals "$(figure created_total)" 1
	[ "$(figure received_bytes_total)" -le $((20000001 + CHUNK)) ]
}

several_at_once() { # CLIENT CASE
	local i
	for i in 1 2 3 4 5 6; do
		head -c $((3000000 + i)) /dev/urandom >"$T/$i.bin"
	done
	"$1" "$2" "$T"/[1-6].bin
	fine
	equals "${#URLS[@]}" 6
	for i in 1 2 3 4 5 6; do
		holds "${URLS[i - 1]}" "$T/$i.bin"
	done
}

terminated() {
	js terminate "$T/a.bin"
	fine
	ask HEAD "${URLS[0]}" "${TUS[@]}"
	equals "$STATUS" 404
	equals "$(figure terminated_total)" 1
	equals "$(find "$T/spool" -name bytes | wc -l)" 0
}

with_options() { # CASE…: of tus-js-client's settings
	local what
	for what in "$@"; do
		js "$what" "$T/a.bin"
		fine
		holds "${URLS[0]}" "$T/a.bin"
	done
}

checked_by_tuspy() {
	py checksum "$T/a.bin"
	fine
	holds "${URLS[0]}" "$T/a.bin"
	py wrong "$T/a.bin"
	fine
	equals "${URLS[0]}" 460
	UPLOAD=${URLS[1]}
	equals "$(offset)" 0
	equals "$(figure checksum_mismatches_total)" 1
}

@test "tus-js-client uploads" { uploads js; }
@test "tus-js-client uploads, behind nginx" { through_nginx && uploads js; }
@test "tuspy uploads" { uploads py; }
@test "tuspy uploads, behind nginx" { through_nginx && uploads py; }
@test "tus-js-client goes on in another process" { cut_and_resumed js; }
@test "tus-js-client goes on in another process, behind nginx" { through_nginx && cut_and_resumed js; }
@test "tuspy goes on in another process" { cut_and_resumed py; }
@test "tuspy goes on in another process, behind nginx" { through_nginx && cut_and_resumed py; }
@test "tus-js-client sends six files at once" { several_at_once js upload; }
@test "tus-js-client sends six files at once, behind nginx" { through_nginx && several_at_once js upload; }
@test "tuspy sends six files at once" { several_at_once py parallel; }
@test "tus-js-client terminates" { terminated; }
@test "tus-js-client terminates, behind nginx" { through_nginx && terminated; }
@test "tus-js-client: creation with bytes, deferred length, POST for PATCH, checksums" {
	with_options during deferred override checksum
}
@test "tus-js-client: creation with bytes, deferred length, POST for PATCH, checksums, behind nginx" {
	through_nginx && with_options during deferred override checksum
}
@test "tuspy's checksums are checked" { checked_by_tuspy; }
@test "tuspy's checksums are checked, behind nginx" { through_nginx && checked_by_tuspy; }

@test "tus-js-client that wants concatenation is told that there is none" {
	js split "$T/a.bin"
	equals "$CODE" 1
	has "$SAID" 'not concatenated'
	equals "$(find "$T/spool" -name bytes | wc -l)" 0
}

@test "tus-js-client gets over a gateway that is killed and started again, and nginx too" {
	through_nginx
	head -c 60000001 /dev/urandom >"$T/a.bin"
	js upload "$T/a.bin" &
	local client=$!
	wait_for 20 received 8000000
	stop_gateway KILL
	anonymous
	FILES=$URL/uringest/files/
	wait_for 20 received 8000000
	kill -HUP "$NGINX_PID"
	wait "$client"
	mapfile -t URLS <"$T/urls"
	holds "${URLS[0]}" "$T/a.bin"
}
received() { [ "$(figure received_bytes_total)" -ge "$1" ]; }
