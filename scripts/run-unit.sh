#!/bin/bash
# run-unit.sh - runs unit tests and counts them.
#
# A program that crashes, hangs or reports a leak after its last test has failed once more than its
# tests say.  What is counted goes to the file named by UR_COUNTS, as "passed failed skipped".
set -u

usage()
{
  cat <<'TEXT'
usage: scripts/run-unit.sh PROGRAM...
       scripts/run-unit.sh -- PROGRAM ARGUMENT...

  Runs cmocka programs, prints a line for each and, for those that fail, what they said.
  The second form runs one program, with arguments.

  UR_RUNNER        what runs the programs, with its arguments (nothing; qemu for another machine)
  UR_UNIT_TIMEOUT  seconds that one program may take (300)
  UR_COUNTS        a file that "passed failed skipped" is added to
TEXT
}

case ${1-} in
-h | --help)
  usage
  exit 0
  ;;
'')
  usage >&2
  exit 2
  ;;
esac

arguments=()
if [ "$1" = -- ] && [ $# -gt 1 ]; then
  arguments=("${@:3}")
  set -- "$2"
fi

read -ra runner <<<"${UR_RUNNER-}"
said=$(mktemp -d) || exit 2
trap 'rm -rf "$said"' EXIT
passed=0 failed=0 skipped=0

for program in "$@"; do
  name=${program##*/}
  status=0
  if [ ! -x "$program" ]; then
    printf '  unit  %-28s was not built\n' "$name"
    failed=$((failed + 1))
    continue
  fi
  CMOCKA_MESSAGE_OUTPUT=TAP timeout -k 5 "${UR_UNIT_TIMEOUT:-300}" \
    "${runner[@]}" "$program" "${arguments[@]}" >"$said/out" 2>"$said/err" </dev/null || status=$?
  # cmocka 1.1.5 writes a skipped test as "not ok N # SKIP", later ones as "ok N # SKIP".
  read -r plan ok bad skip < <(awk '
    /^1\.\.[0-9]+/ { plan += substr($0, 4) }
    /^(not )?ok [0-9]+ # SKIP/ { skip++; next }
    /^ok [0-9]+/ { ok++ }
    /^not ok [0-9]+/ { bad++ }
    END { print plan + 0, ok + 0, bad + 0, skip + 0 }' "$said/out")
  why=
  if [ $((ok + bad + skip)) -lt "$plan" ]; then
    bad=$((plan - ok - skip))
    why=", ended early"
  elif [ "$plan" -eq 0 ]; then
    bad=1
    why=", ran no test"
  elif [ "$status" -ne 0 ] && [ "$bad" -eq 0 ]; then
    bad=1
    why=", all tests passed but it"
  fi
  case $status in
  0) [ -z "$why" ] || why="$why ended with 0" ;;
  124 | 137) why="$why took more than ${UR_UNIT_TIMEOUT:-300} s" ;;
  *) [ -z "$why" ] || why="$why ended with $status" ;;
  esac

  line="$ok passed"
  [ "$bad" -eq 0 ] || line="$line, $bad failed"
  [ "$skip" -eq 0 ] || line="$line, $skip skipped"
  printf '  unit  %-28s %s%s\n' "$name" "$line" "$why"
  if [ "$bad" -gt 0 ]; then
    grep -vE '^ok |^1\.\.' "$said/out"
    tail -n 60 "$said/err"
  fi
  passed=$((passed + ok)) failed=$((failed + bad)) skipped=$((skipped + skip))
done

[ -z "${UR_COUNTS-}" ] || printf '%s %s %s\n' "$passed" "$failed" "$skipped" >>"$UR_COUNTS"
[ "$failed" -eq 0 ]
