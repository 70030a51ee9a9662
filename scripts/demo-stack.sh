#!/bin/bash
# demo-stack.sh - the stack without docker, on ports of 127.0.0.1: what can be tried before there is
# a server, and what scripts/verify-production.sh --local looks at.
#
#     nginx (shipped server blocks) ─┬─▶ immichd, an Immich-compatible server of this repository
#                                    ├─▶ uringest serve
#                                    └─▶ the frontend's page; a page in the tools' place
# shellcheck source-path=SCRIPTDIR
set -euo pipefail
# shellcheck source=lib/common.bash
. "$(dirname "$0")/lib/common.bash"
# shellcheck source=lib/place.bash
. "$(dirname "$0")/lib/place.bash"

usage() {
  cat <<'TEXT'
usage: scripts/demo-stack.sh up|down|status [OPTION...]

  up        starts it (a running one stays) and prints where it is
  down      ends it; its data stays
  status    prints where it is; fails when it does not run

  --dir DIR     where its state is (build/demo-stack)
  BUILD         which build of the programs (release)
TEXT
}

verb=${1-}
case $verb in
up | down | status) shift ;;
-h | --help) usage && exit 0 ;;
*) usage >&2 && exit 2 ;;
esac
dir=$TOP/build/demo-stack
while [ $# -gt 0 ]; do
  case $1 in
  --dir) option_value "$@" && dir=$2 && shift ;;
  -h | --help) usage && exit 0 ;;
  *) usage >&2 && exit 2 ;;
  esac
  shift
done
bin=$TOP/build/${BUILD:-release}

alive() { # NAME: the process that we started is still that one
  local pid
  pid=$(cat "$dir/$1.pid" 2>/dev/null) && [ -n "$pid" ] &&
    [ "$(readlink "/proc/$pid/exe" 2>/dev/null)" = "$(cat "$dir/$1.exe" 2>/dev/null)" ]
}

# start NAME COMMAND…: in the background, without our lock and our terminal.
start() {
  local name=$1 end=$((SECONDS + 10))
  shift
  realpath "$(command -v "$1")" >"$dir/$name.exe"
  setsid "$@" </dev/null >"$dir/$name.out" 2>>"$dir/$name.err" 9>&- 3>&- &
  echo $! >"$dir/$name.pid"
  # Until it is that program and not yet, or no more, the shell that becomes it.
  until alive "$name" || ! kill -0 $! 2>/dev/null || [ $SECONDS -ge $end ]; do
    sleep 0.02
  done
}

wait_for() { # SECONDS WHAT COMMAND…
  local end=$((SECONDS + $1)) what=$2
  shift 2
  until "$@"; do
    if [ $SECONDS -ge $end ]; then
      tail -n 5 "$dir"/*.err >&2 || true
      down
      die "$what did not come up; its last words are above"
    fi
    sleep 0.05
  done
}

stop() { # NAME
  local pid end=$((SECONDS + 15))
  alive "$1" || { rm -f "$dir/$1.pid" && return 0; }
  pid=$(cat "$dir/$1.pid")
  kill -TERM "$pid" 2>/dev/null || true
  while alive "$1"; do
    [ $SECONDS -lt $end ] || kill -KILL "$pid" 2>/dev/null || true
    sleep 0.05
  done
  rm -f "$dir/$1.pid"
}

down() {
  stop nginx
  stop gateway
  stop immichd
  rm -f "$dir/state"
}

# A number of four that nobody listens on; below the ports that clients are given.
free_ports() {
  local port taken
  taken=$(awk 'NR > 1 { split($2, a, ":"); print a[2] }' /proc/net/tcp)
  while :; do
    port=$((20000 + RANDOM % 12000))
    grep -qi "$(printf '%04X' "$port")" <<<"$taken" || { echo "$port" && return; }
  done
}

listens() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }
port_of() { sed -n 's|^listening on http://127.0.0.1:||p' "$dir/$1.out"; }
said_port() { [ -n "$(port_of "$1")" ] || ! alive "$1"; }

start_gateway() {
  GATEWAY_PORT=$(free_ports)
  GATEWAY=absent
  # A build without `serve` has no gateway, and the verification says so.
  if "$bin/uringest" serve --help >/dev/null 2>&1; then
    mkdir -p "$dir/spool"
    start gateway "$bin/uringest" serve --listen "127.0.0.1:$GATEWAY_PORT" --spool "$dir/spool" \
      --immich "http://127.0.0.1:$IMMICH_PORT" --base /uringest/ \
      --trusted-proxy 127.0.0.1
    wait_for 20 "the gateway" listens "$GATEWAY_PORT"
    GATEWAY=present
  fi
}

up() {
  local nginx
  nginx=$(find_nginx) || die "nginx is not here; install it (Debian: apt-get install nginx-light)" 2
  [ -x "$bin/immichd" ] || die "$bin/immichd is not built; run: make" 2
  need openssl openssl
  need setsid util-linux
  mkdir -p "$dir"
  dir=$(cd "$dir" && pwd)
  chmod 700 "$dir"
  down
  rm -f "$dir"/*.out "$dir"/*.err

  local host hosts=()
  for host in heartbeatacic.org dev.heartbeat.local; do
    hosts+=(--host "photos.$host" --host "$host" --host "it-tools.$host")
  done
  "$TOP/scripts/dev-cert.sh" --dir "$dir/heartbeat" "${hosts[@]}" --host www.heartbeatacic.org

  # A key for this demonstration, not known beforehand.
  [ -s "$dir/key" ] || (umask 077 && openssl rand -hex 20 >"$dir/key")
  start immichd "$bin/immichd" --listen 127.0.0.1:0 --data "$dir/server" \
    --key "$(cat "$dir/key")" --api 3 --quiet
  wait_for 20 immichd said_port immichd
  IMMICH_PORT=$(port_of immichd)
  start_gateway

  local pages tools try
  PLACE=$dir/nginx
  mkdir -p "$PLACE" "$dir/tools"
  printf '<!doctype html><html lang="en"><title>IT tools</title><p>Here the tools would be.</p></html>\n' \
    >"$dir/tools/index.html"
  # nginx starts as root in some places and its workers then are nobody special.
  chmod 711 "$dir"
  for try in 1 2 3 4 5 6 7 8; do
    HTTP_PORT=$(free_ports) HTTPS_PORT=$(free_ports) pages=$(free_ports) tools=$(free_ports)
    IMMICH_AT=127.0.0.1:$IMMICH_PORT GATEWAY_AT=127.0.0.1:$GATEWAY_PORT \
      FRONTEND_AT=127.0.0.1:$pages TOOLS_AT=127.0.0.1:$tools \
      CERTIFICATE=$dir/heartbeat/photos-dev-cert.pem \
      CERTIFICATE_KEY=$dir/heartbeat/photos-dev-key.pem write_place "$nginx"
    # What stands in for the two other containers.
    {
      printf 'server {\n\tlisten 127.0.0.1:%s;\n\troot %s/frontend;\n\taccess_log off;\n}\n' "$pages" "$TOP"
      printf 'server {\n\tlisten 127.0.0.1:%s;\n\troot %s/tools;\n\taccess_log off;\n}\n' "$tools" "$dir"
    } >>"$PLACE/place/http.conf"
    start nginx "$nginx" -p "$PLACE" -c "$PLACE/nginx.conf" -e "$PLACE/error.log" -g 'daemon off;'
    wait_for 20 nginx serves_or_ended
    ! alive nginx || break
  done
  alive nginx || { cat "$dir/nginx.err" >&2 && down && die "nginx does not start, tried $try times"; }
  printf '%s\n' "HTTP_PORT=$HTTP_PORT" "HTTPS_PORT=$HTTPS_PORT" "IMMICH_PORT=$IMMICH_PORT" \
    "GATEWAY_PORT=$GATEWAY_PORT" "GATEWAY=$GATEWAY" "CACERT=$dir/heartbeat/dev-ca.pem" \
    "KEY_FILE=$dir/key" "PLACE=$PLACE" >"$dir/state"
}

serves_or_ended() { listens "$HTTPS_PORT" || ! alive nginx; }

show() {
  # shellcheck disable=SC1091 # written above
  . "$dir/state"
  cat <<TEXT
https://photos.heartbeatacic.org:$HTTPS_PORT and https://photos.dev.heartbeat.local:$HTTPS_PORT, both at 127.0.0.1
  curl --cacert $CACERT --resolve photos.dev.heartbeat.local:$HTTPS_PORT:127.0.0.1 \\
    https://photos.dev.heartbeat.local:$HTTPS_PORT/api/server/ping
  API key: $KEY_FILE    gateway: $GATEWAY    logs: $PLACE
TEXT
}

need flock util-linux
case $verb in
up)
  mkdir -p "$dir" || die "cannot make $dir" 2
  take_lock demo-stack "$dir"
  if [ -s "$dir/state" ] && alive nginx && alive immichd; then
    say "it runs already"
  else
    up
  fi
  show
  ;;
down)
  [ -d "$dir" ] || exit 0
  take_lock demo-stack "$dir"
  down
  ;;
status)
  [ -s "$dir/state" ] || die "no demo stack in $dir; start it: scripts/demo-stack.sh up"
  show
  for name in immichd nginx; do
    alive "$name" || die "$name does not run; start it: scripts/demo-stack.sh up"
  done
  ;;
esac
