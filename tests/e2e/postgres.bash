# shellcheck shell=bash disable=SC2034 # the tests read them
# A real PostgreSQL of the tests' own, and a docker that stands before it: what the scripts run in the
# container immich-postgres runs here, with the real tools; everything else is written down.
#
#     postgres_up ─▶ $PG (one a file)      in_container ─▶ $T/docker.does      immich_like ─▶ data

PG_BIN=$(pg_config --bindir 2>/dev/null || true)
[ -x "$PG_BIN/initdb" ] || PG_BIN=$(find /usr/lib/postgresql -path '*/bin/initdb' -printf '%h\n' 2>/dev/null | sort -V | tail -n 1)

# PostgreSQL refuses to be root.
as_plain() {
  if [ "$(id -u)" -ne 0 ]; then
    "$@"
  elif id postgres >/dev/null 2>&1; then
    runuser -u postgres -- "$@"
  else
    runuser -u nobody -- "$@"
  fi
}

# In setup_file: sets PG, the folder of its socket, or WHY.  Nothing listens on any port.
postgres_up() {
  export PG='' WHY=''
  [ -n "$PG_BIN" ] || { WHY="PostgreSQL is not here (Debian: postgresql)" && return; }
  local dir
  # A socket's path is short.
  dir=$(mktemp -d /tmp/ur-pg.XXXXXX)
  chmod 711 "$dir"
  mkdir "$dir/data" "$dir/s"
  [ "$(id -u)" -ne 0 ] || chown "$(as_plain id -u):$(as_plain id -g)" "$dir/data" "$dir/s"
  cd / || return
  # shellcheck disable=SC2015 # either of the two failed
  as_plain "$PG_BIN/initdb" -D "$dir/data" -U immich -A trust --no-sync -E UTF8 --locale=C.UTF-8 >"$dir/log" 2>&1 &&
    as_plain "$PG_BIN/pg_ctl" -D "$dir/data" -w -t 60 -l "$dir/data/log" \
      -o "-c listen_addresses='' -c unix_socket_directories='$dir/s' -c fsync=off -c full_page_writes=off" start >>"$dir/log" 2>&1 3>&- ||
    { cat "$dir/log" "$dir/data/log" && return 1; }
  PG=$dir
}

postgres_down() {
  [ -n "${PG-}" ] || return 0
  as_plain "$PG_BIN/pg_ctl" -D "$PG/data" -m immediate stop >/dev/null 2>&1 || true
  rm -rf "$PG"
}

psql_here() { # DATABASE PSQL_ARGUMENT…
  PGHOST=$PG/s "$PG_BIN/psql" -X -q -A -t -v ON_ERROR_STOP=1 -U immich -d "$@"
}
rows() { psql_here "${2:-immich}" -c "$1" </dev/null; }

# What is in a database, in words that do not depend on the order of rows on the disk.
contents() { # DATABASE
  local table
  for table in $(rows "SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace ORDER BY 1" "$1"); do
    echo "== $table"
    rows "SELECT t::text FROM \"$table\" t ORDER BY 1" "$1"
  done
  PGHOST=$PG/s "$PG_BIN/pg_dump" -s -U immich -d "$1" | grep -vE '^\\(un)?restrict |^--'
}

databases() { rows "SELECT datname FROM pg_database WHERE NOT datistemplate ORDER BY 1" postgres | tr '\n' ' '; }

# docker: the database's container is the cluster; Immich runs when $T/running is there; what is in
# $T/before-NAME and $T/after-NAME happens around the program NAME of the container.
in_container() {
  cat >"$T/docker.does" <<SH
export PGHOST=$PG/s PATH=$PG_BIN:\$PATH
case "\$line" in
*" exec -T immich-postgres "* | *": exec "*heartbeat-immich-postgres-1" "*)
  while [ "\${1%-1}" != immich-postgres ] && [ "\$1" != heartbeat-immich-postgres-1 ]; do shift; done
  shift
  if [ -e "$T/before-\$1" ]; then . "$T/before-\$1" >&2 </dev/null; fi
  code=0
  "\$@" || code=\$?
  if [ -e "$T/after-\$1" ]; then . "$T/after-\$1" >&2 </dev/null; fi
  exit \$code
  ;;
*" stop "*immich-server*) rm -f "$T/running" ;;
*" up "*immich-server*)
  # It opens its database, as a server would.
  psql -X -q -U immich -d immich -c 'SELECT 1' </dev/null >/dev/null || exit 1
  touch "$T/running"
  ;;
*" run "*"--entrypoint sh"*)
  words="\${!#}"
  sh -c "\${words//\\/data/$T/library}"
  ;;
esac
SH
}

OWNER=11111111-1111-4111-8111-111111111111
# A row, as Immich makes one when the file is in its place.
asset_row() { # ID SHA1 PATH
  printf '%s\t%s\tIMAGE\t%s\t%s\t\\\\x%s\n' "$1" "$OWNER" "$3" "${3##*/}" "$2"
}
ASSET_COLUMNS='id, "ownerId", type, "originalPath", "originalFileName", checksum'

# immich_like N: the database immich and the library $T/library, of N shots and what comes with them.
immich_like() {
  local path id sum extension at
  # Also what an earlier test kept.
  for path in $(rows "SELECT datname FROM pg_database WHERE datname LIKE 'immich%'" postgres); do
    rows "DROP DATABASE \"$path\" WITH (FORCE)" postgres
  done
  rows "CREATE DATABASE immich" postgres
  psql_here immich -f "$TOP/tests/stack/immich-like.sql" >/dev/null
  rows "ALTER DATABASE immich SET search_path TO \"\$user\", public, vectors" postgres
  "$TOP/build/${BUILD:-release}/mklib" "$T/made" --count "$1" --size 4K --per-dir 20 --list "$T/list" >/dev/null
  mkdir -p "$T/library"/{library,upload,profile,backups,thumbs,encoded-video}
  for path in "$T/library"/*/; do echo 1 >"$path/.immich"; done
  echo thumbnail >"$T/library/thumbs/one.webp"
  (
    cd "$T/made" || exit
    find . -type f -printf '%P\n' | sort | xargs -d '\n' sha1sum
  ) | while read -r sum path; do
    id=$(sed -E 's/^(.{8})(.{4}).(.{3}).(.{3})(.{12}).*/\1-\2-4\3-8\4-\5/' <<<"$sum")
    extension=${path##*.}
    at=upload/$OWNER/${id:0:2}/${id:2:2}
    mkdir -p "$T/library/$at"
    mv "$T/made/$path" "$T/library/$at/$id.$extension"
    asset_row "$id" "$sum" "/data/$at/$id.$extension"
  done >"$T/rows"
  psql_here immich -c "COPY asset ($ASSET_COLUMNS) FROM STDIN" <"$T/rows"
  rows 'INSERT INTO album_asset SELECT '"'33333333-3333-4333-8333-333333333333'"', id FROM asset LIMIT 5'
  rows "INSERT INTO asset (\"ownerId\", type, \"originalPath\", \"originalFileName\", checksum, \"isExternal\")
    VALUES ('$OWNER', 'IMAGE', '/mnt/elsewhere/a.jpg', 'a.jpg', '\\x00', true)"
  touch "$T/running"
}

# Every original that a row names is there, byte for byte as its checksum says.
every_row_has_its_file() { # DATABASE LIBRARY
  rows "SELECT encode(checksum, 'hex') || '  ' || substr(\"originalPath\", 7) FROM asset
    WHERE NOT \"isExternal\" AND \"deletedAt\" IS NULL" "$1" >"$T/sums"
  [ -s "$T/sums" ] || { echo "no rows" && return 1; }
  (cd "$2" && sha1sum --check --quiet --strict "$T/sums")
}

# The library as lines, without what no backup carries.
library_sums() { # FOLDER
  (cd "$1" && find . -type f ! -path './thumbs/*' ! -path './encoded-video/*' -print0 | sort -z | xargs -0 sha256sum)
}
