#!/bin/sh
# runtime-packages.sh - the Debian packages that a program's libraries come from.
#
#     program ──ldd──▶ libraries ──dpkg -S──▶ packages, one a line, sorted
#
# libc is left out, it is everywhere.  Besides the libraries there is what a library reads by name:
# libmagic's signatures come as a dependency of its package.
set -eu

usage()
{
  cat <<'TEXT'
usage: scripts/runtime-packages.sh PROGRAM

  Prints the packages that PROGRAM needs to run (the direct ones; apt adds what those need).
TEXT
}

case ${1-} in
-h | --help)
  usage
  exit 0
  ;;
'')
  usage >&2
  exit 2
  ;;
esac

# What the program itself asks for; ldd says where each of them is.
needed=$(objdump -p "$1" | awk '$1 == "NEEDED" { print $2 }')
places=$(ldd "$1")
for library in $needed; do
  path=$(printf '%s\n' "$places" | awk -v name="$library" '$1 == name { print $3 }')
  if [ -z "$path" ]; then
    # The loader itself has no path behind an arrow.
    case $library in ld-linux*) continue ;; esac
    printf 'runtime-packages.sh: %s is not found here\n' "$library" >&2
    exit 1
  fi
  # dpkg knows files by the place they were installed to, which may be through /lib -> usr/lib.
  real=$(realpath "$path")
  owner=$(dpkg -S "$real" 2>/dev/null || dpkg -S "/lib/${real#/usr/lib/}" 2>/dev/null ||
    dpkg -S "${real#/usr}" 2>/dev/null) || {
    printf 'runtime-packages.sh: no package owns %s\n' "$real" >&2
    exit 1
  }
  printf '%s\n' "${owner%%:*}"
done | sort -u | grep -vx 'libc6'
