# shellcheck shell=bash
# shellcheck disable=SC2034,SC2154 # shared with the tests
# Eight uploads of tus-js-client as it comes, through the shipped nginx, while the gateway is restarted
# all the time.  Beside lib.bash, gateway.bash and clients.bash.
#
#     tus-js-client ×8 ─▶ nginx, TLS ─▶ the socket, which outlives it ─▶ gateway ─▶ gateway ─▶ …
#                 a probe ─▶ nginx
#
# RESTARTS (4), RESTART_EVERY (3) seconds; RESTART_SIZE of a file and RESTART_RATE, at which it is sent.

RESTARTS=${RESTARTS:-4} RESTART_EVERY=${RESTART_EVERY:-3}
RESTART_RATE=${RESTART_RATE:-250000}
CLIENT_SECONDS=$((2 * RESTARTS * RESTART_EVERY + 60))
RESTART_SIZE=${RESTART_SIZE:-$((RESTARTS * RESTART_EVERY * RESTART_RATE))}

# held_gateway [OPTION…]: behind a socket that somebody else holds, as systemd does.
held_gateway() {
	GATEWAY_AT=unix:$T/gateway.sock
	python3 "$CLIENTS/restart.py" hold "$T/gateway.sock" "$URINGEST" serve --spool "$T/spool" \
		--immich none --allow-anonymous --keep-free 0 "$@" >"$T/holder.out" 2>>"$T/gateway.err" 3>&- &
	HOLDER_PID=$!
	PIDS+=("$HOLDER_PID")
	wait_for 10 test -S "$T/gateway.sock"
}
restart_held() {
	local before
	before=$(grep -c '^ended' "$T/holder.out" || true)
	kill -HUP "$HOLDER_PID"
	wait_for 30 has_ended "$((before + 1))"
}
has_ended() { [ "$(grep -c '^ended' "$T/holder.out")" -ge "$1" ]; }

# A container's way: it is stopped, and nobody listens; then another one is started.
restart_plain() {
	stop_gateway
	equals "$GATEWAY_CODE" 0 || return
	anonymous
}

begin_probe() {
	python3 "$CLIENTS/restart.py" probe "$FILES" "$CACERT" >"$T/probe" 3>&- &
	PROBE_PID=$!
	PIDS+=("$PROBE_PID")
}
end_probe() { # sets OUTAGE, in ms
	kill "$PROBE_PID"
	wait "$PROBE_PID" || true
	OUTAGE=$(sed -n 's/^longest \([0-9]*\).*/\1/p' "$T/probe")
}

# restarts HOW: all uploads under way, HOW called again and again; sets OUTAGE and URLS.
restarts() {
	local i client
	export RATE=$RESTART_RATE
	for i in 1 2 3 4 5 6 7 8; do
		head -c "$((RESTART_SIZE + i))" /dev/urandom >"$T/$i.bin"
	done
	begin_probe
	js defaults "$T"/[1-8].bin &
	client=$!
	wait_for 10 test -s "$T/nginx/statuses"
	for ((i = 0; i < RESTARTS; i++)); do
		sleep "$RESTART_EVERY" # how often is what is tried
		"$1"
	done
	wait "$client"
	end_probe
	mapfile -t URLS <"$T/urls"
}

# All eight are here, whole, and each byte is what was sent.
all_arrived() {
	local i
	equals "${#URLS[@]}" 8 "$(tail -n 20 "$T/said")" || return
	for i in 1 2 3 4 5 6 7 8; do
		ask GET "${URLS[i - 1]}"
		equals "$STATUS" 200 || return
		cmp "$T/body" "$T/$i.bin" || return
	done
}

# Of nginx's answers to the uploads: how many there were of each.
tell_restarts() {
	{
		echo "$RESTARTS restarts, one every ${RESTART_EVERY} s, 8 uploads of $RESTART_SIZE bytes: $(cat "$T/probe")"
		echo "  nginx's answers (status, gateway's, method): $(sort "$T/nginx/statuses" | uniq -c |
			awk '{ printf "%s%s %s %s ×%s", sep, $2, $3, $4, $1; sep = ", " }')"
		[ ! -s "$T/holder.out" ] ||
			echo "  ended: $(sed -n 's/^ended 0 after \(.*\) ms$/\1/p' "$T/holder.out" | sort -n |
				awk '{ a[NR] = $1 } END { print "median " a[int((NR + 1) / 2)] " ms, longest " a[NR] " ms" }')"
	} | tee -a "${RESTART_FIGURES:-/dev/null}" >&3
}
