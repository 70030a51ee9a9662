#!/usr/bin/env bats
# Backup, restore and drill against a real PostgreSQL and a library of files.  docker alone is not real:
# what runs in the database's container runs in a cluster of the tests' own.

# Every test is a shell of its own; functions are called by others.
# shellcheck disable=SC2030,SC2031,SC2317

bats_require_minimum_version 1.5.0

load stack
load site
load postgres

setup_file() {
  [ -x "$BATS_TEST_DIRNAME/../../build/${BUILD:-release}/mklib" ] || { export PG='' WHY="mklib is not built" && return; }
  command -v rsync >/dev/null || { export PG='' WHY="rsync is not here" && return; }
  postgres_up
}

teardown_file() { postgres_down; }

setup() {
  [ -z "$WHY" ] || skip "$WHY"
  T=$(mktemp -d "${TMPDIR:-/tmp}/ur-backup.XXXXXX")
  export STACK_LOCK_DIR=$T
  unset STACK_LOCKED DRY_RUN ENV_FILE COMPOSE_PROFILES
  recorder docker
  export PATH=$T/bin:$PATH
  S=$T/site
  site "$S"
  setting "$S" "BACKUP_LOCATION=$T/place"
  setting "$S" "BACKUP_STATE=$T/state"
  in_container
  immich_like 12
}

teardown() {
  [ -z "${PID-}" ] || { kill "$PID" && wait "$PID"; } 2>/dev/null || true
  rm -rf "${T:-/nonexistent}"
}

backup() { "$S/scripts/immich-backup.sh" "$@" 3>&- 8>&- 9>&-; }
restore() { "$S/scripts/immich-restore.sh" "$@" 3>&- 8>&- 9>&-; }
drill() { "$S/scripts/immich-restore-drill.sh" "$@" 3>&- 8>&- 9>&-; }

# A place with one generation, whose name is in $ID.
saved() {
  backup --init 2>/dev/null
  backup 2>"$T/said" || { cat "$T/said" && return 1; }
  ID=$(basename "$(readlink "$T/place/latest")")
  G=$T/place/generations/$ID
}

# The next generation has another name.
next_second() { local now; now=$(date -u +%s); while [ "$(date -u +%s)" = "$now" ]; do sleep 0.05; done; }

asset() { rows "SELECT \"originalPath\" FROM asset WHERE NOT \"isExternal\" ORDER BY id LIMIT 1 OFFSET $1" | sed "s|^/data|$T/library|"; }

# What nothing may change when something is refused.
all_as_it_was() {
  equals "$(databases)" "immich postgres "
  contents immich | diff "$T/before" -
  library_sums "$T/library" | diff "$T/library.before" -
  [ -e "$T/running" ] || { echo "Immich was stopped" && return 1; }
}
remember_all() { contents immich >"$T/before" && library_sums "$T/library" >"$T/library.before"; }

# --- backup --------------------------------------------------------------------------------------

@test "a backup is the whole library and a dump, with a manifest that sha256sum can check" {
  saved
  (cd "$G" && sha256sum --check --quiet --strict MANIFEST)
  equals "$(cd "$G" && find . -type f ! -name MANIFEST | wc -l)" "$(wc -l <"$G/MANIFEST")"
  library_sums "$T/library" | diff - <(cd "$G/library" && library_sums .)
  [ ! -e "$G/library/thumbs" ] && [ ! -e "$G/library/encoded-video" ]
  gzip -dc "$G/database.sql.gz" | grep -q '^DROP TABLE IF EXISTS public.asset;'
  equals "$(sed -n 's/^assets=//p' "$G/INFO")" "$(rows 'SELECT count(*) FROM asset')"
  equals "$(sed -n 's/^tables=//p' "$G/INFO")" "$(rows "SELECT count(*) FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace")"
  equals "$(stat -c %a "$G")" 700
  equals "$(find "$T/place" "$T/state" -name '*.partial' -o -name 'backup.*' -type d)" ""
  grep -q '^result=ok$' "$T/state/backup.status"
  run -0 backup --check latest
  run -0 backup --list
  has "$output" "$ID immich=v3.2.2"
}

@test "the second generation shares what did not change, and reads only what is new" {
  saved
  local first=$G one
  echo new >"$T/library/upload/new.jpg"
  one=$(asset 1)
  # The same size, a new content: times tell.
  printf 'x' | dd of="$one" conv=notrunc status=none
  next_second
  saved
  [ "$first" != "$G" ]
  equals "$(stat -c %i "$first/library/${one#"$T"/library/}")$(stat -c %i "$G/library/${one#"$T"/library/}" | wc -l)" "$(stat -c %i "$first/library/${one#"$T"/library/}")1"
  [ "$(stat -c %i "$first/library/${one#"$T"/library/}")" != "$(stat -c %i "$G/library/${one#"$T"/library/}")" ]
  one=$(asset 2)
  equals "$(stat -c %i "$first/library/${one#"$T"/library/}")" "$(stat -c %i "$G/library/${one#"$T"/library/}")"
  (cd "$first" && sha256sum --check --quiet --strict MANIFEST)
  (cd "$G" && sha256sum --check --quiet --strict MANIFEST)
  grep -q '  library/upload/new.jpg$' "$G/MANIFEST"
}

@test "names with newlines, backslashes and spaces are in the manifest as sha256sum has them" {
  local odd=$T/library/library/admin
  mkdir -p "$odd"
  echo 1 >"$odd/$(printf 'a\nb.jpg')"
  echo 2 >"$odd/back\\slash n.jpg"
  echo 3 >"$odd/ spaces  .jpg "
  saved
  (cd "$G" && sha256sum --check --quiet --strict MANIFEST)
  next_second
  saved
  (cd "$G" && sha256sum --check --quiet --strict MANIFEST)
  equals "$(wc -l <"$G/MANIFEST")" "$(cd "$G" && find . -type f ! -name MANIFEST -print0 | tr -dc '\0' | wc -c)"
  run -0 backup --check latest
}

@test "what comes, moves and goes between dump and copy is no loss: each is arranged for" {
  local moved gone
  moved=$(asset 0) gone=$(asset 1)
  # Arrives after the first copy, is in the dump, and is moved by Immich before the second copy.
  cat >"$T/before-pg_dump" <<SH
echo late >"$T/library/upload/late.jpg"
psql -X -q -U immich -d immich -c "INSERT INTO asset (id, \"ownerId\", type, \"originalPath\", \"originalFileName\", checksum)
  VALUES ('99999999-9999-4999-8999-999999999999', '$OWNER', 'IMAGE', '/data/upload/late.jpg', 'late.jpg', decode('$(echo late | sha1sum | cut -c1-40)', 'hex'))"
rm -f "$T/before-pg_dump"
SH
  cat >"$T/after-pg_dump" <<SH
mkdir -p "$T/library/library/admin"
mv "$T/library/upload/late.jpg" "$T/library/library/admin/late.jpg"
psql -X -q -U immich -d immich -c "UPDATE asset SET \"originalPath\" = '/data/library/admin/late.jpg' WHERE \"originalFileName\" = 'late.jpg'"
mv "$moved" "$T/library/library/admin/moved.jpg"
psql -X -q -U immich -d immich -c "UPDATE asset SET \"originalPath\" = '/data/library/admin/moved.jpg' WHERE \"originalPath\" = '/data/${moved#"$T"/library/}'"
rm "$gone"
psql -X -q -U immich -d immich -c "DELETE FROM asset WHERE \"originalPath\" = '/data/${gone#"$T"/library/}'"
# After the dump: in the copy, and in no row of it.
echo later >"$T/library/upload/later.jpg"
rm -f "$T/after-pg_dump"
SH
  saved
  # The first copy has what was removed, under its old name.
  [ -e "$G/library/${gone#"$T"/library/}" ]
  equals "$(cat "$G/library/upload/late.jpg")" late
  [ -e "$G/library/upload/later.jpg" ]
  [ ! -s "$G/MISSING" ]
  rows "DROP DATABASE immich" postgres
  rm -rf "$T/library"
  restore --yes
  every_row_has_its_file immich "$T/library"
  equals "$(rows "SELECT \"originalPath\" FROM asset WHERE \"originalFileName\" = 'late.jpg'")" /data/upload/late.jpg
}

# Uploads, moves and deletions, as fast as they go, until it is told to end.
writer() {
  local n=0 id sum at
  while [ ! -e "$T/enough" ]; do
    n=$((n + 1))
    id=$(printf '%08x-0000-4000-8000-000000000000' $n)
    at=upload/$OWNER/aa
    mkdir -p "$T/library/$at" "$T/library/library/moved"
    head -c $((500 + n)) /dev/urandom >"$T/library/$at/$id.jpg"
    sum=$(sha1sum <"$T/library/$at/$id.jpg" | cut -c1-40)
    asset_row "$id" "$sum" "/data/$at/$id.jpg" | psql_here immich -c "COPY asset ($ASSET_COLUMNS) FROM STDIN"
    case $((n % 3)) in
    1)
      mv "$T/library/$at/$id.jpg" "$T/library/library/moved/$id.jpg"
      rows "UPDATE asset SET \"originalPath\" = '/data/library/moved/$id.jpg' WHERE id = '$id'"
      ;;
    2)
      # An older one goes: first its row, then its file.
      id=$(printf '%08x-0000-4000-8000-000000000000' $((n / 2)))
      rows "DELETE FROM asset WHERE id = '$id'"
      rm -f "$T/library/$at/$id.jpg" "$T/library/library/moved/$id.jpg"
      ;;
    esac
    echo $n >"$T/written"
  done
}

@test "while something writes, moves and deletes all the time, every row that is restored has its bytes" {
  backup --init
  writer 3>&- >"$T/writer.log" 2>&1 &
  PID=$!
  wait_for 20 test -s "$T/written"
  saved
  local during
  during=$(cat "$T/written")
  touch "$T/enough"
  wait "$PID"
  PID=''
  [ ! -s "$T/writer.log" ] || { cat "$T/writer.log" && return 1; }
  # It did write meanwhile.
  [ "$during" -gt 3 ]
  equals "$(cat "$G/MISSING")" ""
  rows "DROP DATABASE immich" postgres
  rm -rf "$T/library"
  restore --yes
  every_row_has_its_file immich "$T/library"
  drill --files all
}

@test "an original that is gone from the disk is named, and does not hold up the backup" {
  local lost
  lost=$(asset 3)
  rm "$lost"
  backup --init
  run -0 backup
  has "$output" "1 originals that the database names are not in"
  equals "$(cat "$T/place/latest/MISSING")" "${lost#"$T"/library/}"
  grep -qx 'missing=1' "$T/state/backup.status"
  # And the drill knows that it was not there.
  run -0 drill --files all
}

@test "an empty mount point is no library: the backup refuses, and the one before stays" {
  saved
  mv "$T/library" "$T/unmounted"
  mkdir "$T/library"
  next_second
  run -1 backup
  has "$output" "is its disk mounted?"
  equals "$(ls "$T/place/generations")" "$ID"
  grep -q '^result=failed$' "$T/state/backup.status"
  # When the last good one was is still known.
  grep -q "^id=$ID$" "$T/state/backup.status"
  rmdir "$T/library"
  run -2 backup
  has "$output" "is its disk mounted?"
  # The second place, too.
  mv "$T/unmounted" "$T/library"
  mv "$T/place" "$T/place.unmounted"
  mkdir "$T/place"
  run -1 backup
  has "$output" "is not a place for backups"
  equals "$(ls -A "$T/place")" ""
}

@test "a dump that fails or ends early leaves no generation, and the one before stays" {
  saved
  next_second
  # The database ends in the middle of it: the real pg_dump, cut off.
  mkdir -p "$T/cut"
  cat >"$T/cut/pg_dump" <<SH
#!/bin/bash
"$PG_BIN/pg_dump" "\$@" | head -c 3000
SH
  chmod +x "$T/cut/pg_dump"
  echo "PATH=$T/cut:\$PATH" >"$T/before-pg_dump"
  run -1 backup
  has "$output" "the dump ends early"
  equals "$(ls "$T/place/generations")" "$ID"
  printf '#!/bin/bash\nexit 1\n' >"$T/cut/pg_dump"
  run -1 backup
  has "$output" "pg_dump failed"
  printf '#!/bin/bash\nexit 0\n' >"$T/cut/pg_dump"
  run -1 backup
  has "$output" "the dump ends early"
  # Whole to its last line, and without a table.
  printf '#!/bin/bash\nexec "%s/pg_dump" "$@" --exclude-table=public.album_asset\n' "$PG_BIN" >"$T/cut/pg_dump"
  run -1 backup
  has "$output" "the dump has 6 tables, and the database 7"
  equals "$(ls "$T/place/generations")" "$ID"
  rm "$T/before-pg_dump"
  run -0 backup
}

@test "a backup that is killed looks like none, and the next one clears it away" {
  saved
  next_second
  mkfifo "$T/fifo"
  echo "touch '$T/there'; : <'$T/fifo'" >"$T/before-pg_dump"
  setsid "$S/scripts/immich-backup.sh" >"$T/killed" 2>&1 3>&- 8>&- 9>&- &
  PID=$!
  wait_for 20 test -e "$T/there"
  [ -d "$(echo "$T"/place/generations/*.partial/library/upload)" ]
  kill -KILL -- "-$PID"
  wait "$PID" 2>/dev/null || true
  PID=''
  equals "$(basename "$(readlink "$T/place/latest")")" "$ID"
  run -0 backup --list
  equals "$(wc -l <<<"$output")" 1
  rm "$T/before-pg_dump" "$T/there"
  next_second
  run -0 backup
  equals "$(find "$T/place/generations" -name '*.partial')" ""
  # By a signal that can be caught it clears away after itself.
  next_second
  echo "touch '$T/there'; : <'$T/fifo'" >"$T/before-pg_dump"
  "$S/scripts/immich-backup.sh" >"$T/killed" 2>&1 3>&- 8>&- 9>&- &
  PID=$!
  wait_for 20 test -e "$T/there"
  kill -TERM "$PID"
  # bash hears it when the program that it waits for has ended.
  : >"$T/fifo"
  wait "$PID" || [ $? -eq 143 ]
  PID=''
  equals "$(find "$T/place/generations" -name '*.partial')" ""
}

@test "one at a time: backup, restore and drill share a lock" {
  saved
  exec 7>>"$T/state/lock"
  flock 7
  run -4 backup
  run -4 restore --yes
  run -4 drill
  has "$output" "is at work already"
}

@test "old generations go, one of each day, week and month stays, and all of the last two days" {
  saved
  local day
  for day in $(seq 1 80); do
    cp -al "$G" "$T/place/generations/$(date -u -d "$day days ago" +%Y%m%d)T020000Z"
    # Two a day: the later one stays.
    cp -al "$G" "$T/place/generations/$(date -u -d "$day days ago" +%Y%m%d)T010000Z"
  done
  setting "$S" 'BACKUP_KEEP="7 5 12"'
  next_second
  run -0 backup
  ls "$T/place/generations" >"$T/left"
  # Of seven days, then of weeks and months.
  for day in 1 2 3 4 5 6; do grep -q "^$(date -u -d "$day days ago" +%Y%m%d)T020000Z$" "$T/left"; done
  for day in $(seq 3 80); do run ! grep -q "^$(date -u -d "$day days ago" +%Y%m%d)T010000Z$" "$T/left"; done
  equals "$(awk -v old="$(date -u -d '7 days ago' +%Y%m%d)T999999Z" '$1 < old' "$T/left" | wc -l | awk '{ print ($1 >= 4 && $1 <= 8) }')" 1 "$(cat "$T/left")"
  grep -q "^$ID$" "$T/left"
  setting "$S" 'BACKUP_KEEP="1 0 0"'
  next_second
  run -0 backup
  equals "$(awk -v old="$(date -u -d '2 days ago' +%Y%m%dT%H%M%SZ)" '$1 < old' <(ls "$T/place/generations"))" ""
  [ -e "$T/place/latest/MANIFEST" ]
  setting "$S" BACKUP_KEEP=0
  run -2 backup
  has "$output" "wants three numbers"
}

@test "the settings are saved without passwords, and no password is in output or on a command line" {
  setting "$S" REDIS_PASSWORD=theOtherPassword2
  saved
  run grep -rlE 'thePassword1|theOtherPassword2' "$G/settings.env" "$G/INFO" "$T/said" "$T/docker.log" "$T/state"
  [ "$status" -eq 1 ]
  grep -qx 'DB_PASSWORD=' "$G/settings.env"
  grep -q '^UPLOAD_LOCATION=' "$G/settings.env"
}

@test "a place on another host, by ssh: backup, prune, restore" {
  local sshd port
  sshd=$(PATH=$PATH:/usr/sbin:/sbin command -v sshd) || skip "sshd is not here (Debian: openssh-server)"
  port=$(free_port)
  ssh-keygen -q -t ed25519 -N '' -f "$T/host-key"
  ssh-keygen -q -t ed25519 -N '' -f "$T/key"
  if [ "$(id -u)" -eq 0 ]; then mkdir -p /run/sshd; fi
  printf '%s\n' "Port $port" "ListenAddress 127.0.0.1" "HostKey $T/host-key" "PidFile none" \
    "AuthorizedKeysFile $T/key.pub" "StrictModes no" "UsePAM no" "PasswordAuthentication no" >"$T/sshd_config"
  printf '%s\n' "Host place" "  HostName 127.0.0.1" "  Port $port" "  IdentityFile $T/key" "  IdentitiesOnly yes" \
    "  UserKnownHostsFile $T/known" "  StrictHostKeyChecking no" "  LogLevel ERROR" >"$T/ssh_config"
  "$sshd" -D -f "$T/sshd_config" -E "$T/sshd.log" 3>&- &
  PID=$!
  up() { (exec 4<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; }
  wait_for 10 up
  setting "$S" "BACKUP_LOCATION=place:$T/place"
  setting "$S" "BACKUP_SSH_CONFIG=$T/ssh_config"
  saved
  next_second
  echo more >"$T/library/upload/more.jpg"
  saved
  (cd "$G" && sha256sum --check --quiet --strict MANIFEST)
  remember_all
  rows "DROP DATABASE immich" postgres
  rm -rf "$T/library"
  restore --yes
  contents immich | diff "$T/before" -
  library_sums "$T/library" | diff "$T/library.before" -
  run -0 drill --files all
}

# --- restore -------------------------------------------------------------------------------------

@test "both are destroyed and both come back: every row, every index, every file" {
  saved
  remember_all
  rows "DROP DATABASE immich" postgres
  rm -rf "$T/library"
  run -0 restore --yes
  contents immich | diff "$T/before" -
  library_sums "$T/library" | diff "$T/library.before" -
  every_row_has_its_file immich "$T/library"
  equals "$(databases)" "immich postgres "
  # The database's own settings, which are in no dump.
  # shellcheck disable=SC2016 # the database's own
  equals "$(rows "SELECT setconfig::text FROM pg_db_role_setting s JOIN pg_database d ON d.oid = setdatabase WHERE datname = 'immich'")" '{"search_path=\"$user\", public, vectors"}'
  [ -e "$T/running" ]
  # Immich looks for its marks also where nothing was saved.
  [ -e "$T/library/thumbs/.immich" ] && [ -e "$T/library/encoded-video/.immich" ]
}

@test "without the changed search_path the dump cannot be loaded: that is why it is changed" {
  saved
  gzip -dc "$G/database.sql.gz" | grep -qx "SELECT pg_catalog.set_config('search_path', '', false);"
  rows "CREATE DATABASE plain" postgres
  run bash -c "gzip -dc '$G/database.sql.gz' | PGHOST=$PG/s '$PG_BIN/psql' -X -q -v ON_ERROR_STOP=1 --single-transaction -U immich -d plain 2>&1 >/dev/null"
  rows "DROP DATABASE plain" postgres
  [ "$status" -ne 0 ]
  has "$output" "does not exist"
}

@test "over what runs: the old database stays under another name until it is forgotten" {
  saved
  contents immich >"$T/before"
  rows "DELETE FROM album"
  local damaged
  damaged=$(asset 4)
  # The same size and time, other bytes: a disk that lies.
  touch -r "$damaged" "$T/time"
  printf 'rotten' | dd of="$damaged" conv=notrunc status=none
  touch -r "$T/time" "$damaged"
  echo newer >"$T/library/upload/newer.jpg"
  run -0 restore --yes
  contents immich | diff "$T/before" -
  every_row_has_its_file immich "$T/library"
  # What came after the backup is not thrown away.
  [ -e "$T/library/upload/newer.jpg" ]
  has "$output" "1 differ"
  equals "$(databases | grep -oE 'immich_before_[0-9TZ]+' | wc -l)" 1
  equals "$(rows 'SELECT count(*) FROM album' "$(databases | grep -oE 'immich_before_[0-9TZ]+')")" 0
  equals "$(find "$T/state/replaced" -type f | wc -l)" 1
  run -0 restore --forget
  equals "$(databases)" "immich postgres "
  [ ! -e "$T/state/replaced" ]
}

spoil() { # HOW
  chmod u+w "$G/database.sql.gz"
  case $1 in
  corrupted) printf 'XXXX' | dd of="$G/database.sql.gz" bs=1 seek=2000 conv=notrunc status=none ;;
  truncated) truncate -s -700 "$G/database.sql.gz" ;;
  zero) : >"$G/database.sql.gz" ;;
  gone) rm "$G/database.sql.gz" ;;
  esac
}

@test "a corrupted, truncated, empty or missing dump is refused before anything is touched" {
  saved
  cp "$G/database.sql.gz" "$T/good"
  remember_all
  local how
  for how in corrupted truncated zero gone; do
    spoil $how
    : >"$T/docker.log"
    run -1 restore --yes
    has "$output" "is damaged"
    has "$output" "nothing was changed"
    all_as_it_was
    run grep -cE ' (stop|up|run|rm) ' "$T/docker.log"
    equals "$output" 0
    run -1 drill
    cp "$T/good" "$G/database.sql.gz"
  done
  run -0 drill
}

@test "a dump that is damaged and well attested is refused too, by what is in it" {
  saved
  cp "$G/database.sql.gz" "$T/good"
  remember_all
  local how sentence
  for how in "zero:is empty" "truncated:cannot be unpacked" "corrupted:cannot be unpacked" \
    "early:ends early" "other:is not Immich's" "rows:assets, and" "tables:tables, and"; do
    sentence=${how#*:}
    case ${how%%:*} in
    early) gzip -dc "$T/good" | head -n -12 | gzip >"$G/database.sql.gz" ;;
    other) gzip -dc "$T/good" | sed 's/public\.asset /public.photo /' | gzip >"$G/database.sql.gz" ;;
    rows) gzip -dc "$T/good" | awk '/^COPY public.asset / { print; getline; next } 1' | gzip >"$G/database.sql.gz" ;;
    tables) gzip -dc "$T/good" | sed '0,/^CREATE TABLE/s//CREATE  TABLE/' | gzip >"$G/database.sql.gz" ;;
    *) spoil "${how%%:*}" ;;
    esac
    # Whoever could write there could write the manifest as well.
    sed -i "s/^[0-9a-f]*  database.sql.gz$/$(sha256sum <"$G/database.sql.gz" | cut -c1-64)  database.sql.gz/" "$G/MANIFEST"
    run -1 restore --yes
    has "$output" "$sentence"
    all_as_it_was
    # And as a file that somebody names.
    if [ "${how%%:*}" != rows ] && [ "${how%%:*}" != tables ]; then
      run -1 restore --yes --dump "$G/database.sql.gz"
      has "$output" "$sentence"
      all_as_it_was
    fi
    cp "$T/good" "$G/database.sql.gz"
  done
}

@test "a dump that cannot be loaded leaves what runs as it is" {
  saved
  remember_all
  # It ends well, and says in the middle what the database does not understand.
  gzip -dc "$G/database.sql.gz" | sed 's/^ALTER TABLE ONLY public.album$/ALTER TABLE ONLY public.nobody/' | gzip >"$T/odd.sql.gz"
  run -1 restore --yes --dump "$T/odd.sql.gz"
  has "$output" "could not be loaded"
  all_as_it_was
}

@test "a failure after the switch goes back: the old database, the old files, and Immich runs" {
  saved
  local other
  rows "UPDATE album SET \"albumName\" = 'newer than the backup'"
  other=$(asset 5)
  echo changed >"$other"
  remember_all
  # It comes up on nothing but the old state.
  cat >>"$T/docker.does" <<SH
case "\$line" in
*" up "*immich-server*)
  if [ "\$(psql -X -q -A -t -U immich -d immich -c 'SELECT "albumName" FROM album' </dev/null)" != 'newer than the backup' ]; then
    rm -f "$T/running"
    echo unhealthy >&2
    exit 1
  fi
  ;;
esac
SH
  run -1 restore --yes
  has "$output" "going back to the old state"
  all_as_it_was
}

@test "a restore that is interrupted while it loads leaves what runs, and no database of its own" {
  saved
  rows "UPDATE album SET \"albumName\" = 'newer than the backup'"
  remember_all
  mkfifo "$T/fifo"
  echo "case \"\$line\" in *--single-transaction*) touch '$T/there'; : <'$T/fifo' ;; esac" >"$T/before-psql"
  "$S/scripts/immich-restore.sh" --yes >"$T/interrupted" 2>&1 3>&- 8>&- 9>&- &
  PID=$!
  wait_for 20 test -e "$T/there"
  kill -TERM "$PID"
  # bash hears it when the program that it waits for has ended.
  : >"$T/fifo"
  wait "$PID" || [ $? -eq 143 ]
  PID=''
  rm "$T/before-psql"
  all_as_it_was
  equals "$(find "$T/state" -mindepth 1 -type d)" ""
}

@test "Immich that cannot be stopped, databases that cannot be renamed: what ran runs" {
  saved
  rows "UPDATE album SET \"albumName\" = 'newer than the backup'"
  remember_all
  echo ' stop ' >"$T/docker.fails"
  run -1 restore --yes
  has "$output" "could not be stopped"
  all_as_it_was
  echo 'ALTER DATABASE .* RENAME' >"$T/docker.fails"
  run -1 restore --yes
  has "$output" "could not be renamed; the old one is in place"
  all_as_it_was
  echo 'CREATE DATABASE' >"$T/docker.fails"
  run -1 restore --yes
  has "$output" "nothing was changed"
  all_as_it_was
}

@test "only the files: what is missing or rotten comes back, and Immich goes on running" {
  saved
  remember_all
  rm "$(asset 0)"
  echo rotten >"$(asset 1)"
  : >"$T/docker.log"
  run -0 restore --yes --library-only
  all_as_it_was
  run grep -cE ' (stop|up) ' "$T/docker.log"
  equals "$output" 0
}

@test "only the database, and from a dump of Immich's own" {
  saved
  contents immich >"$T/before"
  PGHOST=$PG/s "$PG_BIN/pg_dump" --clean --if-exists -U immich immich | gzip >"$T/library/backups/immich-db-backup.sql.gz"
  rows "DELETE FROM album"
  rm "$(asset 0)"
  run -0 restore --yes --dump "$T/library/backups/immich-db-backup.sql.gz"
  contents immich | diff "$T/before" -
  # The library is left alone, and what it lacks is said.
  has "$output" "1 originals that the database names are not in"
  rows "DELETE FROM album"
  run -0 restore --yes --database-only "$ID"
  contents immich | diff "$T/before" -
}

@test "two restores of the same second: each keeps its own database and files of before" {
  saved
  contents immich >"$T/before"
  # The first question for the time is answered with the same second, both times.
  cat >"$T/bin/date" <<SH
#!/bin/bash
if [ "\$*" = "-u +%Y%m%dT%H%M%SZ" ] && [ -e "$T/frozen" ]; then
  cat "$T/frozen"
  exec rm "$T/frozen"
fi
exec $(command -v date) "\$@"
SH
  chmod +x "$T/bin/date"
  for n in 1 2; do
    rows "DELETE FROM album"
    echo "rotten $n" >"$(asset 1)"
    echo 20300101T000000Z >"$T/frozen"
    run -0 restore --yes "$ID"
    [ ! -e "$T/frozen" ]
    contents immich | diff "$T/before" -
  done
  equals "$(databases | grep -oE 'immich_before_[0-9TZ]+' | wc -l)" 2
  equals "$(find "$T/state/replaced" -type f -exec cat {} + | sort | tr '\n' ' ')" "rotten 1 rotten 2 "
  for n in 1 2; do
    echo "rotten again $n" >"$(asset 1)"
    echo 20310101T000000Z >"$T/frozen"
    run -0 restore --yes --library-only "$ID"
  done
  equals "$(find "$T/state/replaced" -type f | wc -l)" 4
}

@test "it asks, wants a generation that exists, and refuses one of a newer Immich" {
  saved
  remember_all
  run -2 restore </dev/null
  has "$output" "say --yes"
  run -2 restore --yes 20200101T000000Z
  has "$output" "there is no generation"
  run -2 restore --yes ../../etc
  run -0 restore --dry-run
  has "$output" "is whole: "
  setting "$S" IMMICH_VERSION=v3.1.0
  run -2 restore --yes
  has "$output" "is newer than IMMICH_VERSION=v3.1.0"
  all_as_it_was
}

@test "the runbook's restore by hand does what it says, as it is printed" {
  saved
  remember_all
  rows "DELETE FROM album"
  rm -rf "$T/library/upload"
  sed -n '/^\*\*By hand, if the scripts are lost/,/^An interrupted/p' "$TOP/md/immich-operations.md" |
    grep '^    ' | sed "s|/srv/immich/library/|$T/library/|" >"$T/by-hand"
  [ "$(wc -l <"$T/by-hand")" -ge 8 ]
  G=$G run -0 bash -euo pipefail "$T/by-hand"
  contents immich | diff "$T/before" -
  library_sums "$T/library" | diff "$T/library.before" -
  # Both were stopped, and both were started.
  equals "$(calls docker | grep -cE '^(stop|start) heartbeat-immich-server-1 heartbeat-uringest-gateway-1$')" 2
}

# --- the drill -----------------------------------------------------------------------------------

@test "the drill restores, compares, reports times, remembers, and leaves no trace on what runs" {
  saved
  remember_all
  : >"$T/docker.log"
  run -0 drill
  has "$output" " s  restored into immich_drill_"
  has "$output" "can be restored"
  all_as_it_was
  run grep -cE ' (stop|up|run|rm) ' "$T/docker.log"
  equals "$output" 0
  # The live database was named in no statement.
  run grep -E 'psql .*-d immich( |$)' "$T/docker.log"
  [ "$status" -eq 1 ]
  grep -qx result=ok "$T/state/drill.status"
  grep -qx "id=$ID" "$T/state/drill.status"
  equals "$(find "$T/state" -mindepth 1 -type d)" ""
}

@test "the drill finds a file that is rotten, missing, or not what Immich knows, and says so to the monitor" {
  saved
  local name
  name=$(asset 2)
  name=${name#"$T"/library/}
  cp -p "$G/library/$name" "$T/keep"
  echo rotten >"$G/library/$name"
  run -1 drill --files all
  has "$output" "are damaged, as $name"
  grep -qx result=failed "$T/state/drill.status"
  # Saved rotten: the manifest agrees with it, Immich's SHA-1 does not.
  sed -i "s|^[0-9a-f]*  library/$name$|$(sha256sum <"$G/library/$name" | cut -c1-64)  library/$name|" "$G/MANIFEST"
  run -1 drill --files all
  has "$output" "are not what Immich's database knows"
  sed -i "\\|  library/$name$|d" "$G/MANIFEST"
  run -1 drill
  has "$output" "lacks 1 originals that its database names"
  equals "$(databases)" "immich postgres "
}
