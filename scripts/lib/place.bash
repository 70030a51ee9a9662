# shellcheck shell=bash
# place - another machine's nginx/place/, so that the shipped server blocks run there as they are.
#
#     nginx/nginx.conf, conf/, sites/   linked, byte for byte what is shipped
#     place/                            written here: ports, certificates, upstreams, paths
#
# What it is told, in variables:
#     PLACE                             the folder that is made, with place/, logs and temporary files
#     HTTP_PORT HTTPS_PORT              on 127.0.0.1
#     IMMICH_AT GATEWAY_AT FRONTEND_AT TOOLS_AT   address:port of each upstream
#     CERTIFICATE CERTIFICATE_KEY       PEM, for all hosts
#     TOP                               the repository

find_nginx() {
  PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin command -v nginx
}

# The version as one number: 1.22.1 is 1022001.
nginx_version() { # NGINX
  "$1" -v 2>&1 | sed -nE 's|.*nginx/([0-9]+)\.([0-9]+)\.([0-9]+).*|\1 \2 \3|p' |
    awk '{ print $1 * 1000000 + $2 * 1000 + $3 }'
}

write_listen() { # FILE ADDRESS VERSION WORDS: HTTP/2 as this version wants it said
  local words=${4:+ $4}
  if [ "$3" -ge 1025001 ]; then
    printf 'listen %s ssl%s;\nhttp2 on;\n' "$2" "$words" >"$1"
  else
    printf 'listen %s ssl http2%s;\n' "$2" "$words" >"$1"
  fi
}

write_upstream() { # NAME ADDRESS [KEEPALIVE_TIMEOUT]
  printf 'upstream %s {\n\tserver %s max_fails=0;\n' "$1" "$2"
  [ -z "${3-}" ] || printf '\tkeepalive 32;\n\tkeepalive_timeout %s;\n' "$3"
  printf '}\n'
}

write_place() { # NGINX
  local version to=$PLACE/place
  version=$(nginx_version "$1")
  mkdir -p "$to" "$PLACE/acme/.well-known/acme-challenge" "$PLACE/temporary"
  ln -sfn "$TOP/nginx/nginx.conf" "$PLACE/nginx.conf"
  ln -sfn "$TOP/nginx/conf" "$PLACE/conf"
  ln -sfn "$TOP/nginx/sites" "$PLACE/sites"

  printf 'pid %s/nginx.pid;\nerror_log %s/error.log %s;\n' \
    "$PLACE" "$PLACE" "${PLACE_LOG_LEVEL:-warn}" >"$to/main.conf"
  {
    printf 'access_log %s/access.log json_lines;\n' "$PLACE"
    local kind
    for kind in client_body proxy fastcgi uwsgi scgi; do
      printf '%s_temp_path %s/temporary/%s;\n' "$kind" "$PLACE" "$kind"
    done
  } >"$to/http.conf"
  {
    write_upstream immich "$IMMICH_AT" 4s
    write_upstream uringest-gateway "$GATEWAY_AT"
    write_upstream heartbeat-frontend "$FRONTEND_AT" 60s
    write_upstream it-tools "$TOOLS_AT" 60s
  } >"$to/upstreams.conf"
  printf 'root %s/acme;\n' "$PLACE" >"$to/acme.conf"
  printf 'ssl_certificate %s;\nssl_certificate_key %s;\n' "$CERTIFICATE" "$CERTIFICATE_KEY" |
    tee "$to/certificate-production.conf" >"$to/certificate-dev.conf"
  printf 'listen 127.0.0.1:%s;\n' "$HTTP_PORT" >"$to/listen-http.conf"
  printf 'listen 127.0.0.1:%s default_server;\n' "$HTTP_PORT" >"$to/listen-http-default.conf"
  write_listen "$to/listen-https.conf" "127.0.0.1:$HTTPS_PORT" "$version"
  write_listen "$to/listen-https-default.conf" "127.0.0.1:$HTTPS_PORT" "$version" default_server
}
