#!/bin/bash
# deploy-remote.sh - brings an archive of package-build.sh to the server and switches over to it.
#
#     archive ─check─▶ rsync ─check─▶ switch (one rename) ─▶ up ─▶ verify ─▶ forget old releases
#                                       ▲                     │      │
#                                       └──── switch back, up ◀──────┘  when one of them fails
#
# Until the switch nothing that runs is touched; after a failure the release before it runs again.
# shellcheck source-path=SCRIPTDIR
set -euo pipefail
# shellcheck source=lib/common.bash
. "$(dirname "$0")/lib/common.bash"

usage() {
  cat <<'TEXT'
usage: scripts/deploy-remote.sh --host [USER@]HOST [OPTION...] [ARCHIVE]

  ARCHIVE            made by scripts/package-build.sh (default: package-build.sh full, now)

  --dir DIR          where on the server (/srv/heartbeat); DIR/shared/.env.immich must be there
  --keep N           how many releases stay (5)
  --verify COMMAND   what looks at the result (scripts/verify-production.sh)
  --no-verify        nothing does
  --rollback         go back to the release before this one
  --list             the releases on the server
  --ssh-config FILE  ssh's settings: port, key, jump host
  --dry-run          look at everything, change nothing

  The user must be allowed to run docker on the server.
TEXT
}

host='' dir=/srv/heartbeat keep=5 verify=("$TOP/scripts/verify-production.sh") action=deploy
archive='' ssh=(ssh -o BatchMode=yes)
while [ $# -gt 0 ]; do
  case $1 in
  --host) option_value "$@" && host=$2 && shift ;;
  --dir) option_value "$@" && dir=$2 && shift ;;
  --keep) option_value "$@" && keep=$2 && shift ;;
  --verify) option_value "$@" && verify=(sh -c "$2") && shift ;;
  --no-verify) verify=(true) ;;
  --rollback) action=rollback ;;
  --list) action=list ;;
  --ssh-config) option_value "$@" && ssh+=(-F "$2") && shift ;;
  --dry-run) DRY_RUN=yes ;;
  -h | --help) usage && exit 0 ;;
  -*) usage >&2 && exit 2 ;;
  *) archive=$1 ;;
  esac
  shift
done
[ -n "$host" ] || die "--host is missing; --help shows how" 2
case $host in -*) die "--host $host: not a host" 2 ;; esac
case $dir in /*) ;; *) die "--dir must begin with a '/', not '$dir'" 2 ;; esac
case $dir in *[!A-Za-z0-9/._-]*) die "--dir may have letters, digits and ./_- only, not '$dir'" 2 ;; esac
case $keep in '' | *[!0-9]* | 0) die "--keep wants a number above 0, not '$keep'" 2 ;; esac
# rsync cuts its -e at spaces.
case ${ssh[4]-} in *[[:space:]]*) die "--ssh-config: a path without spaces, please" 2 ;; esac
need ssh openssh-client
need rsync rsync
need flock util-linux
[ -n "$DRY_RUN" ] || take_lock deploy

# One connection for all: one login, and a short path for its socket.
work=$(mktemp -d)
ssh+=(-o ControlMaster=auto -o "ControlPath=$work/s" -o ControlPersist=60)

# remote VERB [ARGUMENT…]: a verb of lib/release.bash, there.
remote() {
  local words
  words=$(printf ' %q' "$1" "$dir" "${@:2}")
  "${ssh[@]}" "$host" "bash -s --$words" <"$TOP/scripts/lib/release.bash"
}

# start_over ID: makes the release of this name the running one, and looks at it.
start_over() {
  remote switch "$1" && remote up && "${verify[@]}"
}

begun=''
finish() {
  [ -z "$begun" ] || remote end || warn "could not remove the mark of this deployment: ssh $host rm -r $dir/.deploying"
  "${ssh[@]}" -O exit "$host" 2>/dev/null || true
  rm -rf "$work"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

begin() {
  old=$(remote begin "$(id -un)@$(uname -n), $(date -u +%Y-%m-%dT%H:%M:%SZ)") || exit
  begun=yes
}

# After the switch: back to what ran, whatever happens, and the exit code says that it failed.
switch_over() { # NEW OLD
  if start_over "$1"; then
    return 0
  fi
  if [ -z "$2" ] || [ "$2" = "$1" ]; then
    die "$1 does not run as it should, and there is no release before it to go back to"
  fi
  warn "$1 does not run as it should; going back to $2"
  start_over "$2" || die "$2 does not run as it should either; look at the server: ssh $host"
  die "the new release $1 failed, $2 runs again; the new one stays in $dir/releases to be looked at"
}

case $action in
list)
  remote list
  exit
  ;;
rollback)
  new=$(remote previous) || exit
  [ -n "$new" ] || die "there is no release before the running one on $host" 2
  if [ -n "$DRY_RUN" ]; then
    say "would go back to $new"
    exit 0
  fi
  begin
  switch_over "$new" "$old"
  say "$new runs on $host"
  exit 0
  ;;
esac

[ -n "$archive" ] || archive=$("$TOP/scripts/package-build.sh" full)
[ -r "$archive" ] || die "$archive cannot be read; make one: scripts/package-build.sh" 2
mkdir "$work/unpacked"
if [ -r "$archive.sha256" ]; then
  (cd "$(dirname "$archive")" && sha256sum --check --quiet "$(basename "$archive").sha256") ||
    die "$archive is not what was packed; make it again: scripts/package-build.sh" 2
fi
tar --extract --gzip --file "$archive" --directory "$work/unpacked" --no-same-owner ||
  die "$archive cannot be unpacked; make it again: scripts/package-build.sh" 2
# One folder, which says what it is.
mapfile -t roots < <(find "$work/unpacked" -mindepth 1 -maxdepth 1)
root=${roots[0]-}
if [ ${#roots[@]} -ne 1 ] || [ ! -f "$root/RELEASE" ] || [ ! -f "$root/MANIFEST" ]; then
  die "$archive was not made by scripts/package-build.sh" 2
fi
(cd "$root" && sha256sum --check --quiet --strict MANIFEST) || die "$archive contradicts its own MANIFEST" 2
# By name the newest is last.
id=$(date -u +%Y%m%dT%H%M%SZ)-$(sed -n 's/^version=//p' "$root/RELEASE")
case $id in *[!A-Za-z0-9.+_-]*) die "the version in $archive is odd: $id" 2 ;; esac

if [ -n "$DRY_RUN" ]; then
  # The server is asked, and not changed.
  now=$(remote current) || die "$host: $dir is not there yet, or cannot be reached"
  say "would bring $id to $host:$dir, where ${now:-nothing} runs"
  exit 0
fi

begin
# Files that did not change are the same files on the disk.  Their times are the archive's, which is
# another one, and do not count.
link=()
[ -z "$old" ] || link=(--link-dest "../$old")
rsync --recursive --links --perms --checksum --delete -e "${ssh[*]}" ${link[@]+"${link[@]}"} \
  "$root/" "$host:$dir/releases/$id.partial/" ||
  die "the transfer to $host failed; ${old:-nothing} goes on running there, nothing was switched"
remote accept "$id" || {
  remote discard "$id" || true
  die "the transfer to $host was not whole; ${old:-nothing} goes on running there, nothing was switched"
}
switch_over "$id" "$old"
remote prune "$keep" || warn "old releases could not be removed"
say "$id runs on $host${old:+ instead of $old}"
