#!/bin/bash
# immich-up.sh - starts Immich and the upload gateway, or the whole stack, and waits for health.
# shellcheck source-path=SCRIPTDIR
set -euo pipefail
# shellcheck source=lib/common.bash
. "$(dirname "$0")/lib/common.bash"

usage() {
  cat <<'TEXT'
usage: scripts/immich-up.sh [OPTION...] [SERVICE...]

  Starts Immich's services (or those named) with the settings of .env.immich; what runs and has not
  changed is left alone.

  --all         the whole stack: nginx, the frontend and the tools as well
  --wait S      how long all may take to become healthy (900; the first start of a release migrates
                the database)
  --dry-run     say what would be done
TEXT
}

all='' wait_s=900 services=()
while [ $# -gt 0 ]; do
  case $1 in
  --all) all=yes ;;
  --wait) option_value "$@" && wait_s=$2 && shift ;;
  --dry-run) DRY_RUN=yes ;;
  -h | --help) usage && exit 0 ;;
  -*) usage >&2 && exit 2 ;;
  *) services+=("$1") ;;
  esac
  shift
done
case $wait_s in '' | *[!0-9]*) die "--wait wants seconds, not '$wait_s'" 2 ;; esac
if [ -n "$all" ] && [ ${#services[@]} -gt 0 ]; then
  die "either --all or services" 2
fi
need flock util-linux
load_env
[ -n "$DRY_RUN" ] || need_docker
take_lock stack

library=${UPLOAD_LOCATION:-/srv/immich/library} import=${IMPORT_LOCATION:-/srv/immich/import}

# The folders of the host.  Docker would make what is missing, but it would also start on the empty
# mount point of a disk that is not there: Immich itself looks for its marker files in them.
prepare_folders() {
  local path
  for path in "$library" "$import"; do
    case $path in /*) ;; *) die "'$path' in $ENV_FILE must begin with a '/'" 2 ;; esac
    if [ ! -d "$path" ]; then
      run mkdir -p "$path" || die "cannot make $path; make it as root" 2
    fi
  done
  case $import/ in
  "$library"/*) die "IMPORT_LOCATION $import lies in UPLOAD_LOCATION $library: what is imported would be Immich's own files" 2 ;;
  esac
  case ${DB_DATA_LOCATION-} in
  /*)
    case $(stat -f -c '%T' "$DB_DATA_LOCATION" 2>/dev/null) in
    nfs* | cifs | smb* | fuse*) die "DB_DATA_LOCATION $DB_DATA_LOCATION is on a network share, where a database breaks" 2 ;;
    esac
    ;;
  esac
}

# The gateway's seal: a file that its user alone may read.  Docker would make a folder in its place.
prepare_seal() {
  local seal=${URINGEST_SEAL_KEY:-/srv/immich/gateway-seal}
  [ ! -f "$seal" ] || return 0
  [ ! -e "$seal" ] || die "URINGEST_SEAL_KEY $seal is not a file; remove it" 2
  if [ -z "$DRY_RUN" ] && [ "$(id -u)" -ne 0 ]; then
    die "$seal is not there, and only root can make it: head -c 32 /dev/urandom | sudo install -m 0400 -o 10001 -g 10001 /dev/stdin $seal" 2
  fi
  run mkdir -p "$(dirname "$seal")"
  [ -n "$DRY_RUN" ] || head -c 32 /dev/urandom | install -m 0400 -o 10001 -g 10001 /dev/stdin "$seal" ||
    die "cannot make $seal" 2
}

# nginx does not start without the certificates that its hosts name.
prepare_certificates() {
  if [ "${HEARTBEAT_SITES:-production}" = dev ]; then
    run "$TOP/scripts/dev-cert.sh"
  elif [ ! -e "${LETSENCRYPT_DIR:-/etc/letsencrypt}/live/heartbeatacic.org/fullchain.pem" ]; then
    die "there is no certificate in ${LETSENCRYPT_DIR:-/etc/letsencrypt} yet; get it first: scripts/run-certbot.sh" 2
  fi
  # Docker would make a missing folder as root; this one may stay empty.
  [ -d "$TOP/heartbeat" ] || run mkdir -p "$TOP/heartbeat"
  [ -d "${ACME_WEBROOT:-/var/www/certbot}" ] || run mkdir -p "${ACME_WEBROOT:-/var/www/certbot}"
}

prepare_folders
prepare_seal
if [ -n "$all" ]; then
  prepare_certificates
elif [ ${#services[@]} -eq 0 ]; then
  mapfile -t services < <(immich_services)
fi
compose up -d --wait --wait-timeout "$wait_s" ${services[@]+"${services[@]}"} ||
  die "not everything became healthy; look at: scripts/immich-shell.sh --logs SERVICE"
[ -n "$DRY_RUN" ] || say "running and healthy: ${services[*]:-all services}"
