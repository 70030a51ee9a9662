#!/bin/bash
# immich-upgrade.sh - another release of Immich: with a backup before it, and back again if it fails.
#
#     release notes ─▶ backup ─▶ pull ─▶ stop ─▶ dump ─▶ up ─▶ verify ─▶ done
#     (refuses what    (nothing has been   (what the     │      │
#      nobody read)     touched so far)     old one      └──────┴─▶ stop, the dump back, the old release up
#                                           wrote last)
# A new release migrates the database, and an old one does not understand what it made: that is why
# going back means the dump as well.
# shellcheck source-path=SCRIPTDIR
set -euo pipefail
# shellcheck source=lib/common.bash
. "$(dirname "$0")/lib/common.bash"

usage() {
  cat <<'TEXT'
usage: scripts/immich-upgrade.sh [OPTION...] [vX.Y.Z]

  Without a version: what runs, what there is, and what its notes say.

  --notes-read      go on although the notes between the two speak of breaking changes or of another
                    image of the database; say it after reading them
  --notes FILE      the releases from a file (JSON as of IMMICH_RELEASES_URL), where there is no network
  --no-backup       not the whole backup first (the dump before the switch is always made)
  --verify COMMAND  what looks at the result (scripts/verify-production.sh)
  --dry-run         say what would be done

  Exit code: 0 done, 1 failed and the release before runs, 2 usage or set-up, 4 another one is at work.
TEXT
}

target='' read='' notes='' backup=yes verify=("$TOP/scripts/verify-production.sh")
while [ $# -gt 0 ]; do
  case $1 in
  --notes-read) read=yes ;;
  --notes) option_value "$@" && notes=$2 && shift ;;
  --no-backup) backup='' ;;
  --verify) option_value "$@" && verify=(sh -c "$2") && shift ;;
  --dry-run) DRY_RUN=yes ;;
  -h | --help) usage && exit 0 ;;
  -*) usage >&2 && exit 2 ;;
  *) target=$1 ;;
  esac
  shift
done
case $target in
'') ;;
v[0-9]*.[0-9]*.[0-9]*) case ${target#v} in *[!0-9.]*) die "'$target' is not a release, as v3.2.2" 2 ;; esac ;;
*) die "'$target' is not a release, as v3.2.2" 2 ;;
esac
need flock util-linux
need jq jq
need curl curl
load_env
# shellcheck source=lib/backup.bash
. "$TOP/scripts/lib/backup.bash"
current=${IMMICH_VERSION:-v3.2.2}
later() { [ "$1" != "$2" ] && [ "$(printf '%s\n%s\n' "$1" "$2" | sort -V | tail -n 1)" = "$1" ]; }
if [ -n "$target" ]; then
  if [ "$target" = "$current" ]; then say "$current is what runs" && exit 0; fi
  later "$target" "$current" || die "$target is older than $current, whose database it would not understand; to go back, restore a backup of that time: scripts/immich-restore.sh --list" 2
fi
[ -n "$DRY_RUN$notes" ] || need_docker
[ -n "$DRY_RUN" ] || take_lock stack
prepare_state
umask 077
work=$(mktemp -d "$STATE/upgrade.XXXXXX")
trap 'rm -rf "$work"' EXIT

# --- what the notes say ---------------------------------------------------------------------------

if [ -n "$notes" ]; then
  cp "$notes" "$work/releases" || die "cannot read $notes" 2
else
  curl -sS --fail --location --max-time 60 --max-filesize 20000000 -H 'Accept: application/vnd.github+json' \
    "${IMMICH_RELEASES_URL:-https://api.github.com/repos/immich-app/immich/releases?per_page=100}" >"$work/releases" ||
    die "the release notes cannot be fetched; fetch them elsewhere and give them with --notes FILE" 2
fi
jq -e 'type == "array" and all(.[]; .tag_name | type == "string")' "$work/releases" >/dev/null 2>&1 ||
  die "what came as release notes is no list of releases" 2
jq -r '.[] | select((.prerelease or .draft) | not) | .tag_name' "$work/releases" | grep -xE 'v[0-9]+\.[0-9]+\.[0-9]+' |
  sort -V >"$work/tags" || die "there is no release in the list" 2
between() { # the releases after the current one, up to the target
  local tag
  while read -r tag; do
    if later "$tag" "$current" && { [ -z "$target" ] || ! later "$tag" "$target"; }; then printf '%s\n' "$tag"; fi
  done <"$work/tags"
}
between >"$work/between"
if [ -n "$target" ] && ! grep -qxF "$target" "$work/tags"; then
  die "there is no release $target; the newest is $(tail -n 1 "$work/tags")" 2
fi
# A list that begins later than what runs does not tell all.
later "$(head -n 1 "$work/tags")" "$current" && partial=yes || partial=''

worrying=''
while read -r tag; do
  # Lines of the notes that an administrator has to know.  Control bytes never reach a terminal.
  jq -r --arg tag "$tag" '.[] | select(.tag_name == $tag) | .body // ""' "$work/releases" | tr -d '\000-\010\013-\037\177' |
    grep -iE 'breaking|action required|migrat|deprecat|renamed?|removed|must (be )?(update|change)|postgres|vectorchord|redis|valkey|docker-compose|environment variable' |
    cut -c 1-160 >"$work/lines" || true
  say "$tag  https://github.com/immich-app/immich/releases/tag/$tag"
  sed 's/^/    /' "$work/lines" >&2
  if grep -qiE 'breaking|action required' "$work/lines"; then worrying="$worrying $tag"; fi
done <"$work/between"
[ -s "$work/between" ] || say "there is nothing newer than $current"
if [ -z "$target" ]; then
  [ ! -s "$work/between" ] || say "to go on: scripts/immich-upgrade.sh $(tail -n 1 "$work/between")"
  exit 0
fi

# The image of the database that the release wants, from its own compose file.
want_image() {
  curl -sS --fail --location --max-time 60 --max-filesize 1000000 \
    "${IMMICH_DOWNLOADS_URL:-https://github.com/immich-app/immich/releases/download}/$target/docker-compose.yml" 2>/dev/null |
    sed -nE 's|^[[:space:]]*image:[[:space:]]*ghcr.io/immich-app/postgres:([A-Za-z0-9._-]+).*|\1|p' | head -n 1
}
have=$(sed -nE 's|^[[:space:]]*image:[[:space:]]*ghcr.io/immich-app/postgres:([A-Za-z0-9._-]+).*|\1|p' "$TOP/docker/immich/compose.immich.yml" | head -n 1)
want=$(want_image) || true
if [ -z "$want" ]; then
  say "which image of the database $target wants could not be found out; we have $have"
elif [ "$want" != "$have" ]; then
  say "$target comes with the database image $want, and docker/immich/compose.immich.yml has $have"
  worrying="$worrying database-image"
fi
[ "${target%%.*}" = "${current%%.*}" ] || worrying="$worrying a-new-major-version"
[ -z "$partial" ] || worrying="$worrying notes-older-than-the-list"
if [ -n "$worrying" ] && [ -z "$read" ]; then
  die "read the notes first:$worrying; then again with --notes-read.  Nothing was changed" 2
fi

if [ -n "$DRY_RUN" ]; then
  [ -z "$backup" ] || say "would back up"
  say "would pull $target, stop Immich, dump $DATABASE, write IMMICH_VERSION=$target to $ENV_FILE, start, and run: ${verify[*]}"
  exit 0
fi

# --- up to the switch nothing that runs is touched ------------------------------------------------

need_docker
need_database
if [ -n "$backup" ]; then
  "$TOP/scripts/immich-backup.sh" || die "no upgrade without a backup; $current goes on running"
fi
# The shell's word goes before the file's.
export IMMICH_VERSION=$target
compose pull immich-server immich-machine-learning || die "$target could not be pulled; $current goes on running"

# --- the switch -----------------------------------------------------------------------------------

WORKERS=(immich-server immich-microservices)
file=$(realpath "$ENV_FILE")
write_version() { # VERSION: into the settings, which keep their owner and mode
  local new
  new=$(mktemp "$(dirname "$file")/.env.immich.XXXXXX") || return
  cp -p "$file" "$new" || return
  if grep -qE '^IMMICH_VERSION=' "$file"; then
    sed -E "s/^IMMICH_VERSION=.*/IMMICH_VERSION=$1/" "$file" >"$new"
  else
    { cat "$file" && printf 'IMMICH_VERSION=%s\n' "$1"; } >"$new"
  fi || return
  mv -T "$new" "$file"
}

dump=$STATE/before-$target.sql.gz
stopped='' written=''
finish() {
  local code=$?
  trap '' INT TERM HUP
  [ "$code" -eq 0 ] || [ -z "$stopped" ] || go_back
  rm -rf "$work"
  exit "$code"
}
go_back() {
  warn "going back to $current"
  export IMMICH_VERSION=$current
  compose stop "${WORKERS[@]}" || true
  if [ -n "$written" ]; then
    if ! write_version "$current"; then
      warn "IMMICH_VERSION could not be set back: write IMMICH_VERSION=$current into $file"
    fi
    # What the new release made of the database, the old one would not understand.
    if ! "$TOP/scripts/immich-restore.sh" --yes --no-start --dump "$dump"; then
      warn "THE DATABASE IS THE NEW RELEASE'S STILL.  Do not start $current on it; load the dump by hand: scripts/immich-restore.sh --dump $dump"
      return
    fi
  fi
  "$TOP/scripts/immich-up.sh" || { warn "$current does not start: scripts/immich-shell.sh --logs server" && return; }
  warn "$current runs again, with the database as it was before the upgrade; $dump has that too"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

# The gateway stays: what it has received it delivers afterwards.
stopped=yes
compose stop "${WORKERS[@]}" || die "Immich could not be stopped"
# Everything that was written up to now.
"$TOP/scripts/immich-backup.sh" --dump-only "$dump" || die "the last dump before the upgrade failed"
written=yes
write_version "$target" || die "cannot write $file"
"$TOP/scripts/immich-up.sh" || die "$target does not become healthy"

runs() {
  local said
  # shellcheck disable=SC2016 # for the shell in there
  said=$(pg_server_version) || return
  [ "$said" = "${target#v}" ] || { warn "the server says that it is $said" && return 1; }
}
pg_server_version() {
  (cd "$TOP" && docker compose --env-file "$ENV_FILE" -f docker-compose.yml -f docker/immich/compose.immich.yml \
    exec -T immich-server curl -sS --fail --max-time 20 http://localhost:2283/api/server/version </dev/null) |
    jq -r '"\(.major).\(.minor).\(.patch)"'
}
runs || die "what runs is not $target"
"${verify[@]}" || die "$target does not pass the verification"
stopped=''
say "$target runs; the database before it is in $dump, remove it when all is well"
