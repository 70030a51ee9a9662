#!/bin/sh
# check-includes.sh - dependencies point one way.
#
#     base ◀ sys ◀ net, media ◀ immich, source ◀ ledger ◀ stage ◀ pipeline ◀ cli
#
# Every file has a layer, every layer a list of those that it may include; the table below is the
# whole rule.  A file without a layer is an error, so that new folders get their place here.
set -u

usage()
{
  cat <<'TEXT'
usage: scripts/check-includes.sh [FOLDER]

  Checks the #include "…" lines of engine, cli and fixtures below FOLDER (here).
TEXT
}

case ${1-} in
-h | --help)
  usage
  exit 0
  ;;
esac
cd "${1:-.}" || exit 2

# shellcheck disable=SC2016 # the program is awk's
for folder in engine cli fixtures; do
  [ ! -d "$folder" ] || find "$folder" -name '*.[ch]' -type f
done | sort | xargs awk '
BEGIN {
  allow("base", "base")
  allow("sys", "base sys")
  allow("media", "base media")
  allow("net", "base sys net media")
  allow("immich", "base sys net media immich")
  allow("source", "base sys media source")
  allow("ledger", "base sys media source ledger")
  allow("settings", "base sys settings")
  below = "base sys media net immich source ledger settings run"
  allow("run", below)
  allow("stage", below)
  allow("coordinator", below " coordinator")
  allow("scan", below " scan")
  allow("probe", below " probe")
  allow("chunks", below " chunks")
  allow("settle", below " settle")
  allow("gateway", "base sys net media immich settings gateway")
  allow("pipeline", below " stage coordinator scan probe chunks settle gateway pipeline")
  allow("cli", below " stage coordinator scan probe chunks settle gateway pipeline cli")
  allow("immichd", "base sys immichd")
  allow("mklib", "base sys mklib")
  allow("cutter", "base sys cutter")
}

function allow(layer, names,    list, n, i)
{
  n = split(names, list, " ")
  for (i = 1; i <= n; i++)
    may[layer, list[i]] = 1
}

function layer_of(path)
{
  if (path ~ /^engine\/(base|sys|media|net|immich|source|ledger|gateway)\//) {
    split(path, part, "/")
    return part[2]
  }
  if (path ~ /^engine\/settings\.[ch]$/)
    return "settings"
  if (path ~ /^engine\/(item|run|trouble)\.[ch]$/)
    return "run"
  if (path ~ /^engine\/pipeline[a-z_]*\.[ch]$/)
    return "pipeline"
  if (path ~ /^engine\/stage\/scan[a-z_]*\.[ch]$/)
    return "scan"
  if (path ~ /^engine\/stage\/probe[a-z_]*\.[ch]$/)
    return "probe"
  if (path ~ /^engine\/stage\/chunks[a-z_]*\.[ch]$/)
    return "chunks"
  if (path ~ /^engine\/stage\/settle[a-z_]*\.[ch]$/)
    return "settle"
  if (path ~ /^engine\/import\/coordinator\//)
    return "coordinator"
  if (path ~ /^engine\/stage\//)
    return "stage"
  if (path ~ /^cli\//)
    return "cli"
  if (path ~ /^fixtures\/(immichd|mklib|cutter)\//) {
    split(path, part, "/")
    return part[2]
  }
  return ""
}

function stem(path)
{
  sub(/\.[ch]$/, "", path)
  return path
}

# What the files of a folder share belongs to nobody else.
function is_foreign(from, to)
{
  if (to !~ /\/internal\.h$/)
    return 0
  sub(/[^\/]*$/, "", from)
  sub(/[^\/]*$/, "", to)
  return from != to
}

function wrong(why)
{
  printf "%s:%d: includes %s: %s\n", FILENAME, FNR, target, why
  bad++
}

FNR == 1 {
  files++
  from = layer_of(FILENAME)
  if (from == "") {
    printf "%s: has no layer; give it one in scripts/check-includes.sh\n", FILENAME
    bad++
  }
}

/^[ \t]*#[ \t]*include[ \t]*"/ {
  split($0, quoted, "\"")
  target = quoted[2]
  to = layer_of(target)
  if (from == "")
    next
  if (target ~ /\.c$/)
    wrong("only headers are included")
  else if (to == "")
    wrong("no layer of the project; headers are named from the top folder")
  else if (from == "stage" && to == "stage" && stem(target) == stem(FILENAME))
    next
  else if (to == "stage" && from == "stage")
    wrong("stages do not include each other")
  else if (is_foreign(FILENAME, target))
    wrong("the files of its folder share it, and nobody else")
  else if (!((from, to) in may))
    wrong("\"" from "\" may not know of \"" to "\"")
}

END {
  if (bad > 0)
    exit 1
  if (files == 0) {
    print "no sources found"
    exit 1
  }
}' || exit 1
