# shellcheck shell=bash disable=SC2034 # the tests read them
# What the tests of the stack share: one demo stack a file, and how it is asked.

TOP=$(cd "$BATS_TEST_DIRNAME/../.." && pwd)
PUBLIC=photos.heartbeatacic.org PRIVATE=photos.dev.heartbeat.local
STACK=${BATS_FILE_TMPDIR:-/nonexistent}/stack

# In setup_file.
stack_up() {
  local nginx
  nginx=$(PATH=$PATH:/usr/sbin:/usr/local/sbin command -v nginx) || return 0
  [ -x "$TOP/build/${BUILD:-release}/immichd" ] || return 0
  [ -n "$nginx" ]
  # nginx's workers may be somebody else, and must reach what is below.
  chmod 755 "$BATS_RUN_TMPDIR" "$BATS_FILE_TMPDIR" 2>/dev/null || true
  "$TOP/scripts/demo-stack.sh" up --dir "$STACK" >"$BATS_FILE_TMPDIR/up.log" 2>&1 3>&- ||
    { cat "$BATS_FILE_TMPDIR/up.log" && return 1; }
}

# A stack that cannot be ended is a failure of its own.
stack_down() { "$TOP/scripts/demo-stack.sh" down --dir "$STACK" 2>&1; }

# In setup.
stack_or_skip() {
  [ -s "$STACK/state" ] || skip "nginx is not here, or immichd is not built"
  # shellcheck disable=SC1091 # written by demo-stack.sh
  . "$STACK/state"
  KEY=$(cat "$KEY_FILE")
  T=$(mktemp -d "${TMPDIR:-/tmp}/ur-stack.XXXXXX")
}

# at HOST PATH [CURL_OPTION…]: by TLS; at http:HOST PATH without.
at() {
  local host=$1 path=$2 scheme=https port=$HTTPS_PORT
  shift 2
  case $host in http:*) scheme=http port=$HTTP_PORT host=${host#http:} ;; esac
  curl -sS --max-time "${MAX_S:-60}" --cacert "$CACERT" --resolve "$host:$port:127.0.0.1" "$@" \
    "$scheme://$host:$port$path"
}

# code HOST PATH [CURL_OPTION…]: the status alone.
code() { at "$1" "$2" -o /dev/null -w '%{http_code}' "${@:3}"; }

header_of() { # NAME, on standard input a head
  tr -d '\r' | awk -F': ' -v name="$1" 'tolower($1) == tolower(name) { print $2 }'
}

equals() { [ "$1" = "$2" ] || { echo "it is '$1' and should be '$2'${3:+ ($3)}" && return 1; }; }
has() { [[ "$1" == *"$2"* ]] || { printf "'%s' is not in:\n%s\n" "$2" "$1" && return 1; }; }
lacks() { [[ "$1" != *"$2"* ]] || { printf "'%s' is in:\n%s\n" "$2" "$1" && return 1; }; }

wait_for() { # SECONDS COMMAND…
  local end=$((SECONDS + $1 + 1))
  shift
  until "$@"; do
    [ $SECONDS -lt $end ] || { echo "waited in vain for: $*" && return 1; }
    sleep 0.05
  done
}

free_port() {
  local port
  while :; do
    port=$((20000 + RANDOM % 12000))
    (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null || { echo "$port" && return; }
  done
}
