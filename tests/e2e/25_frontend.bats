#!/usr/bin/env bats
# The Photo Vault entry: made from its source, complete in itself, readable, and leading to the right
# host.

bats_require_minimum_version 1.5.0

load stack

setup() {
  T=$(mktemp -d)
  cd "$TOP/frontend" || return
}
teardown() { rm -rf "$T"; }

@test "what is in git is what the source makes" {
  command -v qrencode >/dev/null || skip "qrencode is not here to draw the codes"
  run -0 "$TOP/scripts/frontend-build.sh" --output "$T/made"
  diff -r "$T/made" . -x source -x README.md -x ".*.lock"
}

@test "the snippet needs nothing from anywhere, and the page holds it whole" {
  local file
  for file in photo-vault.html index.html; do
    # Links lead elsewhere; nothing is loaded from there.
    run grep -nE '(src|srcset|poster|action)=|<link[^>]+href="http|url\(|@import|fetch\(|<iframe' $file
    [ "$status" -eq 1 ] || { echo "$output" && return 1; }
  done
  sed -n '/^<section/,/^<\/script>/p' photo-vault.html >"$T/card"
  sed -n '/^<section/,/^<\/script>/p' index.html | diff "$T/card" -
  [ -s "$T/card" ]
}

@test "it has the link, the card, the stores and a code for each host" {
  local text
  text=$(cat photo-vault.html)
  has "$text" 'class="photo-vault-link" data-photo-vault="link" href="https://photos.heartbeatacic.org"'
  has "$text" 'data-dev="https://photos.dev.heartbeat.local"'
  has "$text" 'https://play.google.com/store/apps/details?id=app.alextran.immich'
  has "$text" 'https://apps.apple.com/us/app/immich/id1613945652'
  has "$text" 'https://f-droid.org/packages/app.alextran.immich'
  has "$text" 'role="img" aria-label="QR code of https://photos.heartbeatacic.org"'
  has "$text" 'hidden viewBox="0 0 37 37" shape-rendering="crispEdges" role="img" aria-label="QR code of https://photos.dev.heartbeat.local"'
  has "$text" 'aria-labelledby="photo-vault-title"'
  has "$(cat index.html)" '<html lang="en">'
  has "$(cat index.html)" '<nav aria-label="Main">'
}

@test "the codes say the addresses" {
  command -v zbarimg >/dev/null || skip "zbarimg is not here to read the codes (Debian: zbar-tools)"
  local site
  for site in production dev; do
    # The path back into pixels: rows of runs, four pixels a module.
    sed -nE "s/.*data-site=\"$site\".* d=\"(M[^\"]*)\"\/><\/svg>/\1/p" photo-vault.html | sed 's/M/\n/g' |
      awk -F'[ hvz-]' 'NF > 2 { for (i = 0; i < $3; i++) dark[$1 + i, $2] = 1 }
        END { print "P1\n148 148"; for (y = 0; y < 148; y++) { for (x = 0; x < 148; x++) printf "%d ", dark[int(x / 4), int(y / 4)]; print "" } }' >"$T/$site.pbm"
    run zbarimg -q --raw "$T/$site.pbm"
    case $site in
    production) has "$output" https://photos.heartbeatacic.org ;;
    dev) has "$output" https://photos.dev.heartbeat.local ;;
    esac
  done
}

@test "text is readable on its ground, light and dark: 4.5 to 1 at least" {
  run awk '
    function digit(d) { return index("0123456789abcdef", d) - 1 }
    function channel(hex) { hex = (16 * digit(substr(hex, 1, 1)) + digit(substr(hex, 2, 1))) / 255; return hex <= 0.03928 ? hex / 12.92 : ((hex + 0.055) / 1.055) ^ 2.4 }
    function light(c) { return 0.2126 * channel(substr(c, 2, 2)) + 0.7152 * channel(substr(c, 4, 2)) + 0.0722 * channel(substr(c, 6, 2)) }
    function ratio(a, b, t) { a = light(a); b = light(b); if (a < b) { t = a; a = b; b = t } return (a + 0.05) / (b + 0.05) }
    function check(a, b) { r = ratio(c[a], c[b]); n++; if (r < 4.5) { printf "%s on %s: %.2f\n", a, b, r } }
    /--pv-ground:/ { for (k in c) delete c[k] }
    { line = $0; while (match(line, /--pv-[a-z-]+: #[0-9a-f]+/)) { split(substr(line, RSTART + 5, RLENGTH - 5), p, ": "); c[p[1]] = p[2]; line = substr(line, RSTART + RLENGTH) } }
    /--pv-on-accent:/ { check("ink", "ground"); check("soft", "ground"); check("accent", "ground"); check("on-accent", "accent") }
    END { print n " pairs" }' photo-vault.html
  [ "$output" = "8 pairs" ] || { echo "$output" && return 1; }
}

@test "a browser shows the host that the setting names" {
  local chromium page
  chromium=$(command -v chromium) || skip "chromium is not here to look at the page"
  show() { timeout 60 "$chromium" --headless=new --no-sandbox --disable-gpu --user-data-dir="$T/profile" --dump-dom "$1" 2>/dev/null; }
  shown() { sed -nE 's|.*<code data-photo-vault="address">([^<]*)</code>.*|\1|p'; }
  equals "$(show "file://$PWD/index.html" | shown)" https://photos.heartbeatacic.org
  sed 's/data-site="auto"/data-site="dev"/' index.html >"$T/index.html"
  page=$(show "file://$T/index.html")
  equals "$(shown <<<"$page")" https://photos.dev.heartbeat.local
  equals "$(grep -c 'data-photo-vault="link" href="https://photos.dev.heartbeat.local"' <<<"$page")" 2
  has "$page" '<svg data-site="production" viewBox="0 0 37 37" shape-rendering="crispEdges" role="img" aria-label="QR code of https://photos.heartbeatacic.org" hidden="">'
}
