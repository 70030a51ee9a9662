#!/usr/bin/env bash
# The gateway under both sanitizers, delivery and rude peers included, and as many uploads as one
# gateway remembers.
#
#   tests/soak/gateway.sh
#   UR_CREATIONS=50000 tests/soak/gateway.sh
set -euo pipefail

here=$(cd "$(dirname "$0")/../e2e" && pwd)
top=$(cd "$here/../.." && pwd)
failed=0

run() { # BUILD FILE…
  local build=$1
  shift
  make -C "$top" --no-print-directory BUILD="$build" all
  (cd "$here" && BUILD=$build UR_BATS_TIMEOUT=3600 ../../scripts/run-bats.sh "$@") || failed=1
}

UR_CREATIONS=${UR_CREATIONS:-100000} UR_SLOW=${UR_SLOW:-60} run "${BUILD:-release}" 45_abuse.bats
unset UR_SLOW
run asan 41_gateway.bats 42_delivery.bats 43_tus.bats 45_abuse.bats 49_restart.bats
run tsan 41_gateway.bats 42_delivery.bats 43_tus.bats 49_restart.bats
exit $failed
