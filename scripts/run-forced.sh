#!/bin/bash
# run-forced.sh - the main job on each path that a machine may take, forced.
#
#     HASH RING THREADS ─▶ some end-to-end tests, some crashes ─▶ $UR_COUNTS
#
# What this processor or kernel does not have is left out, and said.
set -u

usage()
{
  cat <<'TEXT'
usage: scripts/run-forced.sh [HASH:RING:THREADS...]

  (default: avx512:sync:2 shani2:uring:8 openssl:uring:1 openssl:sync:1)

  BUILD  release, asan, …
  STEP   of the crashes (61)
TEXT
}

case ${1-} in
-h | --help)
  usage
  exit 0
  ;;
esac
[ $# -gt 0 ] || set -- avx512:sync:2 shani2:uring:8 openssl:uring:1 openssl:sync:1
out=build/${BUILD:-release}
program=$out/uringest
tests=(tests/e2e/10_main.bats tests/e2e/13_settle.bats tests/e2e/31_cold.bats)
room=$(mktemp -d) || exit 2
trap 'rm -rf "$room"' EXIT

# Nobody listens there: it ends with what is wrong with the options, or with that.
lacks_hash()
{
  IMMICH_API_KEY=none "$program" plan --hash="$1" --ledger "$room/ledger" --server http://127.0.0.1:1 \
    /dev/null 2>&1 </dev/null | grep -q 'this processor cannot'
}

lacks_ring()
{
  [ "$1" = uring ] && "$out/tests/unit/test_ring" 2>&1 | grep -q 'no io_uring here'
}

failed=0
for path in "$@"; do
  IFS=: read -r hash ring threads <<<"$path"
  if lacks_hash "$hash" || lacks_ring "$ring"; then
    echo "-- $path: left out, this machine cannot do that"
    continue
  fi
  echo "-- $path"
  UR_FORCE="--hash=$hash --ring=$ring --threads=$threads" scripts/run-bats.sh "${tests[@]}" || failed=1
  UR_FORCE_HASH=$hash STEP=${STEP:-61} tests/fault/crash.sh delete across busy || failed=1
done
exit $failed
