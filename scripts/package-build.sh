#!/bin/bash
# package-build.sh - what a server needs of this repository, as one archive: the same bytes from the
# same files, whoever builds it and when.
#
#     allow list ─▶ files (git's, never what lies beside them) ─▶ MANIFEST ─▶ tar, gzip
# shellcheck source-path=SCRIPTDIR
set -euo pipefail
# shellcheck source=lib/common.bash
. "$(dirname "$0")/lib/common.bash"

usage() {
  cat <<'TEXT'
usage: scripts/package-build.sh [full|light] [OPTION...]

  light  compose files, nginx, scripts, systemd, frontend, documents, .env.immich.example
  full   and the sources that the gateway's image is built from (the default)

  --output DIR  where to (build/package)
  --list        print the files and stop
  --dry-run     say what would be made

  Prints the archive's path.  Beside it lies its SHA-256; inside, MANIFEST has that of every file.
TEXT
}

kind=full output=$TOP/build/package list=''
while [ $# -gt 0 ]; do
  case $1 in
  full | light) kind=$1 ;;
  --output) option_value "$@" && output=$2 && shift ;;
  --list) list=yes ;;
  --dry-run) DRY_RUN=yes ;;
  -h | --help) usage && exit 0 ;;
  *) usage >&2 && exit 2 ;;
  esac
  shift
done
need tar tar
need sha256sum coreutils
need flock util-linux

LIGHT=(docker-compose.yml docker/immich .env.immich.example .dockerignore nginx systemd scripts
  frontend md LICENSE README.md)
SOURCES=(Makefile cli engine fixtures tests/files.mk tests/fuzz/fuzz.mk)
allowed=("${LIGHT[@]}")
[ "$kind" = light ] || allowed+=("${SOURCES[@]}")
cd "$TOP"
export LC_ALL=C

# What git knows; in an unpacked archive, what its own MANIFEST knows.
in_git=''
[ "$(git rev-parse --show-toplevel 2>/dev/null || true)" != "$TOP" ] || in_git=yes
files() {
  local path
  if [ -n "$in_git" ]; then
    git ls-files -- "${allowed[@]}"
  elif [ -f MANIFEST ]; then
    sed -E 's/^[0-9a-f]{64}  //' MANIFEST | while read -r path; do
      for allow in "${allowed[@]}"; do
        case $path in "$allow" | "$allow"/*) printf '%s\n' "$path" ;; esac
      done
    done
  else
    die "this is neither a git checkout nor an unpacked archive; what belongs in is not known" 2
  fi | sort -u | while read -r path; do
    # One that was removed and not yet committed is still in git's list.
    [ ! -e "$path" ] || printf '%s\n' "$path"
  done
}

version() {
  if [ -n "$in_git" ]; then
    git describe --tags --always --dirty=+changes
  else
    sed -n 's/^version=//p' RELEASE
  fi
}

# The time of everything in the archive.
epoch() {
  if [ -n "${SOURCE_DATE_EPOCH-}" ]; then
    echo "$SOURCE_DATE_EPOCH"
  elif [ -n "$in_git" ]; then
    git log -1 --format=%ct
  else
    sed -n 's/^epoch=//p' RELEASE
  fi
}

paths=$(files)
[ -n "$paths" ] || die "no files to pack" 2
# The allow list is git's business and a slip of it would be public.
secrets=$(grep -E '(^|/)(\.env(\..*)?|[^/]*(-key\.pem|\.key|id_rsa|id_ed25519))$' <<<"$paths" |
  grep -vx '\.env\.immich\.example' || true)
[ -z "$secrets" ] || die "these look like secrets and are in git: $secrets" 2
for allow in "${LIGHT[@]}"; do
  grep -qE "^${allow//./\\.}(/|\$)" <<<"$paths" || die "$allow is not there, and a server needs it" 2
done

name=heartbeat-$kind-$(version)
if [ -n "$list" ]; then
  printf '%s\n' "$paths"
  exit 0
fi
if [ -n "$DRY_RUN" ]; then
  say "would make $output/$name.tar.gz of $(wc -l <<<"$paths") files"
  exit 0
fi
mkdir -p "$output" || die "cannot make $output" 2
output=$(cd "$output" && pwd)
take_lock package "$output"
work=$(mktemp -d "$output/.making.XXXXXX")
trap 'rm -rf "$work"' EXIT

# A copy first, so that manifest and archive speak of the same bytes.
stage=$work/$name
mkdir "$stage"
tar --create --no-recursion --files-from - <<<"$paths" | tar --extract --directory "$stage"
printf '%s\n' "name=$name" "kind=$kind" "version=$(version)" "epoch=$(epoch)" >"$stage/RELEASE"
(cd "$stage" && find . -type f ! -name MANIFEST -printf '%P\0' | sort -z |
  xargs -0 sha256sum --) >"$work/manifest"
mv "$work/manifest" "$stage/MANIFEST"

# Nothing of this machine: no owner, no mode but "may be run", no time, no order of a directory.
tar --create --directory "$work" --sort=name --mtime="@$(epoch)" --owner=0 --group=0 \
  --numeric-owner --mode='u=rwX,go=rX' --format=ustar "$name" | gzip -n -9 >"$work/archive"
mv "$work/archive" "$output/$name.tar.gz"
(cd "$output" && sha256sum "$name.tar.gz" >"$name.tar.gz.sha256")
printf '%s\n' "$output/$name.tar.gz"
