#!/bin/bash
# lint.sh - everything that can be said about the sources without running them.
#
# clang-tidy is the slow one: what it found nothing in is remembered in build/lint under a hash of
# the preprocessed text, the settings and the tool, so that only what changed is looked at again.
set -u

usage()
{
  cat <<'TEXT'
usage: scripts/lint.sh [CHECK...]
       scripts/lint.sh files c|h|sh|bats...

  CHECK    format tidy cppcheck shell includes circles (all of them)
  files    prints the project's files of a kind

  LINT_CFLAGS  the compiler's options, quoted for a shell (`make lint` sets it)
  LINT_JOBS    how many files at once (2)
  LINT_OBJECTS where the objects of this state are built (build/release; `make lint` builds them)
TEXT
}

cache=build/lint
jobs=${LINT_JOBS:-2}

# What git knows or would take; where there is no git, what is there.
files()
{
  local kind patterns=()
  for kind in "$@"; do
    patterns+=("*.$kind")
  done
  if git rev-parse --git-dir >/dev/null 2>&1; then
    git ls-files --cached --others --exclude-standard -- "${patterns[@]}"
  else
    find . -path ./build -prune -o -type f -print | sed 's|^\./||' | while read -r path; do
      for kind in "$@"; do
        case $path in *."$kind") printf '%s\n' "$path" ;; esac
      done
    done
  fi | sort -u | while read -r path; do
    # A file that was just removed is still in the index.
    [ -f "$path" ] && printf '%s\n' "$path"
  done
}

# The files that are compiled into programs, without the tests.
sources()
{
  files c | grep -E '^(engine|cli|fixtures|bench)/'
}

format()
{
  files c h | xargs clang-format-14 --dry-run -Werror
}

# One file; 0 if nothing was found, now or when this very text was looked at before.
tidy_one()
{
  local key mark
  eval "set -- '$1' $LINT_CFLAGS"
  local file=$1
  shift
  # Comments stay in, NOLINT is one.
  key=$({
    clang-14 "$@" -E -C -P "$file"
    cat .clang-tidy "$file"
    clang-tidy-14 --version
    printf '%s\n' "$@"
  } 2>&1 | sha1sum | cut -c1-40)
  mark=$cache/tidy/$key
  [ ! -e "$mark" ] || return 0
  if clang-tidy-14 --quiet "$file" -- "$@" >"$mark.$$" 2>&1; then
    mv "$mark.$$" "$mark"
  else
    grep -vE '^[0-9]+ warnings? (and [0-9]+ errors? )?(generated|treated)' "$mark.$$"
    rm -f "$mark.$$"
    return 1
  fi
}

tidy()
{
  mkdir -p "$cache/tidy"
  find "$cache/tidy" -type f -mtime +30 -delete
  sources | xargs -r -n 1 -P "$jobs" "$0" tidy-one
}

cpp()
{
  mkdir -p "$cache/cppcheck"
  # Analysis of values and lifetimes; what it cannot know of the system's headers it need not say.
  sources | cppcheck --file-list=- --quiet -j "$jobs" --std=c11 --language=c -I. \
    -D_GNU_SOURCE -D__linux__ -DUR_VERSION='"lint"' --cppcheck-build-dir="$cache/cppcheck" \
    --enable=warning,performance,portability --inline-suppr \
    --suppress=missingIncludeSystem --suppress=missingInclude \
    --suppress=unmatchedSuppression --suppress='*:/usr/include/*' \
    --suppress=preprocessorErrorDirective --suppress=normalCheckLevelMaxBranches \
    --template='{file}:{line}: {severity}: {message} [{id}]' --error-exitcode=1
}

shell()
{
  local r=0
  {
    files sh
    [ ! -f .ci/run ] || echo .ci/run
    [ ! -f bench/compare ] || echo bench/compare
  } | xargs -r shellcheck -x || r=1
  # Bats files may be sourced by each other, and what they leave for others looks unused.
  files bats bash | xargs -r shellcheck -s bats -x || r=1
  return "$r"
}

includes()
{
  scripts/check-includes.sh
}

circles()
{
  scripts/check-circles.sh "${LINT_OBJECTS:-build/release}"
}

case ${1-} in
-h | --help)
  usage
  exit 0
  ;;
files)
  shift
  files "$@"
  exit
  ;;
tidy-one)
  tidy_one "$2"
  exit
  ;;
esac

if [ -z "${LINT_CFLAGS-}" ]; then
  export LINT_CFLAGS="-std=gnu2x -D_GNU_SOURCE -I. -DUR_VERSION=version"
fi
[ $# -gt 0 ] || set -- includes circles format shell cppcheck tidy

bad=
for check in "$@"; do
  case $check in
  format) run=format ;;
  tidy) run=tidy ;;
  cppcheck) run=cpp ;;
  shell) run=shell ;;
  includes) run=includes ;;
  circles) run=circles ;;
  *)
    usage >&2
    exit 2
    ;;
  esac
  begin=$SECONDS
  if "$run"; then
    printf '  lint  %-10s clean, %d s\n' "$check" $((SECONDS - begin))
  else
    printf '  lint  %-10s findings above, %d s\n' "$check" $((SECONDS - begin))
    bad="$bad $check"
  fi
done
if [ -n "$bad" ]; then
  printf 'lint: something to mend in:%s\n' "$bad" >&2
  exit 1
fi
