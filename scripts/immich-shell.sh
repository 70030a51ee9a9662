#!/bin/bash
# immich-shell.sh - a shell, a command, psql, or the log of one of the stack's containers.
# shellcheck source-path=SCRIPTDIR
set -euo pipefail
# shellcheck source=lib/common.bash
. "$(dirname "$0")/lib/common.bash"

usage() {
  cat <<'TEXT'
usage: scripts/immich-shell.sh [OPTION] SERVICE [COMMAND...]

  SERVICE   immich-server, immich-postgres, …; `server`, `postgres` do as well
  COMMAND   instead of a shell

  --psql    SERVICE is not needed: psql in the database, with its user
  --logs    the log of SERVICE, the last 100 lines and what comes
  --dry-run say what would be done

  scripts/immich-shell.sh server
  scripts/immich-shell.sh postgres ls -l /var/lib/postgresql/data
  scripts/immich-shell.sh --psql -c 'SELECT count(*) FROM asset'
TEXT
}

what=shell
while [ $# -gt 0 ]; do
  case $1 in
  --psql | --logs) what=${1#--} ;;
  --dry-run) DRY_RUN=yes ;;
  -h | --help) usage && exit 0 ;;
  *) break ;;
  esac
  shift
done

load_env
known=(nginx heartbeat-frontend it-tools "${IMMICH_SERVICES[@]}" immich-microservices)
service=''
if [ "$what" != psql ]; then
  if [ $# -eq 0 ]; then
    usage >&2
    exit 2
  fi
  for name in "${known[@]}"; do
    if [ "$name" = "$1" ] || [ "$name" = "immich-$1" ] || [ "$name" = "uringest-$1" ]; then
      service=$name
    fi
  done
  [ -n "$service" ] || die "there is no service '$1'; there are: ${known[*]}" 2
  shift
fi
[ -n "$DRY_RUN" ] || need_docker

# Without a terminal, as in a pipe, docker must not ask for one.
terminal=()
if [ ! -t 0 ] || [ ! -t 1 ]; then
  terminal=(-T)
fi
case $what in
psql)
  compose exec ${terminal[@]+"${terminal[@]}"} immich-postgres \
    psql -U "${DB_USERNAME:-immich}" -d "${DB_DATABASE_NAME:-immich}" "$@"
  ;;
logs) compose logs --tail 100 --follow "$service" ;;
shell)
  # bash where there is one; the small images have sh.
  [ $# -gt 0 ] || set -- sh -c 'command -v bash >/dev/null && exec bash || exec sh'
  compose exec ${terminal[@]+"${terminal[@]}"} "$service" "$@"
  ;;
esac
