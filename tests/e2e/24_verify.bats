#!/usr/bin/env bats
# verify-production.sh --local against the demo stack: all is well, and for each thing that is not, the
# line that says which.

# shellcheck disable=SC2016,SC2030,SC2031,SC2034,SC2317

bats_require_minimum_version 1.5.0

load stack

# One stack a test: they break it.
setup() {
  BATS_FILE_TMPDIR=$BATS_TEST_TMPDIR STACK=$BATS_TEST_TMPDIR/stack
  stack_up
  stack_or_skip
}

teardown() {
  rm -rf "${T:-/nonexistent}"
  stack_down
}

verify() { "$TOP/scripts/verify-production.sh" --local --demo-dir "$STACK" "$@"; }

# change FILE SED: in the stack's own copy, and nginx takes it up.
change() {
  if [ -L "$PLACE/conf" ]; then
    rm "$PLACE/conf"
    cp -r "$TOP/nginx/conf" "$PLACE/conf"
  fi
  sed -i -E "$2" "$PLACE/conf/$1"
  local before
  before=$(pgrep -P "$(cat "$PLACE/nginx.pid")" | sort)
  kill -HUP "$(cat "$PLACE/nginx.pid")"
  # Until the old workers are gone.
  taken_up() { [ -z "$(comm -12 <(echo "$before") <(pgrep -P "$(cat "$PLACE/nginx.pid")" | sort))" ]; }
  wait_for 10 taken_up
}

# only_fails WHAT: on both photo hosts, and nothing else does.
only_fails() {
  run -1 verify
  equals "$(grep -c '^FAIL' <<<"$output")" 2 "$(grep '^FAIL' <<<"$output")"
  equals "$(grep '^FAIL  photos\.' <<<"$output" | grep -cF "$1")" 2 "$(grep '^FAIL' <<<"$output")"
}

@test "all checks pass against the demo stack, as text and as JSON" {
  run -0 verify
  echo "$output"
  lacks "$output" FAIL
  has "$output" " passed, 0 failed"
  has "$output" "ok    photos.heartbeatacic.org     WebSockets get through"
  [ "$GATEWAY" != present ] || has "$output" "ok    photos.dev.heartbeat.local   the upload gateway answers"
  # A minute's tries of logging in were used up, which is a check that passed.
  run verify --json
  jq -es 'all(type == "object")' <<<"$output" >/dev/null
  equals "$(tail -n 1 <<<"$output" | jq '.failed')" 0
}

@test "with Immich stopped it fails and says so, and the neighbours are well" {
  kill "$(cat "$STACK/immichd.pid")"
  run -1 verify
  has "$output" "FAIL  photos.heartbeatacic.org     Immich answers a ping: answered 502 instead of 200"
  has "$output" "FAIL  photos.dev.heartbeat.local   WebSockets get through: no upgrade: answered 502"
  has "$output" "ok    heartbeatacic.org            the frontend leads to the photos"
  has "$output" "ok    photos.heartbeatacic.org     the headers of the plan"
}

@test "with nginx stopped everything fails but the names" {
  kill "$(cat "$STACK/nginx.pid")"
  run -1 verify
  equals "$(grep '^ok' <<<"$output" | grep -v 'the name has an address' | grep -v 'other names get no certificate')" ''
  has "$output" "Immich answers a ping: (7)"
}

@test "with the gateway stopped it says so" {
  [ "$GATEWAY" = present ] || skip "this build has no gateway"
  kill "$(cat "$STACK/gateway.pid")"
  only_fails "the upload gateway answers: answered 503"
}

@test "without a stack it says how to start one" {
  stack_down
  run -2 verify
  has "$output" "start it: scripts/demo-stack.sh up"
}

@test "each thing that somebody may break in nginx is found, by its name" {
  change headers.conf '/X-Frame-Options/d'
  run -1 verify
  equals "$(grep '^FAIL' <<<"$output" | grep -vcF "the headers of the plan: header X-Frame-Options is ''")" 0
  change headers.conf '1i add_header X-Frame-Options SAMEORIGIN always;'
  change hsts.conf 's/31536000/0/'
  run -1 verify
  equals "$(grep '^FAIL' <<<"$output" | cut -c7-)" \
    "$(printf '%-28s %s\n' photos.heartbeatacic.org "the headers of the plan: header Strict-Transport-Security is 'max-age=0' and should be 'max-age=31536000'" \
      heartbeatacic.org "the headers of the plan: header Strict-Transport-Security is 'max-age=0' and should be 'max-age=31536000'")"
  change hsts.conf 's/max-age=0/max-age=31536000/'
  change proxy.conf 's/Connection .*/Connection "";/'
  only_fails "WebSockets get through: no upgrade: answered 400"
  change proxy.conf 's/Connection .*/Connection $connection_upgrade;/'
  change photos.conf 's/client_max_body_size 0/client_max_body_size 1g/'
  only_fails "a 2 GB upload is not refused by the proxy: answered 413"
  change photos.conf 's/client_max_body_size 1g/client_max_body_size 0/'
  change photos.conf '/limit_req zone=login/d'
  only_fails "logging in is limited: ten tries"
}

@test "a body that is gathered before it is handed on is found" {
  change photos.conf 's/^proxy_request_buffering off/proxy_request_buffering on/'
  only_fails "a 2 GB upload is not refused by the proxy"
}

@test "a certificate that ends soon, or of another authority, is found" {
  run -1 verify --days 5000
  has "$output" "the certificate is good for 5000 days: it ends within 5000 days: notAfter="
  "$TOP/scripts/dev-cert.sh" --dir "$T/other" 2>/dev/null
  cp "$T/other/dev-ca.pem" "$CACERT"
  run -1 verify
  has "$output" "FAIL  photos.heartbeatacic.org     the certificate is good for 14 days: verify error"
  has "$output" "Immich answers a ping: (60)"
}
