#!/bin/sh
# install.sh - puts the program and what belongs to it where the system looks for them.
#
# The units name the program by its place, which is filled in here.  Nothing is enabled, no user is
# made and no file of /etc is touched: systemd/README.md says what comes next.
set -eu

usage()
{
  cat <<'TEXT'
usage: [DESTDIR=DIR] [PREFIX=/usr/local] scripts/install.sh PROGRAM

  PROGRAM  the uringest that was built
  INSTALL  the install command (install)
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

prefix=${PREFIX:-/usr/local}
to=${DESTDIR-}$prefix
install=${INSTALL:-install}

put()
{
  "$install" -d "${3%/*}"
  "$install" -m "$1" "$2" "$3"
  printf '  %s\n' "$3"
}

put 755 "$1" "$to/bin/uringest"

unit=$(mktemp)
trap 'rm -f "$unit"' EXIT
for name in uringest-drain.service uringest-drain.timer uringest-gateway.service \
  uringest-gateway.socket; do
  sed "s|/usr/local/bin/uringest|$prefix/bin/uringest|g" "systemd/$name" >"$unit"
  put 644 "$unit" "$to/lib/systemd/system/$name"
done
put 644 systemd/uringest.sysusers "$to/lib/sysusers.d/uringest.conf"
put 644 systemd/uringest.tmpfiles "$to/lib/tmpfiles.d/uringest.conf"

put 644 systemd/gateway.example.yaml "$to/share/doc/uringest/gateway.example.yaml"
put 644 systemd/drain.example.yaml "$to/share/doc/uringest/drain.example.yaml"
put 644 systemd/drain-lease.conf "$to/share/doc/uringest/drain-lease.conf"
sed "s|/usr/local/bin/uringest|$prefix/bin/uringest|g" systemd/uringest-drain.cron >"$unit"
put 644 "$unit" "$to/share/doc/uringest/uringest-drain.cron"
put 644 systemd/README.md "$to/share/doc/uringest/systemd.md"

for page in md/*.1 man/*.1; do
  [ -f "$page" ] || continue
  put 644 "$page" "$to/share/man/man1/${page##*/}"
done
