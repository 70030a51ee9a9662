#!/bin/bash
# marathon.sh - 10 GB over a line that is cut every 200-800 MB, everything ended 50 times.
set -u
cd "$(dirname "$0")/../.." || exit 2
RUN_SIZE=${RUN_SIZE:-10G} RUN_CUTS=${RUN_CUTS:-200M:800M} exec bats tests/e2e/47_marathon.bats
