#!/usr/bin/env bats
# Who belongs to whom by name: case, composition, and members that come in a later run.
# shellcheck disable=SC2034,SC2030,SC2031 # read by lib.bash; each test is a shell of its own
load lib

setup() { begin; }
teardown() { finish; }

has_case() { # FOLDER: a.x and A.X are two files there
	mkdir -p "$1"
	: >"$1/case" && : >"$1/CASE"
	[ "$(files_in "$1")" = 2 ] || skip "this file system has no case"
	rm "$1/case" "$1/CASE"
}

# "NAME=DESCRIPTION " of each asset, when the server has read them.
told() { sql "SELECT name || '=' || coalesce(description, '') FROM assets WHERE deleted=0 ORDER BY name" | tr '\n' ' '; }
tells() { [ "$(told)" = "$1" ]; }
will_tell() { wait_for 10 tells "$1" || { echo "it is $(told)" && return 1; }; }

linked() { sql 'SELECT count(*) FROM assets WHERE live_video IS NOT NULL'; }
are_linked() { [ "$(linked)" = "$1" ]; }

@test "pictures whose names differ in case only have each their own sidecar" {
	start_immichd
	has_case "$T/lib"
	photo "$T/lib/a.jpg"
	photo "$T/lib/A.JPG"
	xmp "$T/lib/a.jpg.xmp" small
	xmp "$T/lib/A.JPG.xmp" large
	photo "$T/lib/b.jpg"
	photo "$T/lib/B.JPG"
	xmp "$T/lib/b.xmp" small
	xmp "$T/lib/B.xmp" large
	import_json "$T/lib"
	fields sent=8 refused=0
	will_tell "A.JPG=large B.JPG=large a.jpg=small b.jpg=small "
}

@test "a sidecar that is spelled as one picture is not another's" {
	start_immichd
	has_case "$T/lib"
	photo "$T/lib/a.jpg"
	photo "$T/lib/A.JPG"
	xmp "$T/lib/A.JPG.xmp" large
	photo "$T/lib/b.jpg"
	photo "$T/lib/B.JPG"
	xmp "$T/lib/b.jpg.xmp" small
	xmp "$T/lib/B.xmp" large
	import_json "$T/lib"
	fields sent=7 refused=0
	will_tell "A.JPG=large B.JPG=large a.jpg= b.jpg=small "
}

@test "a sidecar in another case belongs to the only picture that it can mean" {
	start_immichd
	photo "$T/lib/one.jpg"
	xmp "$T/lib/ONE.JPG.XMP" "of one"
	photo "$T/lib/two.jpg"
	PHOTO_KIND=png photo "$T/lib/TWO.PNG"
	xmp "$T/lib/Two.xmp" "of both"
	import_json "$T/lib"
	fields sent=5 refused=0
	will_tell "TWO.PNG=of both one.jpg=of one two.jpg=of both "
}

@test "composed and decomposed spellings of a name mean the same, unless both are there" {
	start_immichd
	local nfc=$'\xc3\xa4' nfd=$'a\xcc\x88' ga=$'\xe3\x81\x8c' ka=$'\xe3\x81\x8b\xe3\x82\x99'
	mkdir -p "$T/lib"
	: >"$T/lib/$nfc" && : >"$T/lib/$nfd"
	[ "$(files_in "$T/lib")" = 2 ] || skip "this file system composes names itself"
	rm "$T/lib/"*
	photo "$T/lib/1$nfc.jpg"
	xmp "$T/lib/1$nfd.jpg.xmp" "of a phone"
	photo "$T/lib/2$nfd.jpg"
	xmp "$T/lib/2$nfc.xmp" "of a Mac"
	photo "$T/lib/3$ga.jpg"
	xmp "$T/lib/3$ka.jpg.xmp" "of Japan"
	photo "$T/lib/4$nfc.jpg"
	photo "$T/lib/4$nfd.jpg"
	xmp "$T/lib/4$nfc.jpg.xmp" composed
	xmp "$T/lib/4$nfd.jpg.xmp" decomposed
	import_json "$T/lib"
	fields sent=10 refused=0
	local all
	all=$(printf '%s\n' "1$nfc.jpg=of a phone" "2$nfd.jpg=of a Mac" "3$ga.jpg=of Japan" \
		"4$nfc.jpg=composed" "4$nfd.jpg=decomposed" | LC_ALL=C sort | tr '\n' ' ')
	will_tell "$all"
}

@test "live photos whose names differ in case only find each their own movie" {
	start_immichd
	has_case "$T/lib"
	mklib "$T/made" --count 2 --size 16K --live 100 --kinds heic
	local still number=0
	while read -r still; do
		number=$((number + 1))
		[ "$number" = 1 ] && set -- a heic mov || set -- A HEIC MOV
		mv "${still%.*}".MOV "$T/lib/$1.$3" 2>/dev/null || mv "${still%.*}".mov "$T/lib/$1.$3"
		mv "$still" "$T/lib/$1.$2"
	done < <(find "$T/made" -iname '*.heic' | sort)
	equals "$(files_in "$T/lib")" 4
	import_json "$T/lib"
	fields sent=4
	equals "$(linked)" 2
	equals "$(sql "SELECT group_concat(s.name || '+' || m.name, ' ') FROM assets s
		JOIN assets m ON m.id = s.live_video WHERE lower(substr(s.name, 1, 1)) = lower(substr(m.name, 1, 1))
		AND substr(s.name, 1, 1) = substr(m.name, 1, 1)" | wc -w)" 2
}

# later FOLDER: takes the movies away to $T/movies, imports, and brings them back.
movies_come_later() {
	mkdir -p "$T/movies"
	(cd "$1" && find . -iname '*.mov' -exec cp --parents -t "$T/movies" {} +)
	find "$1" -iname '*.mov' -delete
	import_json "$1"
	equals "$(linked)" 0
	cp -r "$T/movies/." "$1/"
}

@test "a movie that comes in a later run than its still is linked to it" {
	start_immichd
	mklib "$T/lib" --count 3 --size 16K --live 100 --kinds heic
	movies_come_later "$T/lib"
	import_json "$T/lib"
	fields sent=3 present=3
	wait_for 10 are_linked 3
	# Once, and never again.
	import_json "$T/lib"
	fields sent=0
	equals "$(linked)" 3
}

@test "a movie that comes later is linked to a still that the server had before us, and by names alone" {
	start_immichd
	mklib "$T/lib" --count 2 --size 16K --live 100 --kinds jpeg
	if command -v exiftool >/dev/null; then # times decide where no ids are
		find "$T/lib" -iname '*.jp*g' -exec exiftool -q -overwrite_original -MakerNotes= {} +
	fi
	movies_come_later "$T/lib"
	LEDGER=$T/ledger/other.db
	import_json "$T/lib"
	wait_for 10 are_linked 2
}

@test "a movie whose run ended before the link is linked by the next one" {
	start_immichd
	mklib "$T/lib" --count 1 --size 16K --live 100 --kinds heic
	movies_come_later "$T/lib"
	mischief 'PUT /api/assets: latency=30000'
	"$URINGEST" import --server "$URL" --ledger "$LEDGER" "$T/lib" >"$T/killed" 2>&1 3>&- &
	local run=$!
	PIDS+=("$run")
	both_are_there() { [ "$(server_count)" = 2 ]; }
	wait_for 20 both_are_there
	kill -KILL "$run"
	wait "$run" || true
	mischief
	equals "$(linked)" 0
	import_json "$T/lib"
	fields sent=0
	wait_for 10 are_linked 1
	import_json "$T/lib"
	fields bytes_read=0 # nothing is owed any more: neither is looked at
}

@test "the movie beside a motion photo is linked to it by its name, not shown as a film of its own" {
	start_immichd
	photo "$T/lib/PXL_20240506_050809123.MP.jpg"
	PHOTO_KIND=mp4 photo "$T/lib/PXL_20240506_050809123.MP"
	xmp "$T/lib/PXL_20240506_050809123.MP.jpg.xmp" "of both"
	photo "$T/lib/other.jpg"
	import_json "$T/lib"
	fields sent=4 refused=0
	equals "$(linked)" 1
	equals "$(sql "SELECT name FROM assets WHERE live_video IS NOT NULL")" "PXL_20240506_050809123.MP.jpg"
}
