#!/usr/bin/env bats
# shellcheck disable=SC2030,SC2031,SC2034 # each test is a process; lib reads DIRECT
# The gateway's side of HTTP as its peers meet it: answers before the end of a body, requests that two
# readers would read in two ways, and more slow peers than anybody should have.

load lib
load gateway

setup() { begin; }
teardown() { finish; }

# raw REQUEST: as printf writes it, on a connection of its own; sets BODY, all that comes back until
# the other side closes.
raw() {
	local fd
	exec {fd}<>"/dev/tcp/127.0.0.1/$GATEWAY_PORT"
	# shellcheck disable=SC2059 # the request is a format: \r\n is what it is about
	printf "$1" >&"$fd"
	BODY=$(timeout $((30 * UR_SLOW)) cat <&"$fd" | tr -d '\0\r') || { echo "it was not closed" && return 1; }
	exec {fd}>&-
}

refused_early() { # URL: 32 MiB at a wrong offset
	local sent
	sent=$(curl -sk --max-time $((60 * UR_SLOW)) -X PATCH "${TUS[@]}" "${BYTES[@]}" -H 'Expect:' \
		-H 'Upload-Offset: 1' -T "$T/whole" -o "$T/body" -w '%{http_code} %{size_upload}' "$1")
	equals "${sent% *}" 409 "$1"
	[ "${sent#* }" -lt $((32 << 20)) ] || { echo "the whole body was sent to $1" && return 1; }
}

@test "a PATCH that is refused is answered before its 32 MiB are there, also behind nginx" {
	head -c 32M /dev/urandom >"$T/whole"
	anonymous
	create $((32 << 20))
	DIRECT=$GATE
	start_nginx
	for _ in 1 2 3 4 5; do
		refused_early "$UPLOAD"
		refused_early "$URL${UPLOAD#"$GATE"}"
	done
	equals "$(offset)" 0
	# And the same body where it belongs is taken, the same ways.
	UPLOAD=$URL${UPLOAD#"$GATE"}
	send 0 "$T/whole"
	answered 204
}

@test "a request that two readers would read in two ways is refused, and the one behind it unseen" {
	anonymous
	local hidden='GET /uringest/healthz HTTP/1.1\r\nHost: h\r\n\r\n' status head
	while read -r status head; do
		raw "POST /uringest/files/ HTTP/1.1\r\nHost: h\r\n$head$hidden"
		equals "$(grep -c '^HTTP/1.1 ' <<<"$BODY")" 1 "$head"
		has "$BODY" "HTTP/1.1 $status "
		has "$BODY" "Connection: close"
	done <<'TABLE'
400 Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n
400 Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n
400 Content-Length: 0\r\nContent-Length: 44\r\n\r\n
400 Content-Length: 0, 44\r\n\r\n
400 Content-Length : 44\r\n\r\n
400 X: y\r\n Content-Length: 44\r\n\r\n
400 X: y\nContent-Length: 44\r\n\r\n
400 Content-Length: 0\n\n
400 Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n
400 Host: other\r\n\r\n
501 Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n
501 Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n
417 Expect: a-miracle\r\nContent-Length: 0\r\n\r\n
TABLE
	raw "GET http://h/uringest/healthz HTTP/1.1\r\nHost: h\r\n\r\n"
	has "$BODY" "HTTP/1.1 400 "
	raw "GET /uringest/healthz HTTP/1.1\r\n\r\n"
	has "$BODY" "HTTP/1.1 400 "
	ask GET "$GATE/uringest/healthz"
	answered 200 ok
}

@test "five hundred slow peers keep nobody from uploading, and cost no more than their heads" {
	local fd i fds=()
	[ "$(ulimit -n)" -ge 600 ] || ulimit -n 600 || skip "there are too few descriptors"
	anonymous
	head -c 8M /dev/urandom >"$T/whole"
	for ((i = 0; i < 500; i++)); do
		exec {fd}<>"/dev/tcp/127.0.0.1/$GATEWAY_PORT"
		printf 'POST /uringest/files/ HTTP/1.1\r\nHost: h\r\nX: %0*d' 12000 0 >&"$fd"
		fds+=("$fd")
	done
	upload "$T/whole"
	ask GET "$UPLOAD"
	cmp "$T/whole" "$T/body"
	if [ "$UR_SLOW" = 1 ]; then # a sanitizer's memory is its own
		local most
		most=$(awk '/^VmHWM/ { print $2 }' "/proc/$GATEWAY_PID/status")
		[ "$most" -lt $((64 << 10)) ] || { echo "it took $most KiB" && return 1; }
	fi
	for fd in "${fds[@]}"; do
		exec {fd}>&-
	done
	wait_for 10 is_alone
}
# Whoever asks is the one connection.
is_alone() { [ "$(figure connections)" -le 1 ]; }
