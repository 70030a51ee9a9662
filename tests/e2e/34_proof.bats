#!/usr/bin/env bats
# A proof must be a proof: an unknown is a no, and what others say is no verdict.
# shellcheck disable=SC2034,SC2030,SC2031,SC2317 # read by lib.bash; each test is a shell of its own
load lib

setup() { begin; }
teardown() {
	local at
	for at in share small; do
		if mountpoint -q "$T/$at" 2>/dev/null; then
			umount -l "$T/$at"
		fi
	done
	finish
}

states() { ledger "SELECT group_concat(DISTINCT state) FROM file"; }
all_originals_come() {
	local id
	for id in $(sql 'SELECT id FROM assets WHERE deleted=0'); do
		equals "$(curl -s -o /dev/null -w '%{http_code}' -H "x-api-key: $KEY" \
			"$DIRECT/api/assets/$id/original")" 200 "$id" || return
	done
}

# The server's disk is not there, and is there again.
unmount_library() { mkdir "$DATA/unmounted" && mv "$DATA/upload/"* "$DATA/unmounted/"; }
mount_library() { mv "$DATA/unmounted/"* "$DATA/upload/" && rmdir "$DATA/unmounted"; }

nothing_left() { [ "$(sql 'SELECT count(*) FROM assets')" = 0 ]; }
delete_all_there() {
	control DELETE /api/assets "{\"force\":true,\"ids\":$(sql 'SELECT json_group_array(id) FROM assets')}"
	wait_for 10 nothing_left
}

# --- bytes that come from the very file -----------------------------------------------------------

@test "a user's folder of the server's library, seen through a share, is not emptied" {
	[ "$(id -u)" = 0 ] || skip "mounting needs root"
	start_immichd
	photos "$T/lib" 3
	import_json "$T/lib"
	mkdir "$T/share"
	mount --bind "$(find "$DATA/upload" -mindepth 1 -maxdepth 1 -type d | head -n 1)" "$T/share"
	LEDGER=$T/ledger/second.db
	ur import --json --after delete "$T/share"
	equals "$CODE" 1
	fields present=3 sent=0 kept=3
	equals "$(files_in "$T/share")" 3
	has "$OUT" "it lies where Immich keeps its own files"
	all_originals_come
}

@test "the same folder moved elsewhere under another name, or one file of it alone, is not emptied" {
	start_immichd
	photos "$T/lib" 2
	import_json "$T/lib"
	local user file
	user=$(find "$DATA/upload" -mindepth 1 -maxdepth 1 -type d | head -n 1)
	file=$(find "$user" -type f -print -quit)
	ln -s "$user" "$T/a link"
	LEDGER=$T/ledger/second.db
	ur import --json --after delete "$T/a link/"
	equals "$(files_in "$user")" 2
	mkdir "$T/flat"
	ln "$file" "$T/flat/" # a share that shows one folder
	mkdir "$T/done"
	ur import --json --after "move=$T/done" "$T/flat"
	fields kept=1
	equals "$(files_in "$T/flat")" 1
	all_originals_come
}

@test "a library with a storage template, seen under the same folder and name, is not emptied" {
	start_immichd
	photo "$T/lib/IMG_1.jpg"
	import_json "$T/lib"
	# The template moves the file; the share shows the folder above it.
	mkdir -p "$DATA/upload/library/2024/2024-05-06"
	mv "$DATA/upload/$(sql 'SELECT path FROM assets')" "$DATA/upload/library/2024/2024-05-06/IMG_1.jpg"
	sql "UPDATE assets SET path = 'library/2024/2024-05-06/IMG_1.jpg'"
	mkdir "$T/seen"
	mv "$DATA/upload/library/2024/2024-05-06" "$T/seen/"
	ln -s "$T/seen/2024-05-06" "$DATA/upload/library/2024/2024-05-06"
	LEDGER=$T/ledger/second.db
	ur import --json --after delete "$T/seen"
	equals "$CODE" 1
	fields present=1 kept=1
	[ -e "$T/seen/2024-05-06/IMG_1.jpg" ]
	all_originals_come
}

@test "where no name tells, the server is asked once more while the file stands aside" {
	start_immichd
	photo "$T/lib/one.jpg"
	photo "$T/lib/two.jpg"
	import_json "$T/lib"
	# One of the two is what the server's own file leads to.
	ln -sf "$T/lib/one.jpg" "$DATA/upload/$(sql "SELECT path FROM assets WHERE name = 'one.jpg'")"
	LEDGER=$T/ledger/second.db
	ur import --json --after delete "$T/lib"
	equals "$CODE" 1
	has "$(of one.jpg)" "while it stood aside the server could not give its bytes any more"
	has "$(of two.jpg)" "present settled"
	[ -e "$T/lib/one.jpg" ] && [ ! -e "$T/lib/two.jpg" ]
	equals "$(find "$T/lib" -name .uringest | wc -l)" 0
	all_originals_come
}

@test "our own 201 is proof of another file: what was sent is removed without being asked twice" {
	start_immichd
	photos "$T/lib" 4
	import_json --after delete "$T/lib"
	fields sent=4 kept=0
	equals "$(files_in "$T/lib")" 0
	equals "$(stats '[.endpoints | to_entries[] | select(.key | test("original"))] | map(.value) | add')" 4
}

@test "a folder that is an external library of the server is imported and kept" {
	start_immichd --library "$T/lib" --library /mnt/media/photos
	mkdir "$T/lib"
	photos "$T/lib/a" 2
	ur import --json --after delete "$T/lib"
	equals "$CODE" 1
	fields sent=2
	has "$ERR" "'$T/lib' is, or shares files with, the external library '$T/lib'"
	ur import --json --after delete "$T/lib/a"
	equals "$CODE" 1
	equals "$(files_in "$T/lib")" 2
	photo "$T/lib/one.jpg"
	ur import --json --after delete "$T/lib/one.jpg"
	equals "$CODE" 1
	has "$ERR" "the server has external libraries (2 paths)"
	has "$(of one.jpg)" "its folder may be an external library"
	[ -e "$T/lib/one.jpg" ]
	photos "$T/photos" 2 --seed 7
	ur import --json --after delete "$T/photos"
	equals "$CODE" 1
	has "$ERR" "may be the external library '/mnt/media/photos'"
	equals "$(files_in "$T/photos")" 2
	import_json --after delete --not-a-library "$T/photos"
	equals "$(files_in "$T/photos")" 0
	photos "$T/card" 2 --seed 8
	import_json --after delete "$T/card"
	equals "$(files_in "$T/card")" 0
	lacks "$ERR" "external libraries" # once a day
}

@test "a key that may not list the external libraries empties folders, and says so once" {
	start_immichd --user ann:key-of-ann
	export IMMICH_API_KEY=key-of-ann
	photos "$T/lib" 2
	import_json --after delete "$T/lib"
	has "$ERR" "may not list the server's external libraries"
	equals "$(files_in "$T/lib")" 0
	import_json --after delete "$T/lib"
	lacks "$ERR" "external libraries"
}

# --- when an asset is old enough -----------------------------------------------------------------

upload_as_somebody_else() { # FILE
	curl -s -o /dev/null -H "x-api-key: $KEY" -F deviceAssetId=x -F deviceId=y \
		-F fileCreatedAt=2020-01-01T00:00:00.000Z -F fileModifiedAt=2020-01-01T00:00:00.000Z \
		-F filename=other.jpg -F "assetData=@$1;filename=other.jpg" "$DIRECT/api/assets"
}

@test "what somebody else has just uploaded waits for settle_after like our own" {
	start_immichd
	photo "$T/lib/a.jpg"
	upload_as_somebody_else "$T/lib/a.jpg"
	import_json --after delete --settle-after 1h "$T/lib"
	fields present=1 kept=0
	has "$(of a.jpg)" "the server has it, but not for long"
	import_json --after delete --settle-after 1h "$T/lib"
	[ -e "$T/lib/a.jpg" ]
	# No step of the wall clock ends the wait; what has passed by the boot clock does.
	ledger "UPDATE file SET delivered_ns = 1, seen_ns = 1, probed_ns = 1"
	import_json --after delete --settle-after 1h "$T/lib"
	[ -e "$T/lib/a.jpg" ]
	ledger "UPDATE file SET there = '3600000000000 1 an-earlier-boot'"
	import_json --after delete --settle-after 1h "$T/lib"
	[ ! -e "$T/lib/a.jpg" ]
}

@test "the server's word that an asset is old shortens the wait, where it is plausible" {
	start_immichd
	photo "$T/lib/old.jpg"
	photo "$T/lib/future.jpg"
	photo "$T/lib/ancient.jpg"
	for name in old future ancient; do upload_as_somebody_else "$T/lib/$name.jpg"; done
	local now
	now=$(date +%s)
	made() { # NAME SECONDS
		sql "UPDATE assets SET created = $2 * 1000000 WHERE checksum = X'$(sha1sum <"$T/lib/$1.jpg" | cut -c1-40)'"
	}
	made old $((now - 7200))
	made future $((now + 7200))
	made ancient 1000
	import_json --after delete --settle-after 1h "$T/lib"
	equals "$(find "$T/lib" -type f -printf '%f\n' | sort | tr '\n' ' ')" "ancient.jpg future.jpg "
}

# --- failure of many -----------------------------------------------------------------------------

@test "while the server cannot read its library nothing is judged, and later all is well" {
	start_immichd
	photos "$T/lib" 30
	import_json "$T/lib"
	local before
	before=$(states)
	unmount_library
	ur import --json --after delete "$T/lib"
	equals "$CODE" 3
	has "$ERR" "the server cannot read its library"
	equals "$(files_in "$T/lib")" 30
	equals "$(states)" "$before"
	mount_library
	import_json --after delete "$T/lib"
	equals "$(files_in "$T/lib")" 0
	all_originals_come
}

@test "a few files alone whose originals do not come are suspect, and no more than that" {
	start_immichd
	photos "$T/lib" 3
	import_json "$T/lib"
	ledger "UPDATE file SET doubt = '900000000000000 1 an-earlier-boot'"
	unmount_library
	ur import --json --after delete "$T/lib"
	equals "$CODE" 1
	equals "$(events 'select(.state == "suspect") | .path' | wc -l)" 3
	equals "$(files_in "$T/lib")" 3
	mount_library
	import_json --after delete "$T/lib"
	equals "$(files_in "$T/lib")" 0
}

@test "a key whose rights are taken back in mid-run judges nothing" {
	start_immichd
	photos "$T/lib" 12
	import_json "$T/lib"
	local before
	before=$(states)
	for status in 403 401; do
		mischief "GET /api/assets/*/original: status=$status after=2"
		ur import --json --after delete --concurrency 1 "$T/lib"
		equals "$CODE" 1
		has "$ERR" "does not let this key read assets back any more"
		equals "$(events 'select(.state == "broken there" or .state == "suspect") | .path' | wc -l)" 0
	done
	mischief
	at_least "$(files_in "$T/lib")" 1
	import_json --after delete "$T/lib"
	equals "$(files_in "$T/lib")" 0
	all_originals_come
}

@test "a redirect, a login page, or a proxy's 404 in place of the bytes judges nothing" {
	start_immichd
	photos "$T/lib" 8
	import_json "$T/lib"
	for trouble in 'status=302 bare' 'status=200 html' 'status=404 html' 'status=403 html' 'status=500 bare'; do
		mischief "GET /api/assets/*/original: $trouble"
		ur import --json --after delete "$T/lib"
		equals "$CODE" 1 "$trouble"
		equals "$(events 'select(.state == "broken there" or .state == "suspect") | .path' | wc -l)" 0
		equals "$(files_in "$T/lib")" 8
		mischief "GET /api/assets/: $trouble"
		ur import --json --after delete "$T/lib"
		equals "$CODE" 1 "$trouble for the asset"
		equals "$(events 'select(.state == "withdrawn") | .path' | wc -l)" 0
	done
	mischief
	import_json --after delete "$T/lib"
	equals "$(files_in "$T/lib")" 0
}

@test "one lost original among many is asked again, and nobody is told to delete anything" {
	start_immichd
	photos "$T/lib" 9
	photo "$T/lib/lost.jpg"
	import_json "$T/lib"
	rm "$DATA/upload/$(sql "SELECT path FROM assets WHERE name = 'lost.jpg'")"
	ur import --json --after delete "$T/lib"
	equals "$CODE" 1
	has "$(of lost.jpg)" "refused suspect"
	equals "$(find "$T/lib" -type f -printf '%f ')" "lost.jpg "
	ledger "UPDATE file SET doubt = '90000000000000 1 an-earlier-boot'"
	photo "$T/lib/new.jpg"
	ur import --json --after delete "$T/lib"
	has "$(of lost.jpg)" "failed broken there"
	ur explain "$T/lib/lost.jpg"
	lacks "$OUT" "elete"
	has "$OUT" "may be the only copy"
}

@test "a doubt about the server's copy outlives retry and restart, with keep, too" {
	start_immichd
	photo "$T/lib/victim.jpg"
	mischief 'POST /api/assets: row-without-file name=victim.jpg'
	ur import --json --answer-wait 1s "$T/lib"
	equals "$CODE" 1 # it is not known to have arrived
	has "$(of victim.jpg)" "refused suspect"
	mischief
	ur retry "$T/lib/victim.jpg"
	ur import --json "$T/lib"
	equals "$CODE" 1
	has "$(of victim.jpg)" "refused suspect"
	gone_there() { [ ! -e "$DATA/upload/$(sql 'SELECT path FROM assets')" ]; }
	wait_for 10 gone_there
	ledger "UPDATE file SET doubt = '7200000000000 1 an-earlier-boot'"
	ur retry "$T/lib/victim.jpg"
	ur import --json "$T/lib"
	equals "$CODE" 1
	has "$(of victim.jpg)" "refused suspect: the server names it but did not give its bytes"
}

# --- groups, and facts that are there -------------------------------------------------------------

@test "a live photo whose one half is not through stays whole, and is linked later" {
	start_immichd
	mklib "$T/made" --count 4 --size 16K --live 100 --kinds jpeg
	local movie still
	movie=$(find "$T/made" -iname '*.mov' -print -quit)
	still=$(find "${movie%/*}" -iname "$(basename "${movie%.*}").j*" -print -quit)
	mkdir "$T/lib"
	for half in still movie; do
		rm -rf "${T:?}/lib/"* "$LEDGER"*
		cp "$still" "$T/lib/IMG_7.JPG"
		cp "$movie" "$T/lib/IMG_7.MOV"
		[ "$half" = still ] && mischief 'POST /api/assets: status=500 name=IMG_7.JPG' ||
			mischief 'POST /api/assets: status=500 name=IMG_7.MOV'
		ur import --json --after delete --tries 2 "$T/lib"
		equals "$(files_in "$T/lib")" 2 "$half fails"
		# Another run has the one from its ledger and the other from the disk.
		ur import --json --after delete --tries 2 "$T/lib"
		equals "$(files_in "$T/lib")" 2 "$half fails again"
		mischief
		ur retry --failed
		import_json --after delete "$T/lib"
		equals "$(files_in "$T/lib")" 0 "$half comes through"
		equals "$(sql 'SELECT count(*) FROM assets WHERE live_video IS NOT NULL')" 1
		delete_all_there
	done
}

@test "a movie that the server has linked to a picture stays linked" {
	start_immichd
	mklib "$T/made" --count 4 --size 16K --live 100 --kinds jpeg
	local movie still linked
	movie=$(find "$T/made" -iname '*.mov' -print -quit)
	still=$(find "${movie%/*}" -iname "$(basename "${movie%.*}").j*" -print -quit)
	mkdir "$T/one" "$T/two"
	cp "$still" "$T/one/IMG_7.JPG"
	cp "$movie" "$T/one/IMG_7.MOV"
	cp "$still" "$T/two/IMG_7.JPG"
	cp "$movie" "$T/two/IMG_7.MOV"
	printf '\0\0\0\020freeXXXXXXXX' >>"$T/two/IMG_7.MOV"
	import_json "$T/one"
	linked=$(sql 'SELECT live_video FROM assets WHERE live_video IS NOT NULL')
	LEDGER=$T/ledger/second.db
	import_json "$T/two"
	fields sent=1
	equals "$(sql 'SELECT live_video FROM assets WHERE live_video IS NOT NULL')" "$linked"
	has "$(of IMG_7.JPG)" "another movie linked to it, which stays"
}

@test "what was removed here and is gone there is named as lost, and nothing is promised" {
	start_immichd
	photo "$T/lib/removed.jpg"
	import_json --after delete "$T/lib"
	photo "$T/lib/kept.jpg"
	import_json "$T/lib"
	delete_all_there
	ur verify --resend-missing
	equals "$CODE" 1
	has "$OUT" "1 of them were taken away here: nothing can be sent again"
	import_json "$T/lib"
	fields sent=1
	ur verify --resend-missing
	equals "$CODE" 1
	has "$OUT" "lost "
}

@test "the server of these tests outlives clients that end while it gives an original" {
	start_immichd
	PHOTO_KIND=mp4 PHOTO_SIZE=20M photo "$T/lib/film.mp4"
	import_json "$T/lib"
	local id i
	id=$(sql 'SELECT id FROM assets')
	for i in 1 2 3 4 5 6 7 8; do
		curl -s -H "x-api-key: $KEY" "$DIRECT/api/assets/$id/original" | head -c 1000 >"$T/some"
	done
	equals "$(server_count)" 1
	control GET /api/server/ping >"$T/pong"
	kill -0 "$SERVER_PID"
}

# --- what stands aside ----------------------------------------------------------------------------

# live FOLDER: a still and its movie, IMG_7.
live() {
	local movie
	mklib "$T/made" --count 4 --size 30K --live 100 --kinds jpeg --seed 5
	movie=$(find "$T/made" -iname '*.mov' | sort | head -n 1)
	mkdir -p "$1"
	cp "$movie" "$1/IMG_7.MOV"
	cp "$(find "${movie%/*}" -iname "$(basename "${movie%.*}").j*" -print -quit)" "$1/IMG_7.JPG"
}

small_disk() { # SIZE
	[ "$(id -u)" = 0 ] || skip "mounting needs root"
	mkdir "$T/small"
	mount -t tmpfs -o "size=$1" none "$T/small"
}

@test "more suspects than may stand aside, whose bytes come once and not again, end the run" {
	start_immichd
	photos "$T/lib" 80
	mischief 'POST /api/assets: lost-answer name=*'
	ur import --json --answer-wait 200ms --tries 1 --server-wait 5s "$T/lib"
	mischief
	ur import --json "$T/lib"
	ledger "UPDATE file SET doubt = '7200000000000 1 an-earlier-boot'"
	local rules=() id
	for id in $(sql 'SELECT id FROM assets LIMIT 60'); do
		rules+=("GET /api/assets/$id/original: status=500 after=1")
	done
	mischief "${rules[@]}"
	UR_LIMIT=90 ur import --json --after delete "$T/lib"
	equals "$CODE" 1
	equals "$(files_in "$T/lib")" "${#rules[@]}"
	equals "$(find "$T/lib" -name .uringest | wc -l)" 0
	has "$OUT" "while it stood aside"
}

@test "a row of our own 201 is not about another file that has its name and bytes now" {
	[ "$(id -u)" = 0 ] || skip "mounting needs root"
	start_immichd
	photo "$T/share/p1.jpg"
	photo "$T/share/p2.jpg"
	import_json "$T/share"
	# The server's storage has moved to where names are the original ones; we see it at the old place.
	mkdir "$T/store"
	local name
	for name in p1 p2; do
		mv "$DATA/upload/$(sql "SELECT path FROM assets WHERE name = '$name.jpg'")" "$T/store/$name.jpg"
		ln -s "$T/store/$name.jpg" "$DATA/upload/$(sql "SELECT path FROM assets WHERE name = '$name.jpg'")"
	done
	rm "$T/share/"*
	mount --bind "$T/store" "$T/share"
	ur import --json --after delete "$T/share"
	equals "$CODE" 1
	equals "$(files_in "$T/store")" 2
	all_originals_come
}

@test "a disk that becomes full in the middle of a group tears none" {
	small_disk 256k
	start_immichd
	live "$T/lib"
	# Room for one of the two, and not for both.
	head -c $((256 * 1024 - $(stat -c %s "$T/lib/IMG_7.JPG") - 24 * 1024)) /dev/zero >"$T/small/filler"
	ur import --json --after "move=$T/small" "$T/lib"
	equals "$(find "$T/lib" -type f | wc -l)" 2
	equals "$(find "$T/small" -name 'IMG*' | wc -l)" 0
	rm "$T/small/filler"
	import_json --after "move=$T/small" "$T/lib"
	equals "$(find "$T/small" -name 'IMG*' | wc -l)" 2
	equals "$(files_in "$T/lib")" 0
}

@test "who begins to write to one member while its group stands aside keeps all of it" {
	start_immichd
	photo "$T/first/p.jpg"
	import_json "$T/first"
	mkdir "$T/lib" "$T/elsewhere"
	cp "$T/first/p.jpg" "$T/lib/"
	xmp "$T/lib/p.jpg.xmp"
	ln "$T/lib/p.jpg.xmp" "$T/elsewhere/link.xmp"
	mkdir "$T/done"
	LEDGER=$T/ledger/second.db
	import_json "$T/lib"
	mischief 'GET /api/assets/*/original: latency=2000 after=1'
	"$URINGEST" import --server "$URL" --ledger "$LEDGER" --after "move=$T/done" "$T/lib" \
		>"$T/out" 2>"$T/err" 3>&- &
	local run=$!
	PIDS+=("$run")
	aside() { ls "$T/lib/.uringest/"*xmp; }
	wait_for 20 aside >"$T/seen"
	# The lease keeps the writer waiting until all is back, or gone.
	(exec 8>>"$T/elsewhere/link.xmp" && wait_for 10 gone "$run") 3>&- &
	PIDS+=("$!")
	wait "$run" || true
	local here there
	here=$(find "$T/lib" -name 'p.jpg*' | wc -l) there=$(find "$T/done" -name 'p.jpg*' | wc -l)
	[ "$here" = 0 ] || [ "$there" = 0 ] || { echo "$here here, $there there" && return 1; }
}

@test "a pipe where a moved file would go is not waited for" {
	small_disk 4m
	start_immichd
	photo "$T/lib/p.jpg"
	mkfifo "$T/small/p.jpg"
	UR_LIMIT=20 import_json --after "move=$T/small" "$T/lib"
	[ -p "$T/small/p.jpg" ] && [ -f "$T/small/p (2).jpg" ]
}

@test "a page in place of a picture's bytes does not take its sidecar along" {
	start_immichd
	photo "$T/lib/p.jpg"
	xmp "$T/lib/p.jpg.xmp"
	import_json "$T/lib"
	mv "$T/lib/p.jpg" "$T/"
	mischief 'GET /api/assets/*/original: status=200 html'
	ur import --json --after delete "$T/lib"
	equals "$CODE" 1
	[ -e "$T/lib/p.jpg.xmp" ]
}

@test "more files of one name than are looked at together stay, all of them" {
	start_immichd
	local ending
	for ending in jpg jpG jPg jPG Jpg JpG JPg JPG jpeg jpeG jpEg jpEG jPeg jPeG jPEg jPEG; do
		photo "$T/lib/a.$ending"
	done
	xmp "$T/lib/a.xmp"
	ur import --json --after delete "$T/lib"
	equals "$CODE" 1
	equals "$(files_in "$T/lib")" 17
	has "$OUT" "more files of this name than can be told apart"
}

@test "an asset that came in place of the one we knew is as young as it is" {
	start_immichd
	photo "$T/lib/a.jpg"
	upload_as_somebody_else "$T/lib/a.jpg"
	import_json --after delete --settle-after 1h "$T/lib"
	ledger "UPDATE file SET there = '3600000000000 1 an-earlier-boot'"
	delete_all_there
	upload_as_somebody_else "$T/lib/a.jpg"
	ur retry "$T/lib/a.jpg"
	ur import --json --after delete --settle-after 1h "$T/lib"
	[ -e "$T/lib/a.jpg" ]
}

@test "a suspect whose bytes come waits for settle_after like everybody else" {
	start_immichd
	photo "$T/lib/a.jpg"
	mischief 'POST /api/assets: lost-answer name=*'
	ur import --json --answer-wait 200ms --tries 1 "$T/lib"
	mischief
	ledger "UPDATE file SET doubt = '7200000000000 1 an-earlier-boot', there = ''"
	sql "UPDATE assets SET created = $(date +%s) * 1000000"
	import_json --after delete --settle-after 1h "$T/lib"
	[ -e "$T/lib/a.jpg" ]
	ledger "UPDATE file SET there = '3600000000000 1 an-earlier-boot'"
	import_json --after delete --settle-after 1h "$T/lib"
	[ ! -e "$T/lib/a.jpg" ]
}

@test "a sidecar stays that travelled with another asset than the one that is there now" {
	start_immichd
	photo "$T/lib/a.jpg"
	xmp "$T/lib/a.jpg.xmp"
	import_json "$T/lib"
	delete_all_there
	photo "$T/lib/a.jpg" # edited since, and sent by somebody else without its sidecar
	upload_as_somebody_else "$T/lib/a.jpg"
	import_json --after delete "$T/lib"
	[ -e "$T/lib/a.jpg.xmp" ]
}

@test "what lies beside a file that is named alone, and may belong to it, keeps it here" {
	start_immichd
	live "$T/lib"
	photo "$T/lib/p.jpg"
	xmp "$T/lib/p.jpg.xmp"
	photo "$T/lib/alone.jpg"
	printf '%s\n' "$T/lib/IMG_7.JPG" "$T/lib/p.jpg" "$T/lib/alone.jpg" >"$T/list"
	ur import --json --after delete --files-from "$T/list"
	equals "$CODE" 1
	equals "$(cd "$T/lib" && printf '%s ' *)" "IMG_7.JPG IMG_7.MOV p.jpg p.jpg.xmp "
	has "$(of p.jpg)" "'p.jpg.xmp' lies beside it"
	printf '%s\n' "$T/lib/IMG_7.JPG" "$T/lib/IMG_7.MOV" "$T/lib/p.jpg" "$T/lib/p.jpg.xmp" >"$T/list"
	ur import --json --after delete --files-from "$T/list"
	[ ! -e "$T/lib/IMG_7.JPG" ] && [ ! -e "$T/lib/IMG_7.MOV" ]
}

@test "what stands in a staging folder of another user of this ledger is not called removed" {
	[ "$(id -u)" = 0 ] || skip "needs root, to be two users"
	can_be_nobody || skip "no setpriv to become somebody else"
	[ -x "${URINGEST%/*}/uringest-faulty" ] || skip "uringest-faulty is not built"
	start_immichd
	photo "$T/lib/p.jpg"
	chown -R 65534:65534 "$T/lib" "$T/ledger"
	UR_FAULT_BEHIND=stage:1 setpriv --reuid 65534 --regid 65534 --clear-groups \
		"${URINGEST%/*}/uringest-faulty" import --server "$URL" --ledger "$LEDGER" --after delete \
		"$T/lib" >"$T/out" 2>"$T/err" 3>&- || equals $? 99
	[ -n "$(find "$T/lib/.uringest" -type f)" ]
	ur import --json --after delete "$T/lib"
	ur explain "$T/lib/p.jpg"
	lacks "$OUT" "removed before the run was interrupted"
	[ -n "$(find "$T/lib/.uringest" -type f)" ]
}

@test "where a stranger answers one question after the other, the rest is not asked" {
	start_immichd
	photos "$T/lib" 60
	import_json "$T/lib"
	mischief 'GET /api/assets/: status=404 html'
	ur import --json --after delete --concurrency 1 "$T/lib"
	equals "$CODE" 1
	fields kept=60
	has "$ERR" "something before the server answers in its place"
	at_most "$(field requests)" 150
	equals "$(files_in "$T/lib")" 60
}
