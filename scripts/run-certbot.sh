#!/bin/bash
# run-certbot.sh - the public hosts' certificate: gets it, extends it, and sees that nginx shows it.
#
#     CERTBOT_DOMAINS ─▶ certbot (webroot; standalone when nobody is at port 80) ─▶ nginx reloads
#
# Whether nginx has to be reloaded is found by looking at what it shows, not by who renewed: Debian's
# own certbot.timer may have been first.
# shellcheck source-path=SCRIPTDIR
set -euo pipefail
# shellcheck source=lib/common.bash
. "$(dirname "$0")/lib/common.bash"

usage() {
  cat <<'TEXT'
usage: scripts/run-certbot.sh [OPTION...]

  Gets one certificate for CERTBOT_DOMAINS of .env.immich, under the first one's name, or extends
  it to hosts that were added.  One that lasts and names all of them is left alone.

  --renew       only renew what is due (for the timer)
  --staging     from the authority's test service: first try with this
  --dry-run     say what would be done
TEXT
}

PHOTOS=photos.heartbeatacic.org
renew='' staging=()
while [ $# -gt 0 ]; do
  case $1 in
  --renew) renew=yes ;;
  --staging) staging=(--staging) ;;
  --dry-run) DRY_RUN=yes ;;
  -h | --help) usage && exit 0 ;;
  *) usage >&2 && exit 2 ;;
  esac
  shift
done
need openssl openssl
need flock util-linux
load_env
[ -n "$DRY_RUN" ] || need certbot certbot
take_lock certificate

read -r -a domains <<<"${CERTBOT_DOMAINS-}"
[ ${#domains[@]} -gt 0 ] || die "CERTBOT_DOMAINS is empty in $ENV_FILE" 2
case " ${domains[*]} " in
*" $PHOTOS "*) ;;
*) die "CERTBOT_DOMAINS in $ENV_FILE lacks $PHOTOS, whose page would then have no certificate" 2 ;;
esac
# nginx/place/certificate-production.conf names the folder.
[ "${domains[0]}" = heartbeatacic.org ] ||
  die "CERTBOT_DOMAINS in $ENV_FILE must begin with heartbeatacic.org, the name that nginx/place/certificate-production.conf looks for" 2

letsencrypt=${LETSENCRYPT_DIR:-/etc/letsencrypt} webroot=${ACME_WEBROOT:-/var/www/certbot}
live=$letsencrypt/live/${domains[0]}/fullchain.pem
https_port=${VERIFY_HTTPS_PORT:-443} http_port=${VERIFY_HTTP_PORT:-80}

answers() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

get() {
  local how=(--standalone) names=() domain
  if answers "$http_port"; then
    run mkdir -p "$webroot"
    how=(--webroot --webroot-path "$webroot")
  fi
  for domain in "${domains[@]}"; do
    names+=(-d "$domain")
  done
  [ -n "${CERTBOT_EMAIL-}" ] || die "CERTBOT_EMAIL is empty in $ENV_FILE: who is told when a renewal fails?" 2
  run certbot certonly --non-interactive --agree-tos --email "$CERTBOT_EMAIL" \
    --config-dir "$letsencrypt" --cert-name "${domains[0]}" --expand --keep-until-expiring \
    --key-type ecdsa ${staging[@]+"${staging[@]}"} "${how[@]}" "${names[@]}" ||
    die "certbot failed; the old certificate, if there was one, is in place.  Does each of ${domains[*]} point to this machine?"
}

fingerprint() { openssl x509 -noout -fingerprint -sha256 2>/dev/null; }

shown() {
  timeout 10 openssl s_client -connect "127.0.0.1:$https_port" -servername "$PHOTOS" \
    </dev/null 2>/dev/null | fingerprint
}

# nginx takes up a new certificate without dropping a connection.
show_it() {
  local have
  [ -z "$DRY_RUN" ] || { say "would reload nginx if it shows another certificate" && return; }
  [ -e "$live" ] || die "certbot ended well, and $live is not there"
  answers "$https_port" || { say "nothing listens on $https_port yet: scripts/immich-up.sh --all starts nginx" && return; }
  have=$(shown) || true
  [ "$have" != "$(fingerprint <"$live")" ] || { say "nginx shows the certificate of $live" && return; }
  need_docker
  compose exec -T nginx nginx -t -q || die "nginx does not take its configuration; it goes on with the old certificate"
  compose exec -T nginx nginx -s reload || die "nginx could not be reloaded; it goes on with the old certificate"
  say "nginx was told to show the certificate of $live"
}

if [ -n "$renew" ]; then
  [ -e "$live" ] || die "there is no certificate to renew in $live; get it first: scripts/run-certbot.sh" 2
  run certbot renew --non-interactive --config-dir "$letsencrypt" --cert-name "${domains[0]}" ||
    die "the renewal failed; the certificate lasts until $(openssl x509 -noout -enddate -in "$live" | cut -d= -f2)"
else
  get
fi
show_it
