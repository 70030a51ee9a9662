# shellcheck shell=bash
# backup - what backup, restore, drill, upgrade and monitor share: the database in its container, the
# dump and what it names, the second place, what is remembered of the last runs.
#
#     database ──pg_dump──▶ database.sql.gz ──check_dump──▶ names: the originals that rows speak of
#     UPLOAD_LOCATION ──────────rsync──────────▶ BACKUP_LOCATION/generations/ID/library
#
# After common.bash and load_env.

# shellcheck disable=SC2034 # the scripts read them
LIBRARY=${UPLOAD_LOCATION:-/srv/immich/library}
DATABASE=${DB_DATABASE_NAME:-immich} DB_USER=${DB_USERNAME:-immich}
STATE=${BACKUP_STATE:-/var/lib/heartbeat}
# The script's own folder below it, once it has one.
work=''
case $DATABASE in *[!A-Za-z0-9_]*) die "DB_DATABASE_NAME in $ENV_FILE may have letters, digits and _ only" 2 ;; esac

# The part of a dump that Immich's extensions need changed, as Immich's own restore does: with an empty
# search_path their functions are not found while rows and indexes are made.
SEARCH_PATH="1,100s/^SELECT pg_catalog.set_config('search_path', '', false);\$/SELECT pg_catalog.set_config('search_path', 'public, pg_catalog', true);/"

prepare_state() {
  if [ ! -d "$STATE" ] || [ ! -w "$STATE" ]; then
    (umask 077 && mkdir -p "$STATE") 2>/dev/null || true
    [ -w "$STATE" ] ||
      die "$STATE cannot be written; run this as root, or name another folder: BACKUP_STATE in $ENV_FILE" 2
  fi
}

# One of backup, restore and drill at a time, whoever started it.  A descriptor of its own: the
# scripts of the stack may hold theirs besides.
backup_lock() {
  prepare_state
  exec 8>>"$STATE/lock" || die "cannot open $STATE/lock" 2
  flock -n 8 || die "a backup, restore or drill is at work already (lock $STATE/lock); wait for it to end" 4
}

seconds_now() { date +%s; }
pretty() { # BYTES
  numfmt --to=iec --suffix=B "$1"
}

# --- what is remembered, for the monitor ----------------------------------------------------------

# remember NAME KEY=VALUE…: $STATE/NAME.status, whole or not at all.
remember() {
  local name=$1
  shift
  printf '%s\n' "$@" >"$STATE/.$name.new"
  chmod 644 "$STATE/.$name.new"
  mv -T "$STATE/.$name.new" "$STATE/$name.status"
}

recall() { # NAME KEY
  sed -n "s/^$2=//p" "$STATE/$1.status" 2>/dev/null | head -n 1 || true
}

# --- the database ---------------------------------------------------------------------------------

# In the database's container, also with --dry-run: for what changes nothing, and for scratch.
pg() {
  (cd "$TOP" && docker compose --env-file "$ENV_FILE" -f docker-compose.yml \
    -f docker/immich/compose.immich.yml exec -T immich-postgres "$@")
}

sql() { # DATABASE STATEMENTS: rows, columns by '|'
  pg psql -X -q -A -t -v ON_ERROR_STOP=1 -U "$DB_USER" -d "$1" -c "$2" </dev/null
}

need_database() {
  pg pg_isready -q -U "$DB_USER" </dev/null ||
    die "the database does not answer; start it: scripts/immich-up.sh immich-postgres"
}

database_exists() { [ "$(sql postgres "SELECT count(*) FROM pg_database WHERE datname = '$1'")" = 1 ]; }

# The name of the table of assets, which was `assets` once.
asset_table() { # DATABASE
  sql "$1" "SELECT coalesce(to_regclass('public.asset'), to_regclass('public.assets'))::text"
}

# As many as a dump has; those of extensions come with the extension and are in none.
count_tables() { # DATABASE
  sql "$1" "SELECT count(*) FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace
    WHERE relkind IN ('r', 'p') AND nspname !~ '^(pg_|information_schema)'
    AND NOT EXISTS (SELECT FROM pg_depend WHERE objid = c.oid AND deptype = 'e')"
}

dump_database() { # FILE
  pg pg_dump --clean --if-exists -U "$DB_USER" -d "$DATABASE" </dev/null | gzip --rsyncable >"$1"
}

# Settings that belong to the database itself and are in no dump: as NAME=VALUE.
database_settings() {
  sql postgres "SELECT unnest(setconfig) FROM pg_db_role_setting s JOIN pg_database d ON d.oid = setdatabase
    WHERE setrole = 0 AND datname = '$DATABASE' ORDER BY 1"
}

# check_dump FILE [NAMES]: whole to its last line, and Immich's.  Sets DUMP_TABLES and DUMP_ROWS (of
# assets), WHY on failure; writes NAMES: ID<TAB>PATH of every original below UPLOAD_LOCATION, the path
# as MANIFEST has it.
check_dump() {
  local names=${2:-/dev/null} said
  WHY=''
  if [ ! -f "$1" ] || [ ! -r "$1" ]; then WHY="is not there" && return 1; fi
  if [ ! -s "$1" ]; then WHY="is empty" && return 1; fi
  said=$(gzip -dc "$1" 2>"$work/gzip" | LC_ALL=C awk -F '\t' -v names="$names" '
    function unescape(text,   out, i, c) {
      if (index(text, "\\") == 0) { return text }
      for (i = 1; i <= length(text); i++) {
        c = substr(text, i, 1)
        if (c == "\\") {
          c = substr(text, ++i, 1)
          # A backslash and a newline stay as they are, MANIFEST writes them so too.
          c = c == "t" ? "\t" : c == "r" ? "\r" : c == "b" ? "\b" : c == "f" ? "\f" : c == "v" ? "\v" : "\\" c
        }
        out = out c
      }
      return out
    }
    BEGIN { printf "" >names }
    copying && $0 == "\\." { copying = 0; assets = 0; next }
    copying && !assets { next }
    copying {
      rows++
      if (external && $external == "t") { next }
      path = unescape($original)
      # Where UPLOAD_LOCATION is, and was, in the container.
      if (sub(/^\/data\//, "", path) || sub(/^\/usr\/src\/app\/upload\//, "", path) || sub(/^upload\//, "", path)) {
        print $id "\t" path >names
      }
      next
    }
    /^COPY .* FROM stdin;$/ {
      copying = 1
      complete = 0
      if ($0 ~ /^COPY public\.assets? \(/) {
        assets = found = 1
        columns = $0
        sub(/^[^(]*\(/, "", columns)
        sub(/\) FROM stdin;$/, "", columns)
        gsub(/"/, "", columns)
        n = split(columns, column, ", ")
        for (i = 1; i <= n; i++) {
          if (column[i] == "id") { id = i }
          if (column[i] == "originalPath") { original = i }
          if (column[i] == "isExternal") { external = i }
        }
      }
      next
    }
    /^CREATE (UNLOGGED )?TABLE / { tables++ }
    /^-- PostgreSQL database dump complete$/ { complete = 1; next }
    # Newer releases close a bracket behind it.
    !/^(--)?$/ && !/^\\unrestrict / { complete = 0 }
    END { print tables + 0, rows + 0, complete + 0, found && id && original ? 1 : 0, copying + 0 }') || {
    WHY="cannot be unpacked: $(head -n 1 "$work/gzip")"
    return 1
  }
  local complete known open
  read -r DUMP_TABLES DUMP_ROWS complete known open <<<"$said"
  if [ "$complete" != 1 ] || [ "$open" != 0 ]; then WHY="ends early: pg_dump's closing line is not its last" && return 1; fi
  if [ "$known" != 1 ]; then WHY="is not Immich's: it has no table of assets" && return 1; fi
}

# load_dump FILE DATABASE: all or nothing.
load_dump() {
  gzip -dc "$1" | sed "$SEARCH_PATH" |
    pg psql -X -q -o /dev/null -v ON_ERROR_STOP=1 --single-transaction -U "$DB_USER" -d "$2"
}

# make_database NAME [SETTINGS]: empty, with the settings of the file.
make_database() {
  local name value
  sql postgres "CREATE DATABASE \"$1\" TEMPLATE template0" || return
  [ -s "${2-}" ] || return 0
  while IFS='=' read -r name value; do
    case $name in *[!A-Za-z0-9_.]*) warn "left out a setting of the database with an odd name" && continue ;; esac
    case $name in
    # A list comes quoted as it is wanted.
    search_path | *_preload_libraries | temp_tablespaces) ;;
    *) value="'${value//\'/\'\'}'" ;;
    esac
    sql postgres "ALTER DATABASE \"$1\" SET $name TO $value" ||
      warn "could not set $name of the database; Immich sets what it needs when it starts"
  done <"$2"
}

drop_database() { sql postgres "DROP DATABASE IF EXISTS \"$1\" WITH (FORCE)"; }

# --- the second place -----------------------------------------------------------------------------

# Sets PLACE_HOST ('' for here), PLACE_DIR, and for rsync PLACE_AT and PLACE_RSYNC.
find_place() {
  local at=${BACKUP_LOCATION-}
  [ -n "$at" ] || die "BACKUP_LOCATION is empty in $ENV_FILE: a folder on another disk, or USER@HOST:/folder" 2
  PLACE_HOST='' PLACE_DIR=$at PLACE_AT=$at PLACE_RSYNC=()
  case $at in
  /*) ;;
  -* | *[[:space:]]*) die "BACKUP_LOCATION in $ENV_FILE is odd: '$at'" 2 ;;
  *:/*)
    PLACE_HOST=${at%%:*} PLACE_DIR=${at#*:}
    need ssh openssh-client
    # rsync cuts its -e at spaces.
    case ${BACKUP_SSH_CONFIG-} in *[[:space:]]*) die "BACKUP_SSH_CONFIG in $ENV_FILE: a path without spaces, please" 2 ;; esac
    PLACE_SSH=(ssh -o BatchMode=yes -o ServerAliveInterval=30)
    [ -z "${BACKUP_SSH_CONFIG-}" ] || PLACE_SSH+=(-F "$BACKUP_SSH_CONFIG")
    PLACE_RSYNC=(-e "${PLACE_SSH[*]}")
    ;;
  *) die "BACKUP_LOCATION in $ENV_FILE must be a path from '/' on, or USER@HOST:/folder, not '$at'" 2 ;;
  esac
  case $PLACE_DIR/ in
  "$LIBRARY"/*) die "BACKUP_LOCATION lies in UPLOAD_LOCATION: what breaks the one breaks the other" 2 ;;
  esac
  need rsync rsync
}

# place VERB [ARGUMENT…]: a verb of generations.bash, there.  Standard input is the verb's.
place() {
  local words
  if [ -z "$PLACE_HOST" ]; then
    cat "$TOP/scripts/lib/generations.bash" - | bash -s -- "$1" "$PLACE_DIR" "${@:2}"
  else
    words=$(printf ' %q' "$1" "$PLACE_DIR" "${@:2}")
    cat "$TOP/scripts/lib/generations.bash" - | "${PLACE_SSH[@]}" "$PLACE_HOST" "bash -s --$words"
  fi
}

# here VERB FOLDER: the same on this machine.
here() { cat "$TOP/scripts/lib/generations.bash" - | bash -s -- "$@"; }

# fetch RSYNC_ARGUMENT… FROM TO: from a generation.
fetch() {
  local from=${*: -2:1} to=${*: -1}
  rsync --archive --numeric-ids ${PLACE_RSYNC[@]+"${PLACE_RSYNC[@]}"} "${@:1:$#-2}" "$PLACE_AT/generations/$from" "$to"
}

info() { # FILE KEY
  sed -n "s/^$2=//p" "$1" | head -n 1
}

# pick_generation NAME|latest|'': prints its ID.
pick_generation() {
  local id=$1
  case $id in
  '' | latest)
    id=$(place newest </dev/null) || return
    [ -n "$id" ] || { warn "there is no backup in $BACKUP_LOCATION yet" && return 2; }
    ;;
  *[!0-9TZ]*) warn "'$id' is no generation; scripts/immich-restore.sh --list names them" && return 2 ;;
  esac
  printf '%s\n' "$id"
}

# take_generation ID: INFO, MANIFEST, the dump and the settings come to $work; refuses what is damaged.
take_generation() {
  place check "$1" quick </dev/null || die "generation $1 cannot be used; nothing was changed; scripts/immich-restore.sh --list names the others" $?
  fetch --exclude=/library "$1/" "$work/" || die "generation $1 could not be read; nothing was changed"
  check_dump "$work/database.sql.gz" "$work/names" ||
    die "generation $1: the dump $WHY; nothing was changed"
  [ "$DUMP_TABLES" = "$(info "$work/INFO" tables)" ] ||
    die "generation $1: the dump has $DUMP_TABLES tables, and $(info "$work/INFO" tables) were saved; nothing was changed"
  [ "$DUMP_ROWS" = "$(info "$work/INFO" assets)" ] ||
    die "generation $1: the dump has $DUMP_ROWS assets, and $(info "$work/INFO" assets) were saved; nothing was changed"
}

# The library's lines of a manifest, without its name before the paths.
library_lines() { # MANIFEST
  sed -nE 's,^(\\?[0-9a-f]{64}  )library/,\1,p' "$1"
}

# Of NAMES those that are not among FILES: ID<TAB>PATH.
not_among() { # NAMES FILES
  awk -F '\t' 'FILENAME == ARGV[1] { there[$0]; next } { path = substr($0, index($0, "\t") + 1) } !(path in there)' "$2" "$1"
}
