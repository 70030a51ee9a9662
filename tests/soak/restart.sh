#!/usr/bin/env bash
# The gateway restarted every 5 s for 5 minutes under 8 uploads of tus-js-client as it comes: behind a
# socket that outlives it, and stopped and started as a container is.  Prints the longest outage.
#
#   tests/soak/restart.sh
#   RESTARTS=12 tests/soak/restart.sh      in a fifth of the time
set -euo pipefail

cd "$(dirname "$0")/../e2e"
export RESTARTS=${RESTARTS:-60} RESTART_EVERY=${RESTART_EVERY:-5} RESTART_RATE=${RESTART_RATE:-200000}
exec bats -T 49_restart.bats </dev/null
