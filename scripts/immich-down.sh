#!/bin/bash
# immich-down.sh - stops Immich and the upload gateway and removes their containers; the data, which
# is in volumes and in UPLOAD_LOCATION, stays, and so does everything else that runs.
# shellcheck source-path=SCRIPTDIR
set -euo pipefail
# shellcheck source=lib/common.bash
. "$(dirname "$0")/lib/common.bash"

usage() {
  cat <<'TEXT'
usage: scripts/immich-down.sh [OPTION...] [SERVICE...]

  Stops Immich's services (or those named).  nginx stays up and answers 502 for the photo hosts until
  scripts/immich-up.sh; an upload on its way through the gateway goes on afterwards.

  --all         the whole stack, nginx as well
  --dry-run     say what would be done
TEXT
}

all='' services=()
while [ $# -gt 0 ]; do
  case $1 in
  --all) all=yes ;;
  --dry-run) DRY_RUN=yes ;;
  -h | --help) usage && exit 0 ;;
  -*) usage >&2 && exit 2 ;;
  *) services+=("$1") ;;
  esac
  shift
done
if [ -n "$all" ] && [ ${#services[@]} -gt 0 ]; then
  die "either --all or services" 2
fi
need flock util-linux
load_env
[ -n "$DRY_RUN" ] || need_docker
take_lock stack

if [ -n "$all" ]; then
  # Without --volumes, ever.
  compose down
else
  if [ ${#services[@]} -eq 0 ]; then
    # The worker of the profile `split` too, also after the profile was switched off.
    services=("${IMMICH_SERVICES[@]}" immich-microservices)
  fi
  compose rm --stop --force "${services[@]}"
fi
