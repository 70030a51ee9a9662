#!/usr/bin/env bash
# The main job, shown: a library, a server behind nginx with TLS, an import that is killed in the
# middle and run again, and the proof that nothing was lost and nothing was sent twice.
#
# With IMMICH_URL, IMMICH_API_KEY and SRC set it is the real thing: your folder, your server.
set -euo pipefail

usage() {
  cat <<'TEXT'
usage: make demo            on the embedded server, through nginx
       IMMICH_URL=https://photos.example.org IMMICH_API_KEY=… SRC=~/Pictures make demo

  DEMO_DIR    where everything goes (default: a new folder below $TMPDIR or /tmp)
  DEMO_FILES  how many pictures to make (default 3000)
  DEMO_VIDEO  the size of the video (default 1G)
  BUILD       which build to show (default release)
TEXT
}

if [[ "${1:-}" == --help ]]; then
  usage
  exit 0
fi

here=$(cd "$(dirname "$0")/.." && pwd)
bin="$here/build/${BUILD:-release}"
say() { printf '\n\033[1m== %s\033[0m\n' "$*"; }
if [[ -n "${NO_COLOR:-}" || ! -t 1 ]]; then
  say() { printf '\n== %s\n' "$*"; }
fi

# ---- the real thing ---------------------------------------------------------------------------
if [[ -n "${IMMICH_URL:-}" && -n "${IMMICH_API_KEY:-}" && -n "${SRC:-}" ]]; then
  say "what an import of $SRC into $IMMICH_URL would do"
  "$bin/uringest" plan "$SRC"
  if [[ -t 0 ]]; then
    read -r -p "Import it now (nothing is removed here)? [y/N] " answer
    [[ "$answer" == [yY]* ]] || exit 0
  fi
  say "importing (kill it whenever you like, and run it again)"
  exec "$bin/uringest" import "$SRC"
fi
if [[ -n "${IMMICH_URL:-}${SRC:-}" ]]; then
  echo "demo: for your own server set all of IMMICH_URL, IMMICH_API_KEY and SRC" >&2
  exit 2
fi

# ---- a stage of our own -----------------------------------------------------------------------
dir="${DEMO_DIR:-$(mktemp -d "${TMPDIR:-/tmp}/uringest-demo.XXXXXX")}"
mkdir -p "$dir/nginx" "$dir/tls"
files="${DEMO_FILES:-3000}"
video="${DEMO_VIDEO:-1G}"
key=demo-key-of-the-embedded-server
export IMMICH_API_KEY="$key"
ledger="$dir/ledger.db"
pids=()
stop() {
  for pid in "${pids[@]}"; do
    kill "$pid" 2>/dev/null || true
  done
  wait 2>/dev/null || true
}
trap stop EXIT

wait_for() { # FILE PATTERN: until the line is there
  for _ in $(seq 200); do
    if grep -q "$2" "$1" 2>/dev/null; then
      return 0
    fi
    sleep 0.05
  done
  echo "demo: $1 never said '$2'" >&2
  cat "$1" >&2
  return 1
}

free_port() { # asks the kernel, by letting the fixture bind port 0 would race; nginx needs a number
  local port
  for port in $(shuf -i 20000-32000 -n 50); do
    if ! (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then
      echo "$port"
      return 0
    fi
  done
  return 1
}

say "an Immich-compatible server, and nginx with TLS before it"
"$bin/immichd" --listen 127.0.0.1:0 --data "$dir/server" --key "$key" --api 3 --quiet \
  >"$dir/immichd.log" 2>&1 &
pids+=($!)
wait_for "$dir/immichd.log" 'listening on'
backend=$(sed -n 's/.*listening on http:\/\/\(.*\)/\1/p' "$dir/immichd.log" | head -1)

openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 \
  -keyout "$dir/tls/key.pem" -out "$dir/tls/cert.pem" -subj "/CN=localhost" \
  -addext "subjectAltName=DNS:localhost,IP:127.0.0.1" >/dev/null 2>&1
port=$(free_port)
cat >"$dir/nginx/nginx.conf" <<CONF
daemon off;
pid $dir/nginx/pid;
error_log $dir/nginx/error.log;
worker_processes 1;
events { worker_connections 256; }
http {
  access_log off;
  client_body_temp_path $dir/nginx/body;
  proxy_temp_path $dir/nginx/proxy;
  fastcgi_temp_path $dir/nginx/f; uwsgi_temp_path $dir/nginx/u; scgi_temp_path $dir/nginx/s;
  upstream immich { server $backend; keepalive 16; }
  server {
    listen 127.0.0.1:$port ssl;
    ssl_certificate $dir/tls/cert.pem;
    ssl_certificate_key $dir/tls/key.pem;
    client_max_body_size 0;
    client_body_buffer_size 1m;
    location / {
      proxy_pass http://immich;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_request_buffering off;
      proxy_buffering off;
      proxy_read_timeout 600s;
      proxy_send_timeout 600s;
    }
  }
}
CONF
nginx=$(command -v nginx || echo /usr/sbin/nginx)
"$nginx" -p "$dir/nginx" -c "$dir/nginx/nginx.conf" >"$dir/nginx/out.log" 2>&1 &
pids+=($!)
url="https://localhost:$port"
server=(--server "$url" --cacert "$dir/tls/cert.pem" --ledger "$ledger")
for _ in $(seq 100); do
  if curl -sf --cacert "$dir/tls/cert.pem" "$url/api/server/ping" >/dev/null; then
    break
  fi
  sleep 0.05
done
curl -sS --cacert "$dir/tls/cert.pem" "$url/api/server/version"
echo "  $url"

say "a library: $files pictures and movies, live pairs, sidecars, duplicates, junk, a $video video"
"$bin/mklib" "$dir/library" --count "$files" --size 60000 --seed 2026 --sidecars 10 --live 10 \
  --duplicates 5 --junk --big "holiday.mp4:$video" --list "$dir/library.list"

say "the plan (nothing is sent)"
"$bin/uringest" plan "${server[@]}" "$dir/library"

say "the import, through nginx - and a kill -9 in the middle of it"
uploads() { # how many files the server has stored
  curl -s --cacert "$dir/tls/cert.pem" -H "x-api-key: $key" "$url/_immichd/stats" |
    jq '[.. | .uploadsStored? // empty] | first // 0'
}
"$bin/uringest" import "${server[@]}" --quiet "$dir/library" >"$dir/killed.out" 2>&1 &
import=$!
for _ in $(seq 600); do
  if (($(uploads) > files / 3)) || ! kill -0 "$import" 2>/dev/null; then
    break
  fi
  sleep 0.02
done
kill -KILL "$import" 2>/dev/null || true
wait "$import" 2>/dev/null || true
echo "killed after $(uploads) uploads"

say "the same command again: it goes on from the last durable fact"
"$bin/uringest" import "${server[@]}" --suspect-wait 0 --answer-wait 2s "$dir/library"

say "and once more: what was under way when it was killed has been asked for; nothing else is left"
"$bin/uringest" import "${server[@]}" "$dir/library" | tee "$dir/last.out"

say "the proof"
awk -F'\t' '$1 != "junk" && $1 != "sidecar" { printf "%s%c", $3, 0 }' "$dir/library.list" |
  (cd "$dir/library" && xargs -0 sha1sum) | cut -c1-40 | sort -u >"$dir/here.sha1"
find "$dir/server/upload" -type f ! -name .immich ! -iname '*.xmp' -print0 | xargs -0 sha1sum |
  cut -c1-40 | sort >"$dir/there.all"
sort -u "$dir/there.all" >"$dir/there.sha1"
lost=$(comm -23 "$dir/here.sha1" "$dir/there.sha1" | wc -l)
alien=$(comm -13 "$dir/here.sha1" "$dir/there.sha1" | wc -l)
twice=$(uniq -d "$dir/there.all" | wc -l)
echo "different pictures and movies here : $(wc -l <"$dir/here.sha1")"
echo "stored on the server               : $(wc -l <"$dir/there.all")"
echo "lost                               : $lost"
echo "stored twice                       : $twice"
echo "stored with other bytes            : $alien"
"$bin/uringest" status --ledger "$ledger"
echo
echo "Everything is in $dir; to clean up:  rm -rf '$dir'"
((lost == 0 && twice == 0 && alien == 0)) || {
  echo "demo: this is not what uringest promises" >&2
  exit 1
}
