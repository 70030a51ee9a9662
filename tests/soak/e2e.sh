#!/usr/bin/env bash
# The end-to-end tests that grow with patience: 20,000 files of every kind through nginx, and 200
# kills at random moments, on 2,000 files, of runs that import and of runs that remove.
#
#   tests/soak/e2e.sh
#   UR_COUNT=5000 UR_KILLS=50 tests/soak/e2e.sh      in a tenth of the time
set -euo pipefail

here=$(cd "$(dirname "$0")/../e2e" && pwd)
export UR_COUNT=${UR_COUNT:-20000} UR_KILLS=${UR_KILLS:-200} UR_KILL_FILES=${UR_KILL_FILES:-2000}
export UR_SLOW=${UR_SLOW:-10}
failed=0
bats -T "$here/10_main.bats" </dev/null || failed=1
bats -T "$here/14_weather.bats" </dev/null || failed=1
exit $failed
