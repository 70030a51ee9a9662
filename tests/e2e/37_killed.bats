#!/usr/bin/env bats
# A run is killed while files are on their way, and started again: nothing is sent twice, and nobody
# waits for what never left.
# shellcheck disable=SC2030,SC2031,SC2034,SC2153 # read by lib.bash; each test is a shell of its own
load lib

setup() {
	begin
	start_immichd
}
teardown() { finish; }

stored_at_least() { [ "$(server_count)" -ge "$1" ]; }
marked() { ledger "SELECT count(*) FROM file WHERE state=9"; } # `sending`
marked_at_least() { [ "$(marked 2>/dev/null || echo 0)" -ge "$1" ]; }
two_are_noted() { [ "$(tail -c +4097 "$LEDGER-wire" | tr -d '\0' | wc -c)" -ge 44 ]; } # of 26 bytes or so each

# begin_import ARGUMENT…: in the background; RUN_PID is its process.
begin_import() {
	"$URINGEST" import -q --server "$URL" --ledger "$LEDGER" "$@" >"$T/first" 2>&1 3>&- &
	RUN_PID=$!
}

kill_it() {
	kill -KILL "$RUN_PID"
	wait "$RUN_PID" || true
}

# What the server had been sent never becomes an asset.
lose_them() {
	stop_immichd KILL
	start_immichd
}

# killed_when CONDITION…: a run of six pictures, of which two are with a server that then loses them.
killed_when() {
	photos "$T/src" 6
	mischief 'POST /api/assets: latency=60000 name=*'
	begin_import --concurrency 2 --answer-wait 12s "$T/src"
	wait_for 20 "$@"
	kill_it
	lose_them
}

nothing_twice() { # NUMBER_OF_FILES
	equals "$(sql 'SELECT count(*) FROM assets')" "$1"
	equals "$(sql 'SELECT count(DISTINCT checksum) FROM assets')" "$1"
	lacks "$OUT" "said duplicate" # to what it had not known when it was asked
}

@test "after a kill the next run goes on at once, however slow the server is" {
	local latency began
	for latency in 0 50 300 1000; do
		rm -rf "$T/src" "$LEDGER"*
		photos "$T/src" 300 --seed "$((latency + 1))"
		mischief "POST /api/assets: latency=$latency"
		local before
		before=$(server_count)
		begin_import "$T/src"
		wait_for 60 stored_at_least $((before + 40))
		kill_it
		local waiting
		waiting=$(marked)
		mischief # how long the rest takes by itself says nothing
		began=$(date +%s%N)
		ur import "$T/src"
		local doubted
		doubted=$(sed -n 's/^ *refused *//p' <<<"$OUT")
		equals "$CODE" $((doubted > 0)) # what the server claims of an upload that was cut is in doubt
		echo "# ${latency} ms: killed with $waiting files marked; the next run took" \
			"$((($(date +%s%N) - began) / 1000000)) ms" >&3
		lacks "$ERR" "may still arrive"
		at_most "$((($(date +%s%N) - began) / 1000000000))" $((60 * UR_SLOW)) # it waits up to 300 s for a lost one
		nothing_twice $((before + 300))
	done
}

@test "what had left whole is waited for, by name and until when, and sent once" {
	killed_when two_are_noted
	ur import --answer-wait 12s "$T/src"
	equals "$CODE" 0
	has "$ERR" "may still arrive"
	has "$ERR" "the server is asked until 20"
	nothing_twice 6
}

@test "a plan after a kill waits for nothing" {
	killed_when two_are_noted
	UR_LIMIT=20 ur plan "$T/src"
	equals "$CODE" 0
	lacks "$ERR" "may still arrive"
}

@test "where nothing can be noted beside the ledger, it says so and waits as before" {
	mkdir "$LEDGER-wire"
	killed_when marked_at_least 2
	ur import --answer-wait 12s "$T/src"
	equals "$CODE" 0
	has "$ERR" "-wire' cannot be written (Is a directory)"
	has "$ERR" "may still arrive"
	nothing_twice 6
}
