#!/usr/bin/env bats
# The house itself: its targets, the direction of its dependencies, and what must not be in it.

setup() {
  TOP=$(cd "$BATS_TEST_DIRNAME/../.." && pwd)
  DIR=$(mktemp -d)
  # Sources and rules of a house that is in order.
  mkdir -p "$DIR"/engine/{base,sys,net,media,stage} "$DIR"/cli "$DIR"/fixtures/immichd
  echo '#include "engine/base/text.h"' >"$DIR/engine/base/text.c"
  echo '#include "engine/base/text.h"' >"$DIR/engine/sys/sys.h"
  echo '#include "engine/media/kind.h"' >"$DIR/engine/net/immich.h"
  echo '#include "engine/stage/scan.h"' >"$DIR/engine/stage/scan.c"
  mkdir -p "$DIR/engine/import/coordinator"
  echo '#include "engine/import/coordinator/internal.h"' >"$DIR/engine/import/coordinator/judge.c"
  echo '#include "engine/stage/scan.h"' >"$DIR/engine/pipeline.c"
  echo '#include "engine/pipeline.h"' >"$DIR/cli/main.c"
  echo '#include "engine/sys/sys.h"' >"$DIR/fixtures/immichd/main.c"
}

teardown() {
  rm -rf "$DIR"
}

# Puts an include where it does not belong, and expects to hear of it.
refused() {
  cp -r "$DIR" "$DIR.wrong"
  echo "#include \"$2\"" >>"$DIR.wrong/$1"
  run "$TOP/scripts/check-includes.sh" "$DIR.wrong"
  rm -rf "$DIR.wrong"
  echo "$output"
  [ "$status" -eq 1 ]
  [[ "$output" == *"$1:"*"includes $2"* ]]
}

# A file of the tree and its object: it defines and uses what is named.
compiled() {
  local file=$1 defined=$2 use
  {
    shift 2
    for use in "$@"; do
      echo "void $use(void);"
    done
    echo "void $defined(void);"
    echo "void $defined(void) {"
    for use in "$@"; do
      echo "  $use();"
    done
    echo "}"
  } >"$DIR/$file.c"
  mkdir -p "$DIR/build/${file%/*}"
  cc -c -o "$DIR/build/$file.o" "$DIR/$file.c"
}

circles() {
  run "$TOP/scripts/check-circles.sh" build "$DIR"
  echo "$output"
}

# A tree of objects without a circle; `top` may call `leaf` by two ways.
without_circle() {
  find "$DIR" -name '*.c' -delete
  mkdir -p "$DIR/scripts"
  compiled engine/base/leaf ur_leaf malloc
  compiled engine/stage/way ur_way ur_leaf
  compiled engine/stage/top ur_top ur_way ur_leaf
  compiled cli/main main ur_top
}

@test "make help lists the targets" {
  run make --no-print-directory -C "$TOP" help
  [ "$status" -eq 0 ]
  local target
  for target in all deps test test-all e2e unit fuzz lint format soak cover install demo clean help; do
    grep -qE "^  make $target +[a-z]" <<<"$output" || {
      echo "not in the list: $target"
      return 1
    }
  done
}

@test "every script says how it is used" {
  local script
  for script in "$TOP"/scripts/*.sh; do
    run "$script" --help
    [ "$status" -eq 0 ] || { echo "$script ended with $status"; return 1; }
    [[ "$output" == *usage:* ]] || { echo "$script does not say usage:"; return 1; }
  done
}

@test "the sources depend one way" {
  run "$TOP/scripts/check-includes.sh" "$TOP"
  echo "$output"
  [ "$status" -eq 0 ]
}

@test "an include in the wrong direction is found" {
  run "$TOP/scripts/check-includes.sh" "$DIR"
  echo "$output"
  [ "$status" -eq 0 ]

  refused engine/base/text.c engine/sys/sys.h
  refused engine/sys/sys.h engine/media/kind.h
  refused engine/net/immich.h engine/source/folder.h
  refused engine/stage/scan.c engine/stage/probe.h
  refused engine/stage/scan.c engine/import/coordinator/coordinator.h
  refused engine/pipeline.c engine/import/coordinator/internal.h
  refused engine/import/coordinator/judge.c engine/stage/upload.h
  refused engine/import/coordinator/judge.c engine/pipeline.h
  refused engine/pipeline.c cli/options.h
  refused fixtures/immichd/main.c engine/net/immich.h
  refused fixtures/immichd/main.c fixtures/mklib/tree.h
  refused cli/main.c fixtures/immichd/api.h
  refused cli/main.c options.h
  refused cli/main.c cli/options.c
}

@test "no room of the sources is tied but those that are known" {
  run "$TOP/scripts/check-circles.sh" "build/${BUILD:-release}" "$TOP"
  echo "$output"
  [ "$status" -eq 0 ]
}

@test "a circle of calls is found, with the names that tie it" {
  without_circle
  circles
  [ "$status" -eq 0 ] && [ -z "$output" ]

  compiled engine/base/leaf ur_leaf ur_top
  circles
  [ "$status" -eq 1 ]
  [ "${lines[0]}" = "3 files call each other in a circle:" ]
  [ "${lines[1]}" = "  engine/base/leaf.c -> engine/stage/top.c: ur_top" ]
  [ "${lines[2]}" = "  engine/stage/top.c -> engine/base/leaf.c: ur_leaf" ]
  [ "${lines[3]}" = "  engine/stage/top.c -> engine/stage/way.c: ur_way" ]
  [ "${lines[4]}" = "  engine/stage/way.c -> engine/base/leaf.c: ur_leaf" ]
  [[ "${lines[5]}" == "Calls go down:"* ]]
}

@test "what two files define ties nobody" {
  without_circle
  compiled engine/base/leaf ur_leaf ur_same
  compiled engine/stage/top ur_top ur_leaf
  compiled engine/stage/way ur_same ur_top
  circles
  [ "$status" -eq 1 ]
  compiled engine/stage/other ur_same
  circles
  [ "$status" -eq 0 ]
}

@test "a room that is known to be tied is let pass, until it is untied" {
  without_circle
  compiled engine/stage/way ur_way ur_top
  printf '# known\nengine/stage/(top|way)\n' >"$DIR/scripts/circles.txt"
  circles
  [ "$status" -eq 0 ]

  echo 'engine/stage/top' >"$DIR/scripts/circles.txt"
  circles
  [ "$status" -eq 1 ]
  [[ "$output" == *"engine/stage/way.c -> engine/stage/top.c: ur_top"* ]]

  compiled engine/stage/way ur_way
  circles
  [ "$status" -eq 1 ]
  [ "$output" = "scripts/circles.txt: no circle in engine/stage/top any more: delete this line" ]
}

@test "a source without its object, or with an old one, is no clean bill" {
  without_circle
  rm "$DIR/build/engine/stage/way.o"
  circles
  [ "$status" -eq 1 ]
  [[ "$output" == *"engine/stage/way.c: has no object"* ]]

  compiled engine/stage/way ur_way
  touch -d tomorrow "$DIR/engine/stage/way.c"
  circles
  [ "$status" -eq 1 ]
  [[ "$output" == *"engine/stage/way.c: newer than its object"* ]]
}

@test "a file without a layer is found" {
  mkdir "$DIR/engine/attic"
  touch "$DIR/engine/attic/old.c"
  echo 'int x;' >"$DIR/engine/attic/old.c"
  run "$TOP/scripts/check-includes.sh" "$DIR"
  [ "$status" -eq 1 ]
  [[ "$output" == *"engine/attic/old.c: has no layer"* ]]
}

@test "failed, missing and crashed unit tests are counted as failures" {
  printf '#!/bin/sh\nprintf "1..2\\nok 1 - a\\nok 2 - b\\n"\n' >"$DIR/well"
  printf '#!/bin/sh\nprintf "1..3\\nok 1 - a\\nnot ok 2 - b\\nnot ok 3 # SKIP c\\n"; exit 1\n' >"$DIR/bad"
  printf '#!/bin/sh\nprintf "1..3\\nok 1 - a\\n"; kill -SEGV $$\n' >"$DIR/crash"
  printf '#!/bin/sh\nprintf "1..1\\nok 1 - a\\n"; exit 23\n' >"$DIR/leak"
  chmod +x "$DIR"/{well,bad,crash,leak}
  UR_COUNTS=$DIR/counts run "$TOP/scripts/run-unit.sh" "$DIR"/{well,bad,crash,leak,missing}
  echo "$output"
  [ "$status" -eq 1 ]
  [ "$(cat "$DIR/counts")" = "5 5 1" ]
}

@test "the total is the sum of all runners, and what counts nothing counts as one" {
  # shellcheck disable=SC2016 # for make and its shell
  printf '%s\n' 'a: ; @echo 3 1 1 >>$$UR_COUNTS; false' 'b: ; @true' 'c: ; @false' 'd: ; @echo 2 0 0 >>$$UR_COUNTS' \
    >"$DIR/Makefile"
  cd "$DIR" || return
  UR_COUNTS='' MAKEFLAGS='' run "$TOP/scripts/suite.sh" a b c d
  echo "$output"
  [ "$status" -eq 1 ]
  [ "${lines[-1]}" = "6 passed, 2 failed, 1 skipped" ]
  UR_COUNTS=$DIR/outer MAKEFLAGS='' run "$TOP/scripts/suite.sh" --plain b d
  [ "$status" -eq 0 ]
  [ "${lines[-1]}" = "3 passed, 0 failed" ]
  [ "$(cat "$DIR/outer")" = "3 0 0" ]
}

@test "nothing in the project names a private place" {
  command -v git >/dev/null || skip "git is not here to look through the files"
  git -C "$TOP" rev-parse --git-dir >/dev/null 2>&1 || skip "this is not a clone"
  # Folders of whoever wrote it; the patterns do not match themselves.
  run git -C "$TOP" grep -nIE '(^|[^a-z0-9.])/(Users/[a-zA-Z]|root/[.a-z]|work/[a-z]|tmp/bash_)' -- \
    . ':!tests/golden/*.json'
  echo "$output"
  [ "$status" -eq 1 ]
}

@test "install puts everything below DESTDIR, with the places filled in" {
  [ -x "$TOP/build/${BUILD:-release}/uringest" ] || skip "uringest is not built"
  cd "$TOP" || return
  DESTDIR=$DIR/target PREFIX=/opt/uringest scripts/install.sh "build/${BUILD:-release}/uringest"
  [ -x "$DIR/target/opt/uringest/bin/uringest" ]
  grep -q '^ExecStart=/opt/uringest/bin/uringest drain' \
    "$DIR/target/opt/uringest/lib/systemd/system/uringest-drain.service"
  [ -f "$DIR/target/opt/uringest/lib/systemd/system/uringest-drain.timer" ]
  [ -f "$DIR/target/opt/uringest/share/doc/uringest/drain.example.yaml" ]
}
