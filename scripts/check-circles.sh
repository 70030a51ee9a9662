#!/bin/sh
# check-circles.sh - inside a room calls go down, never in a circle.
#
#     a.o uses f, which b.o alone defines     a ──▶ b     a ──▶ b ──▶ … ──▶ a is an error
#
# The linker's names say who calls whom, so a callback that was handed in makes no arrow back.
set -u

known=scripts/circles.txt

usage()
{
  cat <<TEXT
usage: scripts/check-circles.sh [OBJECTS [FOLDER]]

  Looks for files of engine, cli and fixtures below FOLDER (here) that call each other in a circle,
  as their objects below OBJECTS say (build/release, below FOLDER if it is no absolute path).

  $known
           rooms that are still tied, a line each: a pattern of their files, as awk reads it.  A
           line is deleted when its room is untied; one without a circle is an error too.
TEXT
}

case ${1-} in
-h | --help)
  usage
  exit 0
  ;;
esac
objects=${1:-build/release}
cd "${2:-.}" || exit 2

sources=$(for folder in engine cli fixtures; do
  [ ! -d "$folder" ] || find "$folder" -name '*.c' -type f
done | sort)
if [ -z "$sources" ]; then
  echo "no sources found"
  exit 1
fi
list=
for source in $sources; do
  object=$objects/${source%.c}.o
  if [ ! -f "$object" ]; then
    echo "$source: has no object, $object: is it in a list of sources, and is that built?"
    exit 1
  elif [ -n "$(find "$source" -newer "$object")" ]; then
    echo "$source: newer than its object, $object: build first"
    exit 1
  fi
  list="$list $object"
done

# shellcheck disable=SC2086 # a list of names without blanks
names=$(nm -A -P $list) || exit 2

# shellcheck disable=SC2016 # the program is awk's
printf '%s\n' "$names" | awk -v objects="$objects/" -v known="$known" '
BEGIN {
  while ((getline line <known) > 0) {
    if (line !~ /^[ \t]*(#|$)/)
      tied[++ties] = line
  }
}

# "build/release/engine/base/age.o: ur_age_begin T 0 1f"
{
  file = substr($1, length(objects) + 1)
  sub(/\.o:$/, ".c", file)
  if (!(file in number)) {
    number[file] = ++files
    name[files] = file
  }
  if ($3 == "U")
    uses[number[file], ++use_count[number[file]]] = $2
  else if ($3 ~ /^[A-Z]$/) {
    definers[$2]++
    definer[$2] = number[file]
  }
}

# Every file that an arrow or more lead to.
function reach(from, at,    i, to)
{
  for (i = 1; i <= degree[at]; i++) {
    to = arrow[at, i]
    if (!((from, to) in reaches)) {
      reaches[from, to] = 1
      reach(from, to)
    }
  }
}

function draw(from, symbol,    to)
{
  to = definer[symbol]
  if (definers[symbol] != 1 || to == from)
    return
  if (!((from, to) in ties_of))
    arrow[from, ++degree[from]] = to
  ties_of[from, to] = ties_of[from, to] " " symbol
}

# The line that knows of the whole circle; 0 without.
function tie_of(count,    t, i, all)
{
  for (t = 1; t <= ties; t++) {
    all = 1
    for (i = 1; i <= count; i++)
      all = all && name[circle[i]] ~ ("^(" tied[t] ")")
    if (all)
      return t
  }
  return 0
}

function tell(count,    i, k)
{
  printf "%d files call each other in a circle:\n", count
  for (i = 1; i <= count; i++)
    for (k = 1; k <= count; k++)
      if ((circle[i], circle[k]) in ties_of)
        printf "  %s -> %s:%s\n", name[circle[i]], name[circle[k]],
          ties_of[circle[i], circle[k]]
}

END {
  for (f = 1; f <= files; f++)
    for (i = 1; i <= use_count[f]; i++)
      draw(f, uses[f, i])
  for (f = 1; f <= files; f++)
    reach(f, f)
  for (f = 1; f <= files; f++) {
    if (seen[f] || !((f, f) in reaches))
      continue
    count = 0
    for (g = f; g <= files; g++)
      if ((f, g) in reaches && (g, f) in reaches) {
        circle[++count] = g
        seen[g] = 1
      }
    t = tie_of(count)
    if (t > 0)
      met[t] = 1
    else {
      tell(count)
      bad++
    }
  }
  if (bad > 0) {
    print "Calls go down: what both need lies in a file below them (setters and getters do); a"
    print "handler returns the next step, and the loop takes it; what has to go up is a callback."
  }
  for (t = 1; t <= ties; t++)
    if (!met[t]) {
      printf "%s: no circle in %s any more: delete this line\n", known, tied[t]
      bad++
    }
  exit bad > 0
}' || exit 1
