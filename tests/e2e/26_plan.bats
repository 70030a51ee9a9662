#!/usr/bin/env bats
# The tables of md/: no cell is empty, what they name is there, and a check is one that exists.

# Backquotes are the tables'.
# shellcheck disable=SC2016,SC2013

bats_require_minimum_version 1.5.0

setup() {
  cd "$BATS_TEST_DIRNAME/../.." || return
  TABLE=md/immich-plan-mapping.md
}


@test "every row has all its cells, and none is empty" {
  local file width
  for file in "$TABLE":4 md/test-matrix.md:4; do
    width=${file##*:}
    run awk -F'|' -v n=$((width + 2)) '/^\|/ { if (NF != n) { print FILENAME ":" NR ": " NF - 2 " cells" } for (i = 2; i < NF; i++) { if ($i ~ /^ *$/) print FILENAME ":" NR ": an empty cell" } }' \
      <(sed 's/\\|/ or /g' "${file%:*}")
    [ -z "$output" ] || { echo "$output" && return 1; }
  done
  [ "$(grep -c '^| ' "$TABLE")" -gt 30 ]
}

@test "what stands under where is there" {
  local path
  for path in $(sed 's/\\|/ /g' "$TABLE" | awk -F'|' '/^\| / && NF == 6 { print $4 }' | grep -oE '`[^`]+`' | tr -d '`' | sort -u); do
    [ -e "$path" ] || { echo "$path is named and not there" && return 1; }
  done
}

@test "every check is a command, or by hand with the steps" {
  local cell name file found
  while read -r cell; do
    case $cell in
    '`'*'`' | 'by hand: '*) ;;
    'checked by' | ---*) ;;
    *) echo "not a check: $cell" && return 1 ;;
    esac
  done < <(sed 's/\\|/\x01/g' "$TABLE" | awk -F'|' '/^\|/ { gsub(/^ +| +$/, "", $5); print $5 }')
  # bats -f NAME FILE: at least one test of that name is in the file, for every part of the name.
  while read -r name file; do
    while read -r found; do
      grep -q "^@test \"[^\"]*$found" "$file" || { echo "no test '$found' in $file" && return 1; }
    done < <(tr '\001' '\n' <<<"${name//_/ }")
  done < <(sed 's/\\|/\x01/g' "$TABLE" md/test-matrix.md | grep -oE "bats -f '[^']+' [^ \`]+" | sed -E "s/bats -f '([^']+)' (.*)/\1\t\2/" |
    awk -F'\t' '{ gsub(/ /, "_", $1); print $1, $2 }')
  for file in $(grep -ohE 'tests/e2e/[a-z0-9_]+\.bats' "$TABLE" md/test-matrix.md | sort -u); do
    [ -f "$file" ] || { echo "$file is named and not there" && return 1; }
  done
}

@test "links between the documents lead somewhere" {
  local file target
  for file in README.md md/*.md docker/immich/*.md frontend/*.md systemd/*.md; do
    for target in $(grep -oE '\]\([^)#]+' "$file" | cut -c3- | grep -vE '^(https?|mailto):'); do
      [ -e "$(dirname "$file")/$target" ] || { echo "$file: $target is not there" && return 1; }
    done
  done
}
