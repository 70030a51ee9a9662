#!/bin/bash
# verify-production.sh - asks the running stack whether it is what the plan wants it to be.
#
# From outside, as a phone or a browser meets it: names, certificate, TLS, redirects, headers, the
# API, the WebSocket, large uploads, the gateway, the neighbours.  Changes nothing and needs no key.
# shellcheck source-path=SCRIPTDIR
set -euo pipefail
# shellcheck source=lib/common.bash
. "$(dirname "$0")/lib/common.bash"

usage() {
  cat <<'TEXT'
usage: scripts/verify-production.sh [--production | --dev | --local] [OPTION...]

  --production    the public hosts (the default)
  --dev           the hosts of a developer's machine, at 127.0.0.1
  --local         both, at the ports of the demo stack (scripts/demo-stack.sh up)

  --at ADDRESS    ask this address instead of what DNS says: before the record is changed
  --cacert FILE   trust this authority (--dev: heartbeat/dev-ca.pem)
  --days N        how long the certificate must last at least (14)
  --containers    also: every container of the stack runs and is healthy (on the host itself)
  --demo-dir DIR  where the demo stack is (build/demo-stack)
  --json          one object a line instead of text

  Exit code: 0 all is well, 1 something is not (each line says what), 2 usage or set-up.
TEXT
}

mode=production at='' ca='' days=14 containers='' json='' demo=$TOP/build/demo-stack
while [ $# -gt 0 ]; do
  case $1 in
  --production | --dev | --local) mode=${1#--} ;;
  --at) option_value "$@" && at=$2 && shift ;;
  --cacert) option_value "$@" && ca=$2 && shift ;;
  --days) option_value "$@" && days=$2 && shift ;;
  --demo-dir) option_value "$@" && demo=$2 && shift ;;
  --containers) containers=yes ;;
  --json) json=yes ;;
  -h | --help) usage && exit 0 ;;
  *) usage >&2 && exit 2 ;;
  esac
  shift
done
case $days in '' | *[!0-9]*) die "--days wants a number, not '$days'" 2 ;; esac
need curl curl
need openssl openssl

http_port=80 https_port=443
public=heartbeatacic.org private=dev.heartbeat.local
case $mode in
production) domains=("$public") ;;
dev)
  domains=("$private") at=${at:-127.0.0.1} ca=${ca:-$TOP/heartbeat/dev-ca.pem}
  ;;
local)
  [ -s "$demo/state" ] || die "the demo stack does not run; start it: scripts/demo-stack.sh up" 2
  # shellcheck disable=SC1091 # written by demo-stack.sh
  . "$demo/state"
  # shellcheck disable=SC2153 # from there
  http_port=$HTTP_PORT https_port=$HTTPS_PORT at=127.0.0.1 ca=$CACERT domains=("$public" "$private")
  ;;
esac
[ -z "$ca" ] || [ -r "$ca" ] || die "$ca is not there; make it: scripts/dev-cert.sh" 2

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# --- asking ---------------------------------------------------------------------------------------

# ask HOST PATH [CURL_OPTION…]: sets CODE, and leaves $work/head and $work/body.  Fails when there was
# no answer at all, with curl's word for it in WHY.
ask() {
  local host=$1 path=$2 scheme=https port=$https_port options=()
  shift 2
  case $host in http:*) scheme=http port=$http_port host=${host#http:} ;; esac
  [ -z "$at" ] || options+=(--resolve "$host:$port:$at")
  [ -z "$ca" ] || options+=(--cacert "$ca")
  case $port in 80 | 443) ;; *) host=$host:$port ;; esac
  rm -f "$work/head" "$work/body"
  WHY=
  CODE=$(curl -sS --max-time 20 "${options[@]}" -D "$work/head" -o "$work/body" -w '%{http_code}' \
    "$@" "$scheme://$host$path" 2>"$work/why") || {
    WHY=$(sed -n 's/^curl: //p' "$work/why" | head -n 1)
    return 1
  }
}

# expect CODE…: what ask() got is one of them.
expect() {
  local code
  for code in "$@"; do
    [ "$CODE" != "$code" ] || return 0
  done
  WHY="answered $CODE instead of $*"
  return 1
}

head_of() { # NAME: a header's values, one a line
  tr -d '\r' <"$work/head" | awk -F': ' -v name="$1" 'tolower($1) == tolower(name) { print $2 }'
}

# header NAME VALUE: there once, with this value.
header() {
  local value
  value=$(head_of "$1")
  [ "$value" = "$2" ] || {
    WHY="header $1 is '$value' and should be '$2'"
    return 1
  }
}

body_has() {
  grep -qF -- "$1" "$work/body" || {
    WHY="'$1' is not in the answer"
    return 1
  }
}

# tls HOST [S_CLIENT_OPTION…]: what openssl says of the handshake, in $work/tls.
tls() {
  local host=$1
  shift
  timeout 20 openssl s_client -connect "${at:-$host}:$https_port" -servername "$host" \
    ${ca:+-CAfile "$ca"} -verify_return_error "$@" </dev/null >"$work/tls" 2>&1
}

# --- the checks; each sets WHY when it fails ------------------------------------------------------

check_name() {
  [ -z "$at" ] || return 0
  getent ahosts "$1" >/dev/null || {
    WHY="DNS knows no address for it"
    return 1
  }
}

check_certificate() {
  tls "$1" -verify_hostname "$1" || {
    WHY=$(grep -m 1 -iE 'verify error|error:|refused|errno' "$work/tls" || echo "no handshake")
    return 1
  }
  openssl x509 -noout -checkend $((days * 86400)) <"$work/tls" >/dev/null || {
    WHY="it ends within $days days: $(openssl x509 -noout -enddate <"$work/tls")"
    return 1
  }
}

check_tls_versions() {
  local version
  for version in tls1_2 tls1_3; do
    tls "$1" "-$version" || {
      WHY="no handshake with -$version"
      return 1
    }
  done
  # The client has to be allowed to offer the old ones, or it is not the server that refuses.
  for version in tls1 tls1_1; do
    if tls "$1" "-$version" -cipher 'ALL:@SECLEVEL=0' && grep -q 'BEGIN CERT' "$work/tls"; then
      WHY="accepts -$version"
      return 1
    fi
  done
}

check_strangers() {
  if tls "no-such-host.$1"; then
    WHY="shows a certificate for names that are not ours"
    return 1
  fi
}

check_redirect() {
  local location port=
  [ "$https_port" = 443 ] || port=:$https_port
  ask "http:$1" '/albums?a=b' && expect 301 || return 1
  location=$(head_of location)
  # The demo stack's port is not 443, which the redirect cannot know.
  [ "$location" = "https://$1/albums?a=b" ] || [ "$location" = "https://$1$port/albums?a=b" ] || {
    WHY="redirects to '$location'"
    return 1
  }
}

check_acme() {
  # By plain HTTP, without a redirect, answered by nginx's folder and not by the application.
  ask "http:$1" "/.well-known/acme-challenge/verify-$$" && expect 404 || return 1
  ask "$1" "/.well-known/acme-challenge/verify-$$" && expect 404
}

check_headers() {
  ask "$1" "$2" || return 1
  header X-Frame-Options SAMEORIGIN && header X-Content-Type-Options nosniff &&
    header Referrer-Policy strict-origin-when-cross-origin && header Server nginx || return 1
  case $1 in
  *."$private" | "$private") header Strict-Transport-Security '' ;;
  *) header Strict-Transport-Security max-age=31536000 ;;
  esac
}

check_page() {
  ask "$1" / && expect 200 || return 1
  case $(head_of content-type) in
  text/html*) ;;
  *) WHY="is not a page but '$(head_of content-type)'" && return 1 ;;
  esac
}

check_frontend() {
  check_page "$1" && body_has "https://photos.$1"
}

check_ping() {
  ask "$1" /api/server/ping && expect 200 && body_has '{"res":"pong"}'
}

# A ping answers also when the database does not; this one asks the database.
check_config() {
  ask "$1" /api/server/config && expect 200 && body_has '"isInitialized":'
}

check_version() {
  local major minor
  ask "$1" /api/server/version && expect 200 || return 1
  major=$(sed -nE 's/.*"major": ?([0-9]+).*/\1/p' "$work/body")
  minor=$(sed -nE 's/.*"minor": ?([0-9]+).*/\1/p' "$work/body")
  if [ -z "$major" ] || [ -z "$minor" ] || [ $((major * 1000 + minor)) -lt 2005 ]; then
    WHY="is '$(head -c 80 "$work/body")', and 2.5 is the oldest that is supported"
    return 1
  fi
}

check_well_known() {
  ask "$1" /.well-known/immich && expect 200 && body_has '"endpoint":"/api"'
}

check_websocket() {
  # The connection stays open behind the 101: that curl then runs out of time is as it should be.
  ask "$1" '/api/socket.io/?EIO=4&transport=websocket' --http1.1 --max-time 3 \
    -H 'Connection: Upgrade' -H 'Upgrade: websocket' -H 'Sec-WebSocket-Version: 13' \
    -H 'Sec-WebSocket-Key: dmVyaWZ5LXByb2R1Y3Rpb24=' || true
  if [ ! -s "$work/head" ] || ! head -n 1 "$work/head" | grep -q ' 101'; then
    WHY="no upgrade: ${WHY:-answered $CODE}"
    return 1
  fi
}

# A body of 2 GB is announced and not sent: the server wants a key first and says so; a proxy that
# forbids it says 413, one that gathers bodies says nothing.
check_large_upload() {
  printf x >"$work/one"
  ask "$1" /api/assets --http1.1 --max-time 8 -X POST -H 'Expect:' \
    -H 'Content-Type: application/octet-stream' \
    -H 'Content-Length: 2147483648' --data-binary "@$work/one" || {
    [ -s "$work/head" ] || return 1
    CODE=$(sed -nE '1s|^HTTP/[0-9.]+ ([0-9]+).*|\1|p' "$work/head")
  }
  expect 401 400 403
}

check_gateway() {
  ask "$1" /uringest/ -X OPTIONS && expect 200 204 || return 1
  case ",$(head_of tus-version)," in
  *,1.0.0,*) ;;
  *) WHY="does not speak tus 1.0.0" && return 1 ;;
  esac
}

# Only where nobody else logs in: it uses up the tries of this address.
check_login_limit() {
  local try limited=
  for try in 1 2 3 4 5 6 7 8 9 10; do
    ask "$1" /api/auth/login -X POST -H 'Content-Type: application/json' -d '{}' || return 1
    [ "$CODE" != 429 ] || limited=$try
  done
  [ -n "$limited" ] || {
    WHY="ten tries to log in within seconds, and none was refused"
    return 1
  }
}

check_containers() {
  local wanted running service
  load_env
  need_docker
  wanted="nginx heartbeat-frontend it-tools $(immich_services)"
  running=$(cd "$TOP" && docker compose --env-file "$ENV_FILE" -f docker-compose.yml \
    -f docker/immich/compose.immich.yml ps --format '{{.Service}} {{.State}} {{.Health}}') || {
    WHY="docker compose ps failed"
    return 1
  }
  for service in $wanted; do
    grep -qxE "$service running (healthy)?" <<<"$running" || {
      WHY="$service is not running and healthy: $(grep "^$service " <<<"$running" || echo "it is not there")"
      return 1
    }
  done
}

# --- going through them ---------------------------------------------------------------------------

passed=0 failed=0 WHY=
quoted() { printf '%s' "$1" | tr -d '\000-\037' | sed 's/[\\"]/\\&/g'; }

# check HOST WHAT FUNCTION [ARGUMENT…]
check() {
  local host=$1 what=$2 ok=true
  shift 2
  WHY=
  "$@" || ok=false
  if [ $ok = true ]; then passed=$((passed + 1)); else failed=$((failed + 1)); fi
  if [ -n "$json" ]; then
    printf '{"host":"%s","check":"%s","ok":%s,"why":"%s"}\n' "$host" "$(quoted "$what")" $ok \
      "$([ $ok = true ] || quoted "$WHY")"
  elif [ $ok = true ]; then
    printf 'ok    %-28s %s\n' "$host" "$what"
  else
    printf 'FAIL  %-28s %s: %s\n' "$host" "$what" "$WHY"
  fi
}

for domain in "${domains[@]}"; do
  host=photos.$domain
  check "$host" "the name has an address" check_name "$host"
  check "$host" "the certificate is good for $days days" check_certificate "$host"
  check "$host" "TLS 1.2 and 1.3 and nothing older" check_tls_versions "$host"
  check "$host" "other names get no certificate" check_strangers "$host"
  check "$host" "port 80 leads to TLS" check_redirect "$host"
  check "$host" "the certificate authority's challenge is nginx's" check_acme "$host"
  check "$host" "the headers of the plan" check_headers "$host" /api/server/ping
  check "$host" "Immich answers a ping" check_ping "$host"
  check "$host" "Immich knows its configuration" check_config "$host"
  check "$host" "Immich's version is supported" check_version "$host"
  check "$host" "Immich's page" check_page "$host"
  check "$host" "apps find the API (.well-known/immich)" check_well_known "$host"
  check "$host" "WebSockets get through" check_websocket "$host"
  check "$host" "a 2 GB upload is not refused by the proxy" check_large_upload "$host"
  if [ "$mode" != local ] || [ "${GATEWAY-}" = present ]; then
    check "$host" "the upload gateway answers" check_gateway "$host"
  fi
  [ "$mode" != local ] || check "$host" "logging in is limited" check_login_limit "$host"

  check "$domain" "the certificate is good for $days days" check_certificate "$domain"
  check "$domain" "port 80 leads to TLS" check_redirect "$domain"
  check "$domain" "the headers of the plan" check_headers "$domain" /
  check "$domain" "the frontend leads to the photos" check_frontend "$domain"
  check "it-tools.$domain" "the certificate is good for $days days" check_certificate "it-tools.$domain"
  check "it-tools.$domain" "the tools answer" check_page "it-tools.$domain"
done
[ -z "$containers" ] || check "$(uname -n)" "the containers run and are healthy" check_containers

if [ -n "$json" ]; then
  printf '{"passed":%d,"failed":%d}\n' "$passed" "$failed"
else
  printf '%d passed, %d failed\n' "$passed" "$failed"
  if [ "$mode" = local ] && [ "${GATEWAY-}" != present ]; then
    printf 'not looked at: the upload gateway, which this build does not have\n'
  fi
fi
[ "$failed" -eq 0 ]
