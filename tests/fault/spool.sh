#!/bin/bash
# spool.sh - the gateway's spool over crashes, power cuts and failing calls; see spool_crash.c.
set -u

usage()
{
  cat <<'TEXT'
usage: tests/fault/spool.sh

  STEP   every STEP-th point and call (3); 1: every one
  BUILD  release, asan, …
  ONLY   this point alone, and its folders are kept
TEXT
}

case ${1-} in
-h | --help)
  usage
  exit 0
  ;;
esac

cd "$(dirname "$0")/../.." || exit 2
export UR_UNIT_TIMEOUT=${UR_UNIT_TIMEOUT:-900}
exec scripts/run-unit.sh "build/${BUILD:-release}/tests/fault/spool_crash"
