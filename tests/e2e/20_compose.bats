#!/usr/bin/env bats
# The compose files, read by the compose specification's own model: they parse, they merge, and what
# comes out is as closed as it is meant to be.  What only docker could show is in md/test-matrix.md.

# jq has variables of its own.
# shellcheck disable=SC2016

bats_require_minimum_version 1.5.0

setup_file() {
  local go version
  TOP=$(cd "$BATS_TEST_DIRNAME/../.." && pwd)
  export TOP COMPOSE=$BATS_FILE_TMPDIR/compose WHY=''
  go=$(command -v go) || { WHY="go is not here to build the compose model with (Debian: golang-go)" && return; }
  # The newest model wants a newer go than Debian 12 has; the one before it does not.
  version=$("$go" env GOVERSION | sed -nE 's/^go([0-9]+)\.([0-9]+).*/\1 \2/p' | awk '{ print $1 * 1000 + $2 }')
  [ "${version:-0}" -ge 1024 ] && MODEL=v2 || MODEL=v1
  export MODEL
  cp -r "$TOP/tests/stack/compose/$MODEL" "$BATS_FILE_TMPDIR/source"
  cd "$BATS_FILE_TMPDIR/source" || return
  GOTOOLCHAIN=local GOFLAGS=-mod=readonly timeout 300 "$go" build -o "$COMPOSE" . >"$BATS_FILE_TMPDIR/go.log" 2>&1 ||
    WHY="the compose model could not be built: $(tail -n 1 "$BATS_FILE_TMPDIR/go.log")"
}

setup() {
  [ -z "$WHY" ] || skip "$WHY"
  cd "$TOP" || return
  BASE=docker-compose.yml IMMICH=docker/immich/compose.immich.yml
  T=$(mktemp -d)
  sed 's/^DB_PASSWORD=.*/DB_PASSWORD=abcDEF123/' .env.immich.example >"$T/env"
}

teardown() {
  local pid
  for pid in ${PIDS-}; do
    kill "$pid" 2>/dev/null || true
  done
  rm -rf "${T:-/nonexistent}"
}

# merged [OPTION…]: both files as one project, in $T/project.
merged() {
  "$COMPOSE" --env-file "$T/env" "$@" "$BASE" "$IMMICH" >"$T/project"
}

project() { jq -r "$@" "$T/project"; }

# nothing FILTER: what the filter finds is a list of sentences, and there must be none.
nothing() {
  local found
  found=$(project "$@")
  [ -z "$found" ] || { printf '%s\n' "$found" && return 1; }
}

# NAME=default of every variable that compose fills in; a doubled $ is the container's own.
variables() {
  sed -E 's/^[[:space:]]*#.*//; s/\$\$[A-Za-z_{]?//g' "$BASE" "$IMMICH" |
    grep -oE '\$\{[A-Z][A-Z0-9_]*(:?[-?][^}]*)?\}|\$[A-Z][A-Z0-9_]*' | sort -u
}

variable_names() { variables | sed -E 's/^\$\{?([A-Z0-9_]+).*/\1/' | sort -u; }
example_names() { sed -nE 's/^#?([A-Z][A-Z0-9_]*)=.*/\1/p' .env.immich.example | sort -u; }

@test "each file parses alone, and both merge, with the profile split and without" {
  "$COMPOSE" --env-file "$T/env" "$BASE" >"$T/base"
  "$COMPOSE" --env-file "$T/env" "$IMMICH" >"$T/immich"
  merged
  [ "$(project '.services | keys | join(" ")')" = \
    "heartbeat-frontend immich-machine-learning immich-postgres immich-redis immich-server it-tools nginx uringest-gateway" ]
  merged --profile split
  [ "$(project '.services | keys | map(select(. == "immich-microservices")) | length')" = 1 ]
}

@test "a file that the specification forbids is refused" {
  printf 'services:\n  a:\n    image: x\n    prots: ["80:80"]\n' >"$T/wrong.yml"
  run -1 "$COMPOSE" "$T/wrong.yml"
  [[ "$output" == *prots* ]]
}

@test "only nginx has ports of the host: 80 and 443" {
  merged --profile split
  [ "$(project '[.services | to_entries[] | select((.value.ports // []) | length > 0) | .key] | join(" ")')" = nginx ]
  [ "$(project '[.services.nginx.ports[] | "\(.published):\(.target)/\(.protocol)"] | join(" ")')" = "80:80/tcp 443:443/tcp" ]
  nothing '.services | to_entries[] | select(.value.network_mode != null or .value.privileged == true) | .key'
}

@test "everything is on the one network, whose proxies Immich trusts" {
  merged --profile split
  nothing '.services | to_entries[] | select((.value.networks | keys) != ["heartbeat-backend-net"]) | .key'
  [ "$(project '.services["immich-server"].environment.IMMICH_TRUSTED_PROXIES')" = 172.30.83.0/24 ]
  echo HEARTBEAT_SUBNET=10.9.8.0/24 >>"$T/env"
  merged
  [ "$(project '[.networks["heartbeat-backend-net"].ipam.config[].subnet] | join(" ")')" = 10.9.8.0/24 ]
  [ "$(project '.services["immich-server"].environment.IMMICH_TRUSTED_PROXIES')" = 10.9.8.0/24 ]
}

@test "every variable is in the example, and every one of the example is used" {
  [ -n "$(variable_names)" ]
  run comm -23 <(variable_names) <(example_names)
  [ -z "$output" ] || { echo "not in .env.immich.example: $output" && return 1; }
  # What compose itself or a script reads.
  local name
  for name in $(comm -13 <(variable_names) <(example_names)); do
    [ "$name" = COMPOSE_PROFILES ] || grep -qE "\\\$\{?$name\b" scripts/*.sh scripts/lib/*.bash ||
      { echo "nobody uses $name of .env.immich.example" && return 1; }
  done
}

@test "the example shows the defaults that the files have" {
  local line name shown
  while read -r line; do
    name=${line%%=*} shown=${line#*=}
    # shellcheck disable=SC2016 # compose's own
    grep -qF '${'"$name:-$shown}" "$BASE" "$IMMICH" ||
      { echo "$name: the example shows '$shown', the files have $(variables | grep -F "{$name:")" && return 1; }
  done < <(grep -E '^#[A-Z][A-Z0-9_]*=' .env.immich.example | cut -c2- |
    grep -vE '^(COMPOSE_PROFILES|IMMICH_WORKERS_INCLUDE)=')
  # One variable, one default, wherever it is used.
  run bash -c "$(declare -f variables); BASE=$BASE IMMICH=$IMMICH; variables | sed -E 's/^.\{([A-Z0-9_]+).*/\1/' | uniq -d"
  [ -z "$output" ] || { echo "more than one default: $output" && return 1; }
}

@test "the example has no secret, and without one nothing starts" {
  grep -qx 'DB_PASSWORD=' .env.immich.example
  run -1 "$COMPOSE" --env-file .env.immich.example "$BASE" "$IMMICH"
  [[ "$output" == *"set DB_PASSWORD in .env.immich"* ]]
  # What is not secret may be long; a key or a hash would be.
  run grep -nE '^[^#].*=.*[A-Za-z0-9+/]{32,}' .env.immich.example
  [ "$status" -eq 1 ]
}

@test "git never takes .env.immich, nor the development keys" {
  git rev-parse --git-dir >/dev/null 2>&1 || skip "this is not a clone"
  git check-ignore -q .env.immich
  git check-ignore -q heartbeat/photos-dev-key.pem
  [ -z "$(git ls-files .env.immich heartbeat)" ]
}

@test "images have a version, and the one digest is the one that is known" {
  merged --profile split
  nothing '.services | to_entries[] | select(.value.image | test(":[A-Za-z0-9._-]+(@sha256:[0-9a-f]{64})?$") | not) | .key'
  nothing '.services | to_entries[] | select(.value.image | test(":latest")) | .key'
  [ "$(project '[.services[].image | select(contains("@"))] | join(" ")')" = \
    "ghcr.io/immich-app/postgres:14-vectorchord0.4.3-pgvectors0.2.0@sha256:bcf63357191b76a916ae5eb93464d65c07511da41e3bf7a8416db519b40b1c23" ]
  # One variable moves all of Immich; another chooses the accelerator.
  printf 'IMMICH_VERSION=v3.9.9\nIMMICH_ML_SUFFIX=-openvino\n' >>"$T/env"
  merged --profile split
  [ "$(project '[.services[].image | select(test("immich-(server|machine-learning):"))] | sort | join(" ")')" = \
    "ghcr.io/immich-app/immich-machine-learning:v3.9.9-openvino ghcr.io/immich-app/immich-server:v3.9.9 ghcr.io/immich-app/immich-server:v3.9.9" ]
}

@test "every service is restarted, limited, rotated, and may do no more than it is given" {
  merged --profile split
  nothing '.services | to_entries[] | select(.value.restart != "unless-stopped") | "\(.key): restart"'
  nothing '.services | to_entries[] | select(.value.deploy.resources.limits.memory == null) | "\(.key): no limit of memory"'
  nothing '.services | to_entries[] | select(.value.logging.options["max-size"] == null or .value.logging.options["max-file"] == null) | "\(.key): logs without end"'
  nothing '.services | to_entries[] | select(.value.cap_drop != ["ALL"]) | "\(.key): keeps capabilities"'
  nothing '.services | to_entries[] | select((.value.security_opt // []) | index("no-new-privileges:true") | not) | "\(.key): may gain privileges"'
  nothing '.services | to_entries[] | select((.value.cap_add // []) - ["CHOWN", "DAC_OVERRIDE", "FOWNER", "KILL", "NET_BIND_SERVICE", "SETGID", "SETUID"] != []) | "\(.key): \(.value.cap_add)"'
  [ "$(project '[.services | to_entries[] | select(.value.read_only == true) | .key] | join(" ")')" = \
    "heartbeat-frontend immich-redis it-tools nginx uringest-gateway" ]
}

@test "every service says whether it is well, and waits for those that it needs" {
  merged --profile split
  # The gateway's check is in its image.
  nothing '.services | to_entries[] | select(.value.healthcheck.test == null and .key != "uringest-gateway") | .key'
  grep -q '^HEALTHCHECK ' docker/immich/Dockerfile.uringest
  nothing '.services | to_entries[] | .key as $k | (.value.depends_on // {}) | to_entries[] | select(.value.condition != "service_healthy") | "\($k) waits for \(.key) \(.value.condition)"'
  [ "$(project '.services["immich-server"].depends_on | keys | join(" ")')" = "immich-postgres immich-redis" ]
  [ "$(project '.services["uringest-gateway"].depends_on | keys | join(" ")')" = immich-server ]
}

@test "the workers are in one container, or in two, and never in none" {
  merged
  [ "$(project '.services["immich-server"].environment.IMMICH_WORKERS_INCLUDE')" = api,microservices ]
  # As the example says how to split.
  sed -i -E 's/^#(COMPOSE_PROFILES=split|IMMICH_WORKERS_INCLUDE=api)$/\1/' "$T/env"
  merged --profile split
  [ "$(project '.services["immich-server"].environment.IMMICH_WORKERS_INCLUDE')" = api ]
  [ "$(project '.services["immich-microservices"].environment.IMMICH_WORKERS_EXCLUDE')" = api ]
  [ "$(project '.services["immich-microservices"].environment.IMMICH_WORKERS_INCLUDE')" = null ]
}

@test "originals are on the host, what can be made again is in volumes, the database is where it is told" {
  merged --profile split
  local service
  for service in immich-server immich-microservices; do
    [ "$(project --arg s $service '[.services[$s].volumes[] | "\(.type) \(.source) \(.target)"] | sort | join("; ")')" = \
      "bind /etc/localtime /etc/localtime; bind /srv/immich/library /data; volume immich_encoded_video /data/encoded-video; volume immich_thumbs /data/thumbs" ]
  done
  [ "$(project '.services["immich-postgres"].volumes[0] | "\(.type) \(.source)"')" = "volume immich_db" ]
  printf 'DB_DATA_LOCATION=/srv/immich/db\nUPLOAD_LOCATION="/srv/with spaces"\n' >>"$T/env"
  merged
  [ "$(project '.services["immich-postgres"].volumes[0] | "\(.type) \(.source)"')" = "bind /srv/immich/db" ]
  [ "$(project '.services["immich-server"].volumes[0].source')" = "/srv/with spaces" ]
}

@test "what is mounted from the repository is there" {
  local source sites
  for sites in production dev; do
    echo "HEARTBEAT_SITES=$sites" >>"$T/env"
    merged
    for source in $(project --arg top "$TOP" '.services[].volumes[]? | select(.type == "bind") | .source | select(startswith($top))'); do
      # Made by dev-cert.sh or immich-up.sh, and not git's.
      [ -e "$source" ] || [ "$source" = "$TOP/heartbeat" ] || { echo "$source is mounted and not there" && return 1; }
    done
  done
}

@test "the gateway is nobody special, and its spool outlives it" {
  merged
  [ "$(project '.services["uringest-gateway"].user')" = 10001:10001 ]
  [ "$(project '[.services["uringest-gateway"].volumes[] | "\(.type) \(.target) \(.read_only // false)"] | join("; ")')" = \
    "bind /run/gateway-seal true; volume /var/lib/uringest/spool false" ]
  # It needs nothing that Docker's own profile forbids.
  nothing '.services | to_entries[] | select(.value.security_opt != ["no-new-privileges:true"]) | .key'
}

@test "the gateway takes the command that the file gives it, and trusts the address that nginx has" {
  local uringest=build/${BUILD:-release}/uringest command port
  merged
  [ "$(project '.services.nginx.networks["heartbeat-backend-net"].ipv4_address')" = 172.30.83.250 ]
  [ "$(project '.services["uringest-gateway"].command | index("--trusted-proxy=172.30.83.250") != null')" = true ]
  [ "$(project '[.services["uringest-gateway"].command[] | select(startswith("--listen=")) | ltrimstr("--listen=0.0.0.0:")] | join("")')" = \
    "$(sed -nE 's/.*server uringest-gateway:([0-9]+) .*/\1/p' nginx/place/upstreams.conf)" ]
  [ -x "$uringest" ] || skip "uringest is not built"
  head -c 32 /dev/urandom >"$T/seal"
  mkdir "$T/spool"
  mapfile -t command < <(project '.services["uringest-gateway"].command[]' |
    sed "s|0.0.0.0:8091|127.0.0.1:0|; s|/run/gateway-seal|$T/seal|; s|/var/lib/uringest/spool|$T/spool|; s|immich-server:2283|127.0.0.1:9|")
  : >"$T/out"
  timeout 20 "$uringest" "${command[@]}" >"$T/out" 2>"$T/err" 3>&- &
  local pid=$!
  PIDS=$pid
  for _ in {1..200}; do
    if grep -q 'listening on' "$T/out" || ! kill -0 $pid 2>/dev/null; then break; fi
    sleep 0.05
  done
  port=$(sed -nE 's/.*:([0-9]+)$/\1/p' "$T/out")
  curl -sS --max-time 5 -o /dev/null -X OPTIONS "http://127.0.0.1:$port/uringest/"
  kill $pid
  wait $pid
}

@test "the seccomp profile denies by default, and allows io_uring besides what Docker allows" {
  local profile=docker/immich/seccomp-uringest.json
  [ "$(jq -r .defaultAction $profile)" = SCMP_ACT_ERRNO ]
  # Without conditions; the first rule is the one for everybody.
  [ "$(jq -r '[.syscalls[] | select(.action == "SCMP_ACT_ALLOW" and .includes == null and .args == null) | .names[] | select(startswith("io_uring"))] | sort | join(" ")' $profile)" = \
    "io_uring_enter io_uring_register io_uring_setup" ]
  local name
  for name in bpf kexec_load mount ptrace_peek reboot init_module userfaultfd keyctl add_key; do
    [ "$(jq --arg n $name '[.syscalls[] | select(.action == "SCMP_ACT_ALLOW" and .includes == null) | .names[] | select(. == $n)] | length' $profile)" = 0 ] ||
      { echo "$name is allowed to everybody" && return 1; }
  done
}

@test "in a container the gateway serves and imports run: without io_uring, and with it under the profile" {
  local bin=$TOP/build/${BUILD:-release} without=io_uring_setup,io_uring_enter,io_uring_register url
  /usr/bin/python3 -c 'import seccomp' 2>/dev/null || skip "python3-seccomp is not here to put a profile on a program with"
  [ -x "$bin/uringest" ] || skip "uringest is not built"
  confined() { /usr/bin/python3 "$TOP/tests/stack/under_seccomp.py" "$TOP/docker/immich/seccomp-uringest.json" "$@"; }
  # What the kernel says to io_uring_setup (425 on every machine).
  local ask='import ctypes; c = ctypes.CDLL(None, use_errno=True)
print("yes" if c.syscall(425, 1, (ctypes.c_char * 120)()) >= 0 else ctypes.get_errno())'
  [ "$(/usr/bin/python3 -c "$ask")" = yes ] || skip "this kernel has no io_uring for us"
  [ "$(confined /usr/bin/python3 -c "$ask")" = yes ]
  [ "$(confined --without $without /usr/bin/python3 -c "$ask")" = 1 ]

  "$bin/mklib" "$T/lib" --count 20 --size 20K --kinds jpeg >/dev/null 2>&1
  : >"$T/immichd.out"
  : >"$T/serve"
  "$bin/immichd" --listen 127.0.0.1:0 --data "$T/server" --key key --quiet >"$T/immichd.out" 2>/dev/null 3>&- &
  local server=$!
  PIDS=$server
  for _ in {1..200}; do
    url=$(sed -n 's/^listening on //p' "$T/immichd.out")
    [ -z "$url" ] || break
    sleep 0.05
  done
  export IMMICH_API_KEY=key HOME=$T
  confined --without $without "$bin/uringest" import --server "$url" --ledger "$T/one.db" --json "$T/lib" >"$T/one" 2>/dev/null || true
  confined "$bin/uringest" import --server "$url" --ledger "$T/two.db" --json "$T/lib" >"$T/two" 2>/dev/null || true
  # Not by the function: what is ended below is the program itself.
  /usr/bin/python3 "$TOP/tests/stack/under_seccomp.py" "$TOP/docker/immich/seccomp-uringest.json" \
    --without $without timeout 20 "$bin/uringest" serve --listen 127.0.0.1:0 --spool "$T/spool" --immich "$url" >"$T/serve" 2>/dev/null 3>&- &
  local gateway=$!
  PIDS="$server $gateway"
  for _ in {1..200}; do
    if grep -q 'listening on' "$T/serve"; then break; fi
    sleep 0.05
  done
  kill $server $gateway
  wait $server $gateway || true
  grep -q 'listening on' "$T/serve"
  [ "$(tail -n 1 "$T/one" | jq -c '[.sent, .failed]')" = "[20,0]" ]
  [ "$(tail -n 1 "$T/two" | jq -c '[.present, .failed]')" = "[20,0]" ]
}

@test "the image is built from what the Dockerfile copies, and installs what the program is linked with" {
  mkdir "$T/image"
  local from line
  while read -r line; do
    read -r -a line <<<"${line#COPY }"
    for from in "${line[@]::${#line[@]}-1}"; do
      # As .dockerignore lets it in.
      grep -qxF "!$from" .dockerignore || grep -qxF "!${from%%/*}" .dockerignore ||
        { echo "$from is copied and not let in by .dockerignore" && return 1; }
      cp -r --parents "$from" "$T/image"
    done
  done < <(grep '^COPY ' docker/immich/Dockerfile.uringest | grep -v -- --from)
  make -C "$T/image" --no-print-directory -n build/release/uringest >"$T/plan"
  grep -q 'cli/main.c' "$T/plan"
  [ -x "build/${BUILD:-release}/uringest" ] || skip "uringest is not built"
  command -v dpkg >/dev/null || skip "there is no dpkg here to ask for packages"
  run --separate-stderr scripts/runtime-packages.sh "build/${BUILD:-release}/uringest"
  echo "$output"
  [ "$status" -eq 0 ]
  grep -qx liburing2 <<<"$output"
  grep -qx libsqlite3-0 <<<"$output"
}
