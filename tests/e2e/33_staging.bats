#!/usr/bin/env bats
# The staging folder: whose it is, what a run leaves in it, and how everything gets out again.
# shellcheck disable=SC2034,SC2030,SC2031 # read by lib.bash; each test is a shell of its own
load lib

setup() { begin; }
teardown() {
	local at
	for at in "$T/away" "$T/lib/card"; do
		! mountpoint -q "$at" 2>/dev/null || umount -l "$at" || true
	done
	finish
}

# kill_behind MARK:N ARGUMENT…: an import that ends at once behind the N-th such step.
kill_behind() {
	local mark=$1
	shift
	[ -x "$BIN/uringest-faulty" ] || skip "uringest-faulty is not built"
	CODE=0
	UR_FAULT_BEHIND=$mark timeout -k 5 60 "$BIN/uringest-faulty" import --server "$URL" \
		--ledger "$LEDGER" --threads 1 --concurrency 1 "$@" >"$T/out" 2>"$T/err" 3>&- || CODE=$?
	equals "$CODE" 99 "killed behind $mark"
}

staged_below() { find "$1" -path '*/.uringest/*' -type f | sort; }

second_disk() { # a file system of its own at $1
	[ "$(id -u)" = 0 ] || skip "needs root, to mount"
	mkdir -p "$1"
	mount -t tmpfs -o "${2:-size=50m}" tmpfs "$1" 2>/dev/null || skip "no tmpfs can be mounted here"
}

# --- whose it is ---------------------------------------------------------------------------------

@test "nothing is staged in a stranger's .uringest, which stays as it is, and the reason is said" {
	[ "$(id -u)" = 0 ] || skip "needs root, to be two users"
	start_immichd
	photo "$T/lib/sub/1.jpg"
	mkdir -m 777 "$T/lib/.uringest"
	echo theirs >"$T/lib/.uringest/1x1-a.jpg"
	chown -R 1001 "$T/lib/.uringest"
	ur import --json --after delete "$T/lib"
	equals "$CODE" 1
	fields sent=1
	[ -e "$T/lib/sub/1.jpg" ]
	has "$(of 1.jpg)" "'$T/lib/.uringest', which belongs to somebody else"
	has "$ERR" "$T/lib/.uringest: it belongs to somebody else"
	equals "$(cat "$T/lib/.uringest/1x1-a.jpg")" theirs
	equals "$(stat -c '%u %a' "$T/lib/.uringest")" "1001 777"
}

@test "one of our own that is open to others, a link and a file of that name are refused as well" {
	start_immichd
	photo "$T/lib/1.jpg"
	mkdir -m 777 "$T/lib/.uringest"
	ur import --json --after delete "$T/lib"
	equals "$CODE" 1
	has "$(of 1.jpg)" "is open to others"
	has "$(of 1.jpg)" "chmod 700"
	rmdir "$T/lib/.uringest"
	mkdir -m 700 "$T/elsewhere"
	ln -s "$T/elsewhere" "$T/lib/.uringest"
	ur import --json --after delete "$T/lib"
	equals "$CODE" 1
	has "$(of 1.jpg)" "is no folder"
	rm "$T/lib/.uringest"
	echo file >"$T/lib/.uringest"
	ur import --json --after delete "$T/lib"
	equals "$CODE" 1
	has "$(of 1.jpg)" "is no folder"
	equals "$(cat "$T/lib/.uringest")" file
	[ -e "$T/lib/1.jpg" ]
	rm "$T/lib/.uringest"
	import_json --after delete "$T/lib"
	[ ! -e "$T/lib/1.jpg" ]
	equals "$(find "$T/elsewhere" "$T/lib" -mindepth 1 | wc -l)" 0
}

@test "a name that was forged for a staging folder is neither put back nor removed" {
	start_immichd
	photo "$T/lib/1.jpg"
	kill_behind stage:1 --after delete "$T/lib"
	local real forged
	real=$(staged_below "$T/lib")
	forged=${real%1.jpg}2.jpg
	echo planted >"$forged"
	import_json --after delete "$T/lib"
	equals "$(staged_below "$T/lib")" "$forged"
	[ ! -e "$T/lib/2.jpg" ] && [ ! -e "$T/lib/1.jpg" ]
	has "$ERR" "another ledger has left, or nobody knows who"
	has "$ERR" "uringest recover '$T/lib'"
}

# --- what another run is at ----------------------------------------------------------------------

@test "what another ledger has left is named with what to do, and never touched" {
	start_immichd
	mkdir "$T/other"
	photo "$T/lib/1.jpg"
	photo "$T/lib/sub/3.jpg"
	LEDGER=$T/one.db
	kill_behind stage:1 --after delete "$T/lib/1.jpg"
	LEDGER=$T/two.db
	kill_behind stage:1 --after delete "$T/lib/sub/3.jpg"
	staged_below "$T/lib" >"$T/before"
	LEDGER=$T/ledger/ledger.db
	photo "$T/lib/2.jpg"
	import_json --after delete "$T/lib"
	fields found=1
	has "$ERR" "$T/lib/.uringest/: 1 files stand there ('1.jpg') that another ledger has left"
	has "$ERR" "$T/lib/sub/.uringest/: 1 files stand there ('3.jpg') that another ledger has left"
	has "$ERR" "uringest recover '$T/lib/sub'"
	staged_below "$T/lib" | diff "$T/before" -
	# A move into that folder makes no room either.
	photo "$T/in/4.jpg"
	import_json --after "move=$T/lib" "$T/in"
	staged_below "$T/lib" | diff "$T/before" -
	[ -e "$T/lib/4.jpg" ]
	LEDGER=$T/one.db
	import_json --after delete "$T/lib"
	equals "$(staged_below "$T/lib")" "$(grep /sub/ "$T/before")"
	LEDGER=$T/two.db
	import_json --after delete "$T/lib"
	equals "$(files_in "$T/lib")" 0
}

@test "two ledgers at one folder at the same time: each takes away its own, and nothing is lost" {
	start_immichd
	photos "$T/lib" 40 --per-dir 40
	local folder names half
	folder=$(dirname "$(find "$T/lib" -name '*.jp*g' -print -quit)")
	mapfile -t names < <(find "$folder" -type f | sort)
	half=$((${#names[@]} / 2))
	sums_below "$T/lib" -name '*.*' >"$T/before"
	local other
	timeout 60 "$URINGEST" import --server "$URL" --ledger "$T/other.db" --after delete \
		"${names[@]:0:half}" >"$T/other.out" 2>&1 3>&- &
	other=$!
	ur import --json --after delete "${names[@]:half}"
	equals "$CODE" 0
	wait "$other"
	equals "$(files_in "$T/lib")" 0
	equals "$(find "$T/lib" -name .uringest | wc -l)" 0
	compare_stored
	(cd "$DATA/upload" && sql 'SELECT path FROM assets' | tr '\n' '\0' | sums) | diff "$T/before" -
}

@test "recover leaves alone what a living run has staged, and says so" {
	start_immichd
	photo "$T/lib/1.jpg"
	kill_behind stage:1 --after delete "$T/lib"
	exec 7<"$T/lib/.uringest"
	flock -s 7
	CODE=0
	"$URINGEST" recover "$T/lib" >"$T/out" 2>"$T/err" || CODE=$?
	equals "$CODE" 1
	has "$(cat "$T/err")" "$T/lib/.uringest: it is in use by another run"
	[ -n "$(staged_below "$T/lib")" ]
	# Nor does a second run of the same ledger.
	ur import --json --after delete "$T/lib"
	has "$ERR" "cannot be looked at now"
	[ -n "$(staged_below "$T/lib")" ]
	exec 7<&-
	import_json --after delete "$T/lib"
	equals "$(find "$T/lib" -mindepth 1 | wc -l)" 0
}

@test "what stands in a staging folder is no source, by whatever way it is named" {
	start_immichd
	photo "$T/lib/1.jpg"
	LEDGER=$T/one.db kill_behind stage:1 --after delete "$T/lib"
	photo "$T/lib/2.jpg"
	staged_below "$T/lib" >"$T/before"
	find "$T/lib" -type f -print0 >"$T/list"
	import_json --after delete -0 --files-from "$T/list"
	fields found=1
	has "$ERR" "left out, it stands in a staging folder"
	ur import --json --after delete "$T/lib/.uringest"
	equals "$CODE" 2
	has "$ERR" "is a staging folder"
	staged_below "$T/lib" | diff "$T/before" -
}

# --- finding it again ----------------------------------------------------------------------------

@test "a folder that was renamed with a staged file in it: the file is found and goes its way" {
	start_immichd
	photo "$T/lib/holiday/1.jpg"
	kill_behind stage:1 --after delete "$T/lib/holiday/1.jpg"
	mv "$T/lib/holiday" "$T/lib/holiday 2026"
	ur import --json --after delete "$T/lib"
	equals "$CODE" 0
	has "$ERR" "put back after an interrupted run as '$T/lib/holiday 2026/1.jpg'"
	equals "$(files_in "$T/lib")" 0
	ur explain "$T/lib/holiday/1.jpg"
	has "$OUT" "holiday 2026/1.jpg"
}

@test "a root that was renamed, and one that went away: never called removed, exit 1 until it is known" {
	start_immichd
	photos "$T/lib" 4
	kill_behind stage:1 --after delete "$T/lib"
	local name
	name=$(basename "$(staged_below "$T/lib")" | sed 's/^[^-]*-//')
	mv "$T/lib" "$T/old lib"
	mkdir "$T/lib"
	ur import --json --suspect-wait 0 --after delete "$T/lib"
	equals "$CODE" 1
	at_least "$(field stranded)" 1
	has "$ERR" "its whereabouts are not known: it stood as '$T/lib/.uringest/"
	has "$ERR" "uringest recover FOLDER"
	ur explain "$(ledger "SELECT CAST(p.path AS TEXT) || '/' || CAST(f.name AS TEXT) FROM file f
		JOIN folder p ON p.id=f.folder WHERE staged<>'' AND f.name=CAST('$name' AS BLOB)")"
	has "$OUT" "its whereabouts are not known"
	lacks "$OUT" "it was delivered, confirmed and taken away"
	# It is said again in every run, and ends when the folder is a source again.
	ur import --json --after delete "$T/lib"
	equals "$CODE" 1
	ur import --json --suspect-wait 0 --after delete "$T/lib" "$T/old lib"
	equals "$CODE" 0
	has "$ERR" "put back after an interrupted run as '$T/old lib/$name'"
	ur import --json --suspect-wait 0 --after delete "$T/lib" "$T/old lib"
	equals "$CODE" 0
	equals "$(files_in "$T/old lib")" 0
	equals "$(ledger "SELECT count(*) FROM file WHERE staged<>''")" 0
	equals "$(server_count)" 4
	compare_stored
}

@test "an unlink that was not written down any more counts as one" {
	start_immichd
	photo "$T/lib/sub/1.jpg"
	photo "$T/lib/sub/2.jpg"
	kill_behind unlink:1 --after delete "$T/lib"
	import_json --suspect-wait 0 --after delete "$T/lib"
	import_json --suspect-wait 0 --after delete "$T/lib" # what was on its way when it was killed
	equals "$(files_in "$T/lib")" 0
	equals "$(ledger "SELECT count(*) FROM file WHERE staged<>''")" 0
	equals "$(ledger "SELECT reason FROM file WHERE reason<>''" | grep -c 'removed before the run was interrupted')" 1
}

@test "what a power cut brings back after its row was closed goes back to its folder, and its way again" {
	start_immichd
	photo "$T/lib/a/IMG.jpg"
	photo "$T/lib/b/IMG.jpg"
	xmp "$T/lib/a/IMG.jpg.xmp" mine
	sums_below "$T/lib" -name '*.jp*g' >"$T/before"
	kill_behind stage:1 --after delete "$T/lib"
	[ -n "$(staged_below "$T/lib")" ]
	# The ledger has it that the file is gone; the disk does not.
	ledger "UPDATE file SET state=12, settled_ns=1, staged='' WHERE staged<>''"
	rmdir "$T/lib/a" 2>/dev/null || true
	mkdir "$T/done"
	ur import --json --suspect-wait 0 --answer-wait 1s --after "move=$T/done" "$T/lib"
	import_json --suspect-wait 0 --after "move=$T/done" "$T/lib"
	equals "$(find "$T/lib" -mindepth 1 | wc -l)" 0
	equals "$(cd "$T/done" && find . -type f | sort | tr '\n' ' ')" "./a/IMG.jpg ./a/IMG.jpg.xmp ./b/IMG.jpg "
	sums_below "$T/done" -name '*.jpg' | diff "$T/before" -
}

@test "a disk that is away says nothing about its files, and later they are found" {
	second_disk "$T/lib/card"
	start_immichd
	photo "$T/lib/card/1.jpg"
	kill_behind stage:1 --after delete "$T/lib"
	mkdir "$T/away"
	mount --move "$T/lib/card" "$T/away" 2>/dev/null || mount --bind "$T/lib/card" "$T/away"
	! mountpoint -q "$T/lib/card" || umount "$T/lib/card"
	ur import --json --after delete "$T/lib"
	equals "$CODE" 0
	has "$ERR" "cannot be looked at now"
	equals "$(ledger "SELECT count(*) FROM file WHERE staged<>''")" 1
	mount --bind "$T/away" "$T/lib/card"
	import_json --after delete "$T/lib"
	equals "$(files_in "$T/lib/card")" 0
	equals "$(ledger "SELECT count(*) FROM file WHERE staged<>''")" 0
}

@test "a file whose folder is gone when it should go back is put beside the staging folder, and that is said" {
	second_disk "$T/away" size=1m
	start_immichd
	PHOTO_KIND=mp4 PHOTO_SIZE=3M photo "$T/lib/holiday/film.mp4"
	(
		until [ -e "$T/stop" ] || rmdir "$T/lib/holiday" 2>/dev/null; do :; done
	) 3>&- &
	PIDS+=("$!")
	ur import --json --after "move=$T/away" "$T/lib"
	touch "$T/stop"
	[ -e "$T/lib/film.mp4" ] || [ -e "$T/lib/holiday/film.mp4" ]
	equals "$(staged_below "$T/lib")" ""
	if [ -e "$T/lib/film.mp4" ]; then
		ur explain "$T/lib/holiday/film.mp4"
		has "$OUT" "its folder is gone, so it was put back as '$T/lib/film.mp4'"
	fi
	equals "$(find "$T/away" -mindepth 1 -type f | wc -l)" 0
}

@test "an empty staging folder that somebody removes meanwhile is made again" {
	start_immichd
	photos "$T/lib" 30
	(
		until [ -e "$T/stop" ]; do rmdir "$T/lib/.uringest" 2>/dev/null; done
	) 3>&- &
	PIDS+=("$!")
	import_json --after delete "$T/lib"
	touch "$T/stop"
	wait "${PIDS[-1]}" || true
	fields sent=30
	equals "$(files_in "$T/lib")" 0
}

# --- moving --------------------------------------------------------------------------------------

@test "a copy that reads back wrong is never published, and its source stays" {
	second_disk "$T/away"
	[ -x "$BIN/uringest-faulty" ] || skip "uringest-faulty is not built"
	start_immichd
	PHOTO_KIND=mp4 PHOTO_SIZE=3M photo "$T/lib/film.mp4"
	photo "$T/lib/1.jpg"
	sums_below "$T/lib" -name '*.*' >"$T/before"
	import_json "$T/lib"
	local n
	for n in 2 3 5; do # the first write is to LEDGER-wire
		UR_FAULT_SPOIL=$n "$BIN/uringest-faulty" import --json --server "$URL" --ledger "$LEDGER" \
			--threads 1 --after "move=$T/away" "$T/lib" >"$T/out" 2>"$T/err" || equals $? 1
		{ sums_below "$T/lib" -name '*.*' && sums_below "$T/away" -name '*.*'; } | sort |
			diff "$T/before" -
		equals "$(find "$T/away" "$T/lib" -name .uringest | wc -l)" 0
		cat "$T/out" >>"$T/all"
	done
	has "$(cat "$T/all")" "the copy that was made of it read back wrong"
	import_json --after "move=$T/away" "$T/lib"
	sums_below "$T/away" -name '*.*' | diff "$T/before" -
}

@test "a move to another file system keeps owner, mode, attributes and access lists" {
	second_disk "$T/away"
	start_immichd
	photo "$T/lib/sub/1.jpg"
	chown 1000:1001 "$T/lib/sub/1.jpg"
	chmod 640 "$T/lib/sub/1.jpg"
	touch -d '2011-11-11 11:11:11.123456789' "$T/lib/sub/1.jpg"
	setfacl -m u:1002:r "$T/lib/sub/1.jpg" || skip "no access lists on this file system"
	python3 -c 'import os,sys; os.setxattr(sys.argv[1], "trusted.note", b"\0 kept \xff")' "$T/lib/sub/1.jpg" ||
		skip "no extended attributes on this file system"
	getfacl -cn "$T/lib/sub/1.jpg" >"$T/acl" 2>/dev/null
	stat -c '%u %g %a %y' "$T/lib/sub/1.jpg" >"$T/facts"
	import_json --after "move=$T/away" "$T/lib"
	[ -e "$T/away/sub/1.jpg" ]
	getfacl -cn "$T/away/sub/1.jpg" 2>/dev/null | diff "$T/acl" -
	stat -c '%u %g %a %y' "$T/away/sub/1.jpg" | diff "$T/facts" -
	equals "$(python3 -c 'import os,sys; print(os.getxattr(sys.argv[1], "trusted.note"))' "$T/away/sub/1.jpg")" \
		"b'\\x00 kept \\xff'"
	lacks "$ERR" "without some extended attributes"
}

@test "what a move cannot keep is said once: further names, attributes, owners" {
	second_disk "$T/away"
	start_immichd
	mkdir "$T/backup" "$T/done"
	photo "$T/lib/1.jpg"
	photo "$T/lib/2.jpg"
	photo "$T/lib/3.jpg"
	ln "$T/lib/1.jpg" "$T/backup/1.jpg"
	ln "$T/lib/2.jpg" "$T/backup/2.jpg"
	import_json --after "move=$T/away" "$T/lib"
	has "$ERR" "$T/away: 2 files that were moved there have further names (hard links); those stay"
	equals "$(grep -c 'further names' "$T/err")" 1
	[ -e "$T/backup/1.jpg" ]
	# Within one file system a name is all that changes.
	import_json --after "move=$T/done" "$T/backup"
	lacks "$ERR" "further names"
	ln "$T/done/1.jpg" "$T/lib/again.jpg"
	import_json --after "move=$T/backup" "$T/lib"
	equals "$(stat -c %h "$T/backup/again.jpg")" 2
	equals "$(stat -c %i "$T/backup/again.jpg")" "$(stat -c %i "$T/done/1.jpg")"
}

@test "half a copy that a killed move left goes only when its original has been found" {
	second_disk "$T/away"
	start_immichd
	PHOTO_KIND=mp4 PHOTO_SIZE=3M photo "$T/lib/film.mp4"
	# Of six writes the first four are to LEDGER-wire.
	kill_behind pwrite:6 --after "move=$T/away" "$T/lib"
	equals "$(staged_below "$T/away" | wc -l)" 1
	# The rows are lost: nobody can say whether that is the only copy.
	cp -a "$T/ledger" "$T/kept"
	ledger 'DELETE FROM file'
	ur import --json --after "move=$T/away" "$T/nothing" || true
	mkdir "$T/empty"
	ur import --json --after "move=$T/away" "$T/empty"
	equals "$(staged_below "$T/away" | wc -l)" 1
	has "$ERR" "not provably copies of this ledger's"
	"$URINGEST" recover "$T/away" >"$T/out"
	has "$(cat "$T/out")" "its original was not removed"
	equals "$(staged_below "$T/away" | wc -l)" 1
	rm -rf "$T/ledger" && mv "$T/kept" "$T/ledger"
	import_json --after "move=$T/away" "$T/lib"
	equals "$(find "$T/away" -mindepth 1 -printf '%f ')" "film.mp4 "
	equals "$(find "$T/lib" -mindepth 1 | wc -l)" 0
}

# --- without a ledger ----------------------------------------------------------------------------

@test "recover puts everything back without a ledger, beside names that are taken, and lists first" {
	local long
	start_immichd
	long=$(printf 'long%.0s' {1..60}).jpg
	photo "$T/lib/1.jpg"
	photo "$T/lib/deep/er/2-two.jpg"
	photo "$T/lib/deep/$long"
	LEDGER=$T/ledger/one.db kill_behind stage:1 --after delete "$T/lib/1.jpg"
	LEDGER=$T/ledger/two.db kill_behind stage:1 --after delete "$T/lib/deep/er/2-two.jpg"
	LEDGER=$T/ledger/three.db kill_behind stage:1 --after delete "$T/lib/deep/$long"
	rm -rf "$T/ledger"
	photo "$T/lib/1.jpg"
	cp "$T/lib/1.jpg" "$T/new"
	staged_below "$T/lib" >"$T/before"
	"$URINGEST" recover --dry-run "$T/lib" >"$T/out" 2>"$T/err"
	equals "$(grep -c '^staged ' "$T/out")" 3
	staged_below "$T/lib" | diff "$T/before" -
	"$URINGEST" recover --json "$T/lib" >"$T/out" 2>"$T/err"
	equals "$(jq -r 'select(.outcome == "put back") | .path' "$T/out" | wc -l)" 3
	equals "$(staged_below "$T/lib")" ""
	equals "$(find "$T/lib" -name .uringest | wc -l)" 0
	cmp "$T/lib/1.jpg" "$T/new"
	[ -e "$T/lib/1 (2).jpg" ] && [ -e "$T/lib/deep/er/2-two.jpg" ]
	find "$T/lib/deep" -maxdepth 1 -name '*longlong.jpg' | grep -q .
	"$URINGEST" recover "$T/lib" >"$T/out" 2>"$T/err"
	equals "$(cat "$T/out")" ""
}

@test "recover refuses the folders of others, takes a staging folder by its own name, and wants a folder" {
	[ "$(id -u)" = 0 ] || skip "needs root, to be two users"
	mkdir -p "$T/lib/a/.uringest" "$T/lib/b/.uringest"
	chmod 700 "$T/lib/a/.uringest" "$T/lib/b/.uringest"
	echo 1 >"$T/lib/a/.uringest/1x1-old version.jpg"
	echo 2 >"$T/lib/b/.uringest/1x1-theirs.jpg"
	chown -R 1001 "$T/lib/b/.uringest"
	CODE=0
	"$URINGEST" recover "$T/lib" >"$T/out" 2>"$T/err" || CODE=$?
	equals "$CODE" 1
	has "$(cat "$T/err")" "$T/lib/b/.uringest: it belongs to somebody else"
	equals "$(cat "$T/lib/a/old version.jpg")" 1
	equals "$(cat "$T/lib/b/.uringest/1x1-theirs.jpg")" 2
	mkdir -m 700 "$T/lib/a/.uringest"
	echo 3 >"$T/lib/a/.uringest/1x2-x.jpg"
	"$URINGEST" recover "$T/lib/a/.uringest" >"$T/out" 2>"$T/err"
	equals "$(cat "$T/lib/a/x.jpg")" 3
	CODE=0
	"$URINGEST" recover >"$T/out" 2>"$T/err" || CODE=$?
	equals "$CODE" 2
	CODE=0
	"$URINGEST" recover "$T/nowhere" >"$T/out" 2>"$T/err" || CODE=$?
	equals "$CODE" 2
	has "$(cat "$T/err")" "nowhere"
}

# --- gone here and there ---

@test "what was taken away here and is gone from the server is called lost, and no run is promised" {
	start_immichd
	photo "$T/lib/away.jpg"
	photo "$T/lib/kept.jpg"
	photo "$T/lib/twice.jpg"
	cp "$T/lib/twice.jpg" "$T/copy.jpg"
	import_json --after delete "$T/lib/away.jpg" "$T/lib/twice.jpg"
	mv "$T/copy.jpg" "$T/lib/copy of twice.jpg"
	import_json "$T/lib"
	equals "$(files_in "$T/lib")" 2
	control DELETE /api/assets "{\"force\":true,\"ids\":$(sql 'SELECT id FROM assets' | jq -Rsc 'split("\n") | map(select(. != ""))')}"
	none_left() { [ "$(sql 'SELECT count(*) FROM assets')" = 0 ]; }
	wait_for 10 none_left
	local how
	for how in "" --resend-missing --resend-missing; do
		# shellcheck disable=SC2086 # an option or none
		ur verify $how
		equals "$CODE" 1 "verify $how"
		equals "$(grep -c '^lost ' "$T/out")" 1
		has "$OUT" "1 of them were taken away here: nothing can be sent again"
	done
	ur explain "$T/lib/away.jpg"
	has "$OUT" "nothing is left here that could be sent again"
	import_json "$T/lib"
	fields sent=2
	ur verify
	equals "$CODE" 1
	has "$OUT" "2 there"
	equals "$(grep -c '^lost ' "$T/out")" 1
}

# --- the ledger ----------------------------------------------------------------------------------

@test "a ledger that is called by another name is the same ledger: 4, and nothing is put back" {
	start_immichd
	photos "$T/lib" 12
	photo "$T/in/1.jpg"
	mischief 'POST /api/assets: latency=300 name=*'
	"$URINGEST" import --server "$URL" --ledger "$LEDGER" --after delete -j 2 "$T/lib" \
		>"$T/first" 2>&1 3>&- &
	local first=$!
	PIDS+=("$first")
	uploading() { [ "$(uploads)" -gt 0 ]; }
	wait_for 10 uploading
	ln -s "$LEDGER" "$T/link.db"
	local ledger=$LEDGER
	LEDGER=$T/link.db
	ur import --json --after delete "$T/in"
	equals "$CODE" 4
	has "$ERR" "in use by another run"
	LEDGER=$ledger
	wait "$first"
	equals "$(files_in "$T/lib")" 0
	ln "$LEDGER" "$T/ledger/hard.db"
	ur import --json "$T/in"
	equals "$CODE" 2
	has "$ERR" "hard links"
	[ -e "$T/in/1.jpg" ]
}
