#!/usr/bin/env bats
# Whatever a run waits for, it says within ten seconds: what, and until when.
# shellcheck disable=SC2034,SC2030,SC2031,SC2119,SC2120,SC2153,SC2317 # read by lib.bash; each test is a shell of its own
load lib

setup() {
	begin
	start_immichd
}
teardown() { finish; }

begin_run() { # COMMAND ARGUMENT…: in the background
	"$URINGEST" "$1" --server "$URL" --ledger "$LEDGER" "${@:2}" >"$T/run.out" 2>"$T/run.err" 3>&- &
	RUN_PID=$!
	PIDS+=("$RUN_PID")
	BEGUN=$SECONDS
}

# says WORDS: within ten seconds (of this machine) from where the run began.
says() {
	says_it() { grep -qF "$1" "$T/run.err"; }
	wait_for $((11 * UR_SLOW)) says_it "$1" || { cat "$T/run.err" && return 1; }
	echo "# said after $((SECONDS - BEGUN)) s: $(grep -F "$1" "$T/run.err" | cut -c1-120)" >&3
}

ends_it() {
	kill -INT "$RUN_PID" 2>/dev/null || true
	sleep 1
	kill -KILL "$RUN_PID" 2>/dev/null || true
	wait "$RUN_PID" 2>/dev/null || true
}

@test "a server that does not say who it is" {
	photo "$T/lib/1.jpg"
	mischief 'GET /api/users/me: latency=30000'
	begin_run import "$T/lib"
	says "waiting for the server: it has not said yet who it is"
	ends_it
}

@test "a server that does not answer to an upload" {
	photo "$T/lib/1.jpg"
	mischief 'POST /api/assets: latency=60000 name=1.jpg'
	begin_run import --answer-wait 2m "$T/lib"
	says "waiting for the server: it has not answered to 1 uploads that are on their way; that is waited for until 20"
	ends_it
}

@test "a server that asks to be left alone for a while" {
	photo "$T/lib/1.jpg"
	mischief 'POST /api/assets: status=429 retry-after=40'
	begin_run import "$T/lib"
	says "waiting until 20"
	ends_it
}

@test "a server that does not say what it has" {
	photo "$T/lib/1.jpg"
	mischief 'POST /api/assets/bulk-upload-check: latency=60000'
	begin_run import "$T/lib"
	says "waiting for the server: it has not answered to 1 questions"
	ends_it
}

@test "a server that does not give the bytes back" {
	photo "$T/lib/1.jpg"
	mischief 'GET /api/assets/*/original: latency=60000'
	begin_run import --after delete "$T/lib"
	says "waiting for the server: it has not answered to 1 questions"
	ends_it
}

@test "a server that stands still in the middle, and one that is gone" {
	photos "$T/lib" 400
	mischief 'POST /api/assets: latency=30'
	begin_run import "$T/lib"
	some() { [ "$(server_count)" -gt 20 ]; }
	wait_for 20 some
	kill -STOP "$SERVER_PID"
	BEGUN=$SECONDS
	says "waiting for the server: "
	kill -CONT "$SERVER_PID"
	kill -KILL "$SERVER_PID"
	BEGUN=$SECONDS
	says "the server is away; waiting for it for up to"
	ends_it
}

@test "what drain --wait waits for between two looks" {
	photo "$T/in/1.jpg"
	printf 'server: %s\nledger: %s\nmin_age: 20s\nsettle_after: 0s\nfolders:\n  - path: %s\n' \
		"$URL" "$LEDGER" "$T/in" >"$T/drain.yaml"
	begin_run drain --wait --config "$T/drain.yaml"
	says "waiting for 21 s until what is left has been unchanged"
	ends_it
}

@test "what goes slowly is not waited for" {
	PHOTO_SIZE=120K photo "$T/lib/1.jpg"
	begin_run import --bwlimit 8K "$T/lib"
	wait "$RUN_PID"
	at_least "$((SECONDS - BEGUN))" 9
	equals "$(grep -c "waiting for\|waiting until" "$T/run.err")" 0
}
