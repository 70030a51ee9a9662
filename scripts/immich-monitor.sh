#!/bin/bash
# immich-monitor.sh - how the installation is doing: containers, disks, database, backups, drills,
# certificate, gateway.  Changes nothing.  md/immich-operations.md says what to do about each finding.
# shellcheck source-path=SCRIPTDIR
set -euo pipefail
# shellcheck source=lib/common.bash
. "$(dirname "$0")/lib/common.bash"

usage() {
  cat <<'TEXT'
usage: scripts/immich-monitor.sh [OPTION...]

  --json           one object a line instead of text; the last one is the summary
  --textfile FILE  also figures for Prometheus' node exporter, replaced whole
  --alarm          tell MONITOR_ALARM of .env.immich when the findings changed since the last time
  --quiet          only what is not well

  Exit code: 0 all is well, 1 something is not (warning or critical), 2 usage or set-up.
TEXT
}

json='' textfile='' alarm='' quiet=''
while [ $# -gt 0 ]; do
  case $1 in
  --json) json=yes ;;
  --textfile) option_value "$@" && textfile=$2 && shift ;;
  --alarm) alarm=yes ;;
  --quiet) quiet=yes ;;
  -h | --help) usage && exit 0 ;;
  *) usage >&2 && exit 2 ;;
  esac
  shift
done
load_env
# shellcheck source=lib/backup.bash
. "$TOP/scripts/lib/backup.bash"
need_docker
prepare_state
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
now=$(seconds_now)
: >"$work/findings"
: >"$work/figures"

# --- what is found --------------------------------------------------------------------------------

worst=0 warnings=0 criticals=0 well=0
quoted() { printf '%s' "$1" | tr -d '\000-\037' | sed 's/[\\"]/\\&/g'; }

# finding ok|warning|critical NAME SENTENCE
finding() {
  case $1 in
  ok) well=$((well + 1)) ;;
  warning) warnings=$((warnings + 1)) worst=1 ;;
  critical) criticals=$((criticals + 1)) worst=1 ;;
  esac
  if [ "$1" != ok ]; then printf '%-8s  %-20s  %s\n' "$1" "$2" "$3" >>"$work/findings"; fi
  figure finding "name=\"$2\"" "$(case $1 in ok) echo 0 ;; warning) echo 1 ;; *) echo 2 ;; esac)"
  if [ -n "$quiet" ] && [ "$1" = ok ]; then return; fi
  if [ -n "$json" ]; then
    printf '{"level":"%s","name":"%s","text":"%s"}\n' "$1" "$2" "$(quoted "$3")"
  else
    printf '%-8s  %-20s  %s\n' "$1" "$2" "$3"
  fi
}

# figure NAME LABELS VALUE, for Prometheus.
figure() {
  [ -n "$3" ] || return 0
  printf 'heartbeat_%s%s %s\n' "$1" "${2:+{$2\}}" "$3" >>"$work/figures"
}

# level VALUE WARNING CRITICAL: more is worse.
level() {
  if [ "$1" -ge "$3" ]; then echo critical; elif [ "$1" -ge "$2" ]; then echo warning; else echo ok; fi
}

number() { case $1 in '' | *[!0-9]*) return 1 ;; esac; }

# --- containers -----------------------------------------------------------------------------------

containers() {
  local service id line state health restarts started before memory cpu limit
  (cd "$TOP" && docker compose --env-file "$ENV_FILE" -f docker-compose.yml \
    -f docker/immich/compose.immich.yml ps -a --format '{{.Service}} {{.ID}}') >"$work/ps" || {
    finding critical containers "docker compose ps failed: is docker running?"
    return
  }
  # MemPerc and CPUPerc of everything in one look, which takes two seconds.
  cut -d ' ' -f 2 "$work/ps" | xargs -r docker stats --no-stream --no-trunc \
    --format '{{.ID}} {{.CPUPerc}} {{.MemPerc}}' >"$work/stats" 2>/dev/null || : >"$work/stats"
  for service in nginx heartbeat-frontend it-tools $(immich_services); do
    id=$(awk -v service="$service" '$1 == service { print $2; exit }' "$work/ps")
    if [ -z "$id" ]; then
      finding critical "container-$service" "there is no container; start it: scripts/immich-up.sh --all"
      continue
    fi
    line=$(docker inspect --format '{{.State.Status}} {{if .State.Health}}{{.State.Health.Status}}{{else}}-{{end}} {{.RestartCount}} {{.State.StartedAt}}' "$id") || {
      finding critical "container-$service" "cannot be looked at"
      continue
    }
    read -r state health restarts started <<<"$line"
    number "$restarts" || restarts=0
    figure container_restarts "service=\"$service\"" "$restarts"
    figure container_up "service=\"$service\"" "$([ "$state" = running ] && [ "$health" != unhealthy ] && echo 1 || echo 0)"
    # The count is the container's own and starts anew with it.
    before=$(recall monitor "restarts_$service")
    printf 'restarts_%s=%s\n' "$service" "$restarts" >>"$work/state"
    read -r cpu memory < <(awk -v id="$id" 'index($1, id) == 1 { sub(/%/, "", $2); sub(/%/, "", $3); print int($2), int($3) }' "$work/stats") || true
    number "${memory-}" || memory=''
    number "${cpu-}" || cpu=''
    [ -z "$memory" ] || figure container_memory_percent "service=\"$service\"" "$memory"
    [ -z "$cpu" ] || figure container_cpu_percent "service=\"$service\"" "$cpu"
    limit="${memory:+, memory $memory % of its limit}${cpu:+, processor $cpu %}"
    if [ "$state" != running ]; then
      finding critical "container-$service" "is $state"
    elif [ "$health" = unhealthy ]; then
      finding critical "container-$service" "runs and is unhealthy since $started$limit"
    elif number "${before:-x}" && [ "$restarts" -gt "$before" ]; then
      finding warning "container-$service" "was restarted $((restarts - before)) times since the last look$limit"
    elif [ -n "$memory" ] && [ "$memory" -ge 90 ]; then
      finding warning "container-$service" "is near its limit$limit"
    else
      finding ok "container-$service" "runs$limit"
    fi
  done
}

# Through nginx, as a browser would; an answer that needs the database.
answers() {
  local host=photos.heartbeatacic.org port=${VERIFY_HTTPS_PORT:-443}
  [ "${HEARTBEAT_SITES:-production}" != dev ] || host=photos.dev.heartbeat.local
  # Whose certificate it is, is another check's business.
  if curl -sSk --max-time 20 --resolve "$host:$port:127.0.0.1" "https://$host:$port/api/server/config" 2>"$work/curl" |
    grep -qF '"isInitialized":'; then
    finding ok immich-answers "https://$host answers"
  else
    finding critical immich-answers "https://$host does not answer: $(head -n 1 "$work/curl")"
  fi
}

# --- disks ----------------------------------------------------------------------------------------

# disk NAME PATH: the last tenth is a warning, the last twentieth or 5 GB an alarm.
disk() {
  local free size percent
  read -r free size < <(df --output=avail,size -B1 "$2" 2>/dev/null | tail -n 1) || true
  if ! number "${free-}" || ! number "${size-}"; then
    finding critical "disk-$1" "$2 is not there; is it mounted?"
    return
  fi
  percent=$((size > 0 ? free * 100 / size : 0))
  figure disk_free_bytes "disk=\"$1\"" "$free"
  figure disk_size_bytes "disk=\"$1\"" "$size"
  if [ "$percent" -lt 5 ] || [ "$free" -lt 5368709120 ]; then
    finding critical "disk-$1" "$2 has $(pretty "$free") free ($percent %)"
  elif [ "$percent" -lt 10 ]; then
    finding warning "disk-$1" "$2 has $(pretty "$free") free ($percent %)"
  else
    finding ok "disk-$1" "$2 has $(pretty "$free") free ($percent %)"
  fi
}

# The plan's rule: a disk of twice the library, so that what is free is at least what is there.
headroom() {
  local used free
  used=$(recall backup library_bytes)
  # The nightly backup counts it; only where there is none is it counted here.
  if ! number "${used-}" || [ "$used" -eq 0 ]; then
    used=$(du -sb --exclude=thumbs --exclude=encoded-video "$LIBRARY" 2>/dev/null | cut -f 1) || true
  fi
  free=$(df --output=avail -B1 "$LIBRARY" 2>/dev/null | tail -n 1) || true
  number "${used-}" && number "${free// /}" || return 0
  free=${free// /}
  figure library_bytes '' "$used"
  if [ "$free" -lt "$used" ]; then
    finding warning headroom "the library has $(pretty "$used") and its disk $(pretty "$free") free: less than twice the library in all"
  else
    finding ok headroom "the library has $(pretty "$used") and its disk $(pretty "$free") free"
  fi
}

# --- the database ---------------------------------------------------------------------------------

database() {
  local bytes stuck connections most
  if ! sql "$DATABASE" "SELECT pg_database_size(current_database()),
      (SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND state LIKE 'idle in transaction%' AND state_change < now() - interval '5 minutes'),
      (SELECT count(*) FROM pg_stat_activity), current_setting('max_connections')" >"$work/database" 2>"$work/database.err"; then
    finding critical database "does not answer: $(head -n 1 "$work/database.err")"
    return
  fi
  IFS='|' read -r bytes stuck connections most <"$work/database"
  figure database_bytes '' "$bytes"
  figure database_stuck_transactions '' "$stuck"
  figure database_connections '' "$connections"
  if [ "$stuck" -gt 0 ]; then
    finding critical database "$stuck transactions have been waiting for more than 5 minutes: Immich hangs; restart immich-server"
  elif [ $((connections * 10)) -ge $((most * 9)) ]; then
    finding warning database "$connections of $most connections are in use"
  else
    finding ok database "$(pretty "$bytes"), $connections of $most connections"
  fi
  for name in $(sql postgres "SELECT datname FROM pg_database WHERE datname ~ '^${DATABASE}_(before|new|drill)_'" 2>/dev/null || true); do
    finding warning database-left "$name is left of a restore or drill; when all is well: scripts/immich-restore.sh --forget"
  done
}

# --- backups and drills ---------------------------------------------------------------------------

# age NAME WARNING_HOURS CRITICAL_HOURS WHAT
age() {
  local good result hours
  good=$(recall "$1" good) result=$(recall "$1" result)
  if ! number "${good-}"; then
    finding critical "$1" "there is no good $4 yet"
    return
  fi
  hours=$(((now - good) / 3600))
  figure "$1_age_seconds" '' $((now - good))
  figure "$1_seconds" '' "$(recall "$1" seconds)"
  if [ "$result" != ok ]; then
    finding "$(if [ "$hours" -ge "$3" ]; then echo critical; else echo warning; fi)" "$1" "the last $4 failed; the last good one is $hours hours old"
  else
    finding "$(level "$hours" "$2" "$3")" "$1" "the last good $4 is $hours hours old ($(recall "$1" id))"
  fi
}

backups() {
  local missing
  age backup 30 54 backup
  age drill $((35 * 24)) $((65 * 24)) drill
  missing=$(recall backup missing)
  if number "${missing-}"; then
    figure originals_missing '' "$missing"
    if [ "$missing" -gt 0 ]; then
      finding critical originals "$missing originals that the database names are not on the disk (MISSING in the newest backup lists them)"
    else
      finding ok originals "every original that the database names is in the backup"
    fi
  fi
}

# --- certificate ----------------------------------------------------------------------------------

certificate() {
  local host=photos.heartbeatacic.org port=${VERIFY_HTTPS_PORT:-443} ends days
  [ "${HEARTBEAT_SITES:-production}" != dev ] || host=photos.dev.heartbeat.local
  ends=$(timeout 10 openssl s_client -connect "127.0.0.1:$port" -servername "$host" </dev/null 2>/dev/null |
    openssl x509 -noout -enddate 2>/dev/null | cut -d = -f 2) || true
  if [ -z "$ends" ]; then
    finding critical certificate "nginx shows none for $host"
    return
  fi
  days=$((($(date -d "$ends" +%s) - now) / 86400))
  figure certificate_days '' "$days"
  # Renewed at 30 days left.
  if [ "$days" -lt 7 ]; then
    finding critical certificate "of $host ends in $days days: scripts/run-certbot.sh --renew"
  elif [ "$days" -lt 21 ]; then
    finding warning certificate "of $host ends in $days days and should have been renewed: scripts/run-certbot.sh --renew"
  else
    finding ok certificate "of $host is good for $days days"
  fi
}

# --- the upload gateway ---------------------------------------------------------------------------

of_metrics() { awk -v name="$1" '$1 == name { n = $2 } END { printf "%.0f\n", n }' "$work/metrics"; }

# Its figures are for those inside: asked from inside, by the shell that the image has.
ask_gateway() { # WHAT: healthz, metrics
  (cd "$TOP" && docker compose --env-file "$ENV_FILE" -f docker-compose.yml -f docker/immich/compose.immich.yml \
    exec -T uringest-gateway bash -c "exec 3<>/dev/tcp/127.0.0.1/8091 && printf 'GET /uringest/$1 HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n' >&3 && cat <&3") \
    </dev/null 2>/dev/null | tr -d '\r' >"$work/$1" || true
}

gateway() {
  local refused broken waiting free
  ask_gateway metrics
  ask_gateway healthz
  if ! grep -q '^uringest_gateway_uploads' "$work/metrics"; then
    finding critical gateway "does not give its figures"
    return
  fi
  grep -E '^uringest_gateway_(uploads|spool_bytes|spool_free_bytes)' "$work/metrics" | sed 's/^uringest_/heartbeat_/' >>"$work/figures" || true
  refused=$(of_metrics 'uringest_gateway_uploads{state="refused"}')
  broken=$(of_metrics 'uringest_gateway_uploads{state="broken"}')
  waiting=$(($(of_metrics 'uringest_gateway_uploads{state="complete"}') + $(of_metrics 'uringest_gateway_uploads{state="delivered"}')))
  free=$(of_metrics uringest_gateway_spool_free_bytes)
  if ! head -n 1 "$work/healthz" | grep -q '^HTTP/1.1 200'; then
    finding critical gateway "takes no upload: $(tail -n 1 "$work/healthz")"
  elif [ "$free" -lt 2147483648 ]; then
    finding critical gateway "its spool's disk has $(pretty "$free") free, and below 1 GiB it takes nothing more"
  elif [ $((refused + broken)) -gt 0 ]; then
    finding warning gateway "$refused uploads were refused by Immich and $broken were not what their checksum promised"
  elif [ "$waiting" -gt 100 ]; then
    finding warning gateway "$waiting complete uploads wait for Immich to take them"
  else
    finding ok gateway "$waiting complete uploads on their way to Immich"
  fi
}

need curl curl
need openssl openssl
: >"$work/state"
containers
answers
disk library "$LIBRARY"
headroom
docker_root=$(docker info --format '{{.DockerRootDir}}' 2>/dev/null || true)
[ -z "$docker_root" ] || disk docker "$docker_root"
case ${DB_DATA_LOCATION-} in /*) disk database "$DB_DATA_LOCATION" ;; esac
case ${BACKUP_LOCATION-} in /*) disk backup "$BACKUP_LOCATION" ;; esac
database
backups
certificate
gateway

if [ -n "$json" ]; then
  printf '{"ok":%d,"warnings":%d,"criticals":%d}\n' "$well" "$warnings" "$criticals"
else
  printf '%d well, %d warnings, %d critical\n' "$well" "$warnings" "$criticals"
fi

if [ -n "$textfile" ]; then
  figure monitor_time_seconds '' "$now"
  # The exporter may read at any time.
  LC_ALL=C sort "$work/figures" | awk '{ name = $1; sub(/\{.*/, "", name) }
    name != last { print "# TYPE " name " gauge"; last = name } { print }' >"$textfile.$$" ||
    die "cannot write $textfile" 2
  chmod 644 "$textfile.$$"
  mv "$textfile.$$" "$textfile"
fi

# Numbers change all the time; what counts is what is wrong and how much.
cut -c 1-30 "$work/findings" | sort >"$work/names"
# Before the first time nothing was wrong.
[ -e "$STATE/monitor.findings" ] || [ -z "$alarm" ] || : >"$STATE/monitor.findings"
if [ -n "$alarm" ] && [ -n "${MONITOR_ALARM-}" ] && ! cmp -s "$work/names" "$STATE/monitor.findings"; then
  { if [ -s "$work/findings" ]; then cat "$work/findings"; else echo "all is well again"; fi; } |
    sh -c "$MONITOR_ALARM" >&2 || { warn "MONITOR_ALARM could not be told; next time again" && exit 1; }
fi
if [ -n "$alarm" ]; then
  cp "$work/names" "$STATE/.monitor.findings" && mv "$STATE/.monitor.findings" "$STATE/monitor.findings"
  mapfile -t counts <"$work/state"
  remember monitor "tried=$now" ${counts[@]+"${counts[@]}"}
fi
exit "$worst"
