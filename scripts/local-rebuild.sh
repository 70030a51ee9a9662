#!/bin/bash
# local-rebuild.sh - build what is built here, start the stack of a developer's machine, look at it.
#
#     settings ─▶ certificate ─▶ docker compose build ─▶ up ─▶ verify-production.sh --dev
# shellcheck source-path=SCRIPTDIR
set -euo pipefail
# shellcheck source=lib/common.bash
. "$(dirname "$0")/lib/common.bash"

usage() {
  cat <<'TEXT'
usage: scripts/local-rebuild.sh [OPTION...]

  Wants .env.immich with HEARTBEAT_SITES=dev, and the dev hosts in /etc/hosts:
    127.0.0.1  dev.heartbeat.local photos.dev.heartbeat.local it-tools.dev.heartbeat.local

  --pull        fetch newer base images first
  --no-verify   do not look at the result
  --dry-run     say what would be done
TEXT
}

pull=() verify=yes
while [ $# -gt 0 ]; do
  case $1 in
  --pull) pull=(--pull) ;;
  --no-verify) verify='' ;;
  --dry-run) DRY_RUN=yes ;;
  -h | --help) usage && exit 0 ;;
  *) usage >&2 && exit 2 ;;
  esac
  shift
done
need flock util-linux
load_env
[ "${HEARTBEAT_SITES:-production}" = dev ] ||
  die "HEARTBEAT_SITES is '${HEARTBEAT_SITES:-production}' in $ENV_FILE; on a developer's machine it is dev" 2
[ -n "$DRY_RUN" ] || need_docker
take_lock stack

# Says what is wrong with the files before anything is touched.
compose config --quiet || die "the compose files and $ENV_FILE do not fit together; see above" 2
compose build ${pull[@]+"${pull[@]}"} uringest-gateway || die "the gateway's image could not be built"
again=()
[ -z "$DRY_RUN" ] || again=(--dry-run)
"$TOP/scripts/immich-up.sh" --all ${again[@]+"${again[@]}"} || exit
# The files behind a running nginx may have changed without its container.
compose exec -T nginx nginx -t -q || die "nginx does not take its configuration; see above"
compose exec -T nginx nginx -s reload || die "nginx could not be reloaded"
if [ -n "$verify" ]; then
  run "$TOP/scripts/verify-production.sh" --dev
fi
