#!/bin/bash
# immich-restore.sh - brings a generation of immich-backup.sh back: database, library, or both.
#
#     check ─▶ new database ─▶ add files ─▶ read all ─▶ stop Immich ─▶ replace what differs
#       │      (beside the     (none is      (SHA-256)                       │
#       │       old one)        replaced)                        rename databases (one transaction)
#       ▼                                                                    │
#     refused: nothing        a failure up to here leaves what runs     start, look ─▶ done
#     was touched             running as it was                              └─▶ rename back, start
#
# The database before stays, under the name it is given at the end, until --forget.
# shellcheck source-path=SCRIPTDIR
set -euo pipefail
# shellcheck source=lib/common.bash
. "$(dirname "$0")/lib/common.bash"

usage() {
  cat <<'TEXT'
usage: scripts/immich-restore.sh [OPTION...] [GENERATION|latest]

  --list           the generations there are
  --database-only  leave the library alone
  --library-only   only the files: what is missing or damaged comes back, Immich goes on running
  --dump FILE      the database from this dump (.sql.gz, also one of Immich's own) instead
  --force          also what was saved by a newer Immich than IMMICH_VERSION
  --no-start       leave Immich stopped at the end
  --forget         drop the databases that earlier restores left, and the files they replaced
  --yes            do not ask
  --dry-run        check the generation and say what would be done

  Exit code: 0 done, 1 failed and what ran before runs, 2 usage or set-up, 4 another one is at work.
TEXT
}

action=restore which='' dump='' database=yes library=yes force='' start=yes yes=''
while [ $# -gt 0 ]; do
  case $1 in
  --list | --forget) action=${1#--} ;;
  --database-only) library='' ;;
  --library-only) database='' ;;
  --dump) option_value "$@" && dump=$2 library='' && shift ;;
  --force) force=yes ;;
  --no-start) start='' ;;
  --yes) yes=yes ;;
  --dry-run) DRY_RUN=yes ;;
  -h | --help) usage && exit 0 ;;
  -*) usage >&2 && exit 2 ;;
  *) which=$1 ;;
  esac
  shift
done
[ -n "$database$library" ] || die "--database-only and --library-only together leave nothing to do" 2
if [ -n "$dump" ] && { [ -n "$which" ] || [ -z "$database" ]; }; then die "--dump goes with neither a generation nor --library-only" 2; fi
need flock util-linux
need gzip gzip
load_env
# shellcheck source=lib/backup.bash
. "$TOP/scripts/lib/backup.bash"
[ -n "$dump" ] || [ "$action" = forget ] || find_place
if [ "$action" = list ]; then
  place list </dev/null
  exit
fi
need_docker
[ -n "$DRY_RUN" ] || take_lock stack
backup_lock
umask 077
replaced=$STATE/replaced
work=$(mktemp -d "$STATE/restore.XXXXXX")

if [ "$action" = forget ]; then
  trap 'rm -rf "$work"' EXIT
  need_database
  for name in $(sql postgres "SELECT datname FROM pg_database WHERE datname ~ '^${DATABASE}_(before|new)_[0-9TZ]+$'"); do
    if [ -n "$DRY_RUN" ]; then say "would drop $name" && continue; fi
    drop_database "$name"
    say "dropped $name"
  done
  run rm -rf "$replaced"
  exit 0
fi

# --- what state things are in, so that an end in the middle can put them right --------------------

made='' stopped='' switched='' swapped=''
finish() {
  local code=$?
  trap '' INT TERM HUP
  if [ "$code" -ne 0 ]; then
    # It may have come up on the new database.
    [ -z "$switched" ] || stop_immich || true
    [ -z "$switched" ] || { rename_back && switched=''; } || warn "the old database is $before: rename it by hand, see md/immich-operations.md"
    [ -z "$swapped" ] || files_back || warn "the files that were replaced are in $replaced/$stamp"
    [ -z "$stopped" ] || start_immich || warn "Immich could not be started again: scripts/immich-up.sh"
  fi
  # Also when it failed after the rename: by then it has this name again.
  [ -z "$made" ] || [ -n "$switched" ] || drop_database "$new" || warn "the database $new is left; scripts/immich-restore.sh --forget"
  rm -rf "$work"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

WORKERS=(immich-server immich-microservices uringest-gateway)
stop_immich() { compose stop "${WORKERS[@]}"; }
# By the script itself: folders, seal, health.
start_immich() { "$TOP/scripts/immich-up.sh" --wait 900; }

# Sessions come back as fast as they are ended, so it is tried a few times.
rename_databases() { # FROM TO [FROM TO]
  local statements='' names='' try
  while [ $# -gt 0 ]; do
    statements="$statements ALTER DATABASE \"$1\" RENAME TO \"$2\";"
    names="$names,'$1'"
    shift 2
  done
  for try in 1 2 3 4 5; do
    sql postgres "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname IN (${names#,}) AND pid <> pg_backend_pid()" >/dev/null
    # One transaction: both or none.
    if sql postgres "BEGIN; $statements COMMIT" 2>"$work/rename"; then return 0; fi
    [ "$try" = 5 ] || sleep 1
  done
  cat "$work/rename" >&2
  return 1
}
had=''
rename_there() {
  if [ -n "$had" ]; then
    rename_databases "$DATABASE" "$before" "$new" "$DATABASE"
  else
    rename_databases "$new" "$DATABASE"
  fi
}
rename_back() {
  if [ -n "$had" ]; then
    rename_databases "$DATABASE" "$new" "$before" "$DATABASE"
  else
    rename_databases "$DATABASE" "$new"
  fi
}

# Replaced files go back to where they were.
files_back() {
  [ ! -d "$replaced/$stamp" ] || rsync --archive --numeric-ids "$replaced/$stamp/" "$LIBRARY/" && rm -rf "${replaced:?}/$stamp"
}

# What this restore leaves has a name by the second; one of the same second may have left its own.
name_what_stays() {
  while
    stamp=$(date -u +%Y%m%dT%H%M%SZ)
    new=${DATABASE}_new_$stamp before=${DATABASE}_before_$stamp
    [ -e "$replaced/$stamp" ] ||
      { [ -n "$database" ] && { database_exists "$new" || database_exists "$before"; }; }
  do sleep 0.2; done
}

# --- the steps ------------------------------------------------------------------------------------

check_version() {
  local saved=${1#v} now=${IMMICH_VERSION:-v3.2.2}
  now=${now#v}
  [ -n "$saved" ] && [ "$saved" != "$now" ] || return 0
  if [ "$(printf '%s\n' "$saved" "$now" | sort -V | tail -n 1)" = "$saved" ] && [ -z "$force" ]; then
    die "the generation was saved by Immich v$saved, which is newer than IMMICH_VERSION=v$now of $ENV_FILE; set IMMICH_VERSION=v$saved first, or --force" 2
  fi
  say "saved by Immich v$saved; v$now will migrate it when it starts"
}

room_for() { # FOLDER BYTES WHAT
  local free
  free=$(df --output=avail -B1 "$1" | tail -n 1)
  [ "$free" -gt "$2" ] || die "$1 has $(pretty "$free") free and $3 needs $(pretty "$2"); nothing was changed" 2
}

if [ -n "$dump" ]; then
  dump=$(realpath "$dump")
  check_dump "$dump" "$work/names" || die "$dump $WHY; nothing was changed"
  id="the dump $dump"
else
  id=$(pick_generation "$which") || exit
  take_generation "$id"
  [ -z "$database" ] || check_version "$(info "$work/INFO" immich)"
  dump=$work/database.sql.gz
fi
[ -d "$LIBRARY" ] || run mkdir -p "$LIBRARY"
if [ -n "$library" ]; then
  library_lines "$work/MANIFEST" >"$work/lines"
fi
if [ -n "$DRY_RUN" ]; then
  say "$id is whole: $DUMP_TABLES tables, $DUMP_ROWS assets"
  [ -z "$library" ] || say "would add what is missing to $LIBRARY, of $(wc -l <"$work/lines") files, and replace what differs"
  [ -z "$database" ] || say "would load the dump beside $DATABASE, stop ${WORKERS[*]}, rename $DATABASE to ${DATABASE}_before_TIME and the new one to $DATABASE, and start"
  exit 0
fi
if [ -z "$yes" ]; then
  [ -t 0 ] || die "this replaces what runs; say --yes where nobody can be asked" 2
  printf 'Restore %s (%s assets) over %s%s?  Type restore: ' "$id" "$DUMP_ROWS" \
    "${database:+the database $DATABASE}" "${library:+ and $LIBRARY}" >&2
  read -r answer
  [ "$answer" = restore ] || die "not restored" 2
fi

if [ -n "$library" ] && [ "$(stat -c %d "$LIBRARY")" != "$(stat -c %d "${PLACE_DIR:-/}" 2>/dev/null || echo 0)" ]; then
  needed=$(($(info "$work/INFO" library_bytes) - $(du -sb "$LIBRARY" 2>/dev/null | cut -f 1 || echo 0)))
  [ "$needed" -le 0 ] || room_for "$LIBRARY" "$needed" "the library"
fi

if [ -z "$database" ]; then
  name_what_stays
else
  compose up -d --wait immich-postgres || die "the database does not start; nothing was changed"
  need_database
  name_what_stays
  if database_exists "$DATABASE"; then had=yes; fi
  made=yes
  make_database "$new" "$work/database.settings" || die "cannot make a new database; nothing was changed"
  begun=$(seconds_now)
  load_dump "$dump" "$new" || die "the dump could not be loaded; see above; what runs was not touched"
  table=$(asset_table "$new")
  [ -n "$table" ] && rows=$(sql "$new" "SELECT count(*) FROM $table") || rows=none
  [ "$rows" = "$DUMP_ROWS" ] || die "$rows assets came out of a dump of $DUMP_ROWS; what runs was not touched"
  say "loaded beside what runs: $rows assets, $(($(seconds_now) - begun)) s"
fi

if [ -n "$library" ]; then
  # What is there is not touched; what is missing harms nobody.
  fetch --ignore-existing "$id/library/" "$LIBRARY/" || die "the files could not be brought back; what runs was not touched"
  # Read, not believed: same size and time may still be other bytes.
  here differing "$LIBRARY" <"$work/lines" >"$work/differing"
  say "$(($(wc -l <"$work/lines") - $(wc -l <"$work/differing"))) files are as they were saved, $(wc -l <"$work/differing") differ"
fi

replace_files() {
  [ -s "$work/differing" ] || return 0
  mkdir -p "$replaced/$stamp"
  swapped=yes
  tr '\n' '\0' <"$work/differing" | sed -z 's/\\\\/\x01/g; s/\\n/\n/g; s/\x01/\\/g' |
    fetch --ignore-times --backup --backup-dir "$replaced/$stamp" --from0 --files-from=- "$id/library/" "$LIBRARY/" ||
    die "files that differ could not be replaced"
  awk 'FILENAME == ARGV[1] { other[$0]; next } { path = $0; sub(/^\\?[0-9a-f]+  /, "", path) } path in other' \
    "$work/differing" "$work/lines" | here differing "$LIBRARY" >"$work/still"
  [ ! -s "$work/still" ] || die "$(wc -l <"$work/still") files still differ from the generation, as $(head -n 1 "$work/still")"
  say "replaced $(wc -l <"$work/differing") files; the ones before are in $replaced/$stamp"
}

if [ -n "$database" ]; then
  stopped=yes
  stop_immich || die "Immich could not be stopped; what runs was not touched"
fi
[ -z "$library" ] || replace_files
if [ -n "$database" ]; then
  switched=yes
  rename_there || { switched='' && die "the databases could not be renamed; the old one is in place"; }
  # Folders that are volumes of their own may be new and empty, and Immich wants its marks in them.
  # shellcheck disable=SC2016 # for the shell in there
  compose run --rm --no-deps -T --entrypoint sh immich-server -c \
    'for f in library upload profile backups thumbs encoded-video; do mkdir -p "/data/$f" && { [ -e "/data/$f/.immich" ] || echo restored >"/data/$f/.immich"; } || exit; done' </dev/null ||
    die "the folders of the library could not be prepared; going back to the old state"
  # The queues speak of what was; Immich fills them anew.
  if [ -n "$start" ]; then
    start_immich || die "Immich does not become healthy with the restored data; going back to the old state"
  fi
  stopped=''
fi
# From here on nothing goes back.
switched='' made='' swapped=''

# --- compare --------------------------------------------------------------------------------------

if [ -s "$work/names" ]; then
  (cd "$LIBRARY" && { find . -type f -printf '%P\0' || true; } | sed -z 's/\\/\\\\/g; s/\n/\\n/g' | tr '\0' '\n') >"$work/there"
  not_among "$work/names" "$work/there" >"$work/lost"
  if [ -s "$work/lost" ]; then
    cut -f 2- "$work/lost" >"$STATE/missing-after-restore"
    warn "$(wc -l <"$work/lost") originals that the database names are not in $LIBRARY: $STATE/missing-after-restore lists them"
  fi
fi
if [ -n "$database" ] && [ -n "$had" ]; then
  say "the database before is $before; when all is well: scripts/immich-restore.sh --forget"
fi
say "restored $id${library:+; then: uringest verify, and import what is missing}"
