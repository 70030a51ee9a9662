#!/bin/sh
# deps.sh - what uringest is built, tested and checked with, by its names in Debian 12.
#
#     check    says what is missing, with the one line that installs it; fails if anything is
#     install  installs what is missing; quick and quiet when nothing is
#     list     the packages, without looking at the machine
#     libraries  those of them that programs link with, for another machine's sysroot
#
# What is there is found by asking for the thing itself (pkg-config, a command, a file), so that a
# machine with other packages, or without packages, is not told to install them again.
set -u

usage()
{
  cat <<'TEXT'
usage: scripts/deps.sh check|install|list|libraries [build] [test] [lint] [aarch64]

  build   compiler and libraries (the default)
  test    what the tests run
  lint    clang's tools, cppcheck, shellcheck, systemd-analyze
  aarch64 a cross compiler, and what runs its programs here
TEXT
}

# group  package  probe: pc:MODULE, cmd:NAME or file:GLOB
table()
{
  cat <<'TEXT'
build gcc                  cmd:gcc
build libc6-dev            file:/usr/include/stdlib.h
build make                 cmd:make
build pkg-config           cmd:pkg-config
build liburing-dev         pc:liburing
build libcurl4-openssl-dev pc:libcurl
build libjansson-dev       pc:jansson
build libsqlite3-dev       pc:sqlite3
build libssl-dev           pc:libcrypto
build libxxhash-dev        pc:libxxhash
build libutf8proc-dev      pc:libutf8proc
build libyaml-dev          pc:yaml-0.1
build libexif-dev          pc:libexif
build libmagic-dev         pc:libmagic
build libexpat1-dev        pc:expat
build libsodium-dev        pc:libsodium
build zlib1g-dev           pc:zlib
test  libcmocka-dev        pc:cmocka
test  bats                 cmd:bats
test  nginx-light          cmd:nginx
test  openssl              cmd:openssl
test  curl                 cmd:curl
test  jq                   cmd:jq
test  acl                  cmd:setfacl
test  sqlite3              cmd:sqlite3
test  git                  cmd:git
test  procps               cmd:pgrep
test  python3              cmd:python3
test  python3-pip          cmd:pip3
test  nodejs               cmd:node
test  npm                  cmd:npm
test  xxhash               cmd:xxh128sum
test  xxd                  cmd:xxd
test  rsync                cmd:rsync
test  openssh-server       cmd:sshd
test  postgresql           file:/usr/lib/postgresql/*/bin/initdb
test  golang-go            cmd:go
test  python3-websockets   file:/usr/lib/python3/dist-packages/websockets/__init__.py
test  python3-seccomp      file:/usr/lib/python3/dist-packages/seccomp.cpython-*.so
test  qrencode             cmd:qrencode
test  libfuse3-dev         pc:fuse3
test  fuse3                cmd:fusermount3
test  ntfs-3g              cmd:ntfs-3g
test  exfat-fuse           cmd:mount.exfat-fuse
test  exfatprogs           cmd:mkfs.exfat
lint  clang-14             cmd:clang-14
lint  libclang-rt-14-dev   file:/usr/lib/llvm-14/lib/clang/14*/lib/linux/libclang_rt.fuzzer-*.a
lint  clang-format-14      cmd:clang-format-14
lint  clang-tidy-14        cmd:clang-tidy-14
lint  cppcheck             cmd:cppcheck
lint  shellcheck           cmd:shellcheck
lint  systemd              cmd:systemd-analyze
aarch64 gcc-aarch64-linux-gnu  cmd:aarch64-linux-gnu-gcc
aarch64 qemu-user-static       cmd:qemu-aarch64-static
aarch64 debian-archive-keyring file:/usr/share/keyrings/debian-archive-keyring.gpg
TEXT
}

have()
{
  case $1 in
  pc:*) pkg-config --exists "${1#pc:}" 2>/dev/null ;;
  cmd:*) command -v "${1#cmd:}" >/dev/null 2>&1 ;;
  file:*)
    # A glob that matches nothing stays as it is and does not exist.
    for path in ${1#file:}; do
      [ -e "$path" ] && return 0
    done
    return 1
    ;;
  esac
}

# The packages of the groups asked for; with `missing`, only those whose probe fails, with
# `libraries`, only those that pkg-config or the C compiler itself links with.
packages()
{
  table | while read -r group package probe; do
    case " $groups " in
    *" $group "*) ;;
    *) continue ;;
    esac
    case $1:$probe in
    all:* | libraries:pc:* | libraries:file:*/stdlib.h) ;;
    libraries:*) continue ;;
    *) ! have "$probe" || continue ;;
    esac
    printf ' %s' "$package"
  done
}

say()
{
  printf 'deps: %s\n' "$*" >&2
}

# Debian starts a service as soon as it is installed, nginx too, unless policy-rc.d says no.  Ours
# stands only while apt runs and only where nobody else has one.
policy=/usr/sbin/policy-rc.d
forbid_services()
{
  if (set -C && printf '#!/bin/sh\nexit 101\n' >"$policy") 2>/dev/null; then
    chmod 755 "$policy"
    trap 'rm -f "$policy"' EXIT
    trap 'exit 130' HUP INT TERM
  fi
}

# As root, with the packages as arguments.
apt_install()
{
  export DEBIAN_FRONTEND=noninteractive RUNLEVEL=1
  forbid_services
  had_nginx=$(command -v nginx)
  had_sshd=$(command -v sshd)
  have 'file:/usr/lib/postgresql/*/bin/initdb' && had_postgresql=yes || had_postgresql=
  # Package lists that are missing or too old show themselves here.
  if ! apt-get install -s -q --no-install-recommends "$@" >/dev/null 2>&1; then
    apt-get update -q || return 1
  fi
  if ! apt-get install -y -q --no-install-recommends "$@"; then
    apt-get update -q || return 1
    apt-get install -y -q --no-install-recommends "$@" || return 1
  fi
  # The tests start an nginx, an sshd and a PostgreSQL of their own; this machine did not ask for one at
  # every boot.
  if command -v systemctl >/dev/null 2>&1; then
    [ -n "$had_nginx" ] || systemctl disable nginx >/dev/null 2>&1 || true
    [ -n "$had_postgresql" ] || systemctl disable postgresql >/dev/null 2>&1 || true
    [ -n "$had_sshd" ] || systemctl disable ssh ssh.socket >/dev/null 2>&1 || true
  fi
}

PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin
verb=${1-}
case $verb in
check | install | list | libraries | as-root) shift ;;
-h | --help)
  usage
  exit 0
  ;;
*)
  usage >&2
  exit 2
  ;;
esac

if [ "$verb" = as-root ]; then
  apt_install "$@"
  exit
fi

groups=${*:-build}
for group in $groups; do
  case $group in
  build | test | lint | aarch64) ;;
  *)
    usage >&2
    exit 2
    ;;
  esac
done

case $verb in
list | libraries)
  [ "$verb" = libraries ] || verb=all
  packages "$verb" | sed 's/^ //'
  echo
  exit 0
  ;;
esac

missing=$(packages missing)
[ -n "$missing" ] || exit 0
line="apt-get install --no-install-recommends$missing"

if [ "$verb" = check ]; then
  say "not here:$missing"
  say "install with: make deps, or as root: $line"
  exit 1
fi

if ! command -v apt-get >/dev/null 2>&1; then
  say "not here, by their names in Debian 12:$missing"
  say "this system has no apt-get: install the same with its own package manager"
  exit 1
fi

say "installing$missing"
if [ "$(id -u)" -eq 0 ]; then
  # shellcheck disable=SC2086 # one word a package
  apt_install $missing
elif command -v sudo >/dev/null 2>&1 && { sudo -n true 2>/dev/null || [ -t 0 ]; }; then
  # shellcheck disable=SC2086
  sudo sh "$0" as-root $missing
else
  say "neither root nor sudo: run this as root, then again what you wanted"
  printf '%s\n' "$line"
  exit 1
fi || {
  say "could not install$missing"
  exit 1
}

missing=$(packages missing)
if [ -n "$missing" ]; then
  say "installed, but still not found:$missing"
  exit 1
fi
