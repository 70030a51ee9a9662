#!/bin/bash
# run-counted.sh - one command that counts as one test.
set -u

usage()
{
  cat <<'TEXT'
usage: scripts/run-counted.sh LABEL COMMAND [ARGUMENT...]

  Runs the command, prints a line, and what the command said if it failed.

  UR_COUNTS  a file that "passed failed skipped" is added to
TEXT
}

case ${1-} in
-h | --help)
  usage
  exit 0
  ;;
esac
if [ $# -lt 2 ]; then
  usage >&2
  exit 2
fi

label=$1
shift
out=$(mktemp) || exit 2
trap 'rm -f "$out"' EXIT

status=0
"$@" >"$out" 2>&1 </dev/null || status=$?
if [ "$status" -eq 0 ]; then
  counts="1 0 0"
  printf '  %s: %s\n' "$label" "$(tail -n 1 "$out")"
else
  counts="0 1 0"
  printf '  %s: failed with %s\n' "$label" "$status"
  tail -n 80 "$out"
fi
[ -z "${UR_COUNTS-}" ] || printf '%s\n' "$counts" >>"$UR_COUNTS"
exit "$status"
