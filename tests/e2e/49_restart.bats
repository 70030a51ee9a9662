#!/usr/bin/env bats
# A restart of the gateway costs nobody anything: uploads go on, nobody is refused, few notice.
#
#   RESTARTS=60 RESTART_EVERY=5 RESTART_RATE=200000      five minutes (tests/soak/restart.sh)
# shellcheck disable=SC2034,SC2154 # read by lib.bash; each test is a shell of its own
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
