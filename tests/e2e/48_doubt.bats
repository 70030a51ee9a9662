#!/usr/bin/env bats
# What the gateway may not believe: pages in the server's place, damaged files of its own, clocks, and
# what it would have forgotten by a restart.  Acknowledged bytes are there until the server proves them.
# shellcheck disable=SC2030,SC2031,SC2034,SC2153 # read by lib.bash; each test is a shell of its own
load lib
load gateway

setup() {
	begin
	start_immichd --user ann:key-of-ann
	WHO=(-H 'x-api-key: key-of-ann')
	head -c 32 /dev/urandom >"$T/seal"
}
teardown() { finish; }

served() { start_gateway --settle-after 0s --suspect-wait 1s --answer-wait 2s --seal-key "$T/seal" "$@"; }
became() { # STATE [SECONDS]: the upload came to be so
	wait_for "${2:-30}" is_state "$1" || { say . && return 1; }
}
reason_has() { has "$(say .reason)" "$1" >/dev/null; }
bytes_kept() { [ -e "$T/spool/${UPLOAD##*/}/bytes" ]; }
answered_so() { grep -q "$1" "$T/gateway.err"; } # the gateway's log says that it met this

# waits_out PLACE RULES…: each misleads the gateway about one upload, until it is over.
waits_out() {
	local place=$1 seed=0 lie
	shift
	for lie; do
		seed=$((seed + 1))
		picture "$T/p$seed.jpg" "$seed"
		mischief "$place: $lie"
		: >"$T/gateway.err"
		upload "$T/p$seed.jpg"
		wait_for 20 answered_so 'does not answer as it should' || { echo "$lie" && say . && return 1; }
		[ "$(say .state)" = complete ] || [ "$(say .state)" = delivered ] || { echo "$lie" && say . && return 1; }
		bytes_kept
		mischief
		became confirmed 40 || { echo "$lie" && return 1; }
	done
	equals "$(server_count)" "$seed"
}

# --- whose word it is ----------------------------------------------------------------------------

@test "a page in the server's place refuses no upload" {
	served
	waits_out 'POST /api/assets' 'status=404 html name=*' 'status=400 html name=*' \
		'status=400 bare name=*' 'status=404 bare name=*' 'status=415 bare name=*' \
		'status=413 html name=*' 'status=302 html name=*' 'status=200 html name=*'
	equals "$(figure refused_total)" 0
}

@test "a page in the server's place takes nobody's key" {
	served
	waits_out 'POST /api/assets' 'status=401 html name=*' 'status=403 html name=*' \
		'status=401 bare name=*' 'status=403 bare name=*'
}

@test "a page in the server's place is no answer about an asset, nor about its bytes" {
	served
	waits_out 'GET /api/assets/' 'status=404 html' 'status=400 bare' 'status=403 html' 'status=401 bare' \
		'status=302 html' 'status=200 html' 'status=500 bare'
}

@test "a page in the server's place does not tell who somebody is" {
	served
	picture "$T/a.jpg" 1
	for lie in 'status=401 html' 'status=403 html' 'status=401 bare' 'status=403 bare' 'status=200 html'; do
		mischief "GET /api/users/me: $lie"
		WHO=(-H "x-api-key: other-$RANDOM")
		ask POST "$FILES" "${TUS[@]}" -H 'Upload-Length: 5'
		equals "$STATUS" 503 "$lie: $BODY"
	done
	mischief
	WHO=(-H 'x-api-key: key-of-ann')
	upload "$T/a.jpg"
	became confirmed
}

# --- of many it is the server's ------------------------------------------------------------------

@test "originals that cannot be read for a moment are the server's trouble: none is judged" {
	served --settle-after $((10 * UR_SLOW))s
	for i in 1 2 3 4 5; do
		picture "$T/p$i.jpg" "$i"
		upload "$T/p$i.jpg"
		url[i]=$UPLOAD
		became delivered
	done
	mkdir "$T/unmounted"
	mv "$DATA/upload/"* "$T/unmounted"
	for i in 1 2 3 4 5; do
		UPLOAD=${url[i]}
		wait_for 40 reason_has 'does not give its bytes'
		equals "$(say .state) $(say .suspect)" 'delivered true'
		bytes_kept
	done
	lacks "$(<"$T/gateway.err")" 'broken there'
	lacks "$(<"$T/gateway.err")" delete
	equals "$(figure missing)" 5
	mv "$T/unmounted/"* "$DATA/upload"
	for i in 1 2 3 4 5; do
		UPLOAD=${url[i]}
		became confirmed 60
	done
	equals "$(server_count)" 5
	equals "$(figure missing)" 0
}

@test "where something drops the Range, the whole body is as good a proof" {
	served
	picture "$T/a.jpg" 1
	mischief 'GET /api/assets/: no-range'
	upload "$T/a.jpg"
	became confirmed
}

@test "a body of another size is no proof, with or without a Range" {
	served
	picture "$T/a.jpg" 1
	picture "$T/b.jpg" 2
	mischief 'POST /api/assets: short-file name=*'
	upload "$T/a.jpg"
	wait_for 20 reason_has 'does not give its bytes'
	mischief 'POST /api/assets: short-file name=*' 'GET /api/assets/: no-range'
	upload "$T/b.jpg"
	wait_for 20 reason_has 'does not give its bytes'
	bytes_kept
}

# --- a restart forgets nothing -------------------------------------------------------------------

@test "doubt outlives a restart: what was lost on the way is not believed sooner for it" {
	served --suspect-wait 1h
	picture "$T/a.jpg" 1
	mischief 'POST /api/assets: lost-answer nth=1 name=*'
	upload "$T/a.jpg"
	became delivered
	equals "$(say .suspect)" true
	for signal in TERM KILL TERM; do
		stop_gateway "$signal"
		served --suspect-wait 1h
		equals "$(say '.state, .suspect' | tr '\n' ' ')" 'delivered true '
	done
	sleep_until_swept
	bytes_kept
	stop_gateway
	served --suspect-wait 1s
	became confirmed
}
# The gateway looks at what is over every five seconds: here it has looked once more.
sleep_until_swept() { wait_for 20 ran_for 6; }
ran_for() { [ "$(ps -o etimes= -p "$GATEWAY_PID")" -ge "$1" ]; }

@test "what was there before it was sent is believed after the same while" {
	start_gateway --settle-after 3s --answer-wait 2s
	picture "$T/a.jpg" 1
	curl -s -H 'x-api-key: key-of-ann' -F deviceAssetId=a -F deviceId=d \
		-F fileCreatedAt=2024-01-01T00:00:00Z -F fileModifiedAt=2024-01-01T00:00:00Z \
		-F "assetData=@$T/a.jpg" "$DIRECT/api/assets" >/dev/null
	create "$(stat -c %s "$T/a.jpg")" -H "Upload-Metadata: filename $(base64_of a.jpg)"
	send 0 "$T/a.jpg"
	became delivered
	began=$(date +%s%N)
	became confirmed
	[ $((($(date +%s%N) - began) / 1000000)) -ge 2000 ]
	equals "$(say .result)" duplicate
}

@test "a delivery that was not confirmed goes on after a restart" {
	served --settle-after 3s
	picture "$T/a.jpg" 1
	upload "$T/a.jpg"
	became delivered
	stop_gateway KILL
	served --settle-after 1s
	became confirmed
	equals "$(server_count)" 1
}

@test "what its owner has no room for is tried again, and sent when there is" {
	stop_immichd
	start_immichd --user carl:key-of-carl:1000
	WHO=(-H 'x-api-key: key-of-carl')
	served
	picture "$T/a.jpg" 1
	upload "$T/a.jpg"
	became refused
	has "$(say .reason)" 'tried again'
	equals "$(say .expires)" null
	sql "UPDATE users SET quota=100000000 WHERE name='carl'"
	became confirmed 60
}

@test "what came out of the trash again is confirmed" {
	served
	picture "$T/a.jpg" 1
	asset=$(curl -s -H 'x-api-key: key-of-ann' -F deviceAssetId=a -F deviceId=d \
		-F fileCreatedAt=2024-01-01T00:00:00Z -F fileModifiedAt=2024-01-01T00:00:00Z \
		-F "assetData=@$T/a.jpg" "$DIRECT/api/assets" | jq -r .id)
	curl -sf -X DELETE -H 'x-api-key: key-of-ann' -H 'content-type: application/json' \
		--data "{\"ids\":[\"$asset\"]}" "$DIRECT/api/assets"
	upload "$T/a.jpg"
	became refused
	curl -sf -X POST -H 'x-api-key: key-of-ann' -H 'content-type: application/json' \
		--data "{\"ids\":[\"$asset\"]}" "$DIRECT/api/trash/restore/assets" >/dev/null
	stop_gateway
	served
	became confirmed 40
}

# --- damage --------------------------------------------------------------------------------------

@test "damaged files of an acknowledged upload: its bytes are read, and go to the server" {
	served
	mischief 'POST /api/assets: status=503 name=*'
	seed=0
	for how in 'truncate -s 0 state' 'truncate -s 100 state' 'rm state' \
		'dd if=/dev/urandom of=state bs=8192 count=1 conv=notrunc status=none' \
		'truncate -s 0 outcome' 'dd if=/dev/urandom of=outcome bs=8192 count=1 conv=notrunc status=none' \
		'rm outcome'; do
		seed=$((seed + 1))
		picture "$T/p$seed.jpg" "$seed"
		upload "$T/p$seed.jpg"
		url[seed]=$UPLOAD
		stop_gateway KILL
		(cd "$T/spool/${UPLOAD##*/}" && eval "$how")
		served
	done
	mischief
	for ((i = 1; i <= seed; i++)); do
		UPLOAD=${url[i]}
		became confirmed 60
	done
	equals "$(server_count)" "$seed"
	equals "$(figure damaged)" 0
}

@test "bytes that nobody promised anything about are kept, shown, and given to their owner" {
	served
	mischief 'POST /api/assets: status=503 name=*'
	picture "$T/a.jpg" 1
	create "$(stat -c %s "$T/a.jpg")" -H "Upload-Metadata: filename $(base64_of a.jpg)"
	send 0 "$T/a.jpg"
	stop_gateway KILL
	truncate -s 0 "$T/spool/${UPLOAD##*/}/state" "$T/spool/${UPLOAD##*/}/outcome"
	sed -i 's/"created_ms":[0-9]*/"created_ms":1/' "$T/spool/${UPLOAD##*/}/info"
	mischief
	served
	sleep_until_swept
	equals "$(say '.state, .damaged' | tr '\n' ' ')" 'broken true '
	equals "$(figure damaged)" 1
	answered_so 'damaged'
	ask GET "$UPLOAD"
	answered 410 damaged
	bytes_kept
	cmp "$T/spool/${UPLOAD##*/}/bytes" "$T/a.jpg"
	ask DELETE "$UPLOAD" "${TUS[@]}"
	answered 204
}

@test "one upload that cannot be read keeps the gateway from nothing" {
	command -v strace >/dev/null || skip 'strace is not here'
	served --settle-after 1s
	for i in 1 2 3; do
		picture "$T/p$i.jpg" "$i"
		upload "$T/p$i.jpg"
		url[i]=$UPLOAD
	done
	stop_gateway KILL
	real=$URINGEST
	printf '#!/bin/sh\nexec strace -f -o %s -P %s -e trace=pread64 -e inject=pread64:error=EIO %s "$@"\n' \
		"$T/trace" "$T/spool/${url[2]##*/}/info" "$real" >"$T/uringest"
	chmod +x "$T/uringest"
	URINGEST=$T/uringest
	served --settle-after 1s
	for i in 1 3; do
		UPLOAD=${url[i]}
		became confirmed
	done
	answered_so "${url[2]##*/}"
	equals "$(figure damaged)" 1
	[ -e "$T/spool/${url[2]##*/}/bytes" ]
	pkill -TERM -P "$GATEWAY_PID" || true # strace's child
	wait "$GATEWAY_PID" 2>/dev/null || true
	URINGEST=$real
	served
	UPLOAD=${url[2]}
	became confirmed
}

# --- clocks --------------------------------------------------------------------------------------

@test "a clock that stands wrong ends nothing: neither what was refused nor what is half there" {
	command -v faketime >/dev/null || skip 'faketime is not here'
	served
	picture "$T/a.jpg" 1
	mischief 'POST /api/assets: status=400 name=*'
	upload "$T/a.jpg"
	became refused
	refused=$UPLOAD
	create 20000
	send 0 "$T/a.jpg"
	half=$UPLOAD
	# shellcheck disable=SC2016 # of the shell that faketime starts
	lib=$(faketime -f +1d sh -c 'echo "$LD_PRELOAD"')
	real=$URINGEST
	for step in +31d -31d +3650d; do
		stop_gateway
		printf '#!/bin/sh\nLD_PRELOAD=%s FAKETIME=%s DONT_FAKE_MONOTONIC=1 exec %s "$@"\n' \
			"$lib" "$step" "$real" >"$T/uringest"
		chmod +x "$T/uringest"
		URINGEST=$T/uringest
		served
		curl -s -D - -o /dev/null "$GATE/uringest/healthz" | grep -i '^date' >>"$T/dates"
		wait_for 20 ran_for 6
		stop_gateway
		URINGEST=$real
		served
		UPLOAD=$refused
		equals "$(say .state)" refused
		bytes_kept
		UPLOAD=$half
		equals "$(offset)" "$(stat -c %s "$T/a.jpg")"
	done
}

# --- who has how many ----------------------------------------------------------------------------

@test "uploads that are over are not counted as unfinished" {
	served --user-uploads 2
	for i in 1 2 3 4 5; do
		picture "$T/p$i.jpg" "$i"
		upload "$T/p$i.jpg"
		became confirmed
	done
	create 100
	create 100
	ask POST "$FILES" "${TUS[@]}" -H 'Upload-Length: 100'
	answered 503 unfinished
}

# --- names and types -----------------------------------------------------------------------------

@test "a file of a type that the server never takes is refused before its first byte" {
	served
	for name in notes.txt a.jpg.exe b.zip c.PDF; do
		ask POST "$FILES" "${TUS[@]}" -H 'Upload-Length: 10000000000' \
			-H "Upload-Metadata: filename $(base64_of "$name")"
		answered 415 "$name"
	done
	stop_gateway
	stop_immichd
	served # and where the server does not say what it takes
	start_immichd --user ann:key-of-ann
	ask POST "$FILES" "${TUS[@]}" -H 'Upload-Length: 10' -H "Upload-Metadata: filename $(base64_of notes.txt)"
	answered 415 notes.txt
	ask POST "$FILES" "${TUS[@]}" -H 'Upload-Length: 10' -H "Upload-Metadata: filename $(base64_of a.jpg)"
	answered 201
}

@test "a name reaches the server without a path, and with the extension of its type" {
	served
	seed=0
	while read -r name type wanted; do
		seed=$((seed + 1))
		picture "$T/p.jpg" "$seed"
		create "$(stat -c %s "$T/p.jpg")" \
			-H "Upload-Metadata: filename $(base64_of "$name"),filetype $(base64_of "$type")"
		send 0 "$T/p.jpg"
		became confirmed
		equals "$(sql "SELECT name FROM assets WHERE id='$(say .asset)'")" "$wanted"
	done <<-'NAMES'
		../../etc/x.jpg image/jpeg x.jpg
		/abs/y.jpg image/jpeg y.jpg
		C:\fakepath\z.jpg image/jpeg z.jpg
		IMG_1 image/jpeg IMG_1.jpg
		IMG_2 application/octet-stream IMG_2.jpg
		2024.01.02 image/jpeg 2024.01.02.jpg
		.. image/jpeg upload.jpg
	NAMES
}

# --- layouts -------------------------------------------------------------------------------------

@test "a spool of a newer layout is refused with a sentence, and stays as it is" {
	served
	create 100
	stop_gateway
	printf 'URSPOOL\0\3\0\0\0\0\0\0\0' | dd of="$T/spool/clock" conv=notrunc status=none
	find "$T/spool" -type f -exec sha1sum {} + | sort >"$T/before"
	run "$URINGEST" serve --listen 127.0.0.1:0 --spool "$T/spool" --immich "$DIRECT"
	equals "$status" 2
	has "$output" 'newer uringest'
	find "$T/spool" -type f -exec sha1sum {} + | sort | cmp - "$T/before"
}

# --- the end -------------------------------------------------------------------------------------

@test "an importer whose server does not answer, and a gateway that is asked twice, end at once" {
	python3 -c '
import socket, sys
s = socket.socket(); s.bind(("127.0.0.1", 0)); s.listen(9); print(s.getsockname()[1], flush=True)
held = []
while True: held.append(s.accept())' >"$T/port" 3>&- &
	PIDS+=("$!")
	wait_for 10 test -s "$T/port"
	picture "$T/a.jpg" 1
	for signal in TERM INT; do
		code=0
		"$URINGEST" import --server "http://127.0.0.1:$(<"$T/port")" --ledger "$T/l.db" "$T/a.jpg" \
			>"$T/out" 2>&1 3>&- &
		pid=$!
		wait_for 10 connected "$pid"
		kill "-$signal" "$pid"
		wait_for 3 gone "$pid"
		wait "$pid" || code=$?
		equals "$code" "$([ "$signal" = TERM ] && echo 143 || echo 130)"
	done
	served
	create 1000000
	head -c 1000000 /dev/urandom >"$T/large"
	slowly 0 "$T/large" 10K
	wait_for 20 receiving
	kill -TERM "$GATEWAY_PID"
	wait_for 10 answered_or_gone
	kill -TERM "$GATEWAY_PID" 2>/dev/null || true
	wait_for 3 gone "$GATEWAY_PID"
}

@test "a gateway that is stopped ends the bodies at once, and nothing that came is lost" {
	served
	create 1000000
	head -c 1000000 /dev/urandom >"$T/large"
	slowly 0 "$T/large" 100K
	wait_for 20 receiving
	wait_for 20 ran_for 2
	began=$(date +%s%N)
	kill -TERM "$GATEWAY_PID"
	code=0
	wait "$GATEWAY_PID" || code=$?
	equals "$code" 0
	[ $((($(date +%s%N) - began) / 1000000)) -le $((3000 * UR_SLOW)) ] # of 20 s of grace
	wait "$SENDER" || true
	served
	stood=$(offset)
	[ "$stood" -gt 0 ]
	tail -c "+$((stood + 1))" "$T/large" >"$T/rest"
	send "$stood" "$T/rest"
	answered 204
}
connected() { find "/proc/$1/fd" -lname 'socket:*' 2>/dev/null | grep -q .; }
receiving() { [ "$(figure receiving)" = 1 ]; }
answered_or_gone() { gone "$GATEWAY_PID" || ! curl -s -o /dev/null --max-time 1 "$GATE/uringest/healthz" || true; }

@test "a process that was stopped hears the answers that came meanwhile" {
	mkdir "$T/in"
	for i in 1 2 3; do picture "$T/in/p$i.jpg" "$i"; done
	mischief 'POST /api/assets: latency=1500 name=*'
	IMMICH_API_KEY=key-of-ann "$URINGEST" import --server "$DIRECT" --ledger "$T/l.db" --answer-wait 2s -v \
		"$T/in" >"$T/out" 2>"$T/err" 3>&- &
	pid=$!
	PIDS+=("$pid")
	wait_for 10 sent_some
	kill -STOP "$pid"
	sleep 5 # longer than it would wait: only time brings that about
	kill -CONT "$pid"
	wait "$pid"
	equals "$(grep -c '^suspect' "$T/out")" 0
	equals "$(server_count)" 3
}
sent_some() { [ "$(uploads)" -gt 0 ] || [ "$(control GET /_immichd/stats | jq -r .mischief)" -gt 0 ]; }

# --- what went along, and what did not --------------------------------------------------------------

# also FILE METADATA…: an upload whose client says more of it than its name; sets UPLOAD.
also() {
	local file=$1 more
	shift
	printf -v more ',%s' "$@"
	create "$(stat -c %s "$file")" -H "Upload-Metadata: filename $(printf %s "${file##*/}" | base64 -w0)$more" &&
		send 0 "$file" && answered 204
}
id_of() { printf %s "${1##*/}" | base64 -w0; }

@test "what a client names as its sidecar is not dropped for that after a restart" {
	served --settle-after 3s
	picture "$T/a.jpg" 1
	picture "$T/b.jpg" 2
	mischief 'POST /api/assets: status=503 name=b.jpg'
	upload "$T/b.jpg"
	local other=$UPLOAD
	also "$T/a.jpg" "sidecar $(id_of "$other")"
	became delivered
	stop_gateway
	served --settle-after 1s
	UPLOAD=$GATE/uringest/files/${UPLOAD##*/}
	became confirmed 40
	UPLOAD=$GATE/uringest/files/${other##*/}
	bytes_kept
	mischief
	became confirmed 60
	equals "$(server_count)" 2
}

@test "a picture whose movie is gone from the server is sent without the link, and not refused" {
	served
	picture "$T/a.jpg" 1
	mklib "$T/made" --count 1 --kinds mp4 --seed 5 --size 16K
	mv "$(find "$T/made" -type f -print -quit)" "$T/a.mp4"
	upload "$T/a.mp4"
	became confirmed
	local movie=$UPLOAD
	curl -sS -X DELETE "${WHO[@]}" -H 'content-type: application/json' \
		--data-binary "{\"force\":true,\"ids\":[\"$(say .asset)\"]}" "$DIRECT/api/assets"
	nothing_left() { [ "$(sql 'SELECT count(*) FROM assets')" = 0 ]; }
	wait_for 10 nothing_left
	also "$T/a.jpg" "livePhotoVideo $(id_of "$movie")"
	became confirmed
	equals "$(sql 'SELECT name FROM assets')" a.jpg
	equals "$(figure refused_total)" 0
}
