#!/bin/bash
# gateway.sh - what receiving costs: the gateway behind nginx, with curl as the client.
#
#   GATEWAY_MIB=1024     bytes of each case, shared by its uploads
#   GATEWAY_UPLOADS="1 8 64"
#   GATEWAY_WAYS="direct plain tls"
#   GATEWAY_ROUNDS=3     the median and the spread are of these
#   GATEWAY_SPOOL=DIR    on the disk that counts (a folder of its own below /var/tmp)
#   PEER_TUSD=PATH       tusd in the gateway's place, beside it in the same run
#   --json               one object a line
#
# CPU is of the receiving process (user and system, threads included), in seconds a GB (10^9 bytes).
# A case is: every upload made, sent in chunks of 32 MiB, acknowledged; delivery is not part of it.
set -u
cd "$(dirname "$0")/.." || exit 2
BIN=$PWD/build/${BUILD:-release}
GATEWAY_MIB=${GATEWAY_MIB:-1024}
GATEWAY_UPLOADS=${GATEWAY_UPLOADS:-1 8 64}
GATEWAY_WAYS=${GATEWAY_WAYS:-direct plain tls}
GATEWAY_ROUNDS=${GATEWAY_ROUNDS:-3}
CHUNK_MIB=32
JSON=
case ${1-} in
--json) JSON=1 ;;
-h | --help) sed -n '2,15s/^# \{0,1\}//p' "$0" && exit 0 ;;
"") ;;
*) echo "gateway.sh: '$1' is no option here; see --help" >&2 && exit 2 ;;
esac

ROOM=$(mktemp -d "${GATEWAY_SPOOL:-/var/tmp}/uringest-bench.XXXXXX") || exit 2
server_pid='' nginx_pid=''
finish()
{
  [ -z "$server_pid" ] || kill "$server_pid" 2>/dev/null
  [ -z "$nginx_pid" ] || kill "$nginx_pid" 2>/dev/null
  wait 2>/dev/null
  rm -rf "$ROOM"
}
trap finish EXIT
trap 'exit 130' INT TERM

need()
{
  command -v "$1" >/dev/null || { echo "gateway.sh: $1 is not here; make deps installs it" >&2 && exit 2; }
}
need curl
PATH=$PATH:/usr/sbin
need nginx
need openssl
[ -x "$BIN/uringest" ] || { echo "gateway.sh: $BIN/uringest is not built; run make" >&2 && exit 2; }

# ---- the servers ---------------------------------------------------------------------------------

wait_listening() # FILE: until it says where
{
  local i
  for ((i = 0; i < 500; i++)); do
    address=$(sed -n 's/^listening on //p' "$1")
    [ -z "$address" ] || return 0
    sleep 0.02
  done
  echo "gateway.sh: the server does not start:" >&2
  cat "$1" "$ROOM/server.err" >&2
  exit 1
}

free_port() { echo $((20000 + RANDOM % 12000)); }

start_server() # KIND
{
  mkdir "$ROOM/spool"
  : >"$ROOM/server.out"
  case $1 in
  tusd)
    port=$(free_port)
    "$PEER_TUSD" -host 127.0.0.1 -port "$port" -upload-dir "$ROOM/spool" -base-path /uringest/files/ \
      -behind-proxy >"$ROOM/server.err" 2>&1 &
    server_pid=$!
    address=127.0.0.1:$port
    local i
    for ((i = 0; i < 500; i++)); do
      curl -s -o /dev/null "http://$address/" && break
      sleep 0.02
    done
    ;;
  *)
    local more=()
    [ "$1" = whole ] || more=(--no-hash --no-sync)
    "$BIN/uringest" serve --listen 127.0.0.1:0 --spool "$ROOM/spool" --immich none --allow-anonymous \
      --keep-free 0 "${more[@]}" >"$ROOM/server.out" 2>"$ROOM/server.err" &
    server_pid=$!
    wait_listening "$ROOM/server.out"
    ;;
  esac
}

stop_server()
{
  kill "$server_pid" && wait "$server_pid" 2>/dev/null
  server_pid=
  rm -rf "$ROOM/spool"
}

start_nginx() # plain|tls: sets url
{
  local listen port tls=
  port=$(free_port)
  listen="127.0.0.1:$port"
  url=http://$listen
  if [ "$1" = tls ]; then
    tls="ssl_certificate $ROOM/cert.pem; ssl_certificate_key $ROOM/key.pem; ssl_protocols TLSv1.2 TLSv1.3;"
    listen="$listen ssl"
    url=https://127.0.0.1:$port
  fi
  cat >"$ROOM/nginx.conf" <<CONF
daemon off; pid $ROOM/nginx.pid; error_log $ROOM/nginx.err; worker_processes 2;
events { worker_connections 1024; }
http {
  access_log off; client_body_temp_path $ROOM/body; proxy_temp_path $ROOM/proxy;
  fastcgi_temp_path $ROOM/f; uwsgi_temp_path $ROOM/u; scgi_temp_path $ROOM/s;
  upstream gateway { server $address; keepalive 32; }
  server {
    listen $listen; $tls
    location /uringest/ {
      client_max_body_size 72m; client_body_buffer_size 1m;
      proxy_request_buffering off; proxy_buffering off;
      proxy_http_version 1.1; proxy_set_header Connection ""; proxy_set_header Host \$http_host;
      proxy_next_upstream off; proxy_pass http://gateway;
    }
  }
}
CONF
  nginx -p "$ROOM" -c "$ROOM/nginx.conf" 2>"$ROOM/nginx.log" &
  nginx_pid=$!
  local i
  for ((i = 0; i < 500; i++)); do
    curl -sk -o /dev/null "$url/" && return 0
    sleep 0.02
  done
  cat "$ROOM/nginx.log" "$ROOM/nginx.err" >&2
  exit 1
}

# ---- the client ----------------------------------------------------------------------------------

# Seconds of user and system time of a process, and of its children that are there.
ticks() { awk '{ sub(/.*\) /, ""); print $12 + $13 }' "/proc/$1/stat" 2>/dev/null; }
ticks_with_children()
{
  local sum pid children
  sum=$(ticks "$1")
  read -ra children <"/proc/$1/task/$1/children"
  for pid in "${children[@]}"; do
    sum=$((sum + $(ticks "$pid")))
  done
  echo "$sum"
}

send_one() # URL SIZE_MIB: in chunks, one after the other
{
  local base=$1 mib=$2 place at=0 part
  place=$(curl -sk -i -X POST -H 'Tus-Resumable: 1.0.0' -H "Upload-Length: $((mib << 20))" \
    "$base/uringest/files/" | tr -d '\r' | sed -n 's/^location: //Ip')
  case $place in
  http*) place=$base/${place#*://*/} ;;
  *) place=$base$place ;;
  esac
  while [ "$at" -lt "$mib" ]; do
    part=$((mib - at < CHUNK_MIB ? mib - at : CHUNK_MIB))
    printf 'url = "%s"\nrequest = "PATCH"\nheader = "Tus-Resumable: 1.0.0"\nheader = "Expect:"\n' "$place"
    printf 'header = "Content-Type: application/offset+octet-stream"\nheader = "Upload-Offset: %d"\n' \
      $((at << 20))
    printf 'upload-file = "%s"\ninsecure\nsilent\nfail\noutput = "/dev/null"\nnext\n' "$ROOM/chunk.$part"
    at=$((at + part))
  done | sed '$d' | curl -K - || echo bad >>"$ROOM/bad"
}

# measure KIND WAY UPLOADS: one line "wall_ms cpu_ticks nginx_ticks peak_kib".
measure()
{
  local each=$((GATEWAY_MIB / $3)) i began ended cpu nginx_cpu=0 part
  [ "$each" -ge 1 ] || each=1
  start_server "$1"
  url=http://$address
  [ "$2" = direct ] || start_nginx "$2"
  part=$((each < CHUNK_MIB ? each : CHUNK_MIB))
  for part in "$part" $((each % CHUNK_MIB)); do
    [ "$part" -eq 0 ] || [ -f "$ROOM/chunk.$part" ] ||
      head -c $((part << 20)) "$ROOM/bytes" >"$ROOM/chunk.$part"
  done
  sync -f "$ROOM"
  cpu=$(ticks "$server_pid")
  [ -z "$nginx_pid" ] || nginx_cpu=$(ticks_with_children "$nginx_pid")
  began=$(date +%s%N)
  local senders=()
  for ((i = 0; i < $3; i++)); do
    send_one "$url" "$each" &
    senders+=("$!")
  done
  wait "${senders[@]}"
  ended=$(date +%s%N)
  cpu=$(($(ticks "$server_pid") - cpu))
  [ -z "$nginx_pid" ] || nginx_cpu=$(($(ticks_with_children "$nginx_pid") - nginx_cpu))
  echo "$(((ended - began) / 1000000)) $cpu $nginx_cpu $(awk '/VmHWM/ { print $2 }' "/proc/$server_pid/status")" \
    >>"$ROOM/figures.$1.$2.$3"
  stop_server
  if [ -n "$nginx_pid" ]; then
    kill "$nginx_pid" && wait "$nginx_pid" 2>/dev/null
    nginx_pid=
  fi
}

show() # KIND WAY UPLOADS
{
  sort -n "$ROOM/figures.$1.$2.$3" | awk -v kind="$1" -v way="$2" -v uploads="$3" -v json="$JSON" \
    -v mib="$GATEWAY_MIB" -v hz="$(getconf CLK_TCK)" '
    { wall[NR] = $1; cpu[NR] = $2 / hz; nginx[NR] = $3 / hz; if ($4 > peak) peak = $4 }
    function sorted(a, n,   i, j, t) {
      for (i = 2; i <= n; i++) for (j = i; j > 1 && a[j] < a[j - 1]; j--) { t = a[j]; a[j] = a[j - 1]; a[j - 1] = t }
    }
    END {
      sorted(wall, NR); sorted(cpu, NR); sorted(nginx, NR)
      each = int(mib / uploads); if (each < 1) each = 1
      gb = each * uploads * 1048576 / 1e9; m = int((NR + 1) / 2)
      if (json)
        printf "{\"kind\":\"%s\",\"way\":\"%s\",\"uploads\":%d,\"mb_s\":%.0f,\"mb_s_low\":%.0f,\"mb_s_high\":%.0f,\"cpu_s_gb\":%.2f,\"cpu_s_gb_low\":%.2f,\"cpu_s_gb_high\":%.2f,\"nginx_cpu_s_gb\":%.2f,\"peak_kib\":%d}\n", \
          kind, way, uploads, gb * 1e6 / wall[m], gb * 1e6 / wall[NR], gb * 1e6 / wall[1], \
          cpu[m] / gb, cpu[1] / gb, cpu[NR] / gb, nginx[m] / gb, peak
      else
        printf "%-8s %-7s %7d %7.0f  %4.0f-%-5.0f %6.2f  %4.2f-%4.2f %7.2f %9.1f\n", kind, way, uploads, \
          gb * 1e6 / wall[m], gb * 1e6 / wall[NR], gb * 1e6 / wall[1], cpu[m] / gb, cpu[1] / gb, \
          cpu[NR] / gb, nginx[m] / gb, peak / 1024
    }'
}

head -c $((CHUNK_MIB << 20)) /dev/urandom >"$ROOM/bytes"
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=localhost \
  -keyout "$ROOM/key.pem" -out "$ROOM/cert.pem" 2>/dev/null || exit 1

kinds='whole receive'
[ -z "${PEER_TUSD-}" ] || kinds="$kinds tusd"
if [ -z "$JSON" ]; then
  printf '%s, %s cores, Linux %s, %s\n' "$(sed -n 's/^model name.*: //p' /proc/cpuinfo | head -n 1)" "$(nproc)" \
    "$(uname -r)" "$(nginx -v 2>&1 | sed 's/.*: //')"
  printf '%d MiB a case in chunks of %d MiB, %d rounds; whole: hashed and durable; receive: neither\n\n' \
    "$GATEWAY_MIB" "$CHUNK_MIB" "$GATEWAY_ROUNDS"
  printf '%-8s %-7s %7s %7s  %-10s %6s  %-9s %7s %9s\n' what way uploads MB/s spread CPU-s/GB spread nginx 'peak MiB'
fi
for way in $GATEWAY_WAYS; do
  for uploads in $GATEWAY_UPLOADS; do
    for ((round = 0; round < GATEWAY_ROUNDS; round++)); do
      for kind in $kinds; do
        measure "$kind" "$way" "$uploads"
      done
    done
    for kind in $kinds; do
      show "$kind" "$way" "$uploads"
    done
  done
done
[ ! -s "$ROOM/bad" ] || { echo "gateway.sh: some requests failed" >&2 && exit 1; }
