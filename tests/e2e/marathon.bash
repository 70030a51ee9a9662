# shellcheck shell=bash
# shellcheck disable=SC2034,SC2154 # shared with the tests
# One large film over a bad line: cut by the line, the client killed, the gateway killed, nginx
# restarted; what each interruption cost is printed.  Beside lib.bash and gateway.bash.
#
#     uringest import ─▶ cutter ─▶ nginx, TLS ─▶ gateway ─▶ immichd
#
# RUN_SIZE (1G), RUN_CLIENT, RUN_GATEWAY, RUN_NGINX: how often each is ended; RUN_CUTS: LEAST:MOST.

COST_MAX=$((15 << 19)) # the window of 7 MiB, and what heads and handshakes take
TLS_SHARE=99866 # of 100,000 bytes on the wire are not TLS's own: 22 bytes a record of 16 KiB

# Rewrites the test's nginx for both places and starts it where it was.
run_nginx() {
	local nginx
	nginx=$(PATH=$PATH:/usr/sbin:/usr/local/sbin command -v nginx)
	sed -e "s|location / {|location /uringest/ { client_max_body_size 72m; client_body_buffer_size 1m;\n\
proxy_request_buffering off; proxy_buffering off; proxy_http_version 1.1; proxy_next_upstream off;\n\
proxy_set_header Connection \"\"; proxy_set_header Host \$http_host; proxy_read_timeout 600s;\n\
proxy_pass $GATE; }\n\t\tlocation / {|" "$T/nginx/nginx.conf" >"$T/nginx/both.conf"
	"$nginx" -p "$T/nginx" -c "$T/nginx/both.conf" >"$T/nginx/log" 2>&1 3>&- &
	NGINX_PID=$!
	PIDS+=("$NGINX_PID")
	wait_for 10 serves_or_ended "$URL" "$NGINX_PID"
	! gone "$NGINX_PID"
}

run_client() {
	"$URINGEST" import --server "https://127.0.0.1:$CUTTER_PORT" --cacert "$CACERT" --ledger "$LEDGER" \
		--resumable-threshold 1M --answer-wait 10m --json "$T/films" >"$T/out" 2>"$T/err" 3>&- &
	CLIENT_PID=$!
	PIDS+=("$CLIENT_PID")
}

# The one upload that is under way, as the gateway tells it.
run_upload() {
	local id
	id=$(find "$T/spool" -mindepth 1 -maxdepth 1 -type d -name '[0-9a-f]*' -printf '%f\n' | head -n 1)
	[ -n "$id" ] || return 1
	UPLOAD=$FILES$id
}
run_offset() { run_upload && curl -s --max-time 5 "${WHO[@]}" "$UPLOAD/status" | jq -r '.offset // 0'; }
run_beyond() { local now; now=$(run_offset) && [ "${now:-0}" -ge "$1" ]; }
run_beyond_or_over() { run_beyond "$1" || gone "$CLIENT_PID"; }

wire() { # bytes that went towards nginx, as they are inside of TLS
	local before
	before=$(grep -c '^sum' "$T/cutter.out")
	kill -USR2 "$CUTTER_PID"
	wait_for 5 more_sums "$before"
	echo $(($(sed -n 's/^sum //p' "$T/cutter.out" | tail -n 1) * TLS_SHARE / 100000))
}
more_sums() { [ "$(grep -c '^sum' "$T/cutter.out")" -gt "$1" ]; }

# What went over the wire has not moved for four looks, and neither has the offset: what waits in the
# socket of the client, which is stopped, may still be on its way to a proxy that is busy.
wire_is_still() {
	local before=$STILL
	STILL="$(wire) $(run_offset)"
	[ "$STILL" = "$before" ] || LOOKS=0
	LOOKS=$((LOOKS + 1))
	[ "$LOOKS" -ge 4 ] && [ -n "${STILL#* }" ]
}

# What the interruptions since the last look have cost: with the client at rest, everything that it
# sent is either durable or lost.
run_cost() { # WHAT
	local now at cuts lost
	STILL='' LOOKS=0
	wait_for 30 wire_is_still
	now=${STILL% *} at=${STILL#* }
	cuts=$(grep -c '^cut' "$T/cutter.out") || true
	lost=$((now - at - LOST))
	printf '%-8s at %6d MiB: %5d KiB sent again%s\n' "$1" $((at >> 20)) $((lost >> 10)) \
		"$([ "$cuts" -eq "$CUTS" ] || echo ", $((cuts - CUTS)) cut by the line among it")" >>"$T/costs"
	COST_WORST=$((lost / (1 + cuts - CUTS) > COST_WORST ? lost / (1 + cuts - CUTS) : COST_WORST))
	LOST=$((now - at)) CUTS=$cuts
}

run_interrupt() { # WHAT
	case $1 in
	client)
		kill -KILL "$CLIENT_PID"
		wait "$CLIENT_PID" 2>/dev/null || true
		run_cost client
		run_client
		;;
	gateway)
		stop_gateway KILL
		kill -STOP "$CLIENT_PID"
		start_gateway --seal-key "$T/seal" --settle-after 1s
		run_cost gateway
		kill -CONT "$CLIENT_PID"
		;;
	nginx)
		kill -TERM "$NGINX_PID"
		kill -STOP "$CLIENT_PID"
		wait "$NGINX_PID" 2>/dev/null || true
		run_nginx
		run_cost nginx
		kill -CONT "$CLIENT_PID"
		;;
	esac
}

peak() { awk '/VmHWM/ { print $2 }' "/proc/$1/status" 2>/dev/null || echo 0; }
note_peaks() {
	local now
	for who in CLIENT GATEWAY; do
		local pid=${who}_PID peak=${who}_PEAK
		now=$(peak "${!pid}")
		[ "${now:-0}" -le "${!peak:-0}" ] || printf -v "$peak" '%s' "$now"
	done
	now=$(tr ' ' '\n' </proc/"$NGINX_PID"/task/"$NGINX_PID"/children |
		while read -r worker; do [ -z "$worker" ] || peak "$worker"; done | sort -n | tail -n 1)
	[ "${now:-0}" -le "${NGINX_PEAK:-0}" ] || NGINX_PEAK=$now
}

run_marathon() {
	local size at i=0 what whats=() bytes
	size=${RUN_SIZE:-1G}
	bytes=$(numfmt --from=iec "$size")
	WHO=(-H "x-api-key: $KEY")
	head -c 32 /dev/urandom >"$T/seal"
	"$MKLIB" "$T/films" --count 1 --kinds mp4 --big "film.mp4:$size" >/dev/null
	find "$T/films" -name '*.mp4' ! -name film.mp4 -delete
	start_immichd
	start_nginx
	stop_nginx
	start_gateway --seal-key "$T/seal" --settle-after 1s
	run_nginx
	"$BIN/cutter" --to "${URL##*:}" --between "${RUN_CUTS:-60M:200M}" >"$T/cutter.out" 3>&- &
	CUTTER_PID=$!
	PIDS+=("$CUTTER_PID")
	wait_for 10 grep -q '^listening' "$T/cutter.out"
	CUTTER_PORT=$(sed -n 's/^listening on .*://p' "$T/cutter.out")
	mapfile -t whats < <(
		yes client | head -n "${RUN_CLIENT:-20}"
		yes gateway | head -n "${RUN_GATEWAY:-20}"
		yes nginx | head -n "${RUN_NGINX:-10}"
	)
	mapfile -t whats < <(printf '%s\n' "${whats[@]}" | shuf --random-source=<(yes "${UR_SEED:-1}"))
	LOST=0 CUTS=0 COST_WORST=0 CLIENT_PEAK=0 GATEWAY_PEAK=0 NGINX_PEAK=0
	: >"$T/costs"
	run_client
	for what in "${whats[@]}"; do
		i=$((i + 1))
		at=$((bytes * i / (${#whats[@]} + 1)))
		wait_for 120 run_beyond_or_over "$at"
		if gone "$CLIENT_PID"; then
			cat "$T/err"
			return 1
		fi
		note_peaks
		run_interrupt "$what"
	done
	CODE=0
	wait "$CLIENT_PID" || CODE=$?
	note_peaks
	WIRE=$(wire)
	BYTES=$bytes
	cat "$T/costs"
	printf 'in all: %d interruptions, %d cuts by the line, %d MiB of %d MiB sent again; peaks: client %d, gateway %d, nginx %d KiB\n' \
		"${#whats[@]}" "$(grep -c '^cut' "$T/cutter.out")" $(((WIRE - bytes) >> 20)) $((bytes >> 20)) \
		"$CLIENT_PEAK" "$GATEWAY_PEAK" "$NGINX_PEAK"
}

# What has to be so at the end.
run_check() {
	equals "$CODE" 0 "exit code: $(cat "$T/err")"
	equals "$(server_count)" 1
	compare_stored
	equals "$(sql 'SELECT lower(hex(checksum)) FROM assets WHERE deleted=0')" \
		"$(sha1sum "$T/films/film.mp4" | cut -c1-40)"
	[ "$COST_WORST" -le "$COST_MAX" ] || { echo "an interruption cost $COST_WORST bytes" && return 1; }
	[ "$CLIENT_PEAK" -le 65536 ] && [ "$GATEWAY_PEAK" -le 65536 ] && [ "$NGINX_PEAK" -le 65536 ]
}
