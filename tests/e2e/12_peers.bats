#!/usr/bin/env bats
# What today's importers lose, hide or misreport, each as a case that has to go well here.
# shellcheck disable=SC2034 # read by lib.bash
load lib

setup() { begin; }
teardown() { finish; }

description_of() { sql "SELECT description FROM assets WHERE name = '$1'"; }
has_tag() {
	sql "SELECT count(*) FROM assets a JOIN tag_assets t ON t.asset = a.id JOIN tags g ON g.id = t.tag
		WHERE a.name = '$1' AND g.value = '$2'"
}
has_description() { [ "$(description_of "$1")" = "$2" ]; }

@test "different photos of one name and one second all arrive, and none replaces another" {
	start_immichd
	mklib "$T/made" --count 0 --hostile
	mkdir "$T/lib"
	mv "$T/made/hostile/same-name" "$T/lib/"
	mkdir "$T/lib/c"
	photo "$T/lib/c/IMG_0001.jpg"
	touch -r "$T/lib/same-name/a/IMG_0001.jpg" "$T/lib/same-name/b/IMG_0001.jpg" "$T/lib/c/IMG_0001.jpg"
	import_json "$T/lib"
	sum_law 3
	fields sent=3
	equals "$(server_names | tr '\n' ' ')" "IMG_0001.jpg IMG_0001.jpg IMG_0001.jpg "
	compare_all
}

@test "after failures the exit code is 1, without a usage text, and the last lines say what to do" {
	start_immichd
	photos "$T/lib" 3
	photo "$T/lib/bad.jpg"
	mischief 'POST /api/assets: status=400 name=bad.jpg'
	ur import "$T/lib"
	equals "$CODE" 1
	lacks "$OUT$ERR" "usage:"
	has "$OUT" "failed    $T/lib/bad.jpg: "
	has "$(tail -n 1 "$T/out")" "uringest retry --failed"
	equals "$(server_count)" 3
	# A 400 is never repeated unchanged.
	control POST /_immichd/reset-stats
	ur import --json "$T/lib"
	equals "$CODE" 1
	equals "$(uploads)" 0
	mischief
	ur retry --failed
	import_json "$T/lib"
	fields sent=1
}

@test "what is no regular file stops nothing and is named" {
	start_immichd
	photos "$T/lib" 3
	ln -s nowhere.jpg "$T/lib/broken link.jpg"
	mkfifo "$T/lib/pipe.jpg"
	UR_LIMIT=20
	import_json "$T/lib"
	fields found=3 sent=3
	has "$ERR" "broken link.jpg: a symbolic link, not followed"
	has "$ERR" "pipe.jpg: no regular file"
}

@test "every odd name of the collection arrives, whole" {
	start_immichd
	start_nginx
	mklib "$T/made" --count 0 --hostile
	mkdir "$T/lib"
	mv "$T/made/hostile/names" "$T/made/hostile/folders" "$T/lib/"
	local files
	files=$(files_in "$T/lib")
	import_json "$T/lib"
	sum_law "$files"
	fields "sent=$files"
	compare_all
	import_json "$T/lib"
	fields sent=0 bytes_hashed=0
}

@test "hidden photos are taken, the trash of desktops and boxes is not, and thumbnails are a matter of asking" {
	start_immichd
	photo "$T/lib/.hidden/1.jpg"
	photo "$T/lib/#recycle/2.jpg"
	photo "$T/lib/@eaDir/3.jpg"
	photo "$T/lib/thumbnails/4.jpg"
	import_json "$T/lib"
	sum_law 1
	has "$(of .hidden/1.jpg)" sent
	import_json --exclude '!thumbnails/' "$T/lib"
	sum_law 2
}

@test "drawings, JPEG 2000 and Pixel movies are sent, since the server's list decides" {
	start_immichd
	mklib "$T/made" --count 0 --hostile
	mkdir "$T/lib"
	cp "$T/made/hostile/content/drawing.svg" "$T/made/hostile/extension/PXL_20240506_050809123.MP" "$T/lib/"
	printf '\0\0\0\014jP  \r\n\207\n\0\0\0\024ftypjp2 \0\0\0\0jp2 \0\0\0\055jp2h' >"$T/lib/old.jp2"
	head -c 400 /dev/zero >>"$T/lib/old.jp2"
	import_json "$T/lib"
	sum_law 3
	fields sent=3
	equals "$(server_names | tr '\n' ' ')" "PXL_20240506_050809123.MP.MP4 drawing.svg old.jp2 "
	compare_all
}

@test "files that the server does not take are counted and named with their folder and the reason" {
	start_immichd
	mkdir -p "$T/lib/folder with a name"
	echo text >"$T/lib/folder with a name/notes.txt"
	photo "$T/lib/no extension"
	import_json "$T/lib"
	sum_law 2
	fields refused=2
	equals "$(of 'folder with a name/notes.txt')" "refused refused: the server does not take '.txt' files"
	has "$(of 'no extension')" "so let its name end in '.jpg'"
	ur import "$T/lib"
	has "$OUT" "folder with a name/notes.txt: the server does not take '.txt' files"
}

@test "sidecars go with their pictures, whatever their case and style" {
	start_immichd
	mklib "$T/made" --count 0 --hostile
	mkdir "$T/lib"
	mv "$T/made/hostile/sidecar" "$T/lib/"
	import_json "$T/lib"
	sum_law "$(files_in "$T/lib")"
	fields failed=0 waiting=0
	local good
	for good in s1.jpg.xmp s2.xmp s3.JPG.XMP s4.XMP s5.jpg.xmp s6.xmp 's7 [1].jpg.xmp'; do
		equals "$(of "/$good")" "sent delivered: travels with its picture"
	done
	has "$(of /s5.xmp)" "refused refused: another sidecar of the same picture goes before it"
	has "$(of /s8.jpg.xmp)" "refused refused: no usable sidecar"
	has "$(of /s8.jpg)" "sent delivered"
	has "$(of /s9.jpg.xmp)" "refused refused: empty"
	has "$(of 's10 alone.xmp')" "refused refused: a sidecar without its picture"
	compare_sidecars
	equals "$(sql "SELECT count(*) FROM assets WHERE name LIKE 's6.%' AND sidecar != ''")" 2 \
		"a raw and its twin share their sidecar"
	import_json "$T/lib"
	fields sent=0 bytes_sent=0 bytes_hashed=0
}

@test "the sidecar of a duplicate gives the server the facts that it lacks, and no others" {
	start_immichd
	photo "$T/first/1.jpg"
	photo "$T/first/2.jpg"
	import_json "$T/first"
	control PUT "/api/assets/$(sql "SELECT id FROM assets WHERE name = '2.jpg'")" \
		'{"description":"mine"}' >/dev/null
	cp -r "$T/first" "$T/second"
	xmp "$T/second/1.jpg.xmp" "of the sidecar"
	xmp "$T/second/2.xmp" "of the sidecar"
	LEDGER=$T/second.db
	import_json "$T/second"
	sum_law 4
	fields present=4 sent=0
	has "$(of 1.jpg.xmp)" "what the server lacked was set from it"
	has_description 1.jpg "of the sidecar"
	has_description 2.jpg "mine"
	equals "$(sql "SELECT rating FROM assets WHERE name = '1.jpg'")" 4
	equals "$(has_tag 1.jpg 'tag of the sidecar')" 1
}

@test "a sidecar that changes after its picture was sent is told to the server" {
	start_immichd
	photo "$T/lib/1.jpg"
	import_json "$T/lib"
	xmp "$T/lib/1.xmp" "came later"
	import_json "$T/lib"
	fields sent=0 present=2
	wait_for 10 has_description 1.jpg "came later"
}

@test "what is empty, a web page or zeros is refused with the reason; what is cut short is sent with a word" {
	start_immichd
	mklib "$T/made" --count 0 --hostile
	mkdir "$T/lib"
	mv "$T/made/hostile/content" "$T/lib/"
	import_json "$T/lib"
	sum_law "$(files_in "$T/lib")"
	fields failed=0
	has "$(of empty.jpg)" "refused refused: empty"
	has "$(of empty.mp4)" "refused refused: empty"
	has "$(of 'error page.jpg')" "refused refused: named '.jpg', but the content is a web page"
	has "$(of zeros.heic)" "refused refused: named '.heic', but the content is zeros"
	local cut
	for cut in jpg png heic mp4; do
		has "$(of "truncated.$cut")" "sent delivered: the file ends too early"
	done
	ur import --after delete "$T/lib"
	[ -e "$T/lib/content/empty.jpg" ] && [ -e "$T/lib/content/error page.jpg" ]
}

@test "what lies in the server's trash is neither sent nor removed, and it is said" {
	start_immichd
	photos "$T/lib" 3
	photo "$T/lib/trashed.jpg"
	import_json "$T/lib"
	control DELETE /api/assets "{\"ids\":[\"$(sql "SELECT id FROM assets WHERE name = 'trashed.jpg'")\"]}"
	LEDGER=$T/other.db
	import_json --after delete "$T/lib"
	sum_law 4
	fields present=3 refused=1
	has "$(of trashed.jpg)" "refused trashed: it is in the server's trash"
	equals "$(find "$T/lib" -type f -printf '%f ')" "trashed.jpg "
}

@test "when the quota is used up what still fits goes, the rest waits, and nothing is sent in vain" {
	start_immichd --user ann:key-of-ann:100000
	mkdir "$T/lib"
	local i
	for i in 1 2 3 4 5 6; do PHOTO_SIZE=2K photo "$T/lib/small $i.jpg"; done
	for i in 1 2 3 4 5 6 7 8 9; do PHOTO_SIZE=80K photo "$T/lib/large $i.jpg"; done
	export IMMICH_API_KEY=key-of-ann
	ur import --json -j 1 "$T/lib"
	equals "$CODE" 1 # some did not arrive
	sum_law 15
	fields waiting=8 sent=7 failed=0
	equals "$(events 'select(.outcome == "waiting") | .path' | grep -c large)" 8
	has "$(events 'select(.outcome == "waiting") | .reason')" "quota on the server is used up"
	has "$ERR" "quota"
	# Only what was on its way when the first refusal came.
	[ "$(stats .uploadsRefused)" -le 4 ]
	# Room is made: the rest follows.
	stop_immichd
	start_immichd --user ann:key-of-ann:10000000
	import_json "$T/lib"
	fields sent=8 present=7
}

@test "a server that is killed in mid-run and comes back has everything in the end" {
	start_immichd
	photos "$T/lib" 120
	mischief 'POST /api/assets: latency=20..60'
	(
		wait_for 20 some_arrived 15
		stop_immichd KILL
		wait_for 20 said_away
		start_immichd
		echo "$SERVER_PID" >"$T/restarted"
	) 3>&- >"$T/restart.log" 2>&1 &
	local helper=$!
	ur import --json --suspect-wait 0s --answer-wait 3s "$T/lib"
	wait "$helper"
	PIDS+=("$(cat "$T/restarted")")
	equals "$CODE" 0
	has "$ERR" "the server is away; waiting for it"
	has "$ERR" "the server is back"
	sum_law 120
	fields failed=0 waiting=0
	# Those whose answer was lost are sent again, or asked for in a later run.
	import_json --suspect-wait 0s "$T/lib"
	fields present=120
	equals "$(server_count)" 120
	compare_all
}
some_arrived() { [ "$(server_count)" -ge "$1" ]; }
said_away() { grep -q 'the server is away' "$T/err"; }

@test "stdout is JSON and nothing else, with failures, warnings and odd names" {
	start_immichd
	mklib "$T/made" --count 30 --size 2K --hostile --junk --live 20 --sidecars 20
	chmod -R u+rwX "$T/made/hostile/unreadable"
	mischief 'POST /api/assets: status=400 name=IMG_0001.jpg'
	ur import --json -v "$T/made"
	equals "$CODE" 1
	sum_law
	[ "$(field failed)" -gt 0 ]
	equals "$(jq -r .event "$T/out" | sort | uniq -c | awk '{ print $2 }' | tr '\n' ' ')" "file summary "
	equals "$(jq -r .event "$T/out" | tail -n 1)" summary
	equals "$(wc -l <"$T/out")" "$(jq -c . "$T/out" | wc -l)"
	iconv -f UTF-8 -t UTF-8 "$T/out" >/dev/null
	equals "$(tr -d '\n' <"$T/out" | LC_ALL=C tr -cd '\000-\037' | wc -c)" 0
}

@test "servers of version 2 and 3 take the same library, and a run that moves from one to the other sends nothing" {
	start_immichd --api 2
	mklib "$T/lib" --count 40 --size 3K --live 20 --sidecars 20
	import_json "$T/lib"
	local found
	found=$(field found)
	stop_immichd
	start_immichd --api 3
	control POST /_immichd/reset-stats
	LEDGER=$T/other.db
	import_json "$T/lib"
	sum_law "$found"
	fields sent=0 failed=0 refused=0
	equals "$(uploads)" 0
	equals "$(stats .orphans)" 0
}
