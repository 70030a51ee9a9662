#!/bin/bash
# run-bats.sh - runs bats files and counts their tests.
#
# What is counted goes to the file named by UR_COUNTS, as "passed failed skipped".  A skipped test
# says why on its line; a file that ends before all its tests ran has failed them.
set -u

usage()
{
  cat <<'TEXT'
usage: scripts/run-bats.sh FILE.bats...

  Runs bats files one after the other, prints a line for each and, for those that fail, the tests
  with what they said.

  UR_BATS_TIMEOUT  seconds that one file may take (900)
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

if ! command -v bats >/dev/null 2>&1; then
  echo "run-bats.sh: bats is not here; install it with: make deps" >&2
  exit 1
fi

out=$(mktemp) || exit 2
trap 'rm -f "$out"' EXIT
passed=0 failed=0 skipped=0

for file in "$@"; do
  status=0
  # A test must not wait for an answer that nobody gives, and a hang is a failure.
  timeout -k 10 "${UR_BATS_TIMEOUT:-900}" bats --tap "$file" >"$out" 2>&1 </dev/null ||
    status=$?
  read -r plan ok bad skip < <(awk '
    /^1\.\.[0-9]+/ { plan += substr($0, 4) }
    /^ok [0-9]+ .*# skip/ { skip++; next }
    /^ok [0-9]+ / { ok++ }
    /^not ok [0-9]+ / { bad++ }
    END { print plan + 0, ok + 0, bad + 0, skip + 0 }' "$out")
  why=
  if [ $((ok + bad + skip)) -lt "$plan" ]; then
    bad=$((plan - ok - skip))
    why=", ended early"
  elif [ "$status" -ne 0 ] && [ "$bad" -eq 0 ]; then
    bad=1
    why=", ended with $status"
  fi
  case $status in
  124 | 137) why="$why, took more than ${UR_BATS_TIMEOUT:-900} s" ;;
  esac

  line="$ok passed"
  [ "$bad" -eq 0 ] || line="$line, $bad failed"
  [ "$skip" -eq 0 ] || line="$line, $skip skipped"
  printf '  e2e   %-28s %s%s\n' "${file##*/}" "$line" "$why"
  # The reasons of skipped tests, once each.
  sed -nE 's/^ok [0-9]+ .*# skip ?(.*)/        skipped: \1/p' "$out" | sort -u
  if [ "$bad" -gt 0 ]; then
    grep -vE '^ok |^1\.\.' "$out"
  fi
  passed=$((passed + ok)) failed=$((failed + bad)) skipped=$((skipped + skip))
done

[ -z "${UR_COUNTS-}" ] || printf '%s %s %s\n' "$passed" "$failed" "$skipped" >>"$UR_COUNTS"
[ "$failed" -eq 0 ]
