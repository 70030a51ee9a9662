#!/usr/bin/env bats
# A restart of the gateway costs nobody anything: uploads go on, nobody is refused, few notice.
#
#   RESTARTS=60 RESTART_EVERY=5 RESTART_RATE=200000     five minutes (tests/soak/restart.sh)
# shellcheck disable=SC2030,SC2031,SC2034,SC2154 # read by lib.bash; each test is a shell of its own
load lib
load gateway
load clients
load restart

setup_file() { install_client js "$CLIENTS"/package*.json "$CLIENTS/tus.mjs" || true; }
setup() {
	begin
	command -v python3 >/dev/null || skip "python3 is not here"
}
teardown() { finish; }

@test "restarted all the time behind its socket: all uploads of tus-js-client arrive, nobody sees a 502" {
	held_gateway
	front_nginx
	FILES=$URL/uringest/files/
	restarts restart_held
	tell_restarts
	all_arrived
	equals "$(grep -c ' 502 \|^502 ' "$T/nginx/statuses" || true)" 0
	equals "$(grep '^ended' "$T/holder.out" | grep -vc '^ended 0 ' || true)" 0
	[ "$OUTAGE" -le $((3000 * UR_SLOW)) ]
}

@test "stopped and started as a container is: all uploads arrive, and it is away for a moment only" {
	anonymous
	front_nginx
	FILES=$URL/uringest/files/
	restarts restart_plain
	tell_restarts
	all_arrived
	[ "$OUTAGE" -le $((3000 * UR_SLOW)) ]
}

# --- asked to end --------------------------------------------------------------------------------

# A delivery that immich-server answers after MS: SENT is true when it is there.
slow_delivery() { # MS
	start_immichd --user ann:key-of-ann
	WHO=(-H 'x-api-key: key-of-ann')
	head -c 32 /dev/urandom >"$T/seal"
	mischief "POST /api/assets: latency=$1 name=*"
	picture "$T/a.jpg" 1
}
served() { start_gateway --settle-after 0s --suspect-wait 1h --seal-key "$T/seal"; }
delivering() { [ "$(figure delivering)" = 1 ]; }

@test "an answer that is waited for gets its time, and all goes on meanwhile" {
	slow_delivery 4000
	served
	upload "$T/a.jpg"
	wait_for 10 delivering
	kill -TERM "$GATEWAY_PID"
	wait_for 5 grep -q "waits for immich-server's answer to 1 deliveries .* until .* at the latest" "$T/gateway.err"
	create 5 # nobody is turned away
	printf hello >"$T/hello"
	send 0 "$T/hello"
	answered 204
	code=0
	wait "$GATEWAY_PID" || code=$?
	equals "$code" 0
	mischief
	served
	confirmed() { [ "$(curl -s "$GATE/uringest/metrics" | grep -c 'uploads{state="confirmed"} 1')" = 1 ]; }
	wait_for 20 confirmed # and nobody had to doubt it
	equals "$(server_count)" 1
}

in_terminal() { # COUNT [OPTION…]: presses ^C when a delivery is under way
	local count=$1
	shift
	GATEWAY_PORT=$((20000 + RANDOM % 12000))
	python3 "$CLIENTS/restart.py" terminal "${WORDS:-waits for nothing}" "$count" "$URINGEST" serve \
		--listen "127.0.0.1:$GATEWAY_PORT" --spool "$T/spool" --keep-free 0 --seal-key "$T/seal" \
		--immich "$DIRECT" "$@" >"$T/terminal" 3>&- &
	TERMINAL_PID=$!
	PIDS+=("$TERMINAL_PID")
	GATE=http://127.0.0.1:$GATEWAY_PORT
	FILES=$GATE/uringest/files/
}

@test "in a terminal ^C ends it, and a start after a kill says what it waits for and until when" {
	slow_delivery 60000
	served # leaves one that is on its way
	upload "$T/a.jpg"
	wait_for 10 delivering
	stop_gateway KILL
	mischief "POST /api/assets: latency=60000 name=*"
	: >"$T/gateway.err"
	WORDS='listening on' in_terminal 1
	wait "$TERMINAL_PID"
	has "$(cat "$T/terminal")" 'asked to stop'
	has "$(tail -n 1 "$T/terminal")" 'ended 0 after'
	grep -qE 'may still be arriving at immich-server .* at 20[0-9-]+ [0-9:]+ at the latest' "$T/terminal"
}

@test "asked to end it says what it waits for and until when; asked once more it ends at once" {
	slow_delivery 60000
	served
	upload "$T/a.jpg"
	wait_for 10 delivering
	kill -INT "$GATEWAY_PID"
	wait_for 5 grep -qE "immich-server's answer to 1 deliveries .*until 20.* asked again it ends at once" "$T/gateway.err"
	sleep 0.6 # what comes sooner is the echo of the first
	kill -INT "$GATEWAY_PID"
	code=0
	wait "$GATEWAY_PID" || code=$?
	equals "$code" 130
}

@test "a start that takes long says how far it is, and ends at once when it is asked to" {
	[ "$UR_SLOW" -eq 1 ] || skip "a sanitizer wants to be loaded first"
	cc -shared -fPIC -x c -o "$T/slow.so" - <<-'C' || skip "no compiler is here to slow down a start"
		#include <unistd.h>
		int flock(int fd, int how)
		{
			return (int)sleep(40) * fd * how;
		}
	C
	mkdir -m 700 "$T/spool"
	LD_PRELOAD=$T/slow.so "$URINGEST" serve --listen 127.0.0.1:0 --spool "$T/spool" --immich none \
		--allow-anonymous >"$T/out" 2>"$T/err" 3>&- &
	pid=$!
	PIDS+=("$pid")
	wait_for 10 grep -q 'still starting: 0 uploads' "$T/err"
	kill -INT "$pid"
	began=$SECONDS
	code=0
	wait "$pid" || code=$?
	equals "$code" 130
	[ $((SECONDS - began)) -le 2 ]
}

@test "a server that takes the connection and says nothing is named within ten seconds" {
	command -v python3 >/dev/null || skip "python3 is not here"
	python3 -c 'import socket, time
s = socket.socket(); s.bind(("127.0.0.1", 0)); s.listen(9)
print(s.getsockname()[1], flush=True); time.sleep(600)' >"$T/port" 3>&- &
	PIDS+=("$!")
	wait_for 10 test -s "$T/port"
	start_gateway --immich "http://ann:secret@127.0.0.1:$(cat "$T/port")"
	wait_for 10 grep -q 'does not answer as it should (http://127.0.0.1:[0-9]*: no answer yet)' "$T/gateway.err"
	equals "$(grep -c secret "$T/gateway.err" || true)" 0
}
