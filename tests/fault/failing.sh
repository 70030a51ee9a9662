#!/bin/bash
# failing.sh - the N-th call of a kind fails, for every N; then an ordinary run completes the rest.
#
#     fresh folder and server ─▶ run, the N-th openat (fstat, pread, malloc …) fails ─▶ runs ─▶ check
#
# What must hold: the run ends, in time, by itself and with a sentence; nothing is lost or wrongly
# taken away; what it could not do, the next runs do.
set -u

usage()
{
  cat <<'TEXT'
usage: tests/fault/failing.sh [CALL:ERROR...]

  CALL   openat close fstat fstatat fstatfs getdents pread pread_cached pwrite fsync unlinkat
         rename_new mkdirat lease flock utimens cached malloc
  ERROR  EIO, ENOSPC, …

  STEP   every STEP-th call (15); 1: every one
  JOBS   runs at the same time (2)
  BUILD  release, asan, …
  ONLY   this call alone, and its room is kept in /tmp/uringest-fault-kept
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
STEP=${STEP:-15}

# Prints what is wrong when call $2 of kind $1 fails; ends with 1 when there is no such call.
at_point()
{
  local call=${1%%:*} error=${1##*:} status run=(--after delete) AFTER=delete
  MOVED=
  fresh "$W"
  case $1 in
  *:across:*)
    MOVED=$AWAY/moved-to
    AFTER=move
    ;;
  *:move:*)
    MOVED=$W/moved-to
    AFTER=move
    ;;
  esac
  if [ -n "$MOVED" ]; then
    mkdir "$MOVED"
    run=(--after "move=$MOVED")
  fi
  [ "$call" != malloc ] || run+=(--tries 2)
  start_server
  UR_FAULT_FAIL=$call:$2:$error UR_FAULT_COUNT=$W/count import "$SRC" "${run[@]}"
  status=$?
  if [ "$status" -le 4 ] && ! grep -q 'fired=1' "$W/count"; then
    stop_server
    return 1
  fi
  case $status in
  0 | 1) ;;
  2 | 3 | 4) grep -q '^uringest: ' "$W/said" || echo "it ended with $status and said nothing" ;;
  124 | 137) echo "it did not end: $(tail -n 1 "$W/said")" ;;
  *) echo "it ended with $status: $(tail -n 5 "$W/said")" ;;
  esac
  LIMIT=30 settle_down "$SRC" "${run[@]}"
  # A folder whose removal failed stays: nobody tries that twice.
  check | if [ "$call" = unlinkat ]; then grep -v '^an empty folder is left'; else cat; fi
  [ -z "$MOVED" ] || check_moved "$MOVED"
  stop_server
  return 0
}

sweep()
{
  local begin=$SECONDS
  try_points "$1" "$2"
  if [ -s "$ROOM/wrong" ]; then
    not_ok "$1: any of $POINTS calls fails, and the next run completes everything"
    show_wrong
  elif [ "$POINTS" -eq 0 ]; then
    skip "$1: any call fails" "there is none within this step"
  else
    ok "$1: any of $POINTS calls fails, and the next run completes everything ($((SECONDS - begin)) s)"
  fi
}

make_template
if [ $# -eq 0 ]; then
  set -- openat:EIO openat:EMFILE openat:EACCES close:EIO fstat:EIO fstatat:EIO fstatat:EACCES \
    fstatfs:EIO getdents:EIO pread:EIO pread_cached:EAGAIN pread_cached:EIO \
    unlinkat:EACCES unlinkat:EIO rename_new:EIO \
    rename_new:EACCES mkdirat:EACCES mkdirat:ENOSPC lease:EAGAIN flock:ENOLCK \
    openat:across:ENOSPC pread:across:EIO pwrite:across:ENOSPC fsync:across:EIO \
    mkdirat:across:ENOSPC rename_new:across:EIO unlinkat:across:EIO utimens:across:EPERM \
    rename_new:move:EIO cached:ENOSYS malloc:ENOMEM
fi
if [ -n "${ONLY-}" ]; then
  enter 0
  at_point "$1" "$ONLY"
  rm -rf /tmp/uringest-fault-kept
  cp -a "$W" /tmp/uringest-fault-kept
  exit
fi
order=0
for kind in "$@"; do
  order=$((order + 3))
  sweep "$kind" "$order"
done
summary
