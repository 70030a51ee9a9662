#!/bin/bash
# dev-cert.sh - a certificate authority of this machine's own, and a certificate for the dev hosts.
#
#     heartbeat/dev-ca.pem           to be trusted by browsers and phones     dev-ca-key.pem
#     heartbeat/photos-dev-cert.pem  what nginx shows: certificate, authority photos-dev-key.pem
#
# The authority may sign for the dev hosts and no others (name constraints), so that whoever steals
# its key cannot play a bank.
# shellcheck source-path=SCRIPTDIR
set -euo pipefail
# shellcheck source=lib/common.bash
. "$(dirname "$0")/lib/common.bash"

usage() {
  cat <<'TEXT'
usage: scripts/dev-cert.sh [OPTION...]

  Makes heartbeat/photos-dev-cert.pem where it is missing, ends within 30 days, or lacks a host.
  Run again, it leaves a good one alone.

  --dir DIR     where to (heartbeat, beside the scripts)
  --host NAME   a host, may be repeated (photos.dev.heartbeat.local dev.heartbeat.local
                it-tools.dev.heartbeat.local)
  --days N      how long the certificate lasts (397, the most that browsers take)
  --force       make all anew, the authority too: it has to be trusted again
  --dry-run     say what would be done
TEXT
}

dir=$TOP/heartbeat days=397 force='' hosts=()
while [ $# -gt 0 ]; do
  case $1 in
  --dir) option_value "$@" && dir=$2 && shift ;;
  --host) option_value "$@" && hosts+=("$2") && shift ;;
  --days) option_value "$@" && days=$2 && shift ;;
  --force) force=yes ;;
  --dry-run) DRY_RUN=yes ;;
  -h | --help) usage && exit 0 ;;
  *) usage >&2 && exit 2 ;;
  esac
  shift
done
[ ${#hosts[@]} -gt 0 ] ||
  hosts=(photos.dev.heartbeat.local dev.heartbeat.local it-tools.dev.heartbeat.local)
case $days in '' | *[!0-9]*) die "--days wants a number, not '$days'" 2 ;; esac
for host in "${hosts[@]}"; do
  case $host in *[!a-z0-9.-]* | .* | '') die "--host $host: not the name of a host" 2 ;; esac
done
need openssl openssl
need flock util-linux

ca=$dir/dev-ca.pem ca_key=$dir/dev-ca-key.pem
cert=$dir/photos-dev-cert.pem key=$dir/photos-dev-key.pem

lists_hosts() { # FILE EXTENSION: all of the hosts
  local text host
  text=$(openssl x509 -in "$1" -noout -ext "$2" 2>/dev/null | tr -s ', ' '\n')
  for host in "${hosts[@]}"; do
    grep -qxF "DNS:$host" <<<"$text" || return 1
  done
}

ca_is_good() {
  [ -z "$force" ] && [ -s "$ca" ] && [ -s "$ca_key" ] &&
    openssl x509 -in "$ca" -noout -checkend $((86400 * 400)) >/dev/null 2>&1 &&
    lists_hosts "$ca" nameConstraints
}

cert_is_good() {
  [ -s "$cert" ] && [ -s "$key" ] &&
    openssl x509 -in "$cert" -noout -checkend $((86400 * 30)) >/dev/null 2>&1 &&
    openssl verify -CAfile "$ca" "$cert" >/dev/null 2>&1 &&
    [ "$(openssl x509 -in "$cert" -noout -pubkey)" = "$(openssl pkey -in "$key" -pubout 2>/dev/null)" ] &&
    lists_hosts "$cert" subjectAltName
}

# Made beside its place and moved there whole: nginx never reads half a file.
make_ca() {
  local permitted
  permitted=$(printf ',permitted;DNS:%s' "${hosts[@]}")
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 3650 \
    -subj "/O=Heartbeat development/CN=Heartbeat dev CA ($(uname -n))" \
    -addext basicConstraints=critical,CA:TRUE,pathlen:0 \
    -addext keyUsage=critical,keyCertSign,cRLSign \
    -addext "nameConstraints=critical${permitted}" \
    -keyout "$work/ca.key" -out "$work/ca.pem"
}

make_cert() {
  local names
  names=$(printf ',DNS:%s' "${hosts[@]}")
  openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes \
    -subj "/O=Heartbeat development/CN=${hosts[0]}" -keyout "$work/key.pem" -out "$work/csr.pem"
  printf '%s\n' "subjectAltName=${names#,}" basicConstraints=critical,CA:FALSE \
    keyUsage=critical,digitalSignature extendedKeyUsage=serverAuth >"$work/extensions"
  openssl x509 -req -in "$work/csr.pem" -CA "$1" -CAkey "$2" -days "$days" \
    -set_serial "0x00$(openssl rand -hex 15)" -extfile "$work/extensions" -out "$work/leaf.pem"
  cat "$work/leaf.pem" "$1" >"$work/cert.pem"
}

# openssl's talk matters only when something went wrong.
quietly() {
  "$@" >"$work/log" 2>&1 || { cat "$work/log" >&2 && die "openssl could not do it; see above"; }
}

if [ -z "$DRY_RUN" ]; then
  mkdir -p "$dir" || die "cannot make $dir" 2
  chmod 755 "$dir"
  take_lock certificate "$dir"
fi
if ca_is_good && cert_is_good; then
  say "$cert is good until $(openssl x509 -in "$cert" -noout -enddate | cut -d= -f2)"
  exit 0
fi
if [ -n "$DRY_RUN" ]; then
  ca_is_good || say "would make an authority: $ca"
  say "would make a certificate for ${hosts[*]}: $cert"
  exit 0
fi

umask 077
work=$(mktemp -d "$dir/.making.XXXXXX") || die "cannot write in $dir" 2
trap 'rm -rf "$work"' EXIT
new_ca=
if ! ca_is_good; then
  quietly make_ca
  quietly make_cert "$work/ca.pem" "$work/ca.key"
  chmod 644 "$work/ca.pem"
  mv "$work/ca.key" "$ca_key"
  mv "$work/ca.pem" "$ca"
  new_ca=yes
else
  quietly make_cert "$ca" "$ca_key"
fi
chmod 644 "$work/cert.pem"
mv "$work/key.pem" "$key"
mv "$work/cert.pem" "$cert"
say "made $cert for ${hosts[*]}"
[ -z "$new_ca" ] || say "trust $ca in browsers, and on phones as a user CA certificate"
say "a running nginx takes it up with: docker compose exec nginx nginx -s reload"
