#!/bin/bash
# proofs.sh - bodily proofs: a hash that is wrong, a file that changes while it is looked at.
#
#     one bit of a SHA-1 is flipped           ─▶ nothing wrong is stored, nothing unsent is deleted
#     a SHA-1 becomes that of another asset   ─▶ promise 1 (d): the file is kept
#     a file changes at the N-th point        ─▶ what is stored is right, the new bytes arrive too
set -u

usage()
{
  cat <<'TEXT'
usage: tests/fault/proofs.sh [flip|flip-all|collide|change|replace]...

  STEP   every STEP-th point of a change (53); 1: every one
  JOBS   runs at the same time (2)
  BUILD  release, asan, …
TEXT
}

case ${1-} in
-h | --help)
  usage
  exit 0
  ;;
esac

# shellcheck source=tests/fault/lib.bash
. "$(dirname "$0")/lib.bash"
STEP=${STEP:-53}

# What of the folder is neither there nor on the server with its own bytes; what the server has
# besides.  Unlike check, this holds in the middle too.
check_safe()
{
  COMPLETE='' check | grep -vE '^an empty folder is left'
}

# ---- hashes --------------------------------------------------------------------------------------

# One flipped bit, in the hash of one file ($1 > 0) or of all (0): what was sent was refused or is
# right, and nothing goes that the server has not.
flip()
{
  fresh "$W"
  start_server
  UR_FAULT_FLIP=$1 UR_FAULT_COUNT=$W/count import "$SRC" --after delete
  local status=$?
  [ "$status" -le 1 ] || echo "the run ended with $status: $(tail -n 2 "$W/said")"
  check_safe
  if [ "$1" = 0 ] && [ "$(tree "$SRC" | wc -l)" -lt "$(wc -l <"$ROOM/manifest")" ]; then
    tree "$SRC" | diff "$ROOM/manifest" - | grep '^[<>]' | sed 's/^/with every hash wrong: /'
  fi
  grep -q fired=1 "$W/count" || echo beyond >"$W/beyond"
  settle_down "$SRC" --after delete
  # With every hash wrong, even copies agreed with each other: some stay, and say so.
  if [ "$1" = 0 ]; then check_safe; else check; fi
  stop_server
}

flip_each()
{
  local n count=0
  enter 0
  : >"$ROOM/wrong"
  for ((n = 1; n < 100; n++)); do
    flip "$n" | sed "s/^/hash $n: /" >>"$ROOM/wrong"
    [ ! -e "$W/beyond" ] || break
    count=$n
  done
  conclude "flip: a bit of any of $count hashes is wrong, and nothing is lost or stored wrongly"
}

flip_all()
{
  enter 0
  flip 0 >"$ROOM/wrong"
  conclude "flip-all: every hash is wrong, and no file goes; with right ones nothing is lost"
}

# Every picture in turn gets the hash of one that the server has.
collide()
{
  local victim theirs count=0
  enter 0
  : >"$ROOM/wrong"
  theirs=$(awk '/\.\/f\/had\.jpg$/ { print $1 }' "$ROOM/manifest")
  while IFS=$'\t' read -r role victim; do
    local own
    own=$(awk -v path="$victim" 'substr($0, 43) == path { print $1 }' "$ROOM/manifest")
    case $victim in
    ./f/had.jpg | ./h/half.jpg) continue ;; # the server has them
    esac
    if [ "$role" != media ]; then
      continue
    fi
    count=$((count + 1))
    fresh "$W"
    start_server
    UR_FAULT_HASH=$own:$theirs import "$SRC" --after delete
    {
      check_safe
      cmp -s "$SRC/$victim" "$ROOM/template/src/$victim" || echo "it was deleted"
      [ "$(rows "SELECT count(*) FROM assets WHERE lower(hex(checksum))='$own'")" = 0 ] ||
        echo "it was sent all the same"
      settle_down "$SRC" --after delete
      # The movie that was none made its picture fail for good: that one is for `retry`, and its movie
      # stays with it.
      check | grep -vF -e "not delivered: ./g/live.jpg" -e "not delivered: ./g/live.mov"
    } | sed "s|^|$victim: |" >>"$ROOM/wrong"
    stop_server
  done <"$ROOM/roles"
  conclude "collide: any of $count files gets another asset's hash, and is kept until it has its own"
}

# ---- changes -------------------------------------------------------------------------------------

# file -> bytes of the same size that it changes to
other_bytes()
{
  case $1 in
  ./k/film.mp4)
    cp "$ROOM/template/src/$1" "$W/other"
    printf 'changed' | dd of="$W/other" bs=1 seek="$2" conv=notrunc status=none
    ;;
  *) cp "$(nth new photo 1)" "$W/other" ;;
  esac
}

# File $1 changes at point $2, in the way $3.  Old bytes are the user's to lose; the new ones not.
change_at()
{
  fresh "$W"
  other_bytes "$1" 1400000
  local new
  new=$(sha1sum <"$W/other" | cut -c1-40)
  printf '%s\n' "$new" >"$W/may"
  start_server
  UR_FAULT_CHANGE=$SRC/$1 UR_FAULT_WITH=$W/other UR_FAULT_HOW=$3 UR_FAULT_AT=$2 \
    UR_FAULT_COUNT=$W/count import "$SRC" --after delete
  local status=$?
  local points
  points=$(sed 's/^points=\([0-9]*\).*/\1/' "$W/count")
  if [ "$points" -lt "$2" ]; then
    stop_server
    return 1
  fi
  [ "$status" -le 1 ] || echo "the run ended with $status: $(tail -n 2 "$W/said")"
  if grep -q fired=1 "$W/count"; then
    printf '%s\n' "$new" >"$W/must"
    # Until the next run: what changed is waiting (or gone, both are there), never failed.
    if [ -e "$SRC/$1" ] && grep -F "\"path\":\"$SRC/$1\"" "$W/events" | grep -q '"outcome":"failed"'; then
      echo "it is called failed: $(grep -F "$SRC/$1" "$W/events")"
    fi
  fi
  check_safe | grep -vF "lost: $1"
  settle_down "$SRC" --after delete
  check | grep -vF "lost: $1"
  stop_server
  return 0
}

at_point()
{
  change_at "$changed" "$2" "$how"
}

# sweep HOW PATH ORDER
sweep()
{
  how=$1 changed=$2
  rm -f "$ROOM"/change.*
  try_points change "$3"
  conclude "$1: $2 changes at any of $POINTS points; nothing wrong is stored, the new bytes arrive"
}

# All that stands in $ROOM/wrong is a reason to fail.
conclude()
{
  if [ -s "$ROOM/wrong" ]; then
    not_ok "$1"
    head -n "${LINES_MAX:-60}" "$ROOM/wrong" | sed 's/^/# /'
  else
    ok "$1"
  fi
}

make_template
[ $# -gt 0 ] || set -- flip flip-all collide change replace
for what in "$@"; do
  case $what in
  flip) flip_each ;;
  flip-all) flip_all ;;
  collide) collide ;;
  change)
    sweep rewrite ./a/plain.jpg 1
    sweep rewrite ./k/film.mp4 6
    sweep rewrite ./d/own.jpg 11
    ;;
  replace)
    sweep replace ./top.jpg 4
    sweep replace ./k/film.mp4 9
    sweep replace ./g/live.jpg 14
    ;;
  *)
    usage >&2
    exit 2
    ;;
  esac
done
summary
