#!/bin/bash
# immich-backup.sh - the database and the library, as one whole, in a second place.
#
#     rsync ─▶ pg_dump ─▶ look at the dump ─▶ rsync again ─▶ compare ─▶ manifest ─▶ accept ─▶ prune
#              (what rows name)               (what came in between)              (one rename)
#
# What the restored database names must be there: so the copy that counts comes after the dump.  Files
# that arrive later are in the copy and in no row, which harms nobody.  The first copy is the long one;
# it makes the time between dump and second copy short, and holds what Immich moves or removes in it.
# What it moved is found again by asking where it is now.  Nothing is taken out of the copy before it
# is accepted, and nothing that is not accepted ever looks like a backup.
# shellcheck source-path=SCRIPTDIR
set -euo pipefail
# shellcheck source=lib/common.bash
. "$(dirname "$0")/lib/common.bash"

usage() {
  cat <<'TEXT'
usage: scripts/immich-backup.sh [OPTION...]

  Makes a generation in BACKUP_LOCATION of .env.immich: database.sql.gz, library/ (without thumbs and
  encoded-video, which Immich makes again), INFO, MANIFEST (SHA-256 of every file).  Files that did not
  change are the same files on the disk.  Then removes what BACKUP_KEEP no longer asks for.

  --init            make BACKUP_LOCATION a place for backups, once
  --list            the generations there
  --check ID|latest read every byte of a generation and compare it with its manifest
  --dump-only FILE  only the database, checked, to FILE
  --dry-run         say what would be done

  Exit code: 0 done, 1 failed (the generations before it are as they were), 2 usage or set-up,
  4 another one is at work.
TEXT
}

action=backup file='' id=''
while [ $# -gt 0 ]; do
  case $1 in
  --init | --list) action=${1#--} ;;
  --check) option_value "$@" && action=check id=$2 && shift ;;
  --dump-only) option_value "$@" && action=dump file=$2 && shift ;;
  --dry-run) DRY_RUN=yes ;;
  -h | --help) usage && exit 0 ;;
  *) usage >&2 && exit 2 ;;
  esac
  shift
done
need flock util-linux
need gzip gzip
load_env
# shellcheck source=lib/backup.bash
. "$TOP/scripts/lib/backup.bash"
[ "$action" = dump ] || find_place
read -r -a keep <<<"${BACKUP_KEEP:-7 5 12}"
case ${#keep[@]}:${keep[*]} in
3:*[!0-9\ ]* | 3:0* | [!3]:*) die "BACKUP_KEEP in $ENV_FILE wants three numbers, days weeks months, not '${BACKUP_KEEP-}'" 2 ;;
esac

case $action in
init)
  if [ -n "$DRY_RUN" ]; then say "would make $BACKUP_LOCATION a place for backups" && exit 0; fi
  place init </dev/null || exit
  say "$BACKUP_LOCATION is a place for backups"
  exit 0
  ;;
list)
  place list </dev/null
  exit
  ;;
check)
  id=$(pick_generation "$id") || exit
  place check "$id" all </dev/null || exit
  say "generation $id is what it was: every byte agrees with its manifest"
  exit 0
  ;;
esac

[ -d "$LIBRARY" ] || [ "$action" = dump ] || die "$LIBRARY is not there; is its disk mounted?" 2
need_docker
need_database
if [ -n "$DRY_RUN" ]; then
  case $action in
  dump) say "would dump the database $DATABASE to $file" ;;
  *) say "would dump the database $DATABASE and copy $LIBRARY to $BACKUP_LOCATION (now: $(place newest </dev/null || true))" ;;
  esac
  exit 0
fi
backup_lock
umask 077
begun=$(seconds_now) id=$(date -u +%Y%m%dT%H%M%SZ) made=''
work=$(mktemp -d "$STATE/backup.XXXXXX")

# Whatever happens: no half generation, and the monitor hears of it.
finish() {
  local code=$?
  if [ "$action" = backup ] && [ "$code" -ne 0 ]; then
    [ -z "$made" ] || place discard "$id" </dev/null || true
    remember backup "tried=$(seconds_now)" "result=failed" "good=$(recall backup good)" "id=$(recall backup id)" \
      "missing=$(recall backup missing)" "library_bytes=$(recall backup library_bytes)" \
      "database_bytes=$(recall backup database_bytes)" "seconds=$(recall backup seconds)"
  fi
  rm -rf "$work"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

dump() { # FILE
  local tables
  tables=$(count_tables "$DATABASE") || die "the tables cannot be counted"
  dump_database "$1" || die "pg_dump failed; see above"
  check_dump "$1" "$work/names" || die "the dump $WHY; it is not kept"
  [ "$DUMP_TABLES" -ge "$tables" ] || die "the dump has $DUMP_TABLES tables, and the database $tables; it is not kept"
}

if [ "$action" = dump ]; then
  dump "$work/dump.gz"
  mv "$work/dump.gz" "$file" || die "cannot write $file"
  sync -f "$file"
  say "$file: $DUMP_TABLES tables, $DUMP_ROWS assets, $(pretty "$(stat -c %s "$file")")"
  exit 0
fi

made=yes
previous=$(place begin "$id" </dev/null) || die "$BACKUP_LOCATION cannot be used; see above"
link=()
[ -z "$previous" ] || link=(--link-dest "../../$previous/library")

# Times are compared to the nanosecond: a sidecar that is written twice a second is copied twice.
copy_library() {
  local code=0
  rsync --archive --numeric-ids --modify-window=-1 ${link[@]+"${link[@]}"} \
    ${PLACE_RSYNC[@]+"${PLACE_RSYNC[@]}"} --exclude=/thumbs/ --exclude=/encoded-video/ \
    "$LIBRARY/" "$PLACE_AT/generations/$id.partial/library/" || code=$?
  # 24: files went away meanwhile.
  case $code in
  0 | 24) ;;
  *) die "the library could not be copied (rsync ended with $code); ${previous:-nothing} stays the newest backup" ;;
  esac
}

lacking() {
  place files "$id" </dev/null >"$work/files" || die "cannot list what was copied"
  not_among "$work/names" "$work/files" >"$work/missing"
}

# Where the live database has, by now, what the dump names and the copy lacks: $work/now.
ask_where() {
  local table ids
  table=$(asset_table "$DATABASE")
  : >"$work/now"
  cut -f 1 "$work/missing" | grep -xE '[0-9a-fA-F-]{36}' | while mapfile -t -n 500 ids && [ ${#ids[@]} -gt 0 ]; do
    # As COPY writes it, which is what `names` was read from.
    sql "$DATABASE" "COPY (SELECT id, regexp_replace(\"originalPath\", '^(/data/|/usr/src/app/upload/|upload/)', '')
      FROM $table WHERE id IN ($(printf "'%s'," "${ids[@]}" | sed 's/,$//'))) TO STDOUT"
  done >"$work/now"
}

# Moved: FROM<TAB>TO.  Lost: named then and now, and not on the disk.  The rest was deleted meanwhile.
sort_missing() {
  ask_where || die "the database does not say where its files are"
  awk -F '\t' -v lost="$work/lost" -v moved="$work/moved" '
    BEGIN { printf "" >lost; printf "" >moved }
    FILENAME == ARGV[1] { now[$1] = $2; next }
    !($1 in now) { next }
    now[$1] == $2 { print $2 >lost; next }
    { print now[$1] "\t" $2 >moved }' "$work/now" "$work/missing"
}

copy_library
dump "$work/database.sql.gz"
for _ in 1 2 3 4; do
  copy_library
  lacking
  : >"$work/lost"
  : >"$work/moved"
  [ -s "$work/missing" ] || break
  sort_missing
  [ -s "$work/moved" ] || break
  place also "$id" <"$work/moved" || die "cannot add what was moved meanwhile"
done
[ ! -s "$work/moved" ] || { lacking && sort_missing; }
# What kept moving is missing too.
missing=$(($(wc -l <"$work/lost") + $(wc -l <"$work/moved"))) named=$(wc -l <"$work/names")
if [ $((missing * 2)) -gt "$named" ]; then
  die "the database names $named originals and $missing of them are not in $LIBRARY; is its disk mounted?  ${previous:-nothing} stays the newest backup"
fi

# The settings, but for passwords: what a new machine needs to know.
sed -E 's/^([A-Z0-9_]*(PASSWORD|SECRET|TOKEN|KEY)[A-Z0-9_]*=).*/\1/' "$ENV_FILE" >"$work/settings.env"
database_settings >"$work/database.settings"
cat "$work/lost" <(cut -f 2 "$work/moved") >"$work/MISSING"
library_bytes=$(du -sb --exclude=thumbs --exclude=encoded-video "$LIBRARY" 2>/dev/null | cut -f 1) || true
printf '%s\n' "immich=${IMMICH_VERSION:-v3.2.2}" "postgres=$(sql postgres 'SHOW server_version')" \
  "tables=$DUMP_TABLES" "assets=$DUMP_ROWS" "originals=$named" "missing=$missing" \
  "library_bytes=${library_bytes:-0}" "database_bytes=$(stat -c %s "$work/database.sql.gz")" >"$work/INFO"
rsync --times --perms ${PLACE_RSYNC[@]+"${PLACE_RSYNC[@]}"} "$work/database.sql.gz" "$work/settings.env" \
  "$work/database.settings" "$work/MISSING" "$work/INFO" "$PLACE_AT/generations/$id.partial/" ||
  die "the dump could not be brought to $BACKUP_LOCATION"
place manifest "$id" "${previous:--}" </dev/null || die "the manifest could not be made"
# What arrived is what was looked at.
[ "$(place sum "$id" </dev/null)" = "$(sha256sum <"$work/database.sql.gz" | cut -d ' ' -f 1)" ] ||
  die "the dump in $BACKUP_LOCATION is not the one that was made"
place accept "$id" </dev/null || die "the generation could not be accepted"
made='' now=$(seconds_now)
remember backup "tried=$now" "result=ok" "good=$now" "id=$id" "missing=$missing" \
  "library_bytes=${library_bytes:-0}" "database_bytes=$(stat -c %s "$work/database.sql.gz")" "seconds=$((now - begun))"
[ "$missing" -eq 0 ] || warn "$missing originals that the database names are not in $LIBRARY: see MISSING in the generation"
place prune "${keep[@]}" </dev/null | sed 's/^/removed the old generation /' >&2 || warn "old generations could not be removed"
say "generation $id: $DUMP_TABLES tables, $DUMP_ROWS assets, $named originals, $((now - begun)) s"
