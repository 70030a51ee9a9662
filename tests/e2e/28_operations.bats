#!/usr/bin/env bats
# Upgrade and monitor, against a real PostgreSQL; docker is a stand-in whose Immich migrates its database
# as a real one does: a release that has seen a newer one's database does not start.

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
  T=$(mktemp -d "${TMPDIR:-/tmp}/ur-operations.XXXXXX")
  export STACK_LOCK_DIR=$T
  unset STACK_LOCKED DRY_RUN ENV_FILE COMPOSE_PROFILES IMMICH_VERSION
  recorder docker
  export PATH=$T/bin:$PATH
  S=$T/site
  site "$S"
  setting "$S" "BACKUP_LOCATION=$T/place"
  setting "$S" "BACKUP_STATE=$T/state"
  in_container
  immich_servers
  immich_like 6
  printf '[%s]' '{"tag_name":"v3.2.2","body":"what runs"},{"tag_name":"v3.2.3","body":"## Fixes\n- faster thumbnails"},
    {"tag_name":"v3.3.0","body":"## \u26a0 Breaking changes\n- IMMICH_LOG_LEVEL was renamed\u001b[31m"},
    {"tag_name":"v3.4.0-rc.1","prerelease":true,"body":"Breaking"},{"tag_name":"v4.0.0","body":"all new"}' >"$T/notes"
  # Where the release's own compose file would be fetched from.
  mkdir -p "$T/downloads"/v3.2.3 "$T/downloads"/v3.3.0 "$T/downloads"/v4.0.0
  echo "    image: $(grep -oE 'ghcr.io/immich-app/postgres:[^ ]+' "$S/docker/immich/compose.immich.yml")" |
    tee "$T/downloads"/v3.{2.3,3.0}/docker-compose.yml >/dev/null
  echo '    image: ghcr.io/immich-app/postgres:18-vectorchord0.5.3' >"$T/downloads/v4.0.0/docker-compose.yml"
  export IMMICH_DOWNLOADS_URL=file://$T/downloads IMMICH_RELEASES_URL=file://$T/notes
}

teardown() {
  if mountpoint -q "${T:-/nonexistent}/small"; then umount -l "$T/small"; fi
  [ -z "${PID-}" ] || { kill "$PID" && wait "$PID"; } 2>/dev/null || true
  [ -z "${GATEWAY-}" ] || { kill "$GATEWAY" && wait "$GATEWAY"; } 2>/dev/null || true
  rm -rf "${T:-/nonexistent}"
}

# The version that is started migrates the database, or does not understand it.
immich_servers() {
  cat >>"$T/docker.does" <<SH
case "\$line" in
*" up "*immich-server*)
  version=\${IMMICH_VERSION:-\$(sed -n 's/^IMMICH_VERSION=//p' "$S/.env.immich")}
  seen=\$(psql -X -q -A -t -U immich -d immich -c "SELECT value #>> '{}' FROM system_metadata WHERE key = 'version'" </dev/null)
  if [ -n "\$seen" ] && [ "\$seen" != "\$version" ] && [ "\$(printf '%s\n' "\$seen" "\$version" | sort -V | tail -n 1)" = "\$seen" ]; then
    rm -f "$T/running"
    echo "the database was migrated by \$seen" >&2
    exit 1
  fi
  psql -X -q -U immich -d immich -c "INSERT INTO system_metadata VALUES ('version', to_jsonb('\$version'::text)) ON CONFLICT (key) DO UPDATE SET value = excluded.value" </dev/null
  if [ -e "$T/broken-\$version" ]; then
    rm -f "$T/running"
    exit 1
  fi
  printf '%s' "\$version" >"$T/running"
  ;;
*" exec -T immich-server curl "*)
  sed -E 's/v([0-9]+)\.([0-9]+)\.([0-9]+)/{"major":\1,"minor":\2,"patch":\3}/' "$T/running"
  ;;
*" stop "*immich-server*) rm -f "$T/running" ;;
esac
SH
  printf v3.2.2 >"$T/running"
}

upgrade() { "$S/scripts/immich-upgrade.sh" "$@" 3>&- 8>&- 9>&-; }
backup() { "$S/scripts/immich-backup.sh" "$@" 3>&- 8>&- 9>&-; }
setting_is() { equals "$(sed -n "s/^$1=//p" "$S/.env.immich")" "$2"; }

@test "root's scripts know of each other by sudo, by timer and by login: one lock" {
  [ "$(id -u)" -eq 0 ] && [ -w /run/lock ] || skip "this is not root, or there is no /run/lock"
  unset STACK_LOCK_DIR
  local lock=/run/lock/heartbeat-certificate-0.lock there=yes
  [ -e "$lock" ] || there=''
  exec 5>>"$lock"
  flock -n 5 || skip "somebody renews a certificate here just now"
  XDG_RUNTIME_DIR=$T run -4 "$S/scripts/run-certbot.sh" --dry-run
  run -4 env -u XDG_RUNTIME_DIR "$S/scripts/run-certbot.sh" --dry-run
  [ -n "$there" ] || rm -f "$lock"
  has "$output" "another run of the certificate scripts is at work"
}

# --- upgrade -------------------------------------------------------------------------------------

@test "without a version the notes are shown, and nothing else" {
  run -0 upgrade
  has "$output" "https://github.com/immich-app/immich/releases/tag/v3.2.3"
  has "$output" "IMMICH_LOG_LEVEL was renamed"
  has "$output" "to go on: scripts/immich-upgrade.sh v4.0.0"
  # What strangers wrote does not drive the terminal, and what is no release is none.
  lacks "$output" $'\e'
  lacks "$output" "v3.4.0-rc.1"
  setting_is IMMICH_VERSION v3.2.2
}

@test "an upgrade: backup, pull, stop, dump, up, verify, in this order" {
  backup --init
  stat -c '%a %u' "$S/.env.immich" >"$T/mode"
  run -0 upgrade --verify "touch $T/verified" v3.2.3
  equals "$(cat "$T/running")" v3.2.3
  setting_is IMMICH_VERSION v3.2.3
  [ -e "$T/verified" ]
  [ -e "$T/place/latest/MANIFEST" ]
  [ -s "$T/state/before-v3.2.3.sql.gz" ]
  stat -c '%a %u' "$S/.env.immich" | diff "$T/mode" -
  equals "$(calls docker | grep -oE ' (pg_dump|pull|stop|up) ' | tr -d '\n' | tr -s ' ')" " pg_dump pull stop pg_dump up "
  run -0 upgrade v3.2.3
  has "$output" "is what runs"
}

@test "notes that speak of breaking changes stop it until somebody has read them" {
  backup --init
  run -2 upgrade --verify true v3.3.0
  has "$output" "read the notes first: v3.3.0"
  run -2 upgrade --verify true v4.0.0
  has "$output" "database-image"
  has "$output" "comes with the database image 18-vectorchord0.5.3"
  has "$output" "a-new-major-version"
  equals "$(calls docker | grep -cE ' (pull|stop|up) ')" 0
  run -0 upgrade --notes-read --verify true v3.3.0
  equals "$(cat "$T/running")" v3.3.0
  # The list may be too short to tell of all that lies between.
  jq '[.[-1]]' "$T/notes" >"$T/short"
  run -2 upgrade --notes "$T/short" v4.0.0
  has "$output" "notes-older-than-the-list"
}

@test "downgrades, odd versions, unknown ones, and notes that cannot be had are refused" {
  run -2 upgrade v3.1.0
  has "$output" "is older than v3.2.2"
  run -2 upgrade latest
  run -2 upgrade v3.2.2-cuda
  run -2 upgrade v3.9.9
  has "$output" "there is no release v3.9.9; the newest is v4.0.0"
  echo '<html>rate limited</html>' >"$T/html"
  run -2 upgrade --notes "$T/html" v3.2.3
  has "$output" "is no list of releases"
  IMMICH_RELEASES_URL=file://$T/nothing run -2 upgrade v3.2.3
  has "$output" "cannot be fetched"
  equals "$(calls docker | grep -cE ' (pull|stop|up) ')" 0
}

# The old release runs, with the old version in the settings, on a database that it understands.
old_runs() {
  equals "$(cat "$T/running")" v3.2.2
  setting_is IMMICH_VERSION v3.2.2
  contents immich | grep -v '^(version' | diff "$T/before" -
}

@test "no backup, no upgrade; an image that cannot be pulled: nothing was touched" {
  contents immich >"$T/before"
  run -1 upgrade --verify true v3.2.3
  has "$output" "no upgrade without a backup"
  old_runs
  backup --init
  echo ' pull ' >"$T/docker.fails"
  run -1 upgrade --verify true v3.2.3
  has "$output" "could not be pulled; v3.2.2 goes on running"
  old_runs
  equals "$(calls docker | grep -cE ' stop ')" 0
}

@test "a release that does not come up: back to the old one, and to the database that it understands" {
  backup --init
  rows "UPDATE album SET \"albumName\" = 'written last'"
  contents immich >"$T/before"
  touch "$T/broken-v3.2.3"
  run -1 upgrade --verify true v3.2.3
  has "$output" "v3.2.3 does not become healthy"
  has "$output" "v3.2.2 runs again"
  old_runs
  # What was newer had migrated it, and is kept aside.
  equals "$(rows "SELECT value #>> '{}' FROM system_metadata WHERE key = 'version'" "$(databases | grep -oE 'immich_before_[0-9TZ]+')")" v3.2.3
}

@test "a release that comes up and fails its verification goes back as well; so does the wrong version" {
  backup --init
  contents immich >"$T/before"
  run -1 upgrade --verify false v3.2.3
  has "$output" "does not pass the verification"
  old_runs
  # As if the image were not what its tag says.
  sed -i 's/"minor":\\2,"patch":\\3/"minor":9,"patch":9/' "$T/docker.does"
  run -1 upgrade --verify true v3.2.3
  has "$output" "the server says that it is 3.9.9"
  old_runs
}

@test "a last dump that fails: the old release starts again on its database" {
  backup --init
  contents immich >"$T/before"
  # The first dump, of the backup, passes.
  cat >"$T/after-pg_dump" <<SH
printf 'code=1\n' >"$T/after-pg_dump"
SH
  run -1 upgrade --verify true v3.2.3
  has "$output" "the last dump before the upgrade failed"
  has "$output" "v3.2.2 runs again"
  old_runs
  equals "$(databases)" "immich postgres "
}

@test "with --dry-run an upgrade says what it would do and does nothing" {
  run -0 upgrade --dry-run v3.2.3
  has "$output" "would pull v3.2.3, stop Immich, dump immich"
  equals "$(calls docker)" ""
  setting_is IMMICH_VERSION v3.2.2
}

# --- monitor -------------------------------------------------------------------------------------

# A docker whose containers are well; $T/NAME.inspect and $T/stats say otherwise.
well() {
  cat >>"$T/docker.does" <<SH
case "\$line" in
*" ps -a "*)
  for s in nginx heartbeat-frontend it-tools immich-postgres immich-redis immich-machine-learning immich-server uringest-gateway; do
    [ -e "$T/\$s.absent" ] || echo "\$s id-\$s"
  done
  ;;
*": inspect "*)
  s=\${!#}
  if [ -e "$T/\${s#id-}.inspect" ]; then cat "$T/\${s#id-}.inspect"; else echo "running healthy 0 2026-01-01T00:00:00Z"; fi
  ;;
*": stats "*)
  for s in "\$@"; do 
    memory=20.10
    if [ -e "$T/\${s#id-}.full" ]; then memory=97.20; fi
    case \$s in id-*) echo "\${s}0123456789 1.50% \$memory%" ;; esac
  done
  ;;
*": info "*) echo "$T" ;;
*" exec -T uringest-gateway "*)
  if [ -e "$T/gateway.port" ]; then
    words=\${!#}
    exec bash -c "\${words//8091/\$(cat "$T/gateway.port")}"
  fi
  if [[ "\${!#}" == */healthz* ]] && [ -e "$T/health" ]; then
    printf 'HTTP/1.1 503 Service Unavailable\r\n\r\n%s\n' "\$(cat "$T/health")"
    exit
  fi
  printf 'HTTP/1.1 200 OK\r\n\r\n'
  if [ -e "$T/metrics" ]; then cat "$T/metrics"; else
    printf 'uringest_gateway_uploads{state="%s"} 0\r\n' receiving complete broken delivered confirmed refused
    printf 'uringest_gateway_spool_free_bytes 99999999999\n'
  fi
  ;;
esac
SH
  mkdir -p "$T/state"
  local now
  now=$(date +%s)
  printf '%s\n' "tried=$now" result=ok "good=$((now - 7200))" id=20260101T000000Z missing=0 library_bytes=5000 database_bytes=100 seconds=60 >"$T/state/backup.status"
  printf '%s\n' "tried=$now" result=ok "good=$((now - 86400))" id=20260101T000000Z seconds=20 >"$T/state/drill.status"
  mkdir -p "$T/place"
}

# A server of TLS in nginx's place, which answers as Immich does; DAYS its certificate lasts.
start_tls() { # DAYS
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days "$1" -subj /CN=photos.heartbeatacic.org \
    -keyout "$T/tls.key" -out "$T/tls.pem" 2>/dev/null
  VERIFY_HTTPS_PORT=$(free_port)
  export VERIFY_HTTPS_PORT
  mkdir -p "$T/www/api/server"
  echo '{"isInitialized":true}' >"$T/www/api/server/config"
  (cd "$T/www" && exec openssl s_server -accept "127.0.0.1:$VERIFY_HTTPS_PORT" -cert "$T/tls.pem" -key "$T/tls.key" -WWW -quiet) </dev/null >/dev/null 2>&1 3>&- &
  PID=$!
  up() { (exec 4<>"/dev/tcp/127.0.0.1/$VERIFY_HTTPS_PORT") 2>/dev/null; }
  wait_for 10 up
}
# The gateway itself, whose figures the monitor reads.
start_gateway() {
  local uringest=$TOP/build/${BUILD:-release}/uringest
  "$uringest" serve --help >/dev/null 2>&1 || return 0
  mkdir -m 700 "$T/spool"
  "$uringest" serve --listen 127.0.0.1:0 --spool "$T/spool" --keep-free 0 --immich none --allow-anonymous \
    >"$T/gateway.out" 2>"$T/gateway.err" 3>&- 4>&- &
  GATEWAY=$!
  wait_for 10 grep -q 'listening on' "$T/gateway.out"
  sed -nE 's/.*:([0-9]+)$/\1/p' "$T/gateway.out" | head -n 1 >"$T/gateway.port"
}

stop_tls() { kill "$PID" && { wait "$PID" || true; } 2>/dev/null; PID=''; }

monitor() { "$S/scripts/immich-monitor.sh" "$@" 3>&- 8>&- 9>&-; }
# Disks of the machine that the tests run on may be full.
mine() { grep -vE '(disk-|headroom)' <<<"$output"; }

@test "an installation that is well has no findings, as text, as JSON, and for Prometheus" {
  well
  start_tls 90
  start_gateway
  run monitor --textfile "$T/prom"
  echo "$output"
  run -1 grep -E '^(warning|critical)' <<<"$(mine)"
  run --separate-stderr monitor --json
  # shellcheck disable=SC2154 # bats sets it
  equals "$stderr" ""
  [ "$(jq -es 'map(select(.name != null and .level != "ok" and (.name | test("disk|headroom") | not))) | length' <<<"$output")" = 0 ]
  [ "$(jq -es 'last | .ok > 15' <<<"$output")" = true ]
  # Every line is a sample or a comment, every name has one type, before its samples.
  run ! grep -vE '^(# TYPE heartbeat_[a-z_]+ gauge|heartbeat_[a-z_]+(\{[a-z]+="[A-Za-z0-9_-]+"\})? -?[0-9]+)$' "$T/prom"
  equals "$(grep -c '^# TYPE heartbeat_container_up ' "$T/prom")" 1
  grep -qx 'heartbeat_container_up{service="immich-server"} 1' "$T/prom"
  grep -qE '^heartbeat_certificate_days (8[89]|90)$' "$T/prom"
  grep -qE '^heartbeat_database_bytes [0-9]{6,}$' "$T/prom"
  grep -qE '^heartbeat_gateway_uploads\{state="complete"\} 0$' "$T/prom"
}

@test "each thing that can be wrong is found, is the only one, and makes the exit code 1" {
  well
  start_tls 90
  local now
  now=$(date +%s)
  found() { # LEVEL NAME PART
    run monitor --quiet
    [ "$status" -eq 1 ]
    grep -E "^$1 +$2 .*$3" <<<"$output" || { echo "$output" && return 1; }
    equals "$(mine | grep -cE '^(warning|critical)')" "${4:-1}" "$output"
  }
  echo "exited - 0 x" >"$T/immich-redis.inspect"
  found critical container-immich-redis "is exited"
  echo "running unhealthy 0 x" >"$T/immich-redis.inspect"
  found critical container-immich-redis unhealthy
  rm "$T/immich-redis.inspect"
  touch "$T/nginx.absent"
  found critical container-nginx "no container"
  rm "$T/nginx.absent"
  touch "$T/immich-machine-learning.full"
  found warning container-immich-machine-learning "near its limit, memory 97 %"
  rm "$T/immich-machine-learning.full"

  sed -i "s/^good=.*/good=$((now - 3600 * 40))/" "$T/state/backup.status"
  found warning backup "is 40 hours old"
  sed -i "s/^good=.*/good=$((now - 3600 * 60))/" "$T/state/backup.status"
  found critical backup "is 60 hours old"
  sed -i "s/^good=.*/good=$now/; s/^result=.*/result=failed/" "$T/state/backup.status"
  found warning backup "the last backup failed"
  sed -i "s/^result=.*/result=ok/; s/^missing=.*/missing=3/" "$T/state/backup.status"
  found critical originals "3 originals that the database names are not on the disk"
  sed -i "s/^missing=.*/missing=0/" "$T/state/backup.status"
  sed -i "s/^good=.*/good=$((now - 86400 * 40))/" "$T/state/drill.status"
  found warning drill "hours old"
  rm "$T/state/drill.status"
  found critical drill "there is no good drill yet"
  printf '%s\n' result=ok "good=$now" seconds=1 >"$T/state/drill.status"

  rows 'CREATE DATABASE "immich_before_20260101T000000Z"' postgres
  found warning database-left "immich_before_20260101T000000Z"
  rows 'DROP DATABASE "immich_before_20260101T000000Z"' postgres
  printf 'uringest_gateway_uploads{state="%s"} 2\n' receiving complete broken delivered confirmed refused >"$T/metrics"
  echo 'uringest_gateway_spool_free_bytes 99999999999' >>"$T/metrics"
  found warning gateway "2 uploads were refused by Immich and 2 were not"
  echo 'immich-away: immich-server does not answer as it should' >"$T/health"
  found critical gateway "takes no upload: immich-away: immich-server does not"
  rm "$T/health"
  : >"$T/metrics"
  found critical gateway "does not give its figures"
  rm "$T/metrics"
  rm "$T/www/api/server/config"
  found critical immich-answers "does not answer"
  stop_tls
  found critical certificate "nginx shows none" 2
  start_tls 10
  found warning certificate "ends in (9|10) days"
  stop_tls
  start_tls 3
  found critical certificate "ends in [23] days"
}

@test "a database that does not answer, and one whose transactions hang" {
  well
  start_tls 90
  echo 'exec -T immich-postgres psql' >"$T/docker.fails"
  run monitor
  has "$output" "critical  database"
  rm "$T/docker.fails"
  # A transaction that waits: the monitor's five minutes are made shorter.
  sed -i "s/interval '5 minutes'/interval '0 seconds'/" "$S/scripts/immich-monitor.sh"
  mkfifo "$T/hold"
  psql_here immich >/dev/null <"$T/hold" &
  local psql=$!
  exec 6>"$T/hold"
  echo 'BEGIN; SELECT 1;' >&6
  waits() { [ "$(rows "SELECT count(*) FROM pg_stat_activity WHERE state = 'idle in transaction'")" = 1 ]; }
  wait_for 10 waits
  run monitor
  exec 6>&-
  wait $psql
  has "$output" "Immich hangs; restart immich-server"
}

@test "a disk that is nearly full, or smaller than twice the library, or not there" {
  [ "$(id -u)" -eq 0 ] || skip "only root can mount a small disk to try"
  well
  start_tls 90
  mkdir "$T/small"
  mount -t tmpfs -o size=8m tmpfs "$T/small" 2>/dev/null || skip "nothing can be mounted here"
  setting "$S" "UPLOAD_LOCATION=$T/small"
  run monitor --quiet
  setting "$S" "BACKUP_LOCATION=$T/nowhere"
  sed -i 's/^library_bytes=.*/library_bytes=90000000/' "$T/state/backup.status"
  local first=$output
  run monitor --quiet
  umount -l "$T/small"
  grep -qE '^critical +disk-library .*/small has 8.0MB free \(100 %\)' <<<"$first"
  lacks "$first" headroom
  grep -qE '^warning +headroom .*the library has 86MB and its disk 8.0MB free' <<<"$output"
  grep -qE '^critical +disk-backup .*nowhere is not there; is it mounted' <<<"$output"
}

@test "restarts since the last look are a finding, once" {
  well
  start_tls 90
  monitor --alarm --quiet || true
  echo "running healthy 4 x" >"$T/immich-server.inspect"
  run monitor --alarm --quiet
  has "$output" "was restarted 4 times since the last look"
  run monitor --alarm --quiet
  lacks "$output" "was restarted"
}

@test "the alarm is told when the findings change, not every hour, and when all is well again" {
  well
  start_tls 90
  # Whatever this machine's disks are like is no finding here.
  sed -i -e 's/^disk() {/&\n  return 0/' -e 's/^headroom() {/&\n  return 0/' "$S/scripts/immich-monitor.sh"
  setting "$S" "MONITOR_ALARM=\"cat >>$T/told\""
  run -0 monitor --alarm
  [ ! -e "$T/told" ]
  touch "$T/nginx.absent"
  run -1 monitor --alarm
  run -1 monitor --alarm
  equals "$(wc -l <"$T/told")" 1
  has "$(cat "$T/told")" "container-nginx"
  rm "$T/nginx.absent"
  run -0 monitor --alarm
  equals "$(tail -n 1 "$T/told")" "all is well again"
  # Where telling fails it is tried again.
  touch "$T/nginx.absent"
  setting "$S" "MONITOR_ALARM=false"
  run -1 monitor --alarm
  has "$output" "could not be told"
  setting "$S" "MONITOR_ALARM=\"cat >>$T/told\""
  run -1 monitor --alarm
  has "$(tail -n 1 "$T/told")" "container-nginx"
}

@test "no secret is in what the monitor says or asks" {
  well
  start_tls 90
  setting "$S" REDIS_PASSWORD=theOtherPassword2
  run monitor --textfile "$T/prom"
  has "$output" "container-immich-server"
  lacks "$output$(cat "$T/prom" "$T/docker.log")" thePassword1
  lacks "$output$(cat "$T/prom" "$T/docker.log")" theOtherPassword2
}

@test "every script of this kind says how it is used, refuses what it does not know, and reads its settings with care" {
  local script
  for script in immich-backup.sh immich-restore.sh immich-restore-drill.sh immich-upgrade.sh immich-monitor.sh; do
    run -0 "$S/scripts/$script" --help
    has "$output" "usage: scripts/$script"
    run -2 "$S/scripts/$script" --no-such-option
    has "$output" "usage:"
    chmod 644 "$S/.env.immich"
    run -2 "$S/scripts/$script"
    has "$output" "is open to everybody"
    chmod 600 "$S/.env.immich"
  done
  equals "$(calls docker)" ""
  setting "$S" BACKUP_LOCATION=
  run -2 backup
  has "$output" "BACKUP_LOCATION is empty"
  setting "$S" "BACKUP_LOCATION=$T/library/backup"
  run -2 backup
  has "$output" "lies in UPLOAD_LOCATION"
  setting "$S" "BACKUP_LOCATION=relative"
  run -2 backup
}
