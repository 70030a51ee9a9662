#!/usr/bin/env bats
# The units: understood by systemd, closed as far as they can be, and their example is complete.

setup() {
  TOP=$(cd "$BATS_TEST_DIRNAME/../.." && pwd)
  DIR=$(mktemp -d)
  cp "$TOP"/systemd/uringest-*.{service,timer,socket} "$TOP"/systemd/heartbeat-*.{service,timer} "$DIR"
}

teardown() {
  rm -rf "$DIR"
}

# systemd-analyze is part of Debian's package systemd.
need_systemd() {
  command -v systemd-analyze >/dev/null ||
    skip "systemd-analyze is not here to check the units (Debian: apt-get install systemd)"
}

@test "systemd finds nothing wrong with the units" {
  need_systemd
  # A program and a page of documentation that exist, here and now.
  sed -i -e "s|/usr/local/bin/uringest|/bin/true|" -e 's|^ExecStart=/srv/heartbeat/.*|ExecStart=/bin/true|' \
    -e '/^Documentation=/d' "$DIR"/*.service
  cd "$DIR" || return
  run systemd-analyze verify --man=no ./uringest-drain.service ./uringest-drain.timer \
    ./uringest-gateway.service ./uringest-gateway.socket ./heartbeat-*.service ./heartbeat-*.timer
  echo "$output"
  [ "$status" -eq 0 ]
  [ -z "$output" ]
}

@test "the services' exposure is at most 2.0" {
  need_systemd
  cd "$DIR" || return
  for unit in drain gateway; do
    run systemd-analyze security --offline=true --threshold=20 "./uringest-$unit.service"
    echo "${lines[-1]}"
    [ "$status" -eq 0 ]
  done
}

@test "the drop-in for leases gives one capability, and costs at most two tenths of exposure" {
  need_systemd
  cd "$DIR" || return
  mkdir uringest-drain.service.d
  run systemd-analyze security --offline=true --threshold=14 ./uringest-drain.service
  [ "$status" -eq 0 ]
  cp "$TOP/systemd/drain-lease.conf" uringest-drain.service.d/lease.conf
  run systemd-analyze security --offline=true --threshold=16 ./uringest-drain.service
  echo "${lines[-1]}"
  [ "$status" -eq 0 ]
  grep -q 'CAP_LEASE .*Service may create file leases' <<<"$output"
  [ "$(grep -cE '✗ CapabilityBoundingSet' <<<"$output")" -eq 1 ]
}

@test "what has to be root is closed to 3.0: it runs docker, and certbot" {
  need_systemd
  cd "$DIR" || return
  for unit in backup drill monitor certificate; do
    run systemd-analyze security --offline=true --threshold=30 "./heartbeat-$unit.service"
    echo "${lines[-1]}"
    [ "$status" -eq 0 ]
  done
}

@test "the timers start services that are there, and those scripts that are there, with options they know" {
  local unit script option start
  for unit in "$DIR"/heartbeat-*.timer; do
    [ -f "${unit%.timer}.service" ]
    grep -q '^WantedBy=timers.target$' "$unit"
  done
  for unit in "$DIR"/heartbeat-*.service; do
    start=$(sed -n 's|^ExecStart=/srv/heartbeat/current/||p' "$unit")
    script=${start%% *}
    [ -x "$TOP/$script" ] || { echo "$unit: no $script" && return 1; }
    run "$TOP/$script" --help
    # shellcheck disable=SC2013 # words it is
    for option in $(grep -oE -- ' --[a-z-]+' <<<"$start"); do
      [[ "$output" == *"$option"* ]] || { echo "$unit: $script has no $option" && return 1; }
    done
    # Where scripts/deploy-remote.sh puts a release, and the settings beside it.
    grep -qx 'ConditionPathExists=/srv/heartbeat/current/.env.immich' "$unit"
  done
}

@test "the calendar of each timer is one that systemd reads, and nobody else's hour" {
  need_systemd
  local line
  while read -r line; do
    systemd-analyze calendar "$line" >/dev/null || { echo "$line" && return 1; }
  done < <(sed -n 's/^OnCalendar=//p' "$DIR"/heartbeat-*.timer)
  # Immich's own dump is at two, and the backup takes it along.
  grep -qx 'OnCalendar=\*-\*-\* 02:30:00' "$DIR/heartbeat-backup.timer"
}

@test "the service is never root, and the key never on its command line" {
  grep -qx 'User=uringest' "$DIR/uringest-drain.service"
  grep -qx 'LoadCredential=immich-key:/etc/uringest/immich-key' "$DIR/uringest-drain.service"
  run grep -nE '^(Environment|ExecStart).*(key|KEY)' "$DIR/uringest-drain.service"
  [ "$status" -eq 1 ]
}

@test "the user and the folders are described as systemd expects them" {
  command -v systemd-sysusers >/dev/null && command -v systemd-tmpfiles >/dev/null ||
    skip "systemd-sysusers and systemd-tmpfiles are not here to try (Debian: apt-get install systemd)"
  mkdir -p "$DIR/target/etc"
  systemd-sysusers --root="$DIR/target" "$TOP/systemd/uringest.sysusers"
  grep -q '^uringest:.*:/usr/sbin/nologin$' "$DIR/target/etc/passwd"
  # As an ordinary user nothing can be given away, but everything can be read.
  [ "$(id -u)" -eq 0 ] || return 0
  run systemd-tmpfiles --root="$DIR/target" --create "$TOP/systemd/uringest.tmpfiles"
  echo "$output"
  [ "$status" -eq 0 ]
  [ -d "$DIR/target/srv/immich/import" ]
}

@test "the examples name every key there is, and no other" {
  local known shown
  known=$(sed -nE 's/^\t\{"([a-z_]+)", KIND_([A-Z]+), .*/\1 \2/p' "$TOP/engine/settings.c" |
    awk '$2 != "SECRET" { print $1 }' | sort -u)
  shown=$(sed -nE 's/^ *(- )?#?([a-z_]+): ?.*/\2/p' "$TOP"/systemd/{drain,gateway}.example.yaml |
    sort -u)
  [ -n "$known" ]
  diff <(printf '%s\n' "$known") <(printf '%s\n' "$shown")
}

@test "uringest understands the example, with everything in it switched on" {
  local uringest=$TOP/build/${BUILD:-release}/uringest
  [ -x "$uringest" ] || skip "uringest is not built"
  "$uringest" --help >/dev/null 2>&1 || skip "uringest does not run yet"
  mkdir "$DIR/in"
  echo 0123456789abcdef >"$DIR/key"
  # Twice: as it is, and with all its comments taken off that are keys.
  sed -e "s|/srv/immich/import|$DIR/in|; s|127.0.0.1:2283|127.0.0.1:9|" \
    "$TOP/systemd/drain.example.yaml" >"$DIR/plain.yaml"
  sed -E -e 's/^( *)#([a-z_]+: )/\1\2/; s/after: delete/after: move/' \
    -e "s|/srv/immich/done|$DIR/done|" "$DIR/plain.yaml" >"$DIR/full.yaml"
  local config
  for config in plain full; do
    run timeout 20 "$uringest" drain --config "$DIR/$config.yaml" --ledger "$DIR/ledger.db" \
      --key-file "$DIR/key" --server-wait 0
    echo "$output"
    [ "$status" -ne 124 ]
    [[ "$output" != *"$config.yaml:"* ]]
  done
}

@test "io_uring is allowed after whole groups of calls were taken away" {
  run awk '/^SystemCallFilter=~/ { taken = NR } /^SystemCallFilter=.*io_uring_setup/ { given = NR }
    END { print (taken > 0 && given > taken) }' "$DIR/uringest-drain.service"
  [ "$output" = 1 ]
}
