#!/usr/bin/env bats
# tus-js-client and tuspy, from their packages, against the gateway: by itself, and behind nginx with
# TLS and the location that the project ships.
# shellcheck disable=SC2030,SC2031,SC2034,SC2153 # read by lib.bash; each test is a shell of its own
load lib
load gateway
load clients

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
