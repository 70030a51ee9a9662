# shellcheck shell=bash disable=SC2034 # the tests read them
# A copy of what a server has, with settings of its own, and a docker and a certbot that write down
# what they are asked: these two are the only parts that are not real.

SITE_FILES=(docker-compose.yml docker .env.immich.example .dockerignore nginx scripts frontend)

# site FOLDER: the copy.
site() {
  mkdir -p "$1"
  (cd "$TOP" && cp -r --parents "${SITE_FILES[@]}" "$1")
  sed -e 's/^DB_PASSWORD=.*/DB_PASSWORD=thePassword1/' -e "s|^UPLOAD_LOCATION=.*|UPLOAD_LOCATION=$T/library|" \
    -e "s|^IMPORT_LOCATION=.*|IMPORT_LOCATION=$T/import|" -e 's/^CERTBOT_EMAIL=.*/CERTBOT_EMAIL=admin@example.org/' \
    -e "s|^#LETSENCRYPT_DIR=.*|LETSENCRYPT_DIR=$T/letsencrypt|" -e "s|^#ACME_WEBROOT=.*|ACME_WEBROOT=$T/webroot|" \
    -e "s|^#URINGEST_SEAL_KEY=.*|URINGEST_SEAL_KEY=$T/seal|" "$TOP/.env.immich.example" >"$1/.env.immich"
  echo 0123456789abcdef0123456789abcdef >"$T/seal"
  chmod 600 "$1/.env.immich"
}

setting() { # SITE NAME=VALUE: as a line of its own
  sed -i "/^#\{0,1\}${2%%=*}=/d" "$1/.env.immich"
  printf '%s\n' "$2" >>"$1/.env.immich"
}

# recorder NAME: $T/bin/NAME writes its arguments to $T/NAME.log, one line a call, with the folder
# that it was called in.  It fails when its line matches the pattern in $T/NAME.fails, and runs
# $T/NAME.does, if that is there, with its arguments.
recorder() {
  mkdir -p "$T/bin"
  : >"$T/$1.log"
  cat >"$T/bin/$1" <<SH
#!/bin/bash
line="\$(pwd -P): \$*"
printf '%s\n' "\$line" >>"$T/$1.log"
if [ -e "$T/$1.fails" ] && grep -qEf "$T/$1.fails" <<<"\$line"; then
  echo "$1: told to fail" >&2
  exit 1
fi
if [ -e "$T/$1.does" ]; then . "$T/$1.does"; fi
SH
  chmod +x "$T/bin/$1"
}

# calls NAME: what it was asked, without the folder and without being asked for its version.
calls() { sed -E 's/^[^:]*: //' "$T/$1.log" | grep -vx 'compose version' || true; }
