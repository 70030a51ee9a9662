#!/usr/bin/env bats
# The scripts around one installation, each with its real tools; docker and certbot alone are stand-ins
# that write down what they are asked.

# Every test is a shell of its own; functions are called by others.
# shellcheck disable=SC2030,SC2031,SC2317

bats_require_minimum_version 1.5.0

load stack
load site

setup() {
  T=$(mktemp -d "${TMPDIR:-/tmp}/ur-site.XXXXXX")
  export STACK_LOCK_DIR=$T
  unset STACK_LOCKED DRY_RUN ENV_FILE COMPOSE_PROFILES
  recorder docker
  recorder certbot
  export PATH=$T/bin:$PATH
  S=$T/site
  site "$S"
}

teardown() {
  [ -z "${PID-}" ] || { kill "$PID" && wait "$PID"; } 2>/dev/null || true
  rm -rf "$T"
}

COMPOSE_LINE='compose --env-file %s/.env.immich -f docker-compose.yml -f docker/immich/compose.immich.yml'
compose_line() { # REST
  # shellcheck disable=SC2059 # a format of ours
  printf "$COMPOSE_LINE %s\n" "$S" "$1"
}
IMMICH="immich-postgres immich-redis immich-machine-learning immich-server uringest-gateway"
READERS=(immich-up.sh immich-down.sh local-rebuild.sh run-certbot.sh)

readers() { # COMMAND…: runs it for every script that reads the settings, with SCRIPT set
  local SCRIPT
  for SCRIPT in "${READERS[@]}"; do
    "$@" || { echo "$SCRIPT" && return 1; }
  done
}

refuses() { # SENTENCE
  run -2 "$S/scripts/$SCRIPT"
  has "$output" "$1"
  [ -z "$(calls docker)$(calls certbot)" ]
}

# --- settings ------------------------------------------------------------------------------------

@test "settings that are missing, open, or somebody else's are refused, with the line that helps" {
  chmod 644 "$S/.env.immich"
  readers refuses "is open to everybody (mode 644) and holds passwords; close it: chmod 600"
  run -2 "$S/scripts/immich-shell.sh" server
  has "$output" "is open to everybody"
  chmod 602 "$S/.env.immich"
  readers refuses "is open to everybody"
  chmod 620 "$S/.env.immich"
  readers refuses "can be written by its group"
  chmod 640 "$S/.env.immich"
  run -0 "$S/scripts/immich-down.sh" --dry-run
  mv "$S/.env.immich" "$T/real"
  ln -s "$T/real" "$S/.env.immich"
  chmod 644 "$T/real"
  readers refuses "is open to everybody"
  rm "$S/.env.immich"
  readers refuses "cp .env.immich.example .env.immich && chmod 600 .env.immich"
  [ "$(id -u)" -eq 0 ] || return 0
  cp "$T/real" "$S/.env.immich"
  chmod 600 "$S/.env.immich"
  chown 65534 "$S/.env.immich"
  readers refuses "belongs to user 65534, neither root nor you"
  # Whoever became root by sudo may be that user.
  SUDO_UID=65534 run -0 "$S/scripts/immich-down.sh"
  SUDO_UID=65533 run -2 "$S/scripts/immich-down.sh"
}

@test "a password that is missing or odd is refused, and is never shown" {
  setting "$S" DB_PASSWORD=
  readers refuses "DB_PASSWORD is empty"
  setting "$S" "DB_PASSWORD='with spaces and \$HOME'"
  readers refuses "may have letters and digits only"
  lacks "$output" "with spaces"
  setting "$S" DB_PASSWORD=thePassword1
  setting "$S" HEARTBEAT_SITES=../../etc
  readers refuses "HEARTBEAT_SITES"
  setting "$S" HEARTBEAT_SITES=nowhere
  readers refuses "there is no"
}

@test "the password is on no command line and in no output" {
  run -0 "$S/scripts/immich-up.sh"
  lacks "$output" thePassword1
  run grep -c thePassword1 "$T/docker.log"
  equals "$output" 0
}

@test "values with spaces and quotes arrive as they are" {
  setting "$S" "UPLOAD_LOCATION=\"$T/with spaces and 'quotes'\""
  run -0 "$S/scripts/immich-up.sh"
  [ -d "$T/with spaces and 'quotes'" ]
}

@test "every script says how it is used, and refuses what it does not know" {
  local script
  for script in "${READERS[@]}" dev-cert.sh package-build.sh deploy-remote.sh verify-production.sh demo-stack.sh; do
    run -0 "$TOP/scripts/$script" --help
    has "$output" "usage: scripts/$script"
    run -2 "$TOP/scripts/$script" --no-such-option
    has "$output" "usage:"
  done
  [ -z "$(calls docker)" ]
}

@test "scripts of one kind run one at a time, and a killed one leaves no lock" {
  mkfifo "$T/wait"
  printf 'case "$*" in *" up "*) : <"%s" ;; esac\n' "$T/wait" >"$T/docker.does"
  "$S/scripts/immich-up.sh" 3>&- 2>/dev/null &
  PID=$!
  wait_for 10 grep -q ' up ' "$T/docker.log"
  run -4 "$S/scripts/immich-down.sh"
  has "$output" "another run of the stack scripts is at work"
  kill -KILL "$PID"
  # The docker that it had started still holds the lock, and rightly so.
  run -4 "$S/scripts/immich-down.sh"
  : >"$T/wait"
  freed() { "$S/scripts/immich-down.sh" 2>/dev/null; }
  wait_for 10 freed
  grep -q 'rm --stop' "$T/docker.log"
}

# --- up, down, shell -----------------------------------------------------------------------------

@test "immich-up starts Immich's services and waits for their health" {
  run -0 "$S/scripts/immich-up.sh"
  equals "$(calls docker)" "$(compose_line "up -d --wait --wait-timeout 900 $IMMICH")"
  equals "$(sed -n '$s/: .*//p' "$T/docker.log")" "$(realpath "$S")"
  [ -d "$T/library" ] && [ -d "$T/import" ]
  # Again is no harm.
  run -0 "$S/scripts/immich-up.sh" --wait 5 immich-server
  equals "$(calls docker | tail -n 1)" "$(compose_line "up -d --wait --wait-timeout 5 immich-server")"
  setting "$S" COMPOSE_PROFILES=split
  run -0 "$S/scripts/immich-up.sh"
  equals "$(calls docker | tail -n 1)" "$(compose_line "up -d --wait --wait-timeout 900 $IMMICH immich-microservices")"
}

@test "immich-up fails when docker does, and says where to look" {
  echo ' up ' >"$T/docker.fails"
  run -1 "$S/scripts/immich-up.sh"
  has "$output" "not everything became healthy"
}

@test "immich-up refuses folders that would end badly" {
  setting "$S" "IMPORT_LOCATION=$T/library/import"
  run -2 "$S/scripts/immich-up.sh"
  has "$output" "lies in UPLOAD_LOCATION"
  setting "$S" "IMPORT_LOCATION=relative/path"
  run -2 "$S/scripts/immich-up.sh"
  has "$output" "must begin with a '/'"
  [ -z "$(calls docker)" ]
}

@test "the gateway's seal is made once, for the gateway's user alone" {
  local made
  rm "$T/seal"
  if [ "$(id -u)" -ne 0 ]; then
    run -2 "$S/scripts/immich-up.sh"
    has "$output" "only root can make it: head -c 32 /dev/urandom | sudo install"
    return
  fi
  run -0 "$S/scripts/immich-up.sh"
  equals "$(stat -c '%a %u %s' "$T/seal")" "400 10001 32"
  made=$(sha1sum <"$T/seal")
  run -0 "$S/scripts/immich-up.sh"
  equals "$(sha1sum <"$T/seal")" "$made"
  rm "$T/seal" && mkdir "$T/seal"
  run -2 "$S/scripts/immich-up.sh"
  has "$output" "is not a file"
}

@test "the whole stack wants a certificate first: production's from certbot, dev's made here" {
  run -2 "$S/scripts/immich-up.sh" --all
  has "$output" "get it first: scripts/run-certbot.sh"
  [ -z "$(calls docker)" ]
  setting "$S" HEARTBEAT_SITES=dev
  run -0 "$S/scripts/immich-up.sh" --all
  equals "$(calls docker)" "$(compose_line "up -d --wait --wait-timeout 900")"
  openssl verify -CAfile "$S/heartbeat/dev-ca.pem" "$S/heartbeat/photos-dev-cert.pem"
}

@test "immich-down takes Immich's containers and nobody else's, and never a volume" {
  run -0 "$S/scripts/immich-down.sh"
  equals "$(calls docker)" "$(compose_line "rm --stop --force $IMMICH immich-microservices")"
  run -0 "$S/scripts/immich-down.sh" --all
  equals "$(calls docker | tail -n 1)" "$(compose_line down)"
  run -0 "$S/scripts/immich-down.sh" immich-server
  equals "$(calls docker | tail -n 1)" "$(compose_line "rm --stop --force immich-server")"
  run grep -E -- '(-v|--volumes)( |$)' "$T/docker.log"
  [ "$status" -eq 1 ]
}

@test "with --dry-run nothing is done, and what would be is said so that it can be pasted" {
  local script
  for script in immich-up.sh immich-down.sh run-certbot.sh; do
    run -0 "$S/scripts/$script" --dry-run
    has "$output" "would run: "
  done
  setting "$S" HEARTBEAT_SITES=dev
  run -0 "$S/scripts/local-rebuild.sh" --dry-run
  has "$output" "would run: docker compose"
  run -0 "$S/scripts/dev-cert.sh" --dry-run
  has "$output" "would make an authority"
  [ -z "$(calls docker)$(calls certbot)" ]
  [ ! -e "$T/library" ] && [ ! -e "$S/heartbeat" ]
}

@test "immich-shell enters a container by its short name, and psql with the database's user" {
  run -0 "$S/scripts/immich-shell.sh" server </dev/null
  has "$(calls docker)" "exec -T immich-server sh -c command -v bash"
  run -0 "$S/scripts/immich-shell.sh" immich-postgres ls -l "/a b" </dev/null
  equals "$(calls docker | tail -n 1)" "$(compose_line "exec -T immich-postgres ls -l /a b")"
  setting "$S" DB_USERNAME=photos
  run -0 "$S/scripts/immich-shell.sh" --psql -c 'SELECT 1' </dev/null
  equals "$(calls docker | tail -n 1)" "$(compose_line "exec -T immich-postgres psql -U photos -d immich -c SELECT 1")"
  run -0 "$S/scripts/immich-shell.sh" --logs gateway
  equals "$(calls docker | tail -n 1)" "$(compose_line "logs --tail 100 --follow uringest-gateway")"
  run -2 "$S/scripts/immich-shell.sh" typesense
  has "$output" "there is no service 'typesense'; there are: nginx"
}

@test "local-rebuild checks, builds, starts, and reloads nginx, in this order" {
  run -2 "$S/scripts/local-rebuild.sh"
  has "$output" "on a developer's machine it is dev"
  setting "$S" HEARTBEAT_SITES=dev
  run -0 "$S/scripts/local-rebuild.sh" --no-verify --pull
  equals "$(calls docker)" "$(
    compose_line "config --quiet"
    compose_line "build --pull uringest-gateway"
    compose_line "up -d --wait --wait-timeout 900"
    compose_line "exec -T nginx nginx -t -q"
    compose_line "exec -T nginx nginx -s reload"
  )"
}

@test "a rebuild that fails stops there, and what ran goes on" {
  setting "$S" HEARTBEAT_SITES=dev
  echo ' build ' >"$T/docker.fails"
  run -1 "$S/scripts/local-rebuild.sh" --no-verify
  has "$output" "could not be built"
  lacks "$(calls docker)" " up "
  echo 'nginx -t' >"$T/docker.fails"
  run -1 "$S/scripts/local-rebuild.sh" --no-verify
  lacks "$(calls docker)" "-s reload"
}

# --- certificates --------------------------------------------------------------------------------

@test "dev-cert makes a certificate that is good for its hosts and an authority that is for no others" {
  run -0 "$S/scripts/dev-cert.sh"
  cd "$S/heartbeat"
  local host
  for host in photos.dev.heartbeat.local dev.heartbeat.local it-tools.dev.heartbeat.local; do
    openssl verify -CAfile dev-ca.pem -verify_hostname $host photos-dev-cert.pem
  done
  run ! openssl verify -CAfile dev-ca.pem -verify_hostname photos.heartbeatacic.org photos-dev-cert.pem
  equals "$(stat -c '%a' dev-ca-key.pem photos-dev-key.pem dev-ca.pem photos-dev-cert.pem | tr '\n' ' ')" "600 600 644 644 "
  # The bundle has the authority behind the certificate, as phones want it.
  equals "$(grep -c BEGIN photos-dev-cert.pem)" 2
  # Whoever has the key cannot sign for a bank.
  openssl req -newkey rsa:2048 -nodes -subj /CN=bank.example -keyout "$T/k" -out "$T/csr" 2>/dev/null
  printf 'subjectAltName=DNS:bank.example\n' >"$T/ext"
  openssl x509 -req -in "$T/csr" -CA dev-ca.pem -CAkey dev-ca-key.pem -set_serial 7 -days 5 -extfile "$T/ext" -out "$T/bank.pem" 2>/dev/null
  run ! openssl verify -CAfile dev-ca.pem "$T/bank.pem"
  has "$output" "permitted subtree violation"
}

@test "dev-cert leaves a good one alone, and renews what ends soon or lacks a host" {
  run -0 "$S/scripts/dev-cert.sh"
  cp -r "$S/heartbeat" "$T/first"
  run -0 "$S/scripts/dev-cert.sh"
  diff -r -x '.*.lock' "$T/first" "$S/heartbeat"
  run -0 "$S/scripts/dev-cert.sh" --host photos.dev.heartbeat.local --days 10
  diff -r -x '.*.lock' "$T/first" "$S/heartbeat"
  # Ends soon: the same authority, a new certificate.
  rm "$S/heartbeat/photos-dev-cert.pem"
  run -0 "$S/scripts/dev-cert.sh" --days 10
  run -0 "$S/scripts/dev-cert.sh"
  openssl x509 -in "$S/heartbeat/photos-dev-cert.pem" -noout -checkend $((86400 * 300))
  cmp "$T/first/dev-ca.pem" "$S/heartbeat/dev-ca.pem"
  run -0 "$S/scripts/dev-cert.sh" --host more.dev.heartbeat.local
  openssl verify -CAfile "$S/heartbeat/dev-ca.pem" -verify_hostname more.dev.heartbeat.local "$S/heartbeat/photos-dev-cert.pem"
  run -2 "$S/scripts/dev-cert.sh" --host 'a b'
  run -2 "$S/scripts/dev-cert.sh" --days soon
  [ -z "$(find "$S/heartbeat" -name '.making*')" ]
}

# A certificate of that name, as certbot would put it there.
issue() { # NUMBER
  mkdir -p "$T/letsencrypt/live/heartbeatacic.org"
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 90 -subj "/CN=$1" \
    -keyout "$T/$1.key" -out "$T/$1.pem" 2>/dev/null
}

@test "run-certbot asks for one certificate with the photos in it" {
  export VERIFY_HTTP_PORT VERIFY_HTTPS_PORT
  VERIFY_HTTP_PORT=$(free_port) VERIFY_HTTPS_PORT=$(free_port)
  issue new
  cp "$T/new.pem" "$T/letsencrypt/live/heartbeatacic.org/fullchain.pem"
  run -0 "$S/scripts/run-certbot.sh"
  equals "$(calls certbot)" "certonly --non-interactive --agree-tos --email admin@example.org --config-dir $T/letsencrypt --cert-name heartbeatacic.org --expand --keep-until-expiring --key-type ecdsa --standalone -d heartbeatacic.org -d www.heartbeatacic.org -d photos.heartbeatacic.org -d it-tools.heartbeatacic.org"
  has "$output" "nothing listens on"
  # Where nginx is at port 80, by its folder.
  openssl s_server -accept "127.0.0.1:$VERIFY_HTTP_PORT" -cert "$T/new.pem" -key "$T/new.key" -quiet </dev/null >/dev/null 2>&1 3>&- &
  PID=$!
  listening() { (exec 4<>"/dev/tcp/127.0.0.1/$VERIFY_HTTP_PORT") 2>/dev/null; }
  wait_for 10 listening
  run -0 "$S/scripts/run-certbot.sh" --staging
  has "$(calls certbot | tail -n 1)" " --staging --webroot --webroot-path $T/webroot -d heartbeatacic.org"
  run -0 "$S/scripts/run-certbot.sh" --renew
  equals "$(calls certbot | tail -n 1)" "renew --non-interactive --config-dir $T/letsencrypt --cert-name heartbeatacic.org"
}

@test "run-certbot refuses a list without the photos, or that begins with another name" {
  setting "$S" 'CERTBOT_DOMAINS="heartbeatacic.org www.heartbeatacic.org"'
  run -2 "$S/scripts/run-certbot.sh"
  has "$output" "lacks photos.heartbeatacic.org"
  setting "$S" 'CERTBOT_DOMAINS="photos.heartbeatacic.org heartbeatacic.org"'
  run -2 "$S/scripts/run-certbot.sh"
  has "$output" "must begin with heartbeatacic.org"
  setting "$S" CERTBOT_DOMAINS=
  run -2 "$S/scripts/run-certbot.sh"
  setting "$S" 'CERTBOT_DOMAINS="heartbeatacic.org photos.heartbeatacic.org"'
  setting "$S" CERTBOT_EMAIL=
  run -2 "$S/scripts/run-certbot.sh"
  has "$output" "CERTBOT_EMAIL is empty"
  run -2 "$S/scripts/run-certbot.sh" --renew
  has "$output" "there is no certificate to renew"
  [ -z "$(calls certbot)" ]
}

@test "nginx is reloaded when it shows another certificate than certbot has, and only then" {
  export VERIFY_HTTP_PORT VERIFY_HTTPS_PORT
  VERIFY_HTTP_PORT=$(free_port) VERIFY_HTTPS_PORT=$(free_port)
  local live=$T/letsencrypt/live/heartbeatacic.org/fullchain.pem
  issue old
  issue new
  cp "$T/old.pem" "$live"
  openssl s_server -accept "127.0.0.1:$VERIFY_HTTPS_PORT" -cert "$T/old.pem" -key "$T/old.key" -quiet </dev/null >/dev/null 2>&1 3>&- &
  PID=$!
  listening() { (exec 4<>"/dev/tcp/127.0.0.1/$VERIFY_HTTPS_PORT") 2>/dev/null; }
  wait_for 10 listening
  run -0 "$S/scripts/run-certbot.sh" --renew
  has "$output" "nginx shows the certificate"
  [ -z "$(calls docker)" ]
  # Somebody else's timer may have renewed it: what counts is what is shown.
  cp "$T/new.pem" "$live"
  run -0 "$S/scripts/run-certbot.sh" --renew
  equals "$(calls docker)" "$(compose_line "exec -T nginx nginx -t -q" && compose_line "exec -T nginx nginx -s reload")"
  : >"$T/docker.log"
  echo 'nginx -t' >"$T/docker.fails"
  run -1 "$S/scripts/run-certbot.sh" --renew
  has "$output" "goes on with the old certificate"
  lacks "$(calls docker)" "-s reload"
}

@test "a renewal that fails says until when the certificate lasts" {
  issue old
  cp "$T/old.pem" "$T/letsencrypt/live/heartbeatacic.org/fullchain.pem"
  echo renew >"$T/certbot.fails"
  run -1 "$S/scripts/run-certbot.sh" --renew
  has "$output" "the certificate lasts until "
  [ -z "$(calls docker)" ]
}

# --- the package ---------------------------------------------------------------------------------

# A repository of its own, with what is here now.
repository() {
  command -v git >/dev/null || skip "git is not here to say what belongs in"
  site "$1"
  (cd "$TOP" && cp -r --parents LICENSE README.md md systemd Makefile cli engine fixtures tests/files.mk tests/fuzz/fuzz.mk .gitignore "$1")
  git -C "$1" init -q
  git -C "$1" add -A
  git -C "$1" -c user.name=t -c user.email=t@example.org commit -qm all --date '2026-01-02T03:04:05Z'
}

@test "the package is the same bytes, whoever makes it, where and when" {
  repository "$T/one"
  # The same commit elsewhere, with other times and another umask.
  (umask 077 && git clone -q "$T/one" "$T/two")
  find "$T/two" -type f -exec touch -d '2001-01-01' {} +
  local kind one two root
  for kind in light full; do
    one=$("$T/one/scripts/package-build.sh" $kind)
    two=$(cd / && umask 077 && LC_ALL=C.UTF-8 TZ=Asia/Tokyo "$T/two/scripts/package-build.sh" $kind --output "$T/out")
    cmp "$one" "$two"
    equals "$(basename "$one")" "$(basename "$two")"
    # What was unpacked packs itself again.
    mkdir "$T/$kind"
    tar -xzf "$one" -C "$T/$kind"
    root=$(echo "$T/$kind"/*)
    cmp "$one" "$("$root/scripts/package-build.sh" $kind --output "$T/again")"
  done
}

@test "the package has what the allow list names, with its checksums, and no secret" {
  repository "$T/one"
  local light full root part
  # It lies there, and git does not know it.
  mkdir -p "$T/one/heartbeat" && echo key >"$T/one/heartbeat/photos-dev-key.pem"
  echo note >"$T/one/scripts/private-note"
  light=$("$T/one/scripts/package-build.sh" light)
  full=$("$T/one/scripts/package-build.sh" full)
  (cd "$(dirname "$light")" && sha256sum --check --quiet ./*.sha256)
  mkdir "$T/unpacked"
  tar -xzf "$full" -C "$T/unpacked"
  root=$(echo "$T"/unpacked/*)
  (cd "$root" && sha256sum --check --quiet --strict MANIFEST)
  equals "$(cd "$root" && find . -type f ! -name MANIFEST | wc -l)" "$(wc -l <"$root/MANIFEST")"
  for part in docker-compose.yml docker/immich/compose.immich.yml .env.immich.example nginx/nginx.conf \
    scripts/immich-up.sh systemd/uringest-drain.timer frontend/index.html Makefile engine/base/err.c; do
    [ -f "$root/$part" ] || { echo "$part is not in it" && return 1; }
  done
  [ -x "$root/scripts/immich-up.sh" ] && [ ! -x "$root/nginx/nginx.conf" ]
  run tar -tzf "$light"
  lacks "$output" engine/
  lacks "$output" Makefile
  run bash -c "tar -tzf '$full'; tar -tzf '$light'"
  lacks "$output" private-note
  lacks "$output" key.pem
  run grep -E '/\.env\.immich$' <<<"$output"
  [ "$status" -eq 1 ]
  run grep -rl thePassword1 "$root"
  [ "$status" -eq 1 ]
}

@test "a package with a secret in git, or without what a server needs, is not made" {
  repository "$T/one"
  cd "$T/one"
  echo x >nginx/server-key.pem
  git add -f nginx/server-key.pem
  run -2 scripts/package-build.sh light
  has "$output" "these look like secrets and are in git: nginx/server-key.pem"
  git rm -qf nginx/server-key.pem
  git rm -qrf frontend
  run -2 scripts/package-build.sh light
  has "$output" "frontend is not there"
  [ ! -e build/package ]
}
