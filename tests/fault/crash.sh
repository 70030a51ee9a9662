#!/bin/bash
# crash.sh - the importer ends at its N-th side effect, for every N; then it runs to the end.
#
#     fresh folder and server ─▶ run, crash at N ─▶ what happens in between ─▶ runs ─▶ check
#
# What must hold at the end: every picture is on the server once, with its own bytes, and gone from
# the folder (or moved); what is refused is where it was; a sidecar went only if it travelled; no
# temporary file and no emptied folder is left.
set -u

usage()
{
  cat <<'TEXT'
usage: tests/fault/crash.sh [VARIANT...]

  VARIANT  delete forget keep last move move-forget move-keep move-last across
           across-forget across-keep across-last across-target new-file rewrite replace reuse clock-back clock-forward twice busy two-ledgers stranger
           resumable resumable-forget (all of them)

  STEP     every STEP-th point (37); 1: every one
  JOBS     points at the same time (2)
  BUILD    release, asan, …
  ONLY     this point alone, and its room is kept in /tmp/uringest-fault-kept
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
STEP=${STEP:-37}

# ---- what happens between the crash and the next run ---------------------------------------------

# Everything that is missing gets a new file of that name, other bytes, the old size and times.
new_files()
{
  local path k=0
  while IFS=$'\t' read -r role path; do
    if [ "$role" = media ] && [ ! -e "$SRC/$path" ] && [ "$path" != ./k/film.mp4 ]; then
      k=$((k + 1))
      put "$(nth new photo $k)" "$SRC/$path"
      touch -r "$ROOM/template/src/$path" "$SRC/$path"
      sha1sum <"$SRC/$path" | cut -c1-40 >>"$W/must"
    fi
  done <"$ROOM/roles"
}

# Every picture that is still there gets other bytes of the same size, and its old times.
rewrite()
{
  local path k=0
  while IFS=$'\t' read -r role path; do
    if [ "$role" = media ] && [ -e "$SRC/$path" ] && [ "$path" != ./k/film.mp4 ] &&
      [[ $path == *.jp*g ]] && [[ $path != *hard* ]]; then
      k=$((k + 1))
      if [ "$1" = replace ]; then
        same_inode "$SRC/$path" "$(nth new photo $k)"
      else
        cat "$(nth new photo $k)" >"$SRC/$path"
      fi
      touch -r "$ROOM/template/src/$path" "$SRC/$path"
      sha1sum <"$SRC/$path" | cut -c1-40 >>"$W/must"
      printf '%s\n' "$path" >>"$W/changed"
    fi
  done <"$ROOM/roles"
}

# The file $1 is removed; one with the bytes of $2 takes its name and, if it can be had, its inode.
same_inode()
{
  local inode k dir=${1%/*}
  inode=$(stat -c %i "$1")
  rm "$1"
  for k in {1..20}; do
    cp "$2" "$dir/.try.$k"
    [ "$(stat -c %i "$dir/.try.$k")" != "$inode" ] || break
  done
  mv "$dir/.try.$k" "$1"
  rm -f "$dir"/.try.*
  [ "$(stat -c %i "$1")" != "$inode" ] || echo "$1" >>"$ELSEWHERE/reused"
}

# A stranger makes staging folders of his own below, and puts a name into ours that looks like one of
# ours; what he has put there is listed in $W/planted.
plant()
{
  local dir at
  : >"$W/planted"
  while read -r dir; do
    mkdir -m 777 "$dir/.uringest" 2>/dev/null || continue
    echo planted >"$dir/.uringest/1x1-planted.jpg"
    chown -R 1001 "$dir/.uringest" 2>/dev/null || chmod 755 "$dir/.uringest"
    echo "$dir/.uringest/1x1-planted.jpg" >>"$W/planted"
  done < <(find "$SRC" -mindepth 1 -type d ! -name .uringest)
  for at in "$SRC"/.uringest/*; do
    [ -e "$at" ] || continue
    echo planted >"$SRC/.uringest/$(basename "$at" | cut -c1-40)000000-planted.jpg"
    echo "$SRC/.uringest/$(basename "$at" | cut -c1-40)000000-planted.jpg" >>"$W/planted"
  done
}

# It is all where he has put it, and goes now; so does what he kept from being empty.
pull_up()
{
  local at
  while read -r at; do
    [ "$(cat "$at" 2>/dev/null)" = planted ] || echo "touched: $at"
    rm -f "$at"
    rmdir "${at%/*}" 2>/dev/null
  done <"$W/planted"
  find "$SRC" -mindepth 1 -depth -type d -empty -delete
}

# ---- one point -----------------------------------------------------------------------------------

# Prints what is wrong after a crash at point $2 in variant $1; ends with 1 when $2 is beyond the end.
at_point()
{
  local where=$W run=()
  local -x UR_FAULT_CRASH=$2 AFTER=delete
  MOVED=
  case $1 in
  reuse) where=$AWAY ;;
  esac
  fresh "$where"
  : >"$W/changed"
  case $1 in
  move*)
    MOVED=$W/moved-to
    AFTER=move
    ;;
  across*)
    MOVED=$AWAY/moved-to
    AFTER=move
    ;;
  esac
  if [ -n "$MOVED" ]; then
    mkdir "$MOVED"
    run=(--after "move=$MOVED")
  else
    run=(--after delete)
  fi
  case $1 in
  # The target's disk alone forgets: what was unlinked here must have been durable there.
  across-target)
    local -x UR_FAULT_POWER=forget UR_FAULT_HIDE=$W/hide:$AWAY/hide UR_FAULT_KEEP=$W
    ;;
  *forget) local -x UR_FAULT_POWER=forget UR_FAULT_HIDE=$W/hide:$AWAY/hide ;;
  *last) local -x UR_FAULT_POWER=last UR_FAULT_HIDE=$W/hide:$AWAY/hide ;;
  *keep) local -x UR_FAULT_POWER=keep UR_FAULT_HIDE=$W/hide:$AWAY/hide ;;
  clock-forward) local -x UR_FAULT_CLOCK=86400 ;;
  busy) run+=(--threads 4 --concurrency 4 --ring auto) ;;
  esac
  start_server
  case $1 in
  # The film goes in pieces: what the ledger knows of its upload is hit at every point.
  resumable*)
    start_gateway
    run+=(--gateway "$GATEWAY" --resumable-threshold 1M --chunk 1M --answer-wait 8s)
    ;;
  esac
  import "$SRC" "${run[@]}"
  local status=$?
  # After a power cut it is another boot, of whose predecessors' notes nothing is believed.
  [ -z "${UR_FAULT_POWER-}" ] || rm -f "$W/ledger/"*-wire
  unset UR_FAULT_CRASH UR_FAULT_POWER UR_FAULT_CLOCK UR_FAULT_KEEP
  case $status in
  99) ;;
  0)
    stop_server
    return 1
    ;;
  *) echo "the run that was to crash ended with $status: $(tail -n 2 "$W/said")" ;;
  esac
  local ended=
  case $1 in
  *last) ended=$(has_ended) ;;
  esac
  case $1 in
  new-file) new_files ;;
  rewrite) rewrite in-place ;;
  replace | reuse) rewrite replace ;;
  clock-back) local -x UR_FAULT_CLOCK=-86400 ;;
  two-ledgers)
    LEDGER=$W/ledger/other.db import "$SRC" "${run[@]}"
    status=$?
    [ "$status" -le 1 ] || echo "the run of the other ledger ended with $status: $(tail -n 2 "$W/said")"
    ;;
  stranger) plant ;;
  twice)
    # The run that mends is hit as well, at a point that moves on with N.
    UR_FAULT_CRASH=$((1 + $2 * 13 % 150)) import "$SRC" "${run[@]}"
    ;;
  esac
  settle_down "$SRC" "${run[@]}"
  unset UR_FAULT_CLOCK
  [ "$1" != stranger ] || pull_up
  check | without_changed | without_returned "$ended"
  [ -z "$MOVED" ] || check_moved "$MOVED"
  stop_server
  return 0
}

# What the user overwrote before it was sent is not there, and that is the user's doing.
without_changed()
{
  awk 'FILENAME ~ /changed$/ { changed["lost: " $0] = 1; next } !($0 in changed)' "$W/changed" -
}

# How many runs had come to their end, by a copy of the ledger: opening it would mend it.
has_ended()
{
  rm -rf "$W/copy"
  cp -a "$W/ledger" "$W/copy"
  sqlite3 "$W/copy/ledger.db" 'SELECT count(*) FROM run WHERE ended_ns<>0' 2>/dev/null
}

# A power cut after the end of the run may bring an emptied folder back.  It is empty, no file is at
# stake, and no later run knows whose it is.
without_returned()
{
  if [ "${1:-0}" -gt 0 ]; then
    grep -v '^an empty folder is left'
  else
    cat
  fi
}

# All points of a variant.
sweep()
{
  local begin=$SECONDS
  try_points "$1" "$2"
  if [ -s "$ROOM/wrong" ]; then
    not_ok "$1: nothing is lost, doubled or left after a crash at any of $POINTS points"
    show_wrong
  elif [ "$POINTS" -lt 3 ]; then
    not_ok "$1: only $POINTS points were met"
  else
    ok "$1: nothing is lost, doubled or left after a crash at any of $POINTS points ($((SECONDS - begin)) s)"
  fi
}

make_template
if [ $# -eq 0 ]; then
  set -- delete forget keep last move move-forget move-keep move-last across across-forget \
    across-keep across-last across-target new-file rewrite replace reuse clock-back clock-forward twice busy \
    two-ledgers stranger resumable resumable-forget
fi
if [ -n "${ONLY-}" ]; then
  enter 0
  at_point "$1" "$ONLY"
  rm -rf /tmp/uringest-fault-kept
  cp -a "$W" /tmp/uringest-fault-kept
  exit
fi
order=0
for variant in "$@"; do
  order=$((order + 3))
  sweep "$variant" "$order"
done
[ ! -e "$ELSEWHERE/reused" ] || echo "# inode numbers reused: $(wc -l <"$ELSEWHERE/reused")"
summary
