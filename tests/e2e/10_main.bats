#!/usr/bin/env bats
# The main job: a folder into a server behind nginx, complete, once, and quietly the second time.
# shellcheck disable=SC2034 # read by lib.bash
load lib

setup() { begin; }
teardown() { finish; }

UR_COUNT=${UR_COUNT:-1500}

make_library() {
	mklib "$T/lib" --count "$UR_COUNT" --size 4K --per-dir 60 --sidecars 15 --live 15 \
		--duplicates 4 --junk --list "$T/list"
	grep -v '^junk' "$T/list" >"$T/wanted"
}

import_library_as() { # API
	start_immichd --api "$1"
	start_nginx
	make_library
	UR_LIMIT=$((60 + UR_COUNT / 10))
	local files bytes media
	files=$(wc -l <"$T/wanted")
	bytes=$(awk -F'\t' '{ s += $2 } END { print s }' "$T/wanted")
	media=$(grep -c -vE '^(sidecar|duplicate)' "$T/wanted")

	ur plan --json "$T/lib"
	equals "$CODE" 0
	sum_law "$files" "$bytes"
	cp "$T/out" "$T/plan"
	equals "$(server_count)" 0 "plan sends nothing"

	import_json "$T/lib"
	sum_law "$files" "$bytes"
	fields failed=0 waiting=0 refused=0
	compare_all
	equals "$(server_count)" "$media"
	same_decisions "$T/lib" "$T/plan" "$T/out"
	compare_sidecars
	[ "$(wc -l <"$T/sidecars-sent")" -gt 0 ]
	# Each live movie is hidden behind its still.
	equals "$(sql 'SELECT count(*) FROM assets WHERE live_video IS NOT NULL')" \
		"$(grep -c '^live-movie' "$T/wanted")" "live photos"
}

@test "a library of every kind arrives whole through nginx on a server of version 2" {
	import_library_as 2
}

@test "a library of every kind arrives whole through nginx on a server of version 3" {
	import_library_as 3
}

@test "a second run sends nothing, hashes nothing and uploads nothing" {
	start_immichd
	start_nginx
	mklib "$T/lib" --count 300 --size 4K --per-dir 40 --sidecars 15 --live 15 --duplicates 5
	import_json "$T/lib"
	local found
	found=$(field found)
	control POST /_immichd/reset-stats

	import_json "$T/lib"
	sum_law "$found"
	fields sent=0 failed=0 refused=0 waiting=0 bytes_sent=0 bytes_hashed=0
	equals "$(uploads)" 0 "upload requests"
	equals "$(stats '[.endpoints | to_entries[] | select(.value > 0 and (.key | test("bulk-upload-check")))] | length')" 0 "questions by checksum"
}

@test "after ten files were touched, ten files are hashed and nothing is sent" {
	start_immichd
	mklib "$T/lib" --count 200 --size 4K --per-dir 40 --kinds jpeg,heic,mp4
	import_json "$T/lib"
	local ten=() bytes=0 file
	while IFS= read -r -d '' file; do
		ten+=("$file")
		bytes=$((bytes + $(stat -c %s "$file")))
	done < <(find "$T/lib" -type f -print0 | sort -z | head -z -n 10)
	touch -d '2020-02-02 02:02:02' "${ten[@]}"

	import_json "$T/lib"
	sum_law
	fields sent=0 present=200 bytes_sent=0 "bytes_hashed=$bytes"
	import_json "$T/lib"
	fields sent=0 bytes_hashed=0
}

@test "files that were added later are the only ones that are sent" {
	start_immichd
	photos "$T/lib" 50
	import_json "$T/lib"
	photos "$T/lib/later" 7 --seed 77
	import_json "$T/lib"
	sum_law 57
	fields sent=7 present=50
	compare_all
}

@test "another folder and another ledger send nothing that the server has" {
	start_immichd
	photos "$T/lib" 40
	import_json "$T/lib"
	cp -r "$T/lib" "$T/copy"
	control POST /_immichd/reset-stats
	LEDGER=$T/other.db
	import_json "$T/copy"
	sum_law 40
	fields sent=0 present=40 bytes_sent=0
	equals "$(uploads)" 0
}

@test "a file of several hundred megabytes arrives whole, and its bytes travel once" {
	start_immichd
	start_nginx
	mklib "$T/lib" --count 0 --big film.mp4:300M:sparse
	import_json "$T/lib"
	fields sent=1 bytes_hashed=$((300 << 20))
	[ "$(field bytes_sent)" -ge $((300 << 20)) ] && [ "$(field bytes_sent)" -lt $((301 << 20)) ]
	compare_all
}

@test "real photos arrive whole and keep their names" {
	[ -n "${UR_MEDIA-}" ] || skip "UR_MEDIA names no folder of real photos"
	[ -d "$UR_MEDIA" ] || skip "the folder that UR_MEDIA names is not there"
	start_immichd
	start_nginx
	ur plan --json "$UR_MEDIA"
	equals "$CODE" 0
	cp "$T/out" "$T/plan"
	import_json "$UR_MEDIA"
	sum_law "$(find "$UR_MEDIA" -type f ! -name '.*' | wc -l)"
	fields failed=0 waiting=0
	same_decisions "$UR_MEDIA" "$T/plan" "$T/out"
	compare_all
	events 'select(.outcome == "sent" and (.path | ascii_downcase | endswith(".xmp") | not)) | .path' |
		sed 's,.*/,,' | sort -u >"$T/names"
	server_names | sort -u | diff "$T/names" -
	import_json "$UR_MEDIA"
	fields sent=0 bytes_hashed=0
}
