#!/usr/bin/env bats
# The shipped server blocks, as they are, under the real nginx with a development certificate: before
# immichd, and before an nginx that says what it was told.
#
#   UR_STREAM_MB  the size of the file that is streamed (256)

# nginx has variables of its own; hosts have no spaces; what place.bash and stack.bash read.
# shellcheck disable=SC2016,SC2086,SC2034

bats_require_minimum_version 1.5.0

load stack

setup_file() { stack_up; }
teardown_file() { stack_down; }
setup() {
  stack_or_skip
  NGINX=$(PATH=$PATH:/usr/sbin:/usr/local/sbin command -v nginx)
}
teardown() {
  [ -z "${SECOND_PID-}" ] || { kill -TERM "$SECOND_PID" && wait "$SECOND_PID"; } 2>/dev/null || true
  rm -rf "${T:-/nonexistent}"
}

# second_nginx IMMICH GATEWAY [HTTP_LINES]: the same blocks before other upstreams, on other ports.
# Before it starts, `change` may change its copy.
second_nginx() {
  # shellcheck source=scripts/lib/place.bash
  . "$TOP/scripts/lib/place.bash"
  PLACE=$T/second HTTP_PORT=$(free_port) HTTPS_PORT=$(free_port)
  mkdir "$PLACE" && chmod 711 "$T"
  IMMICH_AT=$1 GATEWAY_AT=$2 FRONTEND_AT=$1 TOOLS_AT=$1 CERTIFICATE=$STACK/heartbeat/photos-dev-cert.pem \
    CERTIFICATE_KEY=$STACK/heartbeat/photos-dev-key.pem write_place "$NGINX"
  printf '%s\n' "${3-}" >>"$PLACE/place/http.conf"
  if declare -F change >/dev/null; then change; fi
  "$NGINX" -p "$PLACE" -c "$PLACE/nginx.conf" -e "$PLACE/error.log" -g 'daemon off;' >"$T/log" 2>&1 3>&- &
  SECOND_PID=$!
  wait_for 10 listening "$HTTPS_PORT"
}
listening() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

# An upstream that answers with what it was told.
mirror() { # PORT
  cat <<CONF
server {
  listen 127.0.0.1:$1;
  client_max_body_size 0;
  access_log off;
  location / {
    return 200 "host=\$http_host real=\$http_x_real_ip for=\$http_x_forwarded_for proto=\$http_x_forwarded_proto forwarded=\$http_forwarded upgrade=\$http_upgrade connection=\$http_connection protocol=\$server_protocol uri=\$request_uri requests=\$connection_requests length=\$content_length";
  }
}
CONF
}

@test "nginx -t has nothing to say, neither here nor with the files of the image" {
  run "$NGINX" -t -q -p "$PLACE" -c "$PLACE/nginx.conf" -e stderr
  echo "$output"
  [ "$status" -eq 0 ] && [ -z "$output" ]

  # What only the image has is replaced: its user, names, folders, ports; and what only its version
  # knows, by what stands beside it for the older ones.
  cp -r "$TOP/nginx" "$T/nginx"
  # shellcheck source=scripts/lib/place.bash
  . "$TOP/scripts/lib/place.bash"
  local version
  version=$(nginx_version "$NGINX")
  if [ "$version" -lt 1025001 ]; then mv "$T"/nginx/place/http2-1.22/*.conf "$T/nginx/place"; fi
  if [ "$version" -lt 1027003 ]; then sed -i 's/ resolve / /' "$T/nginx/place/upstreams.conf"; fi
  sed -i -E '/^user /d; s|/run/nginx.pid|'"$T/pid"'|; s|/dev/std(out\|err)|'"$T"'/log|; s|/var/cache/nginx|'"$T"'|' \
    "$T"/nginx/place/{main,http}.conf
  sed -i -E 's|server [a-z-]+:|server 127.0.0.1:|' "$T/nginx/place/upstreams.conf"
  sed -i -E 's|/etc.*/[a-z-]*(cert\|fullchain).pem|'"$STACK"'/heartbeat/photos-dev-cert.pem|; s|/etc.*/[a-z-]*key.pem|'"$STACK"'/heartbeat/photos-dev-key.pem|' \
    "$T"/nginx/place/certificate-*.conf
  sed -i -E "s|^listen 80|listen 127.0.0.1:$(free_port)|; s|^listen 443|listen 127.0.0.1:$(free_port)|; /\[::\]/d" "$T"/nginx/place/listen-*.conf
  run "$NGINX" -t -q -p "$T/nginx" -c "$T/nginx/nginx.conf" -e stderr
  echo "$output"
  [ "$status" -eq 0 ] && [ -z "$output" ]
}

@test "what depends on the machine is in place/ and nowhere else" {
  run grep -nE '^[^#]*((listen|ssl_certificate|ssl_certificate_key|root|resolver|user|pid|error_log|access_log) |/(etc|var|run|dev)/|server [a-z0-9.-]+:[0-9])' \
    -r "$TOP/nginx/nginx.conf" "$TOP/nginx/conf" "$TOP/nginx/sites"
  echo "$output"
  [ "$status" -eq 1 ]
}

@test "both photo hosts lead to Immich: page, API, .well-known" {
  local host
  for host in $PUBLIC $PRIVATE; do
    equals "$(at $host / -o /dev/null -w '%{http_code} %{content_type}')" "200 text/html; charset=utf-8"
    equals "$(at $host /api/server/ping)" '{"res":"pong"}'
    has "$(at $host /api/users/me -H "x-api-key: $KEY")" '"isAdmin":true'
    equals "$(code $host /api/users/me)" 401
    equals "$(at $host /.well-known/immich)" '{"api":{"endpoint":"/api"}}'
  done
}

@test "the frontend and the tools have their own hosts" {
  local domain
  for domain in heartbeatacic.org dev.heartbeat.local; do
    has "$(at $domain /)" 'Photo Vault'
    has "$(at it-tools.$domain /)" 'IT tools'
  done
  has "$(at www.heartbeatacic.org /)" 'Photo Vault'
}

@test "port 80 sends everything to the same place by TLS" {
  local host
  for host in $PUBLIC $PRIVATE heartbeatacic.org it-tools.dev.heartbeat.local; do
    equals "$(at http:$host '/albums/x?a=b&c' -o /dev/null -w '%{http_code} %{redirect_url}')" \
      "301 https://$host/albums/x?a=b&c"
  done
  equals "$(code http:$PUBLIC /.well-known/immich)" 301
}

@test "the authority's challenge is answered by nginx on both ports, and nothing else of its folder is" {
  echo token >"$PLACE/acme/.well-known/acme-challenge/abc_-1"
  chmod -R a+rX "$PLACE/acme"
  equals "$(at http:$PUBLIC /.well-known/acme-challenge/abc_-1)" token
  equals "$(at $PUBLIC /.well-known/acme-challenge/abc_-1)" token
  equals "$(code http:heartbeatacic.org /.well-known/acme-challenge/abc_-1)" 200
  equals "$(code http:$PUBLIC /.well-known/acme-challenge/other)" 404
  equals "$(code $PUBLIC /.well-known/acme-challenge/../../nginx.pid --path-as-is)" 200 # Immich's page
  lacks "$(at $PUBLIC /.well-known/acme-challenge/../../nginx.pid --path-as-is)" "$(cat "$PLACE/nginx.pid")"
}

@test "names that are not ours get no page and no certificate" {
  run -52 at http:example.org /
  run -35 curl -sS --cacert "$CACERT" --resolve "example.org:$HTTPS_PORT:127.0.0.1" "https://example.org:$HTTPS_PORT/"
  # The challenge of a name that is just being moved here is answered.
  equals "$(code http:new.example.org /.well-known/acme-challenge/none)" 404
}

@test "answers carry the headers of the plan, each once, also those that nginx itself gives" {
  local host path head
  for host in $PUBLIC $PRIVATE; do
    for path in / /api/server/ping /api/nope /.well-known/acme-challenge/none; do
      head=$(at $host $path -D - -o /dev/null)
      equals "$(header_of X-Frame-Options <<<"$head")" SAMEORIGIN "$path"
      equals "$(header_of X-Content-Type-Options <<<"$head")" nosniff
      equals "$(header_of Referrer-Policy <<<"$head")" strict-origin-when-cross-origin
      equals "$(header_of Server <<<"$head")" nginx
      equals "$(header_of X-Powered-By <<<"$head")" ''
      case $host in
      "$PUBLIC") equals "$(header_of Strict-Transport-Security <<<"$head")" max-age=31536000 ;;
      *) equals "$(header_of Strict-Transport-Security <<<"$head")" '' ;;
      esac
    done
  done
}

@test "an upstream learns who asks and how, and a client cannot make that up" {
  local port told host
  port=$(free_port)
  second_nginx "127.0.0.1:$port" "127.0.0.1:$port" "$(mirror "$port")"
  for host in $PUBLIC heartbeatacic.org it-tools.dev.heartbeat.local; do
    told=$(at $host '/a%20b?c=d' -H 'X-Forwarded-For: 1.2.3.4' -H 'X-Real-IP: 1.2.3.4' \
      -H 'X-Forwarded-Proto: http' -H 'Forwarded: for=1.2.3.4' -H 'Connection: keep-alive')
    has "$told" "host=$host:$HTTPS_PORT real=127.0.0.1 for=127.0.0.1 proto=https forwarded= "
    has "$told" "upgrade= connection= protocol=HTTP/1.1 uri=/a%20b?c=d"
  done
  told=$(at $PUBLIC /uringest/files/x -H 'X-Forwarded-For: 1.2.3.4')
  has "$told" "host=$PUBLIC:$HTTPS_PORT real=127.0.0.1 for=127.0.0.1 proto=https"
  has "$told" "uri=/uringest/files/x"
  told=$(at $PUBLIC /x --http1.1 -H 'Connection: Upgrade' -H 'Upgrade: websocket')
  has "$told" "upgrade=websocket connection=upgrade"
}

@test "connections to upstreams are kept, but for the gateway's, which may end with it" {
  local port told
  port=$(free_port)
  second_nginx "127.0.0.1:$port" "127.0.0.1:$port" "$(mirror "$port")"
  # One worker, so that it is the same pool.
  told=$(for _ in 1 2 3 4 5 6 7 8 9 10; do at $PUBLIC /; done)
  grep -qE 'requests=([2-9]|10)' <<<"$told" || { echo "$told" && return 1; }
  told=$(for _ in 1 2 3 4 5 6 7 8 9 10; do at $PUBLIC /uringest/; done)
  equals "$(grep -oE 'requests=[0-9]+' <<<"$told" | sort -u)" requests=1
}

@test "while nobody listens in the gateway's place, clients are told to try again, and go on" {
  local port
  port=$(free_port)
  second_nginx "127.0.0.1:$port" "127.0.0.1:$port" # nobody
  equals "$(code $PUBLIC /uringest/files/ -X POST)" 503
  equals "$(code $PUBLIC /uringest/files/x -X PATCH --data x)" 503
  equals "$(code $PUBLIC /uringest/files/x --head)" 423 # after any other answer some begin anew
  has "$(at $PUBLIC /uringest/files/x --head -D - -o /dev/null)" 'x-frame-options: SAMEORIGIN'
  has "$(at $PUBLIC /uringest/files/)" 'try again'
  equals "$(code $PUBLIC / -X POST)" 502 # Immich's own trouble is nobody else's word
}

@test "WebSockets go through on both hosts, in both directions, and stay" {
  local python=/usr/bin/python3 host
  $python -c 'import websockets' 2>/dev/null || skip "python3-websockets is not here to speak WebSocket with"
  for host in $PUBLIC $PRIVATE; do
    timeout 60 $python - "$host" "$HTTPS_PORT" "$CACERT" <<'PYTHON'
import asyncio, ssl, sys, websockets

host, port, authority = sys.argv[1:4]

async def talk():
    context = ssl.create_default_context(cafile=authority)
    url = f"wss://{host}:{port}/api/socket.io/?EIO=4&transport=websocket"
    async with websockets.connect(url, ssl=context, host="127.0.0.1", server_hostname=host) as socket:
        first = await asyncio.wait_for(socket.recv(), 10)
        assert first.startswith('0{"sid"'), first
        for size in (1, 125, 126, 65535, 65536, 250000):
            for message in ("ä" * (size // 2) + "x", bytes(i % 251 for i in range(size))):
                await socket.send(message)
                assert await asyncio.wait_for(socket.recv(), 10) == message, size
        await asyncio.wait_for(await socket.ping(), 10)
        # A pause, and it is still there.
        await asyncio.sleep(1)
        await socket.send("still there")
        assert await asyncio.wait_for(socket.recv(), 10) == "still there"

asyncio.run(talk())
PYTHON
  done
}

@test "TLS 1.2 and 1.3 with modern ciphers, and nothing else" {
  local try
  handshake() {
    timeout 10 openssl s_client -connect "127.0.0.1:$HTTPS_PORT" -servername $PUBLIC -CAfile "$CACERT" \
      -verify_return_error -verify_hostname $PUBLIC "$@" </dev/null >"$T/tls" 2>&1
  }
  handshake -tls1_3
  grep -qE '^New, TLSv1.3, Cipher is TLS_(AES|CHACHA20)' "$T/tls"
  for try in ECDHE-ECDSA-AES128-GCM-SHA256 ECDHE-ECDSA-AES256-GCM-SHA384 ECDHE-ECDSA-CHACHA20-POLY1305; do
    handshake -tls1_2 -cipher $try
    grep -q "Cipher is $try" "$T/tls"
  done
  # Without AEAD, without forward secrecy, old: the client offers them, the server does not take them.
  for try in ECDHE-ECDSA-AES128-SHA ECDHE-ECDSA-AES128-SHA256 ECDHE-ECDSA-AES256-CCM AES128-GCM-SHA256 AES128-SHA; do
    run ! handshake -tls1_2 -cipher "$try:@SECLEVEL=0"
    grep -qi 'handshake failure' "$T/tls" || { cat "$T/tls" && return 1; }
  done
  for try in -tls1 -tls1_1; do
    run ! handshake $try -cipher 'ALL:@SECLEVEL=0'
    grep -qiE 'protocol version|unsupported protocol' "$T/tls" || { cat "$T/tls" && return 1; }
  done
  # No tickets that outlive the session cache.
  handshake -tls1_2
  lacks "$(cat "$T/tls")" 'TLS session ticket:'
}

@test "HTTP/2 for those who know it, HTTP/1.1 for the others" {
  equals "$(at $PUBLIC /api/server/ping -o /dev/null -w '%{http_version}')" 2
  equals "$(at $PUBLIC /api/server/ping -o /dev/null -w '%{http_version}' --http1.1)" 1.1
}

@test "the log is JSON, without queries and without the keys of shared links" {
  at $PUBLIC '/api/assets/x?key=SECRETONE&apiKey=SECRETTWO' -H 'Referer: https://x/share/SECRETTHREE' -A 'an "agent" \ with	odd signs' -o /dev/null
  at $PUBLIC /share/SECRETFOUR -o /dev/null
  at $PUBLIC /s/SECRETFIVE -o /dev/null
  at http:$PUBLIC '/x?key=SECRETSIX' -o /dev/null
  wait_for 5 grep -q '"path":"/s/-"' "$PLACE/access.log"
  jq -es 'all(has("time") and has("path") and (.status | type) == "number" and (.seconds | type) == "number")' \
    "$PLACE/access.log" >/dev/null
  equals "$(jq -r 'select(.agent | startswith("an \"agent")) | .path' "$PLACE/access.log")" /api/assets/x
  grep -q '"path":"/share/-"' "$PLACE/access.log"
  run grep -c SECRET "$PLACE/access.log"
  equals "$output" 0
}

@test "guessing passwords is slowed down, and nothing else is" {
  local port codes most path
  port=$(free_port)
  second_nginx "127.0.0.1:$port" "127.0.0.1:$port" "$(mirror "$port")"
  # Six at once (one and a burst of five), one more every six seconds, however slow this machine is.
  SECONDS=0
  codes=$(for _ in {1..30}; do code $PUBLIC /api/auth/login -X POST -d '{}' && echo; done)
  most=$((7 + SECONDS / 6))
  [ "$(grep -cx 200 <<<"$codes")" -ge 6 ] && [ "$(grep -cx 200 <<<"$codes")" -le $most ]
  equals "$(grep -cxE '200|429' <<<"$codes")" 30
  # The same tries count for every place that takes a password: of three at once, one is refused.
  for path in /api/auth/admin-sign-up /api/auth/change-password /api/shared-links/login; do
    has "$(for _ in 1 2 3; do code $PUBLIC $path -X POST -d '{}'; done)" 429
  done
  equals "$(for _ in {1..12}; do code $PUBLIC /api/auth/login; done)" "$(printf 200%.0s {1..12})"
  equals "$(for _ in {1..12}; do code $PUBLIC /api/assets -X POST -d '{}'; done)" "$(printf 200%.0s {1..12})"
  # A password is short.
  head -c 70000 /dev/zero >"$T/long"
  equals "$(code $PRIVATE /api/auth/login -X POST --data-binary "@$T/long")" 413
}

# The largest resident memory that a worker ever had, in KiB.
peak() {
  local pid most=0 now
  for pid in $(pgrep -P "$(cat "$PLACE/nginx.pid")"); do
    now=$(awk '/^VmHWM/ { print $2 }' "/proc/$pid/status")
    [ "$now" -le "$most" ] || most=$now
  done
  echo "$most"
}

upload() { # FILE [CURL_OPTION…]: prints the answer
  at $PUBLIC /api/assets -H "x-api-key: $KEY" -H 'Expect:' -F fileCreatedAt=2026-01-01T00:00:00Z \
    -F fileModifiedAt=2026-01-01T00:00:00Z -F "assetData=@$1;filename=film.mp4" "${@:2}"
}

# bytes FILE MB SEED: that many, which do not compress and are not the same twice.
bytes() {
  head -c $(($2 * 1024 * 1024)) /dev/zero |
    openssl enc -aes-128-ctr -nosalt -K "$(printf '%032x' "$3")" -iv 00000000000000000000000000000000 >"$1" 2>/dev/null
}

@test "a large file is streamed both ways, without a temporary file and in flat memory" {
  local mb=${UR_STREAM_MB:-256} before after answer id how seed=1 sum
  MAX_S=600
  for how in --http1.1 --http2; do
    bytes "$T/small" 8 $((seed += 1))
    has "$(upload "$T/small" $how)" '"status":"created"'
    id=$(upload "$T/small" $how | jq -r .id)
    at $PUBLIC "/api/assets/$id/original" -H "x-api-key: $KEY" $how -o /dev/null
    before=$(peak)

    bytes "$T/large" "$mb" $((seed += 1))
    sum=$(sha1sum <"$T/large")
    answer=$(upload "$T/large" $how)
    has "$answer" '"status":"created"'
    id=$(jq -r .id <<<"$answer")
    # A client that reads slowly makes a proxy that buffers write files.
    equals "$(at $PUBLIC "/api/assets/$id/original" -H "x-api-key: $KEY" $how --limit-rate 200M | sha1sum)" "$sum" "what came back"
    after=$(peak)
    echo "$how: $mb MB, peak of a worker $before KiB before, $after KiB after" | tee -a "${UR_STREAM_LOG:-/dev/null}"
    [ "$after" -le $((before + 4096)) ]
    [ "$after" -le 65536 ]
    rm "$T/large" "$T/small"
    at $PUBLIC /api/assets -X DELETE -H "x-api-key: $KEY" -H 'content-type: application/json' \
      -d "{\"ids\":[\"$id\"],\"force\":true}"
  done
  # nginx itself says when it writes a temporary file.
  run grep -c 'temporary file' "$PLACE/error.log"
  equals "$output" 0
}

@test "with buffering on, the same upload and download would be found out" {
  change() {
    rm "$PLACE/conf"
    cp -r "$TOP/nginx/conf" "$PLACE/conf"
    sed -i -E '/proxy_max_temp_file_size/d; s/proxy_(request_)?buffering off/proxy_\1buffering on/' "$PLACE/conf/photos.conf"
  }
  second_nginx "127.0.0.1:$IMMICH_PORT" "127.0.0.1:$IMMICH_PORT"
  bytes "$T/file" 16 99
  id=$(upload "$T/file" | jq -r .id)
  grep -q 'request body is buffered to a temporary file' "$PLACE/error.log"
  at $PUBLIC "/api/assets/$id/original" -H "x-api-key: $KEY" --limit-rate 20M -o /dev/null
  grep -q 'upstream response is buffered to a temporary file' "$PLACE/error.log"
}

@test "an answer before the body's end arrives before the body's end" {
  printf x >"$T/one"
  local path
  # immichd stands in the gateway's place as well: what it says of the path does not matter here.
  second_nginx "127.0.0.1:$IMMICH_PORT" "127.0.0.1:$IMMICH_PORT"
  for path in /api/assets /uringest/files; do
    # The announced body never comes, so curl itself need not come to an end.
    MAX_S=2 at $PUBLIC $path --http1.1 -X POST -H 'Expect:' -H 'Content-Length: 50000000' --data-binary "@$T/one" \
      -D "$T/head" -o /dev/null || true
    grep -qE '^HTTP/1.1 (401|404)' "$T/head" || { cat "$T/head" && return 1; }
  done
}

@test "a body of the gateway is one chunk of at most 64 MiB; Immich's has no limit" {
  local port
  port=$(free_port)
  second_nginx "127.0.0.1:$port" "127.0.0.1:$port" "$(mirror "$port")"
  # HTTP/1.1: the mirror answers before the body's end, which curl 7.88 does not understand in HTTP/2.
  bytes "$T/chunk" 64 5
  has "$(at $PUBLIC /uringest/files/x -X PATCH --http1.1 -H 'Expect:' -H 'Content-Type: application/offset+octet-stream' \
    --data-binary "@$T/chunk")" "length=67108864"
  head -c 9000000 /dev/zero >>"$T/chunk"
  equals "$(code $PUBLIC /uringest/files/x -X PATCH --http1.1 -H 'Expect:' --data-binary "@$T/chunk")" 413
  equals "$(code $PUBLIC /api/assets -X POST --http1.1 -H 'Expect:' --data-binary "@$T/chunk")" 200
  # The frontend takes forms, and no videos.
  equals "$(code heartbeatacic.org /x -X POST --http1.1 -H 'Expect:' --data-binary "@$T/chunk")" 413
}

@test "an upload in chunks goes through nginx and the gateway and arrives in Immich" {
  [ "$GATEWAY" = present ] || skip "this build has no gateway"
  local host file place sum seed=200 tus=(-H 'Tus-Resumable: 1.0.0' -H "x-api-key: $KEY" -H 'Expect:')
  for host in $PUBLIC $PRIVATE; do
    file=$T/$host.mp4
    bytes "$file" 40 $((seed += 1))
    sum=$(openssl dgst -sha1 -binary <"$file" | base64)
    place=$(at $host /uringest/files/ "${tus[@]}" -X POST -H "Upload-Length: $(stat -c %s "$file")" \
      -H "Upload-Metadata: filename $(printf film.mp4 | base64)" -D - -o /dev/null | header_of Location)
    [[ "$place" = /uringest/files/* ]] || { echo "Location: $place" && return 1; }
    head -c $((32 * 1024 * 1024)) "$file" >"$T/first"
    tail -c $((8 * 1024 * 1024)) "$file" >"$T/second"
    equals "$(at $host "$place" "${tus[@]}" -X PATCH -H 'Upload-Offset: 0' -H 'Content-Type: application/offset+octet-stream' \
      --data-binary "@$T/first" -D - -o /dev/null | header_of Upload-Offset)" 33554432
    equals "$(at $host "$place" "${tus[@]}" --head -D - -o /dev/null | header_of Upload-Offset)" 33554432
    # Too large a chunk is stopped by nginx, and the offset stays.
    cat "$file" "$file" >"$T/both"
    equals "$(code $host "$place" "${tus[@]}" --http1.1 -X PATCH -H 'Upload-Offset: 33554432' \
      -H 'Content-Type: application/offset+octet-stream' --data-binary "@$T/both")" 413
    equals "$(at $host "$place" "${tus[@]}" -X PATCH -H 'Upload-Offset: 33554432' -H 'Content-Type: application/offset+octet-stream' \
      --data-binary "@$T/second" -D - -o /dev/null | header_of Upload-Offset)" 41943040
    arrived() {
      at $PUBLIC /api/assets/bulk-upload-check -H "x-api-key: $KEY" -H 'content-type: application/json' \
        -d "{\"assets\":[{\"id\":\"a\",\"checksum\":\"$sum\"}]}" | grep -q '"action":"reject"'
    }
    wait_for 30 arrived
  done
  run grep -c 'temporary file' "$PLACE/error.log"
  equals "$output" 0
}

@test "the gateway's figures are for those inside" {
  [ "$GATEWAY" = present ] || skip "this build has no gateway"
  curl -sS --max-time 5 "http://127.0.0.1:$GATEWAY_PORT/uringest/metrics" | grep -q '^uringest'
  equals "$(code $PUBLIC /uringest/metrics)" 404
  lacks "$(at $PUBLIC /uringest/metrics)" uringest
  equals "$(code $PUBLIC /uringest/%6detrics)" 404
  equals "$(code $PUBLIC /uringest//metrics)" 404
}
