#!/bin/bash
# gateway.sh - the gateway ends, or loses its power, before and after every n-th side effect.
#
#     create → half → half → delivered → confirmed     beside it: one that expires, one terminated
#        │ the process ends at point n
#        ▼
#     a new process: no offset below what was acknowledged, none beyond durable bytes; what was
#     acknowledged is there, goes on, and is one asset with the right bytes in the end; where the
#     client had not heard of its upload yet, it makes another, which ends so too
#
#   STEP=N   every N-th point only (a sample: 31; fault-all: 1)
#   POWERS   of stays, forget, keep, last
set -u
# shellcheck source=tests/fault/lib.bash
. "$(dirname "$0")/lib.bash"
STEP=${STEP:-31}
POWERS=${POWERS:-stays forget keep}
KEY=fault-key
TUS=(-H 'Tus-Resumable: 1.0.0' -H "x-api-key: $KEY" -H 'Expect:')
BYTES=(-H 'Content-Type: application/offset+octet-stream')
HALF=3000000 # with checkpoints in the middle of a request
# What was sent when the process ended may arrive for 2 s (--answer-wait) and as long as a slow way takes
# for its bytes, 23 s: until then nothing is sent again.
MAY_COME=60

quiet_curl() { curl -s --max-time 20 "$@"; }

# start WHERE PROGRAM: sets pid and gate; fails when it ended before it listened.
start()
{
  local room=$1 program=$2
  : >"$room/out"
  "$program" serve --listen 127.0.0.1:0 --spool "$room/spool" --immich "$server" --keep-free 0 \
    --seal-key "$ROOM/seal" --settle-after 0 --suspect-wait 0 --answer-wait 2s --expire 1s \
    >"$room/out" 2>>"$room/err" &
  pid=$!
  local i
  for ((i = 0; i < 400; i++)); do
    gate=$(sed -n 's/^listening on //p' "$room/out")
    [ -z "$gate" ] || return 0
    kill -0 "$pid" 2>/dev/null || return 1
    sleep 0.02
  done
  return 1
}

location() { tr -d '\r' | sed -n 's/^location: //Ip'; }
offset_of() { quiet_curl -I "${TUS[@]}" "http://$gate$1" | tr -d '\r' | sed -n 's/^upload-offset: //Ip'; }
status_of() { quiet_curl -o /dev/null -w '%{http_code}' -I "${TUS[@]}" "http://$gate$1"; }
state_of() { quiet_curl "${TUS[@]}" "http://$gate$1/status" | jq -r '.state + " " + (.asset // "")'; }

create() # LENGTH METADATA
{
  quiet_curl -i -X POST "${TUS[@]}" -H "Upload-Length: $1" -H "Upload-Metadata: $2" \
    "http://$gate/uringest/files/" | location
}

send() # URL OFFSET FILE: the acknowledged offset, if any
{
  quiet_curl -i -X PATCH "${TUS[@]}" "${BYTES[@]}" -H "Upload-Offset: $2" --data-binary "@$3" \
    "http://$gate$1" | tr -d '\r' | sed -n '1{/ 204/!q}; s/^upload-offset: //Ip'
}

# live ROOM: what a client does while the gateway lives; what it was told goes to $room/told.
live()
{
  local room=$1 url other acked state i
  : >"$room/told"
  other=$(create 10 "filename $(printf x.jpg | base64)")
  [ -z "$other" ] || echo "other=$other" >>"$room/told"
  url=$(create $((2 * HALF)) "filename $(printf a.jpg | base64)")
  [ -n "$url" ] || return
  echo "url=$url" >>"$room/told"
  acked=$(send "$url" 0 "$room/a")
  [ -z "$acked" ] || echo "acked=$acked" >>"$room/told"
  acked=$(send "$url" "$HALF" "$room/b")
  [ -z "$acked" ] || echo "acked=$acked" >>"$room/told"
  if [ -n "$other" ] && [ "$(quiet_curl -o /dev/null -w '%{http_code}' -X DELETE "${TUS[@]}" \
    "http://$gate$other")" = 204 ]; then
    echo "terminated=1" >>"$room/told"
  fi
  other=$(create 10 "filename $(printf y.jpg | base64)") # nobody goes on with it
  for ((i = 0; i < 100; i++)); do
    state=$(state_of "$url")
    case $state in
    "") return ;;
    "confirmed "*) break ;;
    esac
    sleep 0.05
  done
  for ((i = 0; i < 60; i++)); do
    [ -z "$other" ] || [ "$(status_of "$other")" != 410 ] || break
    kill -0 "$pid" 2>/dev/null || return
    sleep 0.1
  done
}

# check ROOM: in a new process everything that was said holds; that process has ended when it returns.
check()
{
  local r=0
  if ! start "$1" "$BIN/uringest"; then
    kill -KILL "$pid" 2>/dev/null
    echo "it does not start again"
    return 1
  fi
  holds "$1" || r=1
  kill -TERM "$pid"
  wait "$pid" || { echo "it ended with $?" && r=1; }
  if find "$1/spool" -mindepth 1 -name '.*' | grep -q .; then
    echo "something half made is left" && r=1
  fi
  return "$r"
}

# holds ROOM: what was said to the client, asked of the gateway that runs now.
holds()
{
  local room=$1 url='' acked=0 terminated='' other='' now until state sha1
  # shellcheck disable=SC1091
  . "$room/told"
  if [ -n "$terminated" ] && [ "$(status_of "$other")" != 404 ]; then
    echo "what was terminated is back" && return 1
  fi
  if [ -z "$url" ]; then
    echo >>"$ROOM/untold.$POWER"
    url=$(create $((2 * HALF)) "filename $(printf a.jpg | base64)")
    [ -n "$url" ] || { echo "it takes no new upload" && return 1; }
  fi
  now=$(offset_of "$url")
  [ -n "$now" ] || { echo "an acknowledged upload is lost: $(status_of "$url")" && return 1; }
  [ "$now" -ge "$acked" ] || { echo "offset $now is below $acked" && return 1; }
  if [ "$now" -lt $((2 * HALF)) ]; then
    tail -c "+$((now + 1))" "$room/whole" >"$room/rest"
    [ "$(send "$url" "$now" "$room/rest")" = $((2 * HALF)) ] || { echo "it does not go on" && return 1; }
  fi
  until=$((SECONDS + MAY_COME))
  while [ "$SECONDS" -lt "$until" ]; do
    state=$(state_of "$url")
    case $state in "confirmed "*) break ;; esac
    sleep 0.05
  done
  case $state in "confirmed "*) ;; *) echo "it ends as $state" && return 1 ;; esac
  sha1=$(sha1sum "$room/whole" | cut -c1-40)
  quiet_curl -H "x-api-key: $KEY" -o "$room/back" "$server/api/assets/${state#* }/original"
  cmp -s "$room/whole" "$room/back" || { echo "the server has other bytes" && return 1; }
  [ "$(sqlite3 -cmd '.timeout 20000' "$ROOM/data/immichd.db" \
    "SELECT count(*) FROM assets WHERE lower(hex(checksum))='$sha1'")" = 1 ] ||
    { echo "not exactly one asset" && return 1; }
}

# one POWER POINT: 0 when it fired and all holds, 1 when it does not hold, 2 when it never fired.
one()
{
  local room=$ROOM/at.$1.$2 points POWER=$1
  mkdir "$room" "$room/hide"
  cat "$ROOM/picture" >"$room/whole"
  head -c $((2 * HALF)) /dev/urandom | head -c $((2 * HALF - $(stat -c %s "$ROOM/picture"))) >>"$room/whole"
  head -c "$HALF" "$room/whole" >"$room/a"
  tail -c "+$((HALF + 1))" "$room/whole" >"$room/b"
  local faults=(UR_FAULT_CRASH="$2" UR_FAULT_COUNT="$room/count" UR_FAULT_LOG="$room/log")
  [ "$1" = stays ] || faults+=(UR_FAULT_POWER="$1" UR_FAULT_HIDE="$room/hide")
  printf '#!/bin/sh\nexec env %s %s "$@"\n' "${faults[*]}" "$BIN/uringest-faulty" >"$room/faulty"
  chmod +x "$room/faulty"
  : >"$room/told"
  if start "$room" "$room/faulty"; then
    live "$room"
  fi
  kill -TERM "$pid" 2>/dev/null
  wait "$pid" 2>/dev/null
  points=$(sed -n 's/points=\([0-9]*\).*/\1/p' "$room/count" 2>/dev/null)
  if [ "${points:-0}" -lt "$2" ]; then
    rm -rf "$room"
    return 2
  fi
  # After a power cut it is another boot, of whose predecessors' notes nothing is believed.
  [ "$1" = stays ] || rm -f "$room/spool/wire"
  if ! check "$room" >"$room/why" 2>&1; then
    printf '# %s at point %s (%s): %s\n' "$1" "$2" "$(tail -n 1 "$room/log" 2>/dev/null)" "$(cat "$room/why")"
    tail -n 3 "$room/err" | sed 's/^/#   /'
    rm -rf "$room"
    return 1
  fi
  rm -rf "$room"
}

# work POWER FIRST STEP: points until one never fires; "tried bad" at the end.
work()
{
  local tried=0 bad=0 point=$2 r
  while :; do
    one "$1" "$point"
    r=$?
    [ "$r" -ne 2 ] || break
    tried=$((tried + 1))
    bad=$((bad + r))
    [ "$bad" -lt 3 ] || break
    point=$((point + $3))
  done
  echo "$tried $bad" >"$ROOM/work.$1.$2"
}

"$BIN/mklib" "$ROOM/lib" --count 1 --kinds jpeg --size 8K >/dev/null || exit 2
mv "$(find "$ROOM/lib" -name '*.jpg')" "$ROOM/picture"
head -c 32 /dev/urandom >"$ROOM/seal"
"$BIN/immichd" --listen 127.0.0.1:0 --data "$ROOM/data" --key "$KEY" --quiet --extract-delay 1 \
  >"$ROOM/immichd.out" 2>"$ROOM/immichd.err" &
server_pid=$!
for ((i = 0; i < 200; i++)); do
  server=$(sed -n 's/^listening on //p' "$ROOM/immichd.out")
  [ -z "$server" ] || break
  sleep 0.05
done

for power in $POWERS; do
  began=$SECONDS
  workers=()
  for ((j = 0; j < JOBS; j++)); do
    work "$power" $((1 + j * STEP)) $((JOBS * STEP)) &
    workers+=("$!")
  done
  wait "${workers[@]}"
  tried=0 bad=0
  for ((j = 0; j < JOBS; j++)); do
    read -r a b <"$ROOM/work.$power.$((1 + j * STEP))"
    tried=$((tried + a)) bad=$((bad + b))
  done
  untold=0
  [ ! -e "$ROOM/untold.$power" ] || untold=$(wc -l <"$ROOM/untold.$power")
  name="gateway $power: nothing acknowledged is lost or doubled after an end at any of $tried points ($untold before the client heard of its upload; $((SECONDS - began)) s)"
  if [ "$bad" -eq 0 ] && [ "$tried" -gt 3 ]; then ok "$name"; else not_ok "$name"; fi
done
summary
