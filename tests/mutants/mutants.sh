#!/bin/bash
# mutants.sh - plants a fault in each of the places that decide, and sees whether the fast tests find it.
#
#     list: name, file, what stands there, what stands there instead ─▶ copy of the tree ─▶ build
#           ─▶ the unit tests of the put machine, of retry, of trouble, of the wire, of pieces, of the coordinator, of what takes
#              files away and of the gateway's rooms, the simulations ─▶ found, or lived
#
# Only unit tests and simulations count: whoever finds a fault in these rooms by an end-to-end test
# alone finds it late.
set -u

usage()
{
  cat <<'TEXT'
usage: tests/mutants/mutants.sh [NAME...]

  Plants each fault of tests/mutants/list (or those that are named) in a copy of the tree, one at a
  time, and runs the fast tests on it.  Ends with 1 when one of them lives.

  SIM_COUNT  worlds for each (30000)
  UR_COUNTS  a file that "passed failed skipped" is added to
TEXT
}

case ${1-} in
-h | --help)
  usage
  exit 0
  ;;
esac
cd "$(dirname "$0")/../.." || exit 2
TOP=$PWD
TESTS=()
for unit in put retry wire transfer http folder trouble ledger spool_outcome removal staging rename leftover recover settle settle_hash settle_stage \
  settle_move route create status upstream receive passing delivery delivery_answer delivery_course \
  delivery_related; do
  TESTS+=("tests/unit/test_$unit")
done
for test in tests/unit/test_coordinator_*.c tests/sim/sim_*.c; do
  [ ! -e "$test" ] || TESTS+=("${test%.c}")
done
export SIM_COUNT=${SIM_COUNT:-30000}

ROOM=$(mktemp -d) || exit 2
trap 'rm -rf "$ROOM"' EXIT
mkdir "$ROOM/tree"
cp -a Makefile engine cli fixtures scripts tests bench "$ROOM/tree" || exit 2
cd "$ROOM/tree" || exit 2
targets=("${TESTS[@]/#/build/release/}")

build()
{
  make -j"$(nproc)" BUILD=release CFLAGS=-Wno-error "${targets[@]}" >"$ROOM/build" 2>&1
}

build || {
  cat "$ROOM/build"
  echo "the tree does not build as it is"
  exit 2
}

# Exactly one place in $1 reads $2; it reads $3 from now on.
plant()
{
  FROM=$2 TO=$3 perl -0777 -i -pe '
    BEGIN { $from = $ENV{FROM}; $to = $ENV{TO} }
    $n = () = /\Q$from\E/g;
    if ($n != 1) { print STDERR "$n places read: $from\n"; exit 1 }
    s/\Q$from\E/$to/' "$1"
}

# The first test that finds it, in $found; "" when it lives.
look()
{
  local test
  found=
  for test in "${targets[@]}"; do
    if ! timeout 600 "$test" </dev/null >"$ROOM/said" 2>&1; then
      found=${test##*/}
      return
    fi
  done
}

killed=0 lived=0 index=0
while IFS='~' read -r name file from to; do
  case $name in '' | '#'*) continue ;; esac
  [ $# -eq 0 ] || [[ " $* " == *" $name "* ]] || continue
  index=$((index + 1))
  cp -p "$file" "$ROOM/kept" || exit 2
  from=$(printf '%b' "$from") to=$(printf '%b' "$to")
  if ! plant "$file" "$from" "$to"; then
    printf 'not ok %d %s: cannot be planted in %s\n' "$index" "$name" "$file"
    lived=$((lived + 1))
  elif ! build; then
    printf 'not ok %d %s: does not compile\n' "$index" "$name"
    grep -m 3 error: "$ROOM/build"
    lived=$((lived + 1))
  else
    look
    if [ -n "$found" ]; then
      printf 'ok %d %s: found by %s\n' "$index" "$name" "$found"
      killed=$((killed + 1))
    else
      printf 'not ok %d %s: lives\n' "$index" "$name"
      lived=$((lived + 1))
    fi
  fi
  cp "$ROOM/kept" "$file"
done <"$TOP/tests/mutants/list"

printf '1..%d\n%d passed, %d failed\n' "$index" "$killed" "$lived"
[ -z "${UR_COUNTS-}" ] || printf '%s %s 0\n' "$killed" "$lived" >>"$UR_COUNTS"
[ "$lived" -eq 0 ]
