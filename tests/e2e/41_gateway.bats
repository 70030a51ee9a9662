#!/usr/bin/env bats
# The gateway alone: the protocol, what it keeps, and whom it believes.
# shellcheck disable=SC2030,SC2031,SC2034,SC2153 # variables of the helpers, and of the test

load lib
load gateway

setup() { begin; }
teardown() { finish; }

pieces() { # COUNT-OF-MIB: $T/whole, and $T/a and $T/b, its halves
	head -c "$1"M /dev/urandom >"$T/whole"
	HALF=$(($1 * 512 * 1024))
	head -c "$HALF" "$T/whole" >"$T/a"
	tail -c "+$((HALF + 1))" "$T/whole" >"$T/b"
}

@test "a gateway says what it speaks, to anybody" {
	anonymous --max-size 5G
	ask OPTIONS "$FILES"
	answered 204
	equals "$(header tus-version)" 1.0.0
	equals "$(header tus-max-size)" $((5 * 1024 * 1024 * 1024))
	equals "$(header tus-checksum-algorithm)" sha1,xxh128
	for extension in creation creation-with-upload creation-defer-length checksum expiration \
		termination; do
		has ",$(header tus-extension)," ",$extension,"
	done
	ask OPTIONS "$FILES" -H 'Origin: https://example.org' -H 'Access-Control-Request-Method: PATCH'
	answered 204
	equals "$(header access-control-allow-origin)" '*'
	equals "$(header access-control-allow-credentials)" ''
	ask GET "$GATE/uringest/healthz"
	answered 200 ok
}

@test "healthz says whether an upload would be taken, and if not, why; livez only that it lives" {
	start_immichd --user ann:key-of-ann
	start_gateway
	healthy() { ask GET "$GATE/uringest/healthz" && [ "$STATUS" = 200 ]; }
	ill() { ask GET "$GATE/uringest/healthz" && [ "$STATUS" = 503 ] && has "$BODY" "$1: " >/dev/null; }
	lives() { ask GET "$GATE/uringest/livez" && answered 200; }
	wait_for 10 healthy
	stop_immichd # it is asked again because somebody wants to know
	wait_for 20 ill immich-away
	lives
	start_immichd --user ann:key-of-ann
	wait_for 20 healthy
	stop_gateway
	start_gateway --keep-free 900T
	wait_for 10 ill no-space
	lives
	stop_gateway
	stop_immichd
	[ "$(id -u)" -eq 0 ] || skip "only root makes a disk that cannot be written to"
	mkdir "$T/tmpfs"
	mount -t tmpfs -o size=6m,mode=700 none "$T/tmpfs" || skip "no tmpfs may be mounted here"
	SPOOL=$T/tmpfs/spool
	anonymous
	healthy
	stop_gateway
	mount -o remount,ro "$T/tmpfs" # what is written to cannot be made so: it starts there
	anonymous
	ill read-only
	lives
	ask POST "$FILES" "${TUS[@]}" -H 'Upload-Length: 5'
	answered 500 'later'
	mount -o remount,rw "$T/tmpfs"
	healthy
}

@test "an upload in two pieces is the file, and its bytes are given back" {
	anonymous
	pieces 8
	create $((2 * HALF))
	send 0 "$T/a"
	answered 204
	equals "$(header upload-offset)" "$HALF"
	[ -n "$(header upload-expires)" ]
	ask HEAD "$UPLOAD" "${TUS[@]}"
	answered 200
	equals "$(header upload-offset)" "$HALF"
	equals "$(header upload-length)" $((2 * HALF))
	equals "$(header cache-control)" no-store
	send "$HALF" "$T/b"
	answered 204
	equals "$(say .state)" complete
	equals "$(say .sha1)" "$(sha1sum "$T/whole" | cut -c1-40)"
	ask GET "$UPLOAD"
	cmp "$T/body" "$T/whole"
	equals "$(header content-type)" application/octet-stream
	has "$(header content-disposition)" attachment
	equals "$(header x-content-type-options)" nosniff
	equals "$(header content-security-policy)" sandbox
	ask GET "$UPLOAD" -r 5-9
	answered 206
	cmp "$T/body" <(head -c 10 "$T/whole" | tail -c 5)
}

@test "what is wrong is refused with a sentence, and nothing is changed by it" {
	anonymous --max-size 1M
	printf hello >"$T/hello"
	ask POST "$FILES" -H 'Upload-Length: 5'
	answered 412 tus
	equals "$(header tus-version)" 1.0.0
	ask POST "$FILES" -H 'Tus-Resumable: 0.2.2' -H 'Upload-Length: 5'
	answered 412
	for length in -1 +5 0x5 5.0 '5 5' 9223372036854775808 99999999999999999999 ''; do
		ask POST "$FILES" "${TUS[@]}" -H "Upload-Length;" -H "Upload-Length: $length"
		answered 400 || { echo "length '$length'" && false; }
	done
	ask POST "$FILES" "${TUS[@]}"
	answered 400 Upload-Length
	ask POST "$FILES" "${TUS[@]}" -H 'Upload-Defer-Length: 2'
	answered 400
	ask POST "$FILES" "${TUS[@]}" -H 'Upload-Length: 5' -H 'Upload-Defer-Length: 1'
	answered 400
	ask POST "$FILES" "${TUS[@]}" -H 'Upload-Length: 1048577'
	answered 413
	for metadata in 'filename !!!' 'a b c' 'filename YQ==,filename YQ==' 'filename YQ==,,' \
		"filename $(base64_of $'a\nb')" "filename $(base64_of $'a\rb')"; do
		ask POST "$FILES" "${TUS[@]}" -H 'Upload-Length: 5' -H "Upload-Metadata: $metadata"
		answered 400 || { echo "metadata '$metadata'" && false; }
	done
	create 5
	send 0 "$T/hello" -H 'Content-Type: text/plain'
	answered 415
	ask PATCH "$UPLOAD" "${TUS[@]}" "${BYTES[@]}" --data-binary "@$T/hello"
	answered 400 Upload-Offset
	send 3 "$T/hello"
	answered 409
	equals "$(header upload-offset)" 0
	send 0 "$T/hello" -H 'Upload-Checksum: md5 XUFAKrxLKna5cZ2REBfFkg=='
	answered 400
	printf 'hello!' >"$T/hello6"
	send 0 "$T/hello6"
	answered 413
	equals "$(offset)" 0
	for id in ../../etc/passwd %2e%2e ABCDEFABCDEFABCDEFABCDEFABCDEFAB 0123 \
		00000000000000000000000000000000 "${UPLOAD##*/}/../x" "${UPLOAD##*/}x"; do
		ask HEAD "$FILES$id" --path-as-is "${TUS[@]}"
		equals "$STATUS" 404 "$id"
	done
	ask PUT "$UPLOAD" "${TUS[@]}"
	answered 405
	ask POST "$UPLOAD" "${TUS[@]}"
	answered 405
	ask POST "$UPLOAD" "${TUS[@]}" -H 'X-HTTP-Method-Override: GET'
	answered 405
	send 0 "$T/hello"
	answered 204
}

@test "POST with an override is a PATCH, or a DELETE" {
	anonymous
	printf hello >"$T/hello"
	create 5
	ask POST "$UPLOAD" "${TUS[@]}" "${BYTES[@]}" -H 'X-HTTP-Method-Override: PATCH' \
		-H 'Upload-Offset: 0' --data-binary "@$T/hello"
	answered 204
	ask POST "$UPLOAD" "${TUS[@]}" -H 'X-HTTP-Method-Override: DELETE'
	answered 204
	ask HEAD "$UPLOAD" "${TUS[@]}"
	answered 404
	equals "$(find "$T/spool" -mindepth 1 -maxdepth 1 -type d | wc -l)" 0
}

@test "a creation may bring bytes, and may tell the length later" {
	anonymous
	printf 'hello world' >"$T/hello"
	ask POST "$FILES" "${TUS[@]}" "${BYTES[@]}" -H 'Upload-Length: 11' --data-binary "@$T/hello"
	answered 201
	equals "$(header upload-offset)" 11
	UPLOAD=$GATE$(header location)
	equals "$(say .state)" complete
	ask POST "$FILES" "${TUS[@]}" -H 'Upload-Defer-Length: 1'
	answered 201
	UPLOAD=$GATE$(header location)
	ask HEAD "$UPLOAD" "${TUS[@]}"
	equals "$(header upload-defer-length)" 1
	send 0 "$T/hello"
	answered 204
	equals "$(say .state)" receiving
	ask PATCH "$UPLOAD" "${TUS[@]}" "${BYTES[@]}" -H 'Upload-Offset: 11' -H 'Upload-Length: 5'
	answered 400
	ask PATCH "$UPLOAD" "${TUS[@]}" "${BYTES[@]}" -H 'Upload-Offset: 11' -H 'Upload-Length: 11'
	answered 204
	equals "$(say .state)" complete
	create 0
	equals "$(say .state)" complete
}

@test "bytes that are not what their checksum says go back to where they began" {
	anonymous
	pieces 12
	create $((2 * HALF))
	send 0 "$T/a" -H "Upload-Checksum: sha1 $(sha1_base64 "$T/a")"
	answered 204
	send "$HALF" "$T/b" -H "Upload-Checksum: sha1 $(sha1_base64 "$T/a")"
	answered 460
	equals "$(header upload-offset)" "$HALF"
	equals "$(offset)" "$HALF"
	stop_gateway KILL
	anonymous
	equals "$(offset)" "$HALF"
	if command -v xxh128sum >/dev/null; then
		send "$HALF" "$T/b" -H "Upload-Checksum: xxh128 $(
			xxh128sum "$T/b" | cut -c1-32 | xxd -r -p | base64 -w0)"
	else
		send "$HALF" "$T/b" -H "Upload-Checksum: sha1 $(sha1_base64 "$T/b")"
	fi
	answered 204
	equals "$(say .sha1)" "$(sha1sum "$T/whole" | cut -c1-40)"
}

@test "a file that is not what it promised is never complete" {
	anonymous
	pieces 2
	named x.jpg "$T/a"
	create $((2 * HALF)) "${META[@]}"
	send 0 "$T/whole"
	answered 460
	equals "$(header upload-offset)" 0
	send 0 "$T/whole"
	answered 460
	send 0 "$T/whole"
	answered 460
	equals "$(say .state)" broken
	send 0 "$T/whole"
	answered 410
}

@test "a new PATCH takes the upload over from an old connection, and a HEAD does too" {
	anonymous
	pieces 24
	create $((2 * HALF))
	slowly 0 "$T/whole" 2M
	wait_for 20 has_offset 3000000
	reached=$(offset)
	[ "$reached" -ge 3000000 ]
	wait "$SENDER" && false
	equals "$(offset)" "$reached" # nothing of the old one came later
	tail -c "+$((reached + 1))" "$T/whole" >"$T/rest"
	slowly "$reached" "$T/rest" 1M
	wait_for 20 has_offset $((reached + 1000000))
	send 0 /dev/null
	wait "$SENDER" && false
	answered 409 # it says where it stands
	reached=$(header upload-offset)
	tail -c "+$((reached + 1))" "$T/whole" >"$T/rest"
	send "$reached" "$T/rest"
	answered 204
	equals "$(say .sha1)" "$(sha1sum "$T/whole" | cut -c1-40)"
}
has_offset() { [ "$(say .offset)" -ge "$1" ]; }

@test "looking at the status disturbs no transfer" {
	anonymous
	pieces 4
	create $((2 * HALF))
	slowly 0 "$T/whole" 2M
	while ! gone "$SENDER"; do
		say .offset >>"$T/seen"
	done
	wait "$SENDER"
	equals "$(say .state)" complete
	[ "$(wc -l <"$T/seen")" -ge 3 ]
	sort -nc "$T/seen"
}

@test "killed in the middle, it stands at a durable offset, and the file is whole in the end" {
	anonymous
	pieces 40
	named x.bin "$T/whole"
	create $((2 * HALF)) "${META[@]}"
	reached=0
	for _ in 1 2 3 4 5; do
		tail -c "+$((reached + 1))" "$T/whole" >"$T/rest"
		slowly "$reached" "$T/rest" 4M
		wait_for 20 has_offset $((reached + 5000000))
		durable=$(say .durable)
		stop_gateway KILL
		wait "$SENDER" && false
		anonymous
		now=$(offset)
		[ "$now" -ge "$durable" ]
		reached=$now
	done
	tail -c "+$((reached + 1))" "$T/whole" >"$T/rest"
	send "$reached" "$T/rest"
	answered 204
	equals "$(say .sha1)" "$(sha1sum "$T/whole" | cut -c1-40)"
	stop_gateway
	equals "$GATEWAY_CODE" 0
}

@test "asked to stop, it leaves every offset durable" {
	anonymous
	pieces 24
	create $((2 * HALF))
	slowly 0 "$T/whole" 1M
	wait_for 20 has_offset 1500000
	kill -TERM "$GATEWAY_PID"
	kill "$SENDER"
	GATEWAY_CODE=0
	wait "$GATEWAY_PID" || GATEWAY_CODE=$?
	equals "$GATEWAY_CODE" 0
	anonymous
	[ "$(offset)" -ge 1500000 ]
}

@test "an upload that nobody goes on with expires, and says so" {
	anonymous --expire 1s
	printf hello >"$T/hello"
	create 10
	send 0 "$T/hello"
	wait_for 20 is_state refused
	ask HEAD "$UPLOAD" "${TUS[@]}"
	answered 410
	send 5 "$T/hello"
	answered 410 expired
	wait_for 10 no_bytes
	equals "$(figure expired_total)" 1
}
no_bytes() { ! find "$T/spool" -name bytes | grep -q .; }

@test "limits hold: uploads and bytes of a user, and what the disk keeps free" {
	anonymous --user-uploads 3 --user-bytes 1000
	create 100
	create 100
	ask POST "$FILES" "${TUS[@]}" -H 'Upload-Length: 900'
	answered 503 large
	equals "$(header retry-after)" 5
	ask POST "$FILES" "${TUS[@]}" -H 'Upload-Length: 1001' # whatever else ends
	answered 413
	create 100
	ask POST "$FILES" "${TUS[@]}" -H 'Upload-Length: 1'
	answered 503 'too many'
	ask DELETE "$UPLOAD" "${TUS[@]}"
	answered 204
	create 1
	stop_gateway
	anonymous --keep-free 900T
	ask POST "$FILES" "${TUS[@]}" -H 'Upload-Length: 1'
	answered 503
	ask HEAD "$UPLOAD" "${TUS[@]}"
	answered 200
}

@test "figures are for the house only" {
	anonymous
	create 5
	equals "$(figure created_total)" 1
	ask GET "$GATE/uringest/metrics" -H 'X-Forwarded-For: 198.51.100.7'
	answered 404
	ask GET "$GATE/uringest/metrics" -H 'X-Real-IP: 198.51.100.7'
	answered 404
}

@test "a full disk ends in a sentence, and what is there stays" {
	[ "$(id -u)" -eq 0 ] || skip "only root makes a small disk"
	mkdir "$T/tmpfs"
	mount -t tmpfs -o size=6m,mode=700 none "$T/tmpfs" || skip "no tmpfs may be mounted here"
	SPOOL=$T/tmpfs/spool
	anonymous
	pieces 8
	ask POST "$FILES" "${TUS[@]}" -H "Upload-Length: $((2 * HALF))"
	answered 503 'no room'
	ask POST "$FILES" "${TUS[@]}" -H 'Upload-Defer-Length: 1'
	answered 201
	UPLOAD=$GATE$(header location)
	send 0 "$T/whole"
	answered 503 'full'
	reached=$(offset)
	[ "$reached" -gt 0 ]
	mount -o remount,size=20m "$T/tmpfs"
	tail -c "+$((reached + 1))" "$T/whole" >"$T/rest"
	send "$reached" "$T/rest" -H "Upload-Length: $((2 * HALF))"
	answered 204
	equals "$(say .sha1)" "$(sha1sum "$T/whole" | cut -c1-40)"
}

@test "settings: the file's, the command line before it, and read again on SIGHUP" {
	cat >"$T/gateway.yaml" <<-YAML
		immich: http://127.0.0.1:9
		spool: $T/elsewhere
		max_size: 1000
		trusted_proxies: [127.0.0.1]
	YAML
	anonymous --config "$T/gateway.yaml"
	[ ! -e "$T/elsewhere" ]
	ask OPTIONS "$FILES"
	equals "$(header tus-max-size)" 1000
	sed -i 's/1000/2000/' "$T/gateway.yaml"
	kill -HUP "$GATEWAY_PID"
	wait_for 10 has_max 2000
	echo 'max_size: [' >"$T/gateway.yaml"
	kill -HUP "$GATEWAY_PID"
	wait_for 10 grep -q 'gateway.yaml:' "$T/gateway.err"
	has_max 2000
}
has_max() { ask OPTIONS "$FILES" && [ "$(header tus-max-size)" = "$1" ]; }

@test "what it cannot start with, it says" {
	run "$URINGEST" serve
	equals "$status" 2
	has "$output" --listen
	run "$URINGEST" serve --listen 127.0.0.1:0
	has "$output" --spool
	run "$URINGEST" serve --listen 127.0.0.1:0 --spool "$T/s" --immich none
	equals "$status" 2
	has "$output" --allow-anonymous
	run "$URINGEST" serve --listen 127.0.0.1:0 --spool "$T/s" --immich ftp://x
	equals "$status" 2
	anonymous
	run "$URINGEST" serve --listen 127.0.0.1:0 --spool "$T/spool" --immich none --allow-anonymous
	equals "$status" 4
	run "$URINGEST" serve --listen "127.0.0.1:$GATEWAY_PORT" --spool "$T/s" --immich none \
		--allow-anonymous
	equals "$status" 2
	has "$output" "$GATEWAY_PORT"
}

@test "systemd hears that it is ready, alive and stopping, and may hand the socket over" {
	command -v systemd-socket-activate >/dev/null || skip "systemd-socket-activate is not here"
	command -v python3 >/dev/null || skip "python3 is not here"
	python3 - "$T/notify" >"$T/heard" <<-'PY' 3>&- &
		import socket, sys
		s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
		s.bind(sys.argv[1])
		while True:
		    print(s.recv(4096).decode().replace("\n", " "), flush=True)
	PY
	PIDS+=("$!")
	wait_for 10 test -S "$T/notify"
	GATEWAY_PORT=$((20000 + RANDOM % 12000))
	NOTIFY_SOCKET=$T/notify WATCHDOG_USEC=2000000 systemd-socket-activate \
		-E NOTIFY_SOCKET -E WATCHDOG_USEC -l "127.0.0.1:$GATEWAY_PORT" \
		"$URINGEST" serve --spool "$T/spool" --immich none --allow-anonymous --keep-free 0 \
		>"$T/gateway.out" 2>"$T/gateway.err" 3>&- &
	GATEWAY_PID=$!
	PIDS+=("$GATEWAY_PID")
	GATE=http://127.0.0.1:$GATEWAY_PORT
	FILES=$GATE/uringest/files/
	wait_for 10 has_max 68719476736 # the first connection starts it
	wait_for 10 grep -q READY=1 "$T/heard"
	wait_for 10 grep -q 'STATUS=.*receiving.*WATCHDOG=1' "$T/heard"
	stop_gateway
	equals "$GATEWAY_CODE" 0
	wait_for 10 grep -q STOPPING=1 "$T/heard"
}

@test "a status that is asked to wait for bytes answers when they are durable, or nobody brings more" {
	anonymous
	pieces 8
	create $((2 * HALF))
	ask GET "$UPLOAD/status?durable=1" # nobody sends
	equals "$(jq -r .durable <<<"$BODY")" 0
	slowly 0 "$T/whole" 4M
	wait_for 20 has_offset 1
	ask GET "$UPLOAD/status?durable=4000000"
	[ "$(jq -r .durable <<<"$BODY")" -ge 4000000 ]
	ask GET "$UPLOAD/status?durable=99999999" # answered by the end of the sender
	wait "$SENDER"
	equals "$(say .state)" complete
	ask GET "$UPLOAD/status?durable=99999999"
	answered 200
}
