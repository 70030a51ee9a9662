#!/bin/bash
# sysroot.sh - the libraries of another architecture, unpacked into a folder.
#
#     Debian's archive ──apt, with a state of its own──▶ packages ──dpkg-deb -x──▶ FOLDER
#
# Nothing of this machine's own package database is touched, so no root is needed and nothing can
# conflict with what is installed.  apt resolves the dependencies and checks the signatures.
set -eu

usage()
{
  cat <<'TEXT'
usage: scripts/sysroot.sh FOLDER ARCHITECTURE PACKAGE...

  Fills FOLDER with the packages and all they depend on; does nothing when it holds them already.

  UR_MIRROR  Debian's archive (http://deb.debian.org/debian)
  UR_SUITE   its release (bookworm)
TEXT
}

case ${1-} in
-h | --help)
  usage
  exit 0
  ;;
esac
if [ $# -lt 3 ]; then
  usage >&2
  exit 2
fi

root=$1 arch=$2
shift 2
mirror=${UR_MIRROR:-http://deb.debian.org/debian} suite=${UR_SUITE:-bookworm}
keys=/usr/share/keyrings/debian-archive-keyring.gpg
mark=$root/.packages
wanted="$suite $arch $*"
if [ -f "$mark" ] && [ "$(head -n 1 "$mark")" = "$wanted" ]; then
  exit 0
fi
if ! command -v apt-get >/dev/null || [ ! -r "$keys" ]; then
  echo "sysroot.sh: this takes Debian's apt-get and its keyring ($keys)" >&2
  exit 1
fi

rm -rf "$root"
mkdir -p "$root"
root=$(cd "$root" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$work/lists/partial" "$work/archives/partial"
: >"$work/status"
{
  echo "deb [signed-by=$keys] $mirror $suite main"
  echo "deb [signed-by=$keys] $mirror $suite-updates main"
} >"$work/sources.list"
cat >"$work/apt.conf" <<CONF
APT::Architecture "$arch";
APT::Architectures { "$arch"; };
APT::Install-Recommends "false";
APT::Sandbox::User "$(id -un)";
Acquire::Languages "none";
Acquire::Retries "3";
Dir::State "$work";
Dir::State::lists "$work/lists";
Dir::State::status "$work/status";
Dir::Cache "$work";
Dir::Cache::archives "$work/archives";
Dir::Etc::sourcelist "$work/sources.list";
Dir::Etc::sourceparts "-";
Debug::NoLocking "true";
CONF
export APT_CONFIG=$work/apt.conf

echo "sysroot: fetching $arch packages of $suite" >&2
apt-get -qq update
apt-get -qq -y --download-only install "$@"
for package in "$work"/archives/*.deb; do
  dpkg-deb -x "$package" "$root"
done
# Links to absolute places are meant within the folder.
find "$root" -type l -lname '/*' -print0 | while IFS= read -r -d '' link; do
  ln -sfn "$root$(readlink "$link")" "$link"
done
{
  echo "$wanted"
  for package in "$work"/archives/*.deb; do basename "$package"; done
} >"$mark"
echo "sysroot: $(($(wc -l <"$mark") - 1)) packages in $root" >&2
