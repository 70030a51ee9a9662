# shellcheck shell=bash
# common - what the scripts around the stack share: talk, settings, the lock, docker compose.
#
#     . "$(dirname "$0")/lib/common.bash"
#     TOP          the repository, or the release, that the script belongs to (its real place)
#     DRY_RUN      set by --dry-run: `run` says what it would do
#
# Exit codes: 0 done, 1 it failed, 2 usage or set-up, 4 somebody else is at it.

SELF=${0##*/}
TOP=$(cd -P "$(dirname "${BASH_SOURCE[1]}")/.." && pwd)
DRY_RUN=${DRY_RUN-}
ENV_FILE=${ENV_FILE:-$TOP/.env.immich}

say() { printf '%s\n' "$*" >&2; }
warn() { printf '%s: %s\n' "$SELF" "$*" >&2; }
die() { # SENTENCE [EXIT_CODE]
  printf '%s: %s\n' "$SELF" "$1" >&2
  exit "${2:-1}"
}

# need COMMAND PACKAGE: with the line that helps.
need() {
  command -v "$1" >/dev/null 2>&1 ||
    die "$1 is not here; install it (Debian: apt-get install $2)" 2
}

# The command, or with --dry-run its words, quoted so that they can be pasted.
run() {
  if [ -n "$DRY_RUN" ]; then
    printf 'would run:' >&2
    printf ' %q' "$@" >&2
    printf '\n' >&2
  else
    "$@"
  fi
}

# option_value OPTION VALUE…: fails with a sentence when there is none.
option_value() {
  if [ $# -lt 2 ] || [ -z "$2" ]; then
    die "$1 wants a value; --help shows how" 2
  fi
}

# --- one at a time --------------------------------------------------------------------------------

# One place for root, whoever root came by: sudo, a timer and a login have different folders of a session.
lock_folder() {
  if [ -n "${STACK_LOCK_DIR-}" ]; then
    printf '%s\n' "$STACK_LOCK_DIR"
  elif [ "$(id -u)" -eq 0 ] && [ -w /run/lock ]; then
    echo /run/lock
  else
    printf '%s\n' "${XDG_RUNTIME_DIR:-/tmp}"
  fi
}

# take_lock NAME [FOLDER]: held until the script ends, also by kill -9, because the kernel keeps it.
# What a script starts inherits the right: a script that calls another does not lock itself out.  With
# a FOLDER it is about what is made there, otherwise about the one installation of this machine.
take_lock() {
  local file
  if [ $# -gt 1 ]; then
    file=$2/.$1.lock
  else
    file=$(lock_folder)/heartbeat-$1-$(id -u).lock
  fi
  [ "${STACK_LOCKED-}" != "$file" ] || return 0
  # A link that somebody else left in a shared folder is not written through.
  [ ! -L "$file" ] || die "$file is a symbolic link; remove it" 2
  exec 9>>"$file" || die "cannot open the lock $file" 2
  flock -n 9 || die "another run of the $1 scripts is at work (lock $file); wait for it to end" 4
  export STACK_LOCKED=$file
}

# --- settings -------------------------------------------------------------------------------------

# check_env FILE: what a file that holds secrets and is read as a script must be like.
check_env() {
  local mode owner
  [ -e "$1" ] || die "$1 is not there; make it: cp .env.immich.example .env.immich && chmod 600 .env.immich" 2
  if [ ! -f "$1" ] || [ ! -r "$1" ]; then
    die "$1 is not a file that can be read here" 2
  fi
  # Through a link: what counts is the file that is read.
  mode=$(stat -L -c '%a' "$1")
  owner=$(stat -L -c '%u' "$1")
  if [ $((0$mode & 0007)) -ne 0 ]; then
    die "$1 is open to everybody (mode $mode) and holds passwords; close it: chmod 600 $1" 2
  fi
  if [ $((0$mode & 0020)) -ne 0 ]; then
    die "$1 can be written by its group (mode $mode) and is read as a script; close it: chmod 600 $1" 2
  fi
  # Root by sudo is whoever that was before.
  if [ "$owner" -ne 0 ] && [ "$owner" -ne "$(id -u)" ] &&
    { [ "$(id -u)" -ne 0 ] || [ "$owner" != "${SUDO_UID-}" ]; }; then
    die "$1 belongs to user $owner, neither root nor you; it would be read as a script" 2
  fi
}

# load_env: the settings become variables of the script and of what it starts.  Quotes and spaces
# survive, because a shell reads them.
load_env() {
  check_env "$ENV_FILE"
  set -a
  # shellcheck disable=SC1090 # the installation's own
  . "$ENV_FILE"
  set +a
  [ -n "${DB_PASSWORD-}" ] ||
    die "DB_PASSWORD is empty in $ENV_FILE; fill it in: openssl rand -hex 24" 2
  case ${DB_PASSWORD}${REDIS_PASSWORD-} in
  *[!A-Za-z0-9]*) die "DB_PASSWORD and REDIS_PASSWORD in $ENV_FILE may have letters and digits only" 2 ;;
  esac
  case ${HEARTBEAT_SITES:-production} in
  */* | .*) die "HEARTBEAT_SITES in $ENV_FILE is the name of a folder below nginx/sites" 2 ;;
  esac
  [ -d "$TOP/nginx/sites/${HEARTBEAT_SITES:-production}" ] ||
    die "HEARTBEAT_SITES=$HEARTBEAT_SITES in $ENV_FILE: there is no $TOP/nginx/sites/$HEARTBEAT_SITES" 2
}

# --- docker compose -------------------------------------------------------------------------------

IMMICH_SERVICES=(immich-postgres immich-redis immich-machine-learning immich-server uringest-gateway)

# The services of Immich that the profiles of the settings ask for.
immich_services() {
  printf '%s\n' "${IMMICH_SERVICES[@]}"
  case ",${COMPOSE_PROFILES-}," in *,split,*) echo immich-microservices ;; esac
}

need_docker() {
  need docker docker.io
  docker compose version >/dev/null 2>&1 ||
    die "'docker compose' is not here; install the plugin (docker-compose-plugin), the old docker-compose does not do" 2
}

# From the real folder of the release: after a switch the paths differ, so what runs is made anew.
compose() {
  (cd "$TOP" && run docker compose --env-file "$ENV_FILE" \
    -f docker-compose.yml -f docker/immich/compose.immich.yml "$@")
}
