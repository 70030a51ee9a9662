# lib.bash - one folder of every kind and case, a server beside it, and what must hold at the end.
#
#     template ──copy──▶ src, data, ledger ──runs──▶ check: lost? doubled? left over?
#
# Each worker has a room of its own below $ROOM; the template is made once a script.
# shellcheck shell=bash

export LC_ALL=C
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
BIN=${BIN:-$HERE/build/${BUILD:-release}}
JOBS=${JOBS:-2}
passed=0 failed=0 skipped=0 number=0

for program in uringest-faulty immichd mklib; do
  if [ ! -x "$BIN/$program" ]; then
    echo "$0: $BIN/$program is not built; make fault builds it" >&2
    exit 2
  fi
done

# A RAM disk where there is one: the tests sync tens of thousands of times.
if [ -d /dev/shm ] && [ -w /dev/shm ]; then
  ROOM=$(mktemp -d /dev/shm/uringest-fault.XXXXXX)
else
  ROOM=$(mktemp -d)
fi
ELSEWHERE=$(mktemp -d "${TMPDIR:-/tmp}/uringest-fault.XXXXXX")
server_pid=

finish()
{
  [ -z "$server_pid" ] || kill "$server_pid" 2>/dev/null
  if [ "$BASHPID" = "$$" ]; then
    rm -rf "$ROOM" "$ELSEWHERE"
  fi
}
trap finish EXIT
trap 'exit 130' INT TERM

ok()
{
  number=$((number + 1))
  passed=$((passed + 1))
  printf 'ok %d %s\n' "$number" "$1"
}

not_ok()
{
  number=$((number + 1))
  failed=$((failed + 1))
  printf 'not ok %d %s\n' "$number" "$1"
}

skip()
{
  number=$((number + 1))
  skipped=$((skipped + 1))
  printf 'ok %d %s # skip %s\n' "$number" "$1" "$2"
}

summary()
{
  printf '1..%d\n' "$number"
  [ -z "${UR_COUNTS-}" ] || printf '%s %s %s\n' "$passed" "$failed" "$skipped" >>"$UR_COUNTS"
  printf '%d passed, %d failed\n' "$passed" "$failed"
  [ "$failed" -eq 0 ]
}

# ---- the folder ----------------------------------------------------------------------------------

# make_pictures NAME KINDS COUNT [OPTION...]: a heap of small real files in $ROOM/heap/NAME.
make_pictures()
{
  "$BIN/mklib" "$ROOM/heap/$1" --kinds "$2" --count "$3" --size 2K --per-dir 1000 "${@:4}" \
    --list "$ROOM/heap/$1.list" >/dev/null 2>&1
}

# nth NAME ROLE N: the N-th file of that role.
nth()
{
  printf '%s/heap/%s/%s' "$ROOM" "$1" \
    "$(awk -F'\t' -v role="$2" -v n="$3" '$1 == role && ++k == n { print $3 }' "$ROOM/heap/$1.list")"
}

xmp()
{
  cat <<TEXT
<?xpacket begin="" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF
 xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description rdf:about=""
 xmlns:dc="http://purl.org/dc/elements/1.1/" xmlns:xmp="http://ns.adobe.com/xap/1.0/"
 xmp:Rating="$2"><dc:description><rdf:Alt><rdf:li xml:lang="x-default">$1</rdf:li></rdf:Alt>
</dc:description></rdf:Description></rdf:RDF></x:xmpmeta>
TEXT
}

put()
{
  mkdir -p "$(dirname "$2")"
  cp -p "$1" "$2"
}

# One file of every kind and case, the role of each in $ROOM/roles: "ROLE PATH".
#   media    must end on the server
#   travels  a sidecar that may go when it travelled, and must stay otherwise
#   stays    is never taken away by --after delete
make_template()
{
  local src=$ROOM/template/src
  mkdir -p "$src" "$ROOM/heap"
  make_pictures jpeg jpeg 12 --seed 1
  make_pictures png png 1 --seed 2
  make_pictures raw dng 1 --seed 3
  make_pictures live jpeg 2 --live 100 --seed 4
  make_pictures video mp4 1 --seed 5 --size 1500K
  make_pictures new jpeg 40 --seed 6

  put "$(nth jpeg photo 1)" "$src/top.jpg"
  put "$(nth jpeg photo 2)" "$src/a/plain.jpg"
  put "$(nth png photo 1)" "$src/a/picture.png"
  put "$(nth jpeg photo 2)" "$src/b/copy of plain.jpg"
  put "$(nth jpeg photo 3)" "$src/a/hard.jpg"
  ln "$src/a/hard.jpg" "$src/b/hard too.jpg"
  put "$(nth jpeg photo 4)" "$src/c/same.jpg"
  put "$(nth jpeg photo 4)" "$src/c/same.jpeg"
  put "$(nth jpeg photo 5)" "$src/d/own.jpg"
  xmp "an own sidecar" 3 >"$src/d/own.jpg.xmp"
  put "$(nth raw photo 1)" "$src/e/twin.dng"
  put "$(nth jpeg photo 10)" "$src/e/twin.jpg"
  xmp "a shared sidecar" 4 >"$src/e/twin.xmp"
  put "$(nth jpeg photo 6)" "$src/f/had.jpg"
  xmp "a sidecar of a picture that was there" 5 >"$src/f/had.jpg.xmp"
  put "$(nth live photo 1)" "$src/g/live.jpg"
  put "$(nth live live-movie 1)" "$src/g/live.mov"
  put "$(nth live photo 2)" "$src/h/half.jpg"
  put "$(nth live live-movie 2)" "$src/h/half.mov"
  mkdir -p "$src/i" "$src/j"
  xmp "a sidecar alone" 2 >"$src/i/orphan.xmp"
  : >"$src/j/empty.jpg"
  printf '<!DOCTYPE html><html><body>Please log in</body></html>\n' >"$src/j/page.jpg"
  put "$(nth video video 1)" "$src/k/film.mp4"
  put "$(nth jpeg photo 7)" "$src/l/m/n/deep.jpg"
  put "$(nth jpeg photo 8)" "$src/o/caf"$'\xe9'".jpg"
  put "$(nth jpeg photo 9)" "$src/o/$(printf 'long%.0s' {1..61})ab.jpg"
  find "$src" -type f -exec touch -d '2024-03-04 05:06:07.123456789' {} +

  (cd "$src" && find . -type f -print0 | sort -z | xargs -0 sha1sum) >"$ROOM/manifest"
  awk '{
      path = substr($0, 43)
      role = "media"
      if (path ~ /\.jpg\.xmp$|twin\.xmp$/) role = "travels"
      else if (path ~ /\.xmp$|empty|page/) role = "stays"
      print role "\t" path
    }' "$ROOM/manifest" >"$ROOM/roles"
  mkdir -p "$ROOM/worker-template"
  W=$ROOM/worker-template
  mkdir "$W/seed" "$W/ledger"
  put "$src/f/had.jpg" "$W/seed/f/had.jpg"
  put "$src/h/half.jpg" "$W/seed/h/half.jpg"
  start_server
  import "$W/seed" || { cat "$W/said"; exit 2; }
  for _ in {1..200}; do
    [ "$(rows 'SELECT count(*) FROM assets WHERE extracted=0')" = 0 ] && break
    sleep 0.02
  done
  stop_server
  mv "$W/data" "$ROOM/template/data"
}

# ---- a room to work in ---------------------------------------------------------------------------

# enter N: the worker's room, W.
enter()
{
  W=$ROOM/worker$1
  AWAY=$ELSEWHERE/worker$1
  mkdir -p "$W" "$AWAY"
}

# Everything as in the template, the sources in $1.
fresh()
{
  SRC=$1/src
  chmod -R u+rwx "$W" "$AWAY" 2>/dev/null
  rm -rf "${W:?}"/* "${AWAY:?}"/*
  mkdir -p "$W/ledger" "$W/hide" "$AWAY/hide"
  cp -a "$ROOM/template/src" "$SRC"
  cp -a "$ROOM/template/data" "$W/data"
}

rows()
{
  sqlite3 -readonly "$W/data/immichd.db" "$1"
}

start_server()
{
  : >"$W/server"
  "$BIN/immichd" --listen 127.0.0.1:0 --data "$W/data" --key secret --extract-delay 0 --quiet \
    >"$W/server" 2>&1 &
  server_pid=$!
  URL=
  local line
  for _ in {1..500}; do
    if read -r line <"$W/server"; then
      URL=http${line#*http}
      return 0
    fi
    sleep 0.005
  done
  echo "the server did not start: $(cat "$W/server")" >&2
  exit 2
}

# The gateway beside it, which does not crash here; sets GATEWAY.
start_gateway()
{
  local line
  : >"$W/gateway"
  "$BIN/uringest" serve --listen 127.0.0.1:0 --spool "$W/spool" --immich "$URL" --keep-free 0 \
    --settle-after 0 --suspect-wait 0 >"$W/gateway" 2>"$W/gateway.err" &
  gateway_pid=$!
  for _ in {1..500}; do
    line=$(sed -n 's/^listening on //p' "$W/gateway")
    if [ -n "$line" ]; then
      # shellcheck disable=SC2034 # read by crash.sh
      GATEWAY=http://$line/uringest/
      return 0
    fi
    sleep 0.01
  done
  echo "the gateway did not start: $(cat "$W/gateway.err")" >&2
  exit 2
}

stop_server()
{
  if [ -n "${gateway_pid-}" ]; then
    kill "$gateway_pid" 2>/dev/null
    wait "$gateway_pid" 2>/dev/null
    gateway_pid=
  fi
  kill "$server_pid" 2>/dev/null
  wait "$server_pid" 2>/dev/null
  server_pid=
}

# import SOURCE [OPTION...]: one run, what it says in $W/said and $W/events.
import()
{
  IMMICH_API_KEY=secret timeout -k 2 "${LIMIT:-20}" "${PROGRAM:-$BIN/uringest-faulty}" import \
    --server "$URL" --ledger "${LEDGER:-$W/ledger/ledger.db}" --json --threads 1 --concurrency 1 \
    --ring sync --suspect-wait 0 --answer-wait 300ms --server-wait 2s \
    ${UR_FORCE_HASH:+"--hash=$UR_FORCE_HASH"} "${@:2}" "$1" \
    >"$W/events" 2>"$W/said" </dev/null
}

# ---- all points of a kind ------------------------------------------------------------------------

# share KIND WORKER FIRST: a worker's share of the points of KIND.  at_point KIND N prints what is wrong
# there, and ends with 1 when N is beyond the end.
share()
{
  local point=$(($3 + $2 * STEP)) wrong
  enter "$2"
  : >"$ROOM/$1.$2.wrong"
  while wrong=$(at_point "$1" "$point"; echo "end=$?"); [ "${wrong##*end=}" = 0 ]; do
    wrong=${wrong%end=*}
    wrong=${wrong%$'\n'}
    [ -z "$wrong" ] || printf '%s\n' "$wrong" | sed "s/^/at $point: /" >>"$ROOM/$1.$2.wrong"
    echo "$point" >>"$ROOM/$1.$2.points"
    point=$((point + JOBS * STEP))
  done
}

# try_points KIND ORDER: how many there were in $POINTS, what is wrong in $ROOM/wrong.  The first one
# moves with the order, so that a step sees others too.
try_points()
{
  local worker
  for ((worker = 0; worker < JOBS; worker++)); do
    share "$1" "$worker" $((1 + $2 % STEP)) &
  done
  wait
  # shellcheck disable=SC2034 # the callers say it
  POINTS=$(cat "$ROOM/$1".*.points 2>/dev/null | wc -l)
  cat "$ROOM/$1".*.wrong >"$ROOM/wrong"
}

show_wrong()
{
  sort -t' ' -k2n "$ROOM/wrong" | sed 's/^/# /' | head -n "${LINES_MAX:-60}"
}

# ---- what must hold ------------------------------------------------------------------------------

tree()
{
  (cd "$1" 2>/dev/null && find . -type f -print0 | sort -z | xargs -0r sha1sum)
}

# More runs until one changes nothing; $@: options and source of import.
settle_down()
{
  local before after=none
  for _ in 1 2 3 4 5 6; do
    before=$after
    import "$@"
    status=$?
    if [ "$status" -gt 1 ]; then
      echo "a later run ended with $status: $(tail -n 3 "$W/said")"
      kill -0 "$server_pid" 2>/dev/null || echo "and the server is gone; it said: $(cat "$W/server")"
      return 1
    fi
    after=$(find "$SRC" "${MOVED:-$SRC}" -printf '%p %s %i\n' | sort | sha1sum)
    if [ "$before" = "$after" ]; then
      return 0
    fi
  done
  echo "it never comes to rest"
  return 1
}

# What is wrong, one line each; nothing when all is well.  Extra contents that may or must be there:
#   $W/must: "SHA1"  must be on the server     $W/may: "SHA1"  may be
check()
{
  tree "$SRC" >"$W/now"
  : >>"$W/must"
  : >>"$W/may"
  tree "$W/data/upload" | grep -v '/\.immich$' >"$W/stored"
  rows "SELECT lower(hex(checksum)), path, coalesce(sidecar, '-') FROM assets WHERE deleted=0
    AND trashed IS NULL" | tr '|' '\t' >"$W/rows"
  (cd "$SRC" && find . -mindepth 1 -type d) >"$W/folders"
  [ -d "$SRC" ] || echo "the root is gone"
  awk -F'\t' -v after="${AFTER:-delete}" -v complete="${COMPLETE-yes}" '
    function sum(line) { return substr(line, 1, 40) }
    function path(line) { return substr(line, 43) }
    FILENAME ~ /roles$/ { role[$2] = $1; next }
    FILENAME ~ /manifest$/ { content[path($0)] = sum($0); known[sum($0)] = 1; next }
    FILENAME ~ /must$/ { must[$1] = 1; known[$1] = 1; next }
    FILENAME ~ /may$/ { known[$1] = 1; next }
    FILENAME ~ /stored$/ { at_server[substr(path($0), 3)] = sum($0); next }
    FILENAME ~ /rows$/ {
      if (++asset[$1] > 1) print "two assets have the bytes " $1
      if (at_server[$2] != $1) print "the server stored " at_server[$2] " as " $1
      if (!($1 in known)) print "the server has bytes that nobody sent: " $1
      if ($3 != "-") travelled[at_server[$3]] = 1
      next
    }
    FILENAME ~ /now$/ { here[path($0)] = sum($0); if (sum($0) in must) waits[sum($0)] = 1; next }
    FILENAME ~ /folders$/ { folder[$0] = 1; next }
    END {
      for (p in role) {
        s = content[p]
        gone = !(p in here)
        if (role[p] == "media" && gone && !(s in asset)) print "lost: " p
        if (role[p] == "media" && !gone && complete != "" && here[p] == s)
          print "not delivered: " p
        if (role[p] == "travels" && gone && !(s in travelled) && after == "delete")
          print "a sidecar went that did not travel: " p
        if (role[p] == "stays" && gone && after == "delete") print "taken away: " p
        if (role[p] != "media" && !gone && here[p] != s) print "not its bytes any more: " p
      }
      for (s in must)
        if (!(s in asset) && (complete != "" || !(s in waits))) print "new bytes were lost: " s
      for (p in here) {
        if (p ~ /\/\.uringest/) print "left over: " p
        else if (!(p in role) && complete != "") print "left over: " p
        else if (p in role && role[p] == "media" && here[p] != content[p] && complete != "")
          print "other bytes, not delivered: " p
        n = split(p, part, "/")
        at = part[1]
        for (i = 2; i < n; i++) { at = at "/" part[i]; needed[at] = 1 }
      }
      for (d in folder) if (!(d in needed)) print "an empty folder is left: " d
    }' "$ROOM/roles" "$ROOM/manifest" "$W/must" "$W/may" "$W/stored" \
      "$W/rows" "$W/now" "$W/folders"
}

# The same for what was moved to $1: every file is once in one of the two trees, with its own bytes.
check_moved()
{
  tree "$1" >"$W/moved"
  awk '
    function sum(line) { return substr(line, 1, 40) }
    function path(line) { return substr(line, 43) }
    FILENAME ~ /manifest$/ { content[path($0)] = sum($0); next }
    FILENAME ~ /must$/ { other[$1] = 1; next }
    FILENAME ~ /now$/ { seen[path($0)]++; if (sum($0) == content[path($0)]) own[path($0)]++; next }
    {
      p = path($0)
      seen[p]++
      if (p ~ /\/\.uringest/) print "left over in the target: " p
      else if (sum($0) == content[p]) own[p]++
      else if (!(sum($0) in other)) print "other bytes in the target: " p
    }
    END {
      for (p in content) {
        if (own[p] == 0) print "in neither tree: " p
        else if (own[p] > 1) print "in both trees: " p
      }
    }' "$ROOM/manifest" "$W/must" "$W/now" "$W/moved"
  find "$1" -name .uringest -printf 'left over in the target: %p\n'
}
