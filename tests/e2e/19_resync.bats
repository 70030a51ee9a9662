#!/usr/bin/env bats
# The quiet run: what is known is only counted (without --json nobody asks for its lines), whatever
# else happens in its folders is noticed, and the server is asked no more than is needed.
# shellcheck disable=SC2034 # read by lib.bash
load lib

setup() { begin; }
teardown() { finish; }

# counted WORD: the number behind it in the summary for people.
counted() { sed -n "s/^  $1 *\([0-9]*\).*/\1/p" "$T/out"; }
found() { sed -n 's/^\([0-9]*\) files found.*/\1/p' "$T/out"; }
requests() { stats '[.endpoints | to_entries[] | select(.key | test("/api/")) | .value] | add'; }

# resync: an import for people, which must end with 0 and hash nothing.
resync() {
	ur import "$@" "$T/lib"
	equals "$CODE" 0 "exit code of import"
}

# What the folders' seals hold, in files.
sealed() { ledger 'SELECT coalesce(sum(length(marks)), 0) / 16 FROM seal WHERE fresh'; }

@test "what is known is counted as before, from seals that hold all of it" {
	start_immichd
	mklib "$T/lib" --count 300 --size 4K --per-dir 40 --sidecars 15 --live 15 --duplicates 5
	echo 'no picture' >"$T/lib/notes.txt"
	import_json "$T/lib"
	local files bytes
	files=$(field found)
	bytes=$(field bytes_found)
	equals "$(field refused)" 1
	resync
	equals "$(found)" "$files"
	equals "$(sealed)" "$files"
	resync
	equals "$(found)" "$files"
	equals "$(counted 'there already')" $((files - 1))
	equals "$(counted refused)" 1
	has "$OUT" "notes.txt"
	has "$OUT" "read and hashed: 0 B"
	import_json "$T/lib"
	sum_law "$files" "$bytes"
}

@test "whatever happens to one file of a sealed folder is noticed" {
	start_immichd
	photos "$T/lib" 60
	import_json "$T/lib"
	resync
	equals "$(counted 'there already')" 60
	local file
	file=$(find "$T/lib" -type f | sort | head -n 1)

	touch -d '2020-02-02 02:02:02' "$file"
	resync
	lacks "$OUT" "read and hashed: 0 B"
	equals "$(counted 'there already')" 60
	resync
	has "$OUT" "read and hashed: 0 B"

	photo "$T/other.jpg" 4711
	cp "$T/other.jpg" "$file"
	resync
	equals "$(counted sent)" 1
	equals "$(counted 'there already')" 59

	mv "$file" "${file%.*}-renamed.jpg"
	resync
	equals "$(counted sent)" 0
	equals "$(found)" 60
	lacks "$OUT" "read and hashed: 0 B"

	rm "${file%.*}-renamed.jpg"
	resync
	equals "$(found)" 59
	resync --exclude "$(basename "$(find "$T/lib" -type f | sort | head -n 1)")"
	equals "$(found)" 58
	compare_stored
}

@test "a new member of a known group takes the others along" {
	start_immichd
	photo "$T/lib/a/one.jpg"
	photo "$T/lib/a/two.jpg"
	import_json "$T/lib"
	resync
	equals "$(counted 'there already')" 2
	xmp "$T/lib/a/one.jpg.xmp"
	resync
	equals "$(found)" 3
	equals "$(counted 'there already')" 3
	equals "$(ledger 'SELECT count(*) FROM file WHERE state=10')" 3
}

@test "a run that removes looks at every row, seals or not" {
	start_immichd
	photos "$T/lib" 30
	import_json "$T/lib"
	resync
	equals "$(sealed)" 30
	resync --after delete
	equals "$(files_in "$T/lib")" 0
	equals "$(server_count)" 30
}

@test "what verify finds gone is not counted as there any more" {
	start_immichd
	photos "$T/lib" 8
	import_json "$T/lib"
	resync
	sql 'DELETE FROM assets WHERE rowid IN (SELECT rowid FROM assets LIMIT 1)'
	ur verify
	equals "$CODE" 1
	resync
	equals "$(counted 'there already')" 7
	equals "$(counted refused)" 1
}

@test "a quiet run asks the server one question, one with news two" {
	start_immichd
	photos "$T/lib" 20
	import_json "$T/lib"
	control POST /_immichd/reset-stats >/dev/null
	resync
	equals "$(requests)" 1
	photos "$T/lib/later" 3 --seed 77
	control POST /_immichd/reset-stats >/dev/null
	resync
	equals "$(counted sent)" 3
	equals "$(requests)" 5
	equals "$(grep -c "$KEY" "$LEDGER")" 0 "keys in the ledger"
	ledger "UPDATE answer SET asked_ns = asked_ns - 86400 * 1000000000"
	control POST /_immichd/reset-stats >/dev/null
	resync
	equals "$(requests)" 4 "questions after a day"
}

@test "a key that was given a permission, or lost one, is asked about" {
	start_immichd --limited key-of-ours:asset.read,user.read,apiKey.read,server.about
	photos "$T/lib" 4
	export IMMICH_API_KEY=key-of-ours
	ur import "$T/lib"
	equals "$CODE" 2
	has "$ERR" "asset.upload"
	stop_immichd
	start_immichd --limited \
		key-of-ours:asset.upload,asset.read,asset.update,tag.create,tag.asset,user.read,apiKey.read,server.about
	resync
	equals "$(counted sent)" 4
	stop_immichd
	start_immichd --limited key-of-ours:asset.read,user.read,apiKey.read,server.about
	photos "$T/lib/later" 3 --seed 77
	ur import "$T/lib"
	equals "$CODE" 2
	equals "$(ledger 'SELECT count(*) FROM answer')" 0
	ur import "$T/lib"
	equals "$CODE" 2
	has "$ERR" "give it the permission asset.upload"
}

@test "a server that became another version is noticed when it refuses what the old one wanted" {
	start_immichd --api 3
	photos "$T/lib" 4
	import_json "$T/lib"
	stop_immichd
	start_immichd --api 2
	photos "$T/lib/later" 3 --seed 77
	ur import "$T/lib"
	equals "$CODE" 1
	equals "$(counted failed)" 3
	resync
	equals "$(counted sent)" 3
	equals "$(server_count)" 7
}
