#!/bin/bash
# suite.sh - make targets one after the other, each with its name and its time, and one total.
#
#     make TARGET ──appends──▶ $UR_COUNTS ──sum──▶ "N passed, N failed"
#
# A target that fails does not stop those behind it.  One that counts nothing is one test itself,
# and one that fails without a failed test (it did not compile, say) is one more failure.  Suites
# nest: the total goes to the UR_COUNTS that this one was started with.
set -u

usage()
{
  cat <<'TEXT'
usage: scripts/suite.sh [--plain] TARGET...

  TARGET   a make target, or BUILD/TARGET for one with BUILD=debug|asan|tsan|cover
  --plain  the last line is "N passed, N failed" and nothing more; skipped tests stand before it

  MAKE     the make to run (make)
  UR_JOBS  how many compilers at once (the number of processors)
TEXT
}

plain=
case ${1-} in
-h | --help)
  usage
  exit 0
  ;;
--plain)
  plain=yes
  shift
  ;;
esac
if [ $# -eq 0 ]; then
  usage >&2
  exit 2
fi

# Prints "passed failed skipped" of the counts from line $1 on.
sum()
{
  tail -n "+$1" "$counts" |
    awk '{ p += $1; f += $2; s += $3 } END { print p + 0, f + 0, s + 0 }'
}

run()
{
  local build=${1%/*} target=${1##*/} wrap=()
  local -x ASAN_OPTIONS=${ASAN_OPTIONS:-detect_leaks=1:strict_string_checks=1}
  local -x UBSAN_OPTIONS=${UBSAN_OPTIONS:-print_stacktrace=1:halt_on_error=1}
  local -x TSAN_OPTIONS=${TSAN_OPTIONS:-exitcode=66:suppressions=$PWD/tests/tsan.supp}
  [ "$build" != "$1" ] || build=${BUILD:-release}
  # TSan of gcc 12 cannot map its shadow where new kernels put a randomised stack.
  if [ "$build" = tsan ] && setarch -R true 2>/dev/null; then
    wrap=(setarch -R)
  fi
  "${wrap[@]}" "${MAKE:-make}" --no-print-directory "${jobs[@]}" \
    BUILD="$build" "$target" </dev/null
}

outer=${UR_COUNTS-}
counts=$(mktemp) || exit 2
trap 'rm -f "$counts"' EXIT
export UR_COUNTS=$counts

# Under make -j, its jobs are ours too.
jobs=("-j${UR_JOBS:-$(nproc)}")
case " ${MAKEFLAGS-} " in
*" -j"* | *--jobserver*) jobs=() ;;
esac

for step in "$@"; do
  printf '== %s\n' "$step"
  begin=$SECONDS
  lines=$(($(wc -l <"$counts") + 1))
  status=0
  run "$step" || status=$?
  read -r p f s < <(sum "$lines")
  if [ "$status" -ne 0 ] && [ "$f" -eq 0 ]; then
    f=1
    echo "0 1 0" >>"$counts"
  elif [ "$status" -eq 0 ] && [ "$(wc -l <"$counts")" -lt "$lines" ]; then
    p=1
    echo "1 0 0" >>"$counts"
  fi
  printf '== %s: %s passed, %s failed, %s skipped, %d s\n' \
    "$step" "$p" "$f" "$s" $((SECONDS - begin))
done

read -r p f s < <(sum 1)
[ -z "$outer" ] || printf '%s %s %s\n' "$p" "$f" "$s" >>"$outer"
if [ -n "$plain" ]; then
  [ "$s" -eq 0 ] || printf '%s skipped\n' "$s"
  printf '%s passed, %s failed\n' "$p" "$f"
else
  printf '%s passed, %s failed' "$p" "$f"
  [ "$s" -eq 0 ] || printf ', %s skipped' "$s"
  printf '\n'
fi
[ "$f" -eq 0 ]
