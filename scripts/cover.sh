#!/bin/bash
# cover.sh - how much of every source file the tests reach.
set -u

usage()
{
  cat <<'TEXT'
usage: scripts/cover.sh [TARGET...]

  Builds with BUILD=cover, runs the make targets (unit replay golden-count e2e), and prints for
  each file of engine, cli and fixtures how many of its lines were run.  The details are in
  build/cover/gcov.

  MAKE     the make to run (make)
TEXT
}

case ${1-} in
-h | --help)
  usage
  exit 0
  ;;
esac
[ $# -gt 0 ] || set -- unit replay golden-count e2e

find build/cover -name '*.gcda' -delete 2>/dev/null
status=0
scripts/suite.sh "${@/#/cover/}" || status=$?

rm -rf build/cover/gcov
mkdir -p build/cover/gcov
top=$PWD
mapfile -t notes < <(cd build/cover && find engine cli fixtures -name '*.gcda' 2>/dev/null | sort)
if [ ${#notes[@]} -eq 0 ]; then
  echo "cover.sh: no test left a trace" >&2
  exit 1
fi
# gcov reads sources by the names the compiler had, and writes where it stands.
for note in "${notes[@]}"; do
  gcov -p "build/cover/$note" 2>/dev/null
  find . -maxdepth 1 -name '*.gcov' -exec mv -t "$top/build/cover/gcov" {} +
done | awk -F"'" '
  /^File / { file = $2 }
  /^Lines executed:/ && file ~ /^(engine|cli|fixtures)\/.*\.c$/ {
    split($0, part, /[:% ]+/)
    share = part[3]
    lines = part[5]
    printf "  %6.2f %%  of %5d  %s\n", share, lines, file
    run += share * lines / 100
    all += lines
    file = ""
  }
  END { printf "  %6.2f %%  of %5d  in all\n", (all ? 100 * run / all : 0), all }'
exit "$status"
