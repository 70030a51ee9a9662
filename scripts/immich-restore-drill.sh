#!/bin/bash
# immich-restore-drill.sh - restores the newest backup into a scratch database and a scratch folder,
# compares, and throws both away.  What runs is not touched.
#
#     dump ─▶ DATABASE_drill_… ─▶ its rows: SHA-1 of every original ─┐
#     MANIFEST ─▶ is every original that a row names in it?          ├─▶ $STATE/drill.status
#     some (or all) files ─▶ a folder ─▶ SHA-256, and that SHA-1 ────┘
# shellcheck source-path=SCRIPTDIR
set -euo pipefail
# shellcheck source=lib/common.bash
. "$(dirname "$0")/lib/common.bash"

usage() {
  cat <<'TEXT'
usage: scripts/immich-restore-drill.sh [OPTION...] [GENERATION|latest]

  --files N|all  how many originals are fetched and read (200, chosen anew each time)
  --scratch DIR  where to (a folder below BACKUP_STATE)
  --dry-run      say what would be done

  Says how long each step took.  The result is remembered for scripts/immich-monitor.sh.
  Exit code: 0 the backup can be restored, 1 it can not, 2 usage or set-up, 4 another one is at work.
TEXT
}

which='' files=200 scratch=''
while [ $# -gt 0 ]; do
  case $1 in
  --files) option_value "$@" && files=$2 && shift ;;
  --scratch) option_value "$@" && scratch=$2 && shift ;;
  --dry-run) DRY_RUN=yes ;;
  -h | --help) usage && exit 0 ;;
  -*) usage >&2 && exit 2 ;;
  *) which=$1 ;;
  esac
  shift
done
case $files in all) ;; '' | *[!0-9]*) die "--files wants a number or all, not '$files'" 2 ;; esac
need flock util-linux
need gzip gzip
load_env
# shellcheck source=lib/backup.bash
. "$TOP/scripts/lib/backup.bash"
find_place
need_docker
need_database
if [ -n "$DRY_RUN" ]; then
  id=$(pick_generation "$which") || exit
  say "would restore generation $id into a scratch database, and $files of its files, and compare"
  exit 0
fi
backup_lock
umask 077
work=$(mktemp -d "$STATE/drill.XXXXXX")
scratch=${scratch:-$work}
[ -d "$scratch" ] || die "$scratch is not there" 2
to=$(mktemp -d "$scratch/drill-files.XXXXXX")
# No other name than one that no database of anybody's has.
drill=${DATABASE}_drill_$(date -u +%Y%m%d%H%M%S)_$$
id='' made='' begun=$(seconds_now)

finish() {
  local code=$?
  trap '' INT TERM HUP
  [ -z "$made" ] || drop_database "$drill" || warn "the scratch database $drill is left; drop it"
  rm -rf "$to" "$work"
  if [ "$code" -ne 0 ] && [ "$code" -ne 2 ]; then
    remember drill "tried=$(seconds_now)" "result=failed" "good=$(recall drill good)" "id=$id" \
      "seconds=$(($(seconds_now) - begun))"
  fi
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

step=$begun
took() { # WHAT
  local now
  now=$(seconds_now)
  say "$(printf '%5d s  %s' $((now - step)) "$1")"
  step=$now
}

id=$(pick_generation "$which") || exit
# What a scratch database of a drill that was killed left behind.
for name in $(sql postgres "SELECT datname FROM pg_database WHERE datname ~ '^${DATABASE}_drill_[0-9_]+$'"); do
  drop_database "$name"
done
take_generation "$id"
took "generation $id read and checked: $DUMP_TABLES tables, $DUMP_ROWS assets"

made=yes
make_database "$drill" "$work/database.settings" || die "no scratch database could be made"
load_dump "$work/database.sql.gz" "$drill" || die "the dump of generation $id could not be loaded; see above"
table=$(asset_table "$drill")
tables=$(count_tables "$drill")
rows=$(sql "$drill" "SELECT count(*) FROM $table")
[ "$rows" = "$DUMP_ROWS" ] || die "$rows assets came out of a dump of $DUMP_ROWS"
[ "$tables" = "$DUMP_TABLES" ] || die "$tables tables came out of a dump of $DUMP_TABLES"
took "restored into $drill: $tables tables, $rows assets"

# Every original that the restored rows name, and the SHA-1 that Immich has of it.
sql "$drill" "COPY (SELECT encode(checksum, 'hex'), regexp_replace(\"originalPath\", '^(/data/|/usr/src/app/upload/|upload/)', '')
  FROM $table WHERE NOT \"isExternal\" AND \"originalPath\" ~ '^(/data/|/usr/src/app/upload/|upload/)') TO STDOUT" >"$work/want"
library_lines "$work/MANIFEST" >"$work/lines"
sed -E 's/^\\?[0-9a-f]{64}  //' "$work/lines" >"$work/there"
not_among "$work/want" "$work/there" | cut -f 2- | sort >"$work/lost"
# Those were not there when it was made, which it says itself.
comm -23 "$work/lost" <(fetch "$id/MISSING" "$work/MISSING" && sort "$work/MISSING") >"$work/unknown"
[ ! -s "$work/unknown" ] || die "generation $id lacks $(wc -l <"$work/unknown") originals that its database names, as $(head -n 1 "$work/unknown")"
took "$(wc -l <"$work/want") originals named, $(wc -l <"$work/lost") of them not in the generation"

if [ "$files" = all ]; then cp "$work/want" "$work/chosen"; else shuf -n "$files" "$work/want" >"$work/chosen"; fi
awk -F '\t' 'FILENAME == ARGV[1] { lost[$0]; next } !($2 in lost)' "$work/lost" "$work/chosen" >"$work/sample"
cut -f 2- "$work/sample" | tr '\n' '\0' | sed -z 's/\\\\/\x01/g; s/\\n/\n/g; s/\x01/\\/g' |
  fetch --from0 --files-from=- "$id/library/" "$to/" || die "files of generation $id could not be fetched"
# As they were saved …
awk -F '\t' 'FILENAME == ARGV[1] { chosen[$2]; next } { path = $0; sub(/^\\?[0-9a-f]+  /, "", path) } path in chosen' \
  "$work/sample" "$work/lines" | here differing "$to" >"$work/differing"
[ ! -s "$work/differing" ] || die "$(wc -l <"$work/differing") files of generation $id are damaged, as $(head -n 1 "$work/differing")"
# … and as Immich knows them.
sed -E 's/^([0-9a-f]{40})\t/\1  /; /\\/s/^/\\/' "$work/sample" | (cd "$to" && sha1sum --check --quiet --strict >&2) ||
  die "files of generation $id are not what Immich's database knows: see above"
took "$(wc -l <"$work/sample") files restored and read, $(pretty "$(du -sb "$to" | cut -f 1)")"

now=$(seconds_now)
remember drill "tried=$now" "result=ok" "good=$now" "id=$id" "seconds=$((now - begun))" \
  "assets=$rows" "files=$(wc -l <"$work/sample")"
say "generation $id can be restored: $((now - begun)) s"
