# shellcheck shell=bash
# shellcheck disable=SC2317 # main calls its verbs by name
# generations - the second place's side of a backup: run there, on this machine or by ssh, from
# standard input, behind which a verb's own input follows.
#
#     { cat generations.bash; INPUT; } | bash -s -- VERB DIR [ARGUMENT…]
#
#     DIR/.heartbeat-backup          says that the disk is mounted and meant
#     DIR/generations/ID/            whole, by one rename: database.sql.gz library/ INFO MANIFEST …
#     DIR/generations/ID.partial/    in the making; ID.removing: going.  Neither is ever used
#     DIR/latest                     a link to the newest whole one
#
# MANIFEST has a line for every file as sha256sum writes it: `sha256sum --check --quiet MANIFEST`.  A
# file that is the same one as in the generation before (a hard link) keeps its line, so that a
# night costs the reading of what is new.
set -euo pipefail
export LC_ALL=C

fail() {
  printf '%s\n' "$1" >&2
  exit "${2:-1}"
}

# NUL after each record on standard input, as lines of sha256sum: \ and newline are escaped, and a
# checksum's line that has any begins with a \.
to_lines() { sed -z 's/\\/\\\\/g; s/\n/\\n/g; /^[0-9a-f]\{64\}  .*\\/s/^/\\/' | tr '\0' '\n'; }
# The paths of MANIFEST's lines, each with NUL behind it.
to_paths() {
  sed -E 's/^\\?[0-9a-f]{64}  //' | tr '\n' '\0' | sed -z 's/\\\\/\x01/g; s/\\n/\n/g; s/\x01/\\/g'
}

whole() { # the generations, oldest first
  find generations -mindepth 1 -maxdepth 1 -type d -printf '%f\n' | grep -xE '[0-9]{8}T[0-9]{6}Z' | sort || true
}

init() {
  mkdir -p generations
  chmod 700 . generations
  printf 'A place for backups of the photo server: scripts/immich-backup.sh\n' >.heartbeat-backup
}

begin() { # ID: prints the newest whole generation
  find generations -mindepth 1 -maxdepth 1 \( -name '*.partial' -o -name '*.removing' \) -exec rm -rf {} +
  [ ! -e "generations/$1" ] || fail "there is a generation $1 already; wait a second"
  (umask 077 && mkdir -p "generations/$1.partial/library")
  whole | tail -n 1
}

# What the copy holds of the library: a path a line.
files() { # ID
  find "generations/$1.partial/library" -type f -printf '%P\0' | to_lines
}

# FROM<TAB>TO, lines of standard input, paths as `files` has them: the same file under another name,
# where the first is there and the second is not.
also() { # ID
  local from to
  cd "generations/$1.partial/library"
  while IFS=$'\t' read -r from to; do
    printf -v from %b "$from"
    printf -v to %b "$to"
    case /$to/ in */../*) fail "a path with .. in it: $to" ;; esac
    if [ -f "$from" ] && [ ! -e "$to" ]; then
      mkdir -p "$(dirname "$to")"
      ln "$from" "$to"
    fi
  done
}

inodes() { find "$1" -type f -printf '%i\t%P\0' | sort -z; }

manifest() { # ID PREVIOUS|-
  local work id=generations/$1.partial old=generations/$2
  work=$(mktemp -d "$id/.work.XXXXXX")
  inodes "$id/library" >"$work/new"
  : >"$work/old"
  if [ "$2" != - ] && [ -f "$old/MANIFEST" ]; then inodes "$old/library" >"$work/old"; fi
  # The same file of the same name: its line stays as it was.
  comm -z -12 "$work/old" "$work/new" | cut -z -f 2- | sed -z 's,^,library/,' | to_lines >"$work/kept"
  : >"$work/lines"
  if [ -s "$work/kept" ]; then
    awk -v missing="$work/unknown" 'FILENAME == ARGV[1] { kept[$0]; next }
      { path = $0; sub(/^\\?[0-9a-f]+  /, "", path) }
      path in kept { print; delete kept[path] }
      END { for (path in kept) { print path >missing } }' "$work/kept" "$old/MANIFEST" >"$work/lines"
  fi
  {
    comm -z -13 "$work/old" "$work/new" | cut -z -f 2- | sed -z 's,^,library/,'
    # What the old manifest did not know.
    [ ! -s "$work/unknown" ] || to_paths <"$work/unknown"
    find "$id" -maxdepth 1 -type f ! -name MANIFEST -printf '%f\0'
  } | (cd "$id" && xargs -0 -r sha256sum -z --) | to_lines >>"$work/lines"
  [ "$(wc -l <"$work/lines")" -eq $(($(tr -dc '\0' <"$work/new" | wc -c) + $(find "$id" -maxdepth 1 -type f ! -name MANIFEST | wc -l))) ] ||
    fail "the manifest does not name every file"
  sort -k 2 "$work/lines" >"$work/sorted"
  mv "$work/sorted" "$id/MANIFEST"
  rm -rf "$work"
}

accept() { # ID: from here on it is a backup
  [ -s "generations/$1.partial/MANIFEST" ] || fail "generation $1 has no manifest"
  chmod 700 "generations/$1.partial"
  sync -f "generations/$1.partial"
  mv -T "generations/$1.partial" "generations/$1"
  ln -sfn "generations/$1" .latest.new
  mv -T .latest.new latest
  sync -f generations
}

# The dump's checksum, read from the disk.
sum() { sha256sum <"generations/$1.partial/database.sql.gz" | cut -d ' ' -f 1; } # ID

discard() { rm -rf "generations/$1.partial"; } # ID

# Of the newest generations of so many days, weeks and months, the last one each stays, and so does
# everything of the last two days: what was saved before a mistake must outlive a backup made after it.
prune() { # DAYS WEEKS MONTHS
  local id day
  whole | sort -r | while read -r id; do
    day=${id%T*}
    printf '%s %s %s %s\n' "$id" "$day" "$(date -u -d "$day" +%G%V)" "${day%??}"
  done | awk -v days="$1" -v weeks="$2" -v months="$3" \
    -v recent="$(date -u -d '2 days ago' +%Y%m%dT%H%M%SZ)" '
    { keep = NR == 1 || $1 >= recent
      if (!($2 in day) && n++ < days) { keep = 1 }
      if (!($3 in week) && w++ < weeks) { keep = 1 }
      if (!($4 in month) && m++ < months) { keep = 1 }
      day[$2]; week[$3]; month[$4]
      if (!keep) { print $1 } }' | while read -r id; do
    mv -T "generations/$id" "generations/$id.removing"
    rm -rf "generations/$id.removing"
    printf '%s\n' "$id"
  done
}

list() { # ID and what INFO says, a line each
  local id
  whole | while read -r id; do
    printf '%s %s\n' "$id" "$(tr '\n' ' ' <"generations/$id/INFO")"
  done
}

newest() { whole | tail -n 1; }

# quick: what is beside the library; all: every byte, and that there is no other file.
check() { # ID quick|all
  local id=generations/$1
  [ -d "$id" ] || fail "there is no generation $1" 2
  cd "$id"
  [ -s MANIFEST ] || fail "generation $1 has no manifest"
  if [ "$2" = quick ]; then
    grep -vE '^\\?[0-9a-f]{64}  library/' MANIFEST | sha256sum --check --quiet --strict >&2 ||
      fail "generation $1 is damaged: see above"
    return
  fi
  sha256sum --check --quiet --strict MANIFEST >&2 || fail "generation $1 is damaged: see above"
  diff <(to_paths <MANIFEST | to_lines | sort) \
    <(find . -type f ! -path ./MANIFEST -printf '%P\0' | to_lines | sort) >&2 ||
    fail "generation $1 has other files than its manifest"
}

# What is below here and different from a manifest, or not there: paths a line.  MANIFEST's lines of
# the library come in, without its name before them.
differing() {
  local work
  work=$(mktemp -d)
  sort >"$work/want"
  to_paths <"$work/want" | xargs -0 -r sha256sum -z -- 2>/dev/null | to_lines | sort >"$work/have" || true
  comm -23 "$work/want" "$work/have" | sed -E 's/^\\?[0-9a-f]{64}  //'
  rm -rf "$work"
}

main() {
  local verb=$1 dir=$2
  shift 2
  [ "$verb" != init ] || mkdir -p "$dir" || fail "$dir cannot be made" 2
  cd "$dir" 2>/dev/null || fail "$dir is not there; is its disk mounted?  A new place is made by: scripts/immich-backup.sh --init" 2
  case $verb in
  init | differing) ;;
  *) [ -f .heartbeat-backup ] || fail "$dir is not a place for backups (no .heartbeat-backup in it); is its disk mounted?  A new place is made by: scripts/immich-backup.sh --init" 2 ;;
  esac
  case $verb in
  init | begin | files | also | manifest | sum | accept | discard | prune | list | newest | check | differing) "$verb" "$@" ;;
  *) fail "generations: no verb '$verb'" 2 ;;
  esac
}

# One line: what follows it is the verb's own input.
main "$@"; exit
