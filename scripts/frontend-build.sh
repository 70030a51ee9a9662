#!/bin/bash
# frontend-build.sh - makes the Photo Vault snippet and page of frontend/ from frontend/source/.
#
#     source/snippet.html ─ QR codes by qrencode ─▶ photo-vault.html ─ source/page.html ─▶ index.html
#
# What it makes is kept in git, so that nobody needs qrencode who changes neither host nor text.
# shellcheck source-path=SCRIPTDIR
set -euo pipefail
# shellcheck source=lib/common.bash
. "$(dirname "$0")/lib/common.bash"

usage() {
  cat <<'TEXT'
usage: scripts/frontend-build.sh [OPTION...]

  Makes frontend/photo-vault.html (to be copied into a page) and frontend/index.html (a page of its
  own).  The hosts stand in frontend/source/snippet.html.

  --output DIR  where to (frontend)
  --dry-run     say what would be made
TEXT
}

output=$TOP/frontend
while [ $# -gt 0 ]; do
  case $1 in
  --output) option_value "$@" && output=$2 && shift ;;
  --dry-run) DRY_RUN=yes ;;
  -h | --help) usage && exit 0 ;;
  *) usage >&2 && exit 2 ;;
  esac
  shift
done
need qrencode qrencode
need flock util-linux
if [ -n "$DRY_RUN" ]; then
  say "would make $output/photo-vault.html and $output/index.html"
  exit 0
fi
mkdir -p "$output"
take_lock frontend "$output"

# code SITE ADDRESS: what qrencode draws, as one path, with the quiet zone that readers want.
code() {
  qrencode -t ASCII -l M -m 4 "$2" | awk -v site="$1" -v address="$2" '
    # Two characters a module; runs of dark ones become lines.
    {
      line = $0
      for (x = 1; x <= length(line); x += 2) {
        if (substr(line, x, 1) == "#") {
          for (n = 0; substr(line, x + 2 * n, 1) == "#"; n++) { }
          path = path "M" (x - 1) / 2 " " NR - 1 "h" n "v1h-" n "z"
          x += 2 * (n - 1)
        }
      }
      width = length(line) / 2
    }
    END {
      printf "    <svg data-site=\"%s\"%s viewBox=\"0 0 %d %d\" shape-rendering=\"crispEdges\" role=\"img\" aria-label=\"QR code of %s\">", site, (site == "production" ? "" : " hidden"), width, NR, address
      printf "<path fill=\"#fff\" d=\"M0 0h%dv%dH0z\"/><path d=\"%s\"/></svg>\n", width, NR, path
    }'
}

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
while IFS= read -r line; do
  case $line in
  '<!--QR '*)
    read -r _ site address _ <<<"${line//-->/ }"
    code "$site" "$address"
    ;;
  *) printf '%s\n' "$line" ;;
  esac
done <"$TOP/frontend/source/snippet.html" >"$work/photo-vault.html"


link=$(sed -n '/^<!-- 1\./,/^$/p' "$work/photo-vault.html" | sed 1d)
while IFS= read -r line; do
  case $line in
  '<!--LINK-->') printf '%s\n' "$link" | sed '/^$/d' ;;
  '<!--CARD-->') sed -n '/^<!-- 2\./,$p' "$work/photo-vault.html" | sed 1d ;;
  *) printf '%s\n' "$line" ;;
  esac
done <"$TOP/frontend/source/page.html" >"$work/index.html"
chmod 644 "$work"/*.html
mv "$work/photo-vault.html" "$work/index.html" "$output/"
say "made $output/photo-vault.html and $output/index.html"
