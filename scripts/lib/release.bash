# shellcheck shell=bash
# shellcheck disable=SC2317 # main calls its verbs by name
# release - the server's side of deploy-remote.sh, sent there by standard input:
#
#     ssh HOST bash -s VERB DIR [ARGUMENT…] <release.bash
#
#     DIR/releases/ID/     unpacked archives, the newest last by name
#     DIR/current          a link to the one that runs; `previous` to the one before
#     DIR/shared/          .env.immich, heartbeat/ (dev certificate): what outlives releases
#     DIR/.deploying/      somebody is at it
set -euo pipefail

fail() {
  printf '%s\n' "$1" >&2
  exit "${2:-1}"
}

link_to() { # NAME RELEASE: whole, at no moment is there none
  ln -sfn "releases/$2" "$1.new"
  mv -T "$1.new" "$1"
}

id_of() { # LINK: the release that it names, or nothing
  local to
  to=$(readlink "$1" 2>/dev/null) || return 0
  printf '%s\n' "${to#releases/}"
}

begin() { # WHO
  local mode env=shared/.env.immich
  mkdir -p releases shared/heartbeat
  if ! mkdir .deploying 2>/dev/null; then
    fail "somebody deploys already: $(cat .deploying/who 2>/dev/null || echo unknown).  If that is over, on the server: rm -r $PWD/.deploying" 4
  fi
  printf '%s\n' "$1" >.deploying/who
  if [ ! -f "$env" ]; then
    rm -rf .deploying
    fail "$PWD/$env is not there; copy .env.immich.example to it, fill it in, chmod 600" 2
  fi
  mode=$(stat -L -c '%a' "$env")
  if [ $((0$mode & 0007)) -ne 0 ]; then
    rm -rf .deploying
    fail "$PWD/$env is open to everybody (mode $mode) and holds passwords; on the server: chmod 600 $PWD/$env" 2
  fi
  # What an interrupted transfer left.
  find releases -mindepth 1 -maxdepth 1 -name '*.partial' -exec rm -rf {} +
  id_of current
}

# What arrived is what was packed: every file of the manifest, and no other.
accept() { # ID
  local id=$1 partial=releases/$1.partial
  (
    cd "$partial"
    sha256sum --check --quiet --strict MANIFEST >&2 || fail "what arrived differs from what was packed"
    diff <(sed -E 's/^[0-9a-f]{64}  //' MANIFEST | LC_ALL=C sort) \
      <(find . ! -type d ! -path ./MANIFEST -printf '%P\n' | LC_ALL=C sort) >&2 ||
      fail "what arrived has files that were not packed"
  )
  ln -s ../../shared/.env.immich "$partial/.env.immich"
  ln -s ../../shared/heartbeat "$partial/heartbeat"
  mv -T "$partial" "releases/$id"
}

switch() { # ID
  local old
  [ -d "releases/$1" ] || fail "there is no release $1 in $PWD/releases"
  old=$(id_of current)
  [ "$old" != "$1" ] || return 0
  [ -z "$old" ] || link_to previous "$old"
  link_to current "$1"
}

up() {
  current/scripts/immich-up.sh --all
}

# Keeps the newest N, what runs, and what ran before.
prune() { # N
  local id current previous
  current=$(id_of current) previous=$(id_of previous)
  find releases -mindepth 1 -maxdepth 1 -type d -printf '%f\n' | LC_ALL=C sort -r |
    tail -n "+$(($1 + 1))" | while read -r id; do
    if [ "$id" != "$current" ] && [ "$id" != "$previous" ]; then
      rm -rf "releases/$id"
      printf 'removed the old release %s\n' "$id" >&2
    fi
  done
}

list() {
  local id mark
  find releases -mindepth 1 -maxdepth 1 -type d ! -name '*.partial' -printf '%f\n' 2>/dev/null |
    LC_ALL=C sort | while read -r id; do
    mark=''
    [ "$id" != "$(id_of previous)" ] || mark='  previous'
    [ "$id" != "$(id_of current)" ] || mark='  current'
    printf '%s%s\n' "$id" "$mark"
  done
}

main() {
  local verb=$1 dir=$2
  shift 2
  [ "$verb" != begin ] || mkdir -p "$dir"
  cd "$dir" || fail "$dir cannot be entered" 2
  case $verb in
  begin | accept | switch | up | prune | list) "$verb" "$@" ;;
  current | previous) id_of "$verb" ;;
  end) rm -rf .deploying ;;
  discard) rm -rf "releases/$1.partial" "releases/$1" ;;
  *) fail "release: no verb '$verb'" 2 ;;
  esac
}

# Read whole before anything runs, which may read standard input itself.
main "$@" </dev/null
exit
