#!/usr/bin/env bash
# Memory depends on the settings, never on the number or the size of files: the peak of an import of
# FEW files, of MANY files, and of one large video, printed and compared.
#
#   tests/soak/memory.sh                         300,000 files and 20 GB
#   FEW=10000 MANY=50000 VIDEO=2G tests/soak/memory.sh
set -euo pipefail

here=$(cd "$(dirname "$0")/../.." && pwd)
bin="$here/build/${BUILD:-release}"
few="${FEW:-50000}"
many="${MANY:-300000}"
video="${VIDEO:-20G}"
limit_kib=$((128 * 1024))
apart_kib=$((8 * 1024))
dir=$(mktemp -d "${TMPDIR:-/tmp}/uringest-memory.XXXXXX")
export IMMICH_API_KEY=memory
server=
finish() {
  [[ -z "$server" ]] || kill "$server" 2>/dev/null || true
  wait 2>/dev/null || true
  rm -rf "$dir"
}
trap finish EXIT

passed=0
failed=0
check() { # WHAT CONDITION…
  local what=$1
  shift
  if "$@"; then
    passed=$((passed + 1))
    echo "ok - $what"
  else
    failed=$((failed + 1))
    echo "not ok - $what"
  fi
}

# The peak of one import of what mklib makes from the arguments, in KiB, into $peak.
import() {
  rm -rf "${dir:?}/lib" "$dir/data" "$dir/ledger.db"* "$dir/immichd.log"
  "$bin/mklib" "$dir/lib" --seed 5 --size 2000 "$@" >/dev/null
  "$bin/immichd" --listen 127.0.0.1:0 --data "$dir/data" --key "$IMMICH_API_KEY" --quiet \
    >"$dir/immichd.log" 2>&1 &
  server=$!
  until grep -qs 'listening on' "$dir/immichd.log"; do
    kill -0 "$server"
    sleep 0.05
  done
  local url
  url=$(sed -n 's/.*listening on //p' "$dir/immichd.log" | head -1)
  /usr/bin/time -f 'peak %M' "$bin/uringest" import --quiet --json --server "$url" \
    --ledger "$dir/ledger.db" "$dir/lib" 2>"$dir/time" | tail -1 >"$dir/summary" ||
    { cat "$dir/time" "$dir/summary" "$dir/immichd.log" && return 1; }
  peak=$(sed -n 's/^peak //p' "$dir/time")
  kill "$server"
  wait "$server" 2>/dev/null || true
  server=
  jq -r '"  found \(.found), sent \(.sent), failed \(.failed), \(.bytes_sent) bytes, \(.seconds) s"' \
    "$dir/summary"
}

echo "$few files:"
import --count "$few"
few_peak=$peak
echo "  peak $few_peak KiB"
check "$few files stay below 128 MiB" test "$few_peak" -lt "$limit_kib"
check "none of the $few files failed" test "$(jq .failed "$dir/summary")" -eq 0

echo "$many files:"
import --count "$many"
many_peak=$peak
echo "  peak $many_peak KiB"
check "$many files stay below 128 MiB" test "$many_peak" -lt "$limit_kib"
check "$many files cost no more than $few, give or take 8 MiB" \
  test $((many_peak - few_peak)) -lt "$apart_kib"
check "none of the $many files failed" test "$(jq .failed "$dir/summary")" -eq 0

echo "a video of $video:"
import --count 1 --big "video.mp4:$video:sparse"
echo "  peak $peak KiB"
check "a video of $video stays below 64 MiB" test "$peak" -lt $((64 * 1024))
check "the video was sent" test "$(jq .sent "$dir/summary")" -eq 2

echo "$passed passed, $failed failed"
((failed == 0))
