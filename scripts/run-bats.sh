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

  Runs bats files, prints a line for each and, for those that fail, the tests with what they said.

  UR_BATS_JOBS     files at once (one more than processors: tests wait a lot)
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

room=$(mktemp -d) || exit 2
trap 'rm -rf "$room"' EXIT
jobs=${UR_BATS_JOBS:-$(($(nproc) + 1))}

# run_file FILE NUMBER: what there is to say of it to $room/NUMBER.said, its counts to .counts.
run_file()
{
  local file=$1 out=$room/$2.out status=0 began=$SECONDS plan ok bad skip why='' line
  # A test must not wait for an answer that nobody gives, and a hang is a failure.
  timeout -k 10 "${UR_BATS_TIMEOUT:-900}" bats --tap "$file" >"$out" 2>&1 </dev/null ||
    status=$?
  read -r plan ok bad skip < <(awk '
    /^1\.\.[0-9]+/ { plan += substr($0, 4) }
    /^ok [0-9]+ .*# skip/ { skip++; next }
    /^ok [0-9]+ / { ok++ }
    /^not ok [0-9]+ / { bad++ }
    END { print plan + 0, ok + 0, bad + 0, skip + 0 }' "$out")
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
  {
    printf '  e2e   %-28s %s%s, %d s\n' "${file##*/}" "$line" "$why" $((SECONDS - began))
    # The reasons of skipped tests, once each.
    sed -nE 's/^ok [0-9]+ .*# skip ?(.*)/        skipped: \1/p' "$out" | sort -u
    [ "$bad" -eq 0 ] || grep -vE '^ok |^1\.\.' "$out"
  } >"$room/$2.said"
  echo "$ok $bad $skip" >"$room/$2.counts"
  cat "$room/$2.said" # in one go: lines of two files never mix
}

number=0
for file in "$@"; do
  while [ "$(jobs -rp | wc -l)" -ge "$jobs" ]; do
    wait -n || true
  done
  number=$((number + 1))
  run_file "$file" "$number" &
done
wait

read -r passed failed skipped < <(cat "$room"/*.counts |
  awk '{ p += $1; f += $2; s += $3 } END { print p + 0, f + 0, s + 0 }')
missing=$((number - $(find "$room" -name '*.counts' | wc -l)))
failed=$((failed + missing))
[ -z "${UR_COUNTS-}" ] || printf '%s %s %s\n' "$passed" "$failed" "$skipped" >>"$UR_COUNTS"
[ "$failed" -eq 0 ]
