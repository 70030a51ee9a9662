# shellcheck shell=bash
# shellcheck disable=SC2034 # read by the tests
# What the tests of the gateway share; beside lib.bash.
#
#     begin ─▶ start_immichd ─▶ start_gateway ─▶ create, send, upload_state … ─▶ finish

TUS=(-H 'Tus-Resumable: 1.0.0')
BYTES=(-H 'Content-Type: application/offset+octet-stream')

# start_gateway [OPTION…]: sets GATE (http://…), FILES and GATEWAY_PID; the spool is $T/spool.
# Without a server: start_gateway --immich none --allow-anonymous.
start_gateway() {
	local to=(--immich "${DIRECT-none}")
	[[ " $* " != *" --immich "* ]] || to=()
	rm -f "$T/gateway.out"
	(
		umask 077
		exec "$URINGEST" serve --listen "127.0.0.1:${GATEWAY_PORT:-0}" --spool "${SPOOL:-$T/spool}" \
			--keep-free 0 "${to[@]}" "$@" >"$T/gateway.out" 2>>"$T/gateway.err" 3>&-
	) &
	GATEWAY_PID=$!
	PIDS+=("$GATEWAY_PID")
	wait_for 10 listens_or_ended
	! gone "$GATEWAY_PID" || { cat "$T/gateway.err" && return 1; }
	GATE=http://$(sed -n 's/^listening on //p' "$T/gateway.out")
	GATEWAY_PORT=${GATE##*:} # a restart listens where it was
	FILES=$GATE/uringest/files/
}
listens_or_ended() { grep -q '^listening on ' "$T/gateway.out" || gone "$GATEWAY_PID"; }

stop_gateway() { # [SIGNAL]
	kill "-${1:-TERM}" "$GATEWAY_PID"
	GATEWAY_CODE=0
	wait "$GATEWAY_PID" 2>/dev/null || GATEWAY_CODE=$?
}

# anonymous: a gateway without a server, for the protocol alone.
anonymous() { start_gateway --immich none --allow-anonymous "$@"; }

# ask METHOD URL [CURL-OPTION…]: sets STATUS, HEAD (the answer's head) and BODY.
ask() {
	local method=$1 url=$2
	shift 2
	[ "$method" != HEAD ] || set -- --head "$@"
	STATUS=$(curl -sk --max-time $((60 * UR_SLOW)) -X "$method" -o "$T/body" -D "$T/head" \
		-w '%{http_code}' ${WHO+"${WHO[@]}"} "$@" "$url" 2>"$T/curl.err") || true
	HEAD=$(tr -d '\r' <"$T/head")
	BODY=$(tr -d '\0' <"$T/body" 2>/dev/null || true)
}

# header NAME: of the last answer.
header() { sed -n "s/^$1: //Ip" <<<"$HEAD" | tail -n 1; }

# answered STATUS [WORDS]: the last answer was this one, and its sentence has these words.
answered() {
	equals "$STATUS" "$1" "the answer: $BODY" || return
	[ -z "${2-}" ] || has "$BODY" "$2"
}

base64_of() { printf %s "$1" | base64 -w0; }

# create LENGTH [CURL-OPTION…]: a new upload; sets UPLOAD (its URL).
create() {
	local length=$1
	shift
	ask POST "$FILES" "${TUS[@]}" -H "Upload-Length: $length" "$@"
	answered 201 || return
	UPLOAD=$GATE$(header location)
}

# named NAME [FILE]: sets META, what a creation says of a file: its name, and its SHA-1 with FILE.
named() {
	META=(-H "Upload-Metadata: filename $(base64_of "$1")${2+,checksum $(base64_of "$(sha1_base64 "$2")")}")
}
sha1_base64() { openssl sha1 -binary "$1" | base64 -w0; }

# send OFFSET FILE [CURL-OPTION…]: a PATCH with these bytes.
send() {
	local offset=$1 file=$2
	shift 2
	ask PATCH "$UPLOAD" "${TUS[@]}" "${BYTES[@]}" -H "Upload-Offset: $offset" -H 'Expect:' \
		--data-binary "@$file" "$@"
}

offset() { ask HEAD "$UPLOAD" "${TUS[@]}" && header upload-offset; }
say() { ask GET "$UPLOAD/status" && jq -r "$1" <<<"$BODY"; }
is_state() { [ "$(say .state)" = "$1" ]; }
figure() { curl -s "$GATE/uringest/metrics" | sed -n "s/^uringest_gateway_$1 //p"; }

# upload FILE [NAME]: as a whole; UPLOAD is then complete.
upload() {
	named "${2:-${1##*/}}" "$1"
	create "$(stat -c %s "$1")" "${META[@]}" || return
	[ "$(header upload-offset)" = "$(stat -c %s "$1")" ] || { send 0 "$1" && answered 204; }
}

# slowly OFFSET FILE RATE: sends in the background at RATE bytes a second; SENDER is its process.
slowly() {
	curl -s --max-time $((120 * UR_SLOW)) --limit-rate "$3" -X PATCH "${TUS[@]}" "${BYTES[@]}" \
		${WHO+"${WHO[@]}"} -H 'Expect:' -H "Upload-Offset: $1" --data-binary "@$2" \
		-o /dev/null "$UPLOAD" 3>&- &
	SENDER=$!
	PIDS+=("$SENDER")
}

picture() { # FILE SEED: one valid JPEG
	"$MKLIB" "$T/lib$2" --count 1 --kinds jpeg --seed "$2" --size "${3:-16K}" >/dev/null &&
		mv "$(find "$T/lib$2" -type f -print -quit)" "$1"
}

# front_nginx: nginx with TLS before the gateway, its location as the project ships it; sets URL, CACERT.
# GATEWAY_AT: where the gateway is, if not at its port.
front_nginx() {
	local conf
	conf=$(cd "$E2E/../../nginx/conf" && pwd)
	# shellcheck disable=SC2317 # start_nginx calls it
	write_nginx() { # PORT
		cat <<-CONF
			daemon off;
			pid $T/nginx/pid;
			error_log $T/nginx/error.log;
			worker_processes 2;
			events { worker_connections 2048; }
			http {
				log_format hops '\$upstream_status';
				access_log $T/nginx/hops hops;
				log_format statuses '\$status \$upstream_status \$request_method';
				access_log $T/nginx/statuses statuses;
				client_body_temp_path $T/nginx/body;
				proxy_temp_path $T/nginx/proxy;
				fastcgi_temp_path $T/nginx/fastcgi;
				uwsgi_temp_path $T/nginx/uwsgi;
				scgi_temp_path $T/nginx/scgi;
				map \$http_upgrade \$connection_upgrade { default upgrade; '' ''; }
				upstream uringest-gateway {
					server ${GATEWAY_AT:-127.0.0.1:$GATEWAY_PORT} max_fails=0;
				}
				server {
					listen 127.0.0.1:$1 ssl;
					ssl_certificate $T/nginx/server.pem;
					ssl_certificate_key $T/nginx/server.key;
					include $conf/proxy.conf;
					include $conf/gateway.conf;
				}
			}
		CONF
	}
	start_nginx
}
