#!/usr/bin/env bats
# What is taken away, and above all what is not.
# shellcheck disable=SC2034,SC2030,SC2031 # read by lib.bash; each test is a shell of its own
load lib

setup() { begin; }
teardown() { finish; }

# doubted_for SECONDS NAME: the ledger has had the file in doubt for so long, by the boot clock.
doubted_for() {
	ledger "UPDATE file SET doubt = '${1}000000000 1 an-earlier-boot' WHERE name = CAST('$2' AS BLOB)"
}

# Nothing of ours is left in the tree.
no_leftovers() { equals "$(find "$1" -name .uringest | wc -l)" 0 "staging folders left"; }

@test "--after delete removes what is confirmed, and nothing else" {
	start_immichd
	photos "$T/lib" 20
	echo text >"$T/lib/notes.txt"
	photo "$T/lib/bad.jpg"
	mischief 'POST /api/assets: status=400 name=bad.jpg'
	sums_below "$T/lib" -name '*.*' >"$T/before"
	ur import --json --after delete "$T/lib"
	equals "$CODE" 1
	sum_law 22
	fields sent=20 refused=1 failed=1
	equals "$(events 'select(.state == "settled") | .path' | wc -l)" 20
	equals "$(find "$T/lib" -type f -printf '%f\n' | sort | tr '\n' ' ')" "bad.jpg notes.txt "
	no_leftovers "$T/lib"
	compare_stored
	equals "$(server_count)" 20
	[ "$(stats '[.endpoints | to_entries[] | select(.key | test("original"))] | map(.value) | add')" -ge 20 ]
}

@test "emptied folders go, the root stays, and a folder that still holds something stays" {
	start_immichd
	photo "$T/lib/a/b/c/1.jpg"
	photo "$T/lib/d/2.jpg"
	photo "$T/lib/e/3.jpg"
	photo "$T/lib/4.jpg"
	echo junk >"$T/lib/d/.DS_Store"
	mkdir "$T/lib/was empty" "$T/lib/e/was empty"
	import_json --after delete "$T/lib"
	fields sent=4
	equals "$(cd "$T/lib" && find . -mindepth 1 | sort | tr '\n' ' ')" \
		"./d ./d/.DS_Store ./e ./e/was empty ./was empty "
	import_json --after delete "$T/lib"
	fields found=0
	[ -d "$T/lib/was empty" ]
	rm -r "${T:?}/lib/"*
	photo "$T/lib/x/5.jpg"
	import_json --after delete "$T/lib"
	[ -d "$T/lib" ] && [ ! -e "$T/lib/x" ]
}

@test "a file named by itself is removed and its folder stays" {
	start_immichd
	photo "$T/lib/1.jpg"
	import_json --after delete "$T/lib/1.jpg"
	fields sent=1
	[ -d "$T/lib" ]
	equals "$(find "$T/lib" -mindepth 1 | wc -l)" 0
}

@test "what an earlier run delivered is removed later, without being sent again" {
	start_immichd
	photos "$T/lib" 12
	import_json "$T/lib"
	control POST /_immichd/reset-stats
	import_json --after delete "$T/lib"
	sum_law 12
	fields present=12 sent=0 bytes_sent=0
	equals "$(uploads)" 0
	equals "$(files_in "$T/lib")" 0
	equals "$(server_count)" 12
}

@test "what the server had already is hashed once more before it goes" {
	start_immichd
	photos "$T/lib" 5
	local bytes
	bytes=$(bytes_in "$T/lib")
	import_json "$T/lib"
	LEDGER=$T/other.db
	import_json --after delete "$T/lib"
	fields present=5 "bytes_hashed=$((2 * bytes))"
	equals "$(files_in "$T/lib")" 0
}

@test "move keeps relative paths, and a name that is taken is never overwritten" {
	start_immichd
	photo "$T/lib/a/b/1.jpg"
	photo "$T/lib/2.jpg"
	mkdir -p "$T/done/a/b"
	echo "somebody else's" >"$T/done/a/b/1.jpg"
	sums_below "$T/lib" -name '*.jpg' >"$T/before"
	touch -d '2011-11-11 11:11:11' "$T/lib/a/b/1.jpg"
	import_json --after "move=$T/done" "$T/lib"
	fields sent=2
	equals "$(cd "$T/done" && find . -type f | sort | tr '\n' ' ')" "./2.jpg ./a/b/1 (2).jpg ./a/b/1.jpg "
	equals "$(cat "$T/done/a/b/1.jpg")" "somebody else's"
	rm "$T/done/a/b/1.jpg"
	sums_below "$T/done" -name '*.jpg' | diff "$T/before" -
	equals "$(stat -c %y "$T/done/a/b/1 (2).jpg" | cut -c1-19)" "2011-11-11 11:11:11"
	equals "$(find "$T/lib" -mindepth 1 | wc -l)" 0
}

@test "move to another file system copies, and every byte and time arrives" {
	if [ ! -d /dev/shm ] || [ "$(stat -c %d /dev/shm)" = "$(stat -c %d "$T")" ]; then
		skip "no second file system here"
	fi
	ELSEWHERE=$(mktemp -d /dev/shm/ur-e2e.XXXXXX)
	start_immichd
	photos "$T/lib" 8 --per-dir 3
	photo "$T/lib/taken.jpg"
	PHOTO_KIND=mp4 PHOTO_SIZE=3M photo "$T/lib/large.mp4"
	echo mine >"$ELSEWHERE/taken.jpg"
	(cd "$T/lib" && find . -type f ! -name taken.jpg -printf '%P %s %t\n' | sort) >"$T/before"
	sums_below "$T/lib" -name '*.*' >"$T/sums"
	import_json --after "move=$ELSEWHERE" "$T/lib"
	fields sent=10
	equals "$(cat "$ELSEWHERE/taken.jpg")" mine
	rm "$ELSEWHERE/taken.jpg"
	sums_below "$ELSEWHERE" -name '*.*' | diff "$T/sums" -
	(cd "$ELSEWHERE" && find . -type f ! -name 'taken*' -printf '%P %s %t\n' | sort) | diff "$T/before" -
	[ -e "$ELSEWHERE/taken (2).jpg" ]
	equals "$(find "$T/lib" -mindepth 1 | wc -l)" 0
	no_leftovers "$ELSEWHERE"
}

@test "a move to a folder that is not there ends with 2 before anything is sent" {
	start_immichd
	photo "$T/lib/1.jpg"
	ur import --json --after "move=$T/nowhere" "$T/lib"
	equals "$CODE" 2
	has "$ERR" "nowhere"
	[ -e "$T/lib/1.jpg" ]
}

@test "a sidecar that travelled is deleted with its picture; beside a duplicate it stays" {
	start_immichd
	photo "$T/lib/sent.jpg"
	xmp "$T/lib/sent.jpg.xmp" one
	photo "$T/first/there.jpg"
	import_json "$T/first"
	mv "$T/first/there.jpg" "$T/lib/"
	xmp "$T/lib/there.xmp" two
	import_json --after delete "$T/lib"
	sum_law 4
	has "$(of sent.jpg.xmp)" "sent settled"
	has "$(of there.xmp)" "present delivered"
	equals "$(find "$T/lib" -type f -printf '%f ')" "there.xmp "
	equals "$(sql "SELECT description FROM assets WHERE name = 'there.jpg'")" two
	# And it stays, quietly, ever after.
	import_json --after delete "$T/lib"
	fields found=1 present=1 sent=0
	[ -e "$T/lib/there.xmp" ]
}

@test "a live photo goes as a whole: the still and its movie, each confirmed by itself" {
	start_immichd
	mklib "$T/lib" --count 6 --size 16K --live 100 --kinds heic
	equals "$(find "$T/lib" -iname '*.mov' | wc -l)" 6
	import_json --after delete "$T/lib"
	fields sent=12
	equals "$(files_in "$T/lib")" 0
	equals "$(sql 'SELECT count(*) FROM assets WHERE live_video IS NOT NULL')" 6
}

@test "a key that may not download imports and keeps, and says so" {
	start_immichd --limited key-of-ours:asset.upload,asset.read,user.read,apiKey.read,server.about
	photos "$T/lib" 4
	export IMMICH_API_KEY=key-of-ours
	import_json --after delete "$T/lib"
	fields sent=4
	equals "$(files_in "$T/lib")" 4
	has "$ERR" "asset.download"
	has "$ERR" "files are imported and kept"
}

@test "what was delivered for one user is not delivered for another on the same ledger" {
	start_immichd --user ann:key-of-ann --user bob:key-of-bob
	photos "$T/lib" 6
	IMMICH_API_KEY=key-of-ann import_json "$T/lib"
	fields sent=6
	IMMICH_API_KEY=key-of-bob import_json --after delete "$T/lib"
	fields sent=6 present=0
	equals "$(sql 'SELECT count(DISTINCT owner), count(*) FROM assets')" "2|12"
	compare_stored
}

@test "--confirm=bytes fetches everything back before it removes" {
	start_immichd
	photos "$T/lib" 5
	PHOTO_KIND=mp4 PHOTO_SIZE=5M photo "$T/lib/large.mp4"
	import_json --after delete --confirm bytes "$T/lib"
	fields sent=6
	equals "$(files_in "$T/lib")" 0
}

@test "a byte that the server stored wrong keeps the file when all bytes are compared" {
	start_immichd
	photo "$T/lib/good.jpg"
	photo "$T/lib/turned.jpg"
	mischief 'POST /api/assets: flip-byte name=turned.jpg'
	ur import --json --after delete --confirm bytes "$T/lib"
	equals "$CODE" 1
	equals "$(find "$T/lib" -type f -printf '%f ')" "turned.jpg "
	has "$(of turned.jpg)" "broken there"
	ur import --json --after delete --confirm bytes "$T/lib"
	equals "$CODE" 1
	[ -e "$T/lib/turned.jpg" ]
}

@test "a file that the server cut after its 201, or stored under another checksum, is kept" {
	start_immichd
	photo "$T/lib/cut.jpg"
	photo "$T/lib/other.jpg"
	photo "$T/lib/good.jpg"
	mischief 'POST /api/assets: short-file name=cut.jpg' 'POST /api/assets: wrong-checksum name=other.jpg'
	ur import --json --after delete "$T/lib"
	equals "$CODE" 1
	equals "$(find "$T/lib" -type f -printf '%f\n' | sort | tr '\n' ' ')" "cut.jpg other.jpg "
	has "$(of cut.jpg)" "refused suspect: the server names it but did not give its bytes"
	has "$(of other.jpg)" "the server stored other bytes"
	has "$OUT" "$(sql "SELECT id FROM assets WHERE name = 'cut.jpg'")"
}

@test "a row without a file makes a suspect, later broken there, and the picture stays" {
	start_immichd
	photo "$T/lib/victim.jpg"
	photo "$T/lib/good.jpg"
	mischief 'POST /api/assets: row-without-file name=victim.jpg'
	ur import --json --after delete --answer-wait 1s "$T/lib"
	equals "$CODE" 1 # it is not known to have arrived
	fields sent=1 refused=1
	has "$(of victim.jpg)" "refused suspect: the server claims it"
	[ -e "$T/lib/victim.jpg" ] && [ ! -e "$T/lib/good.jpg" ]
	mischief
	# Before its time it is left alone, and named.
	ur import --json --after delete "$T/lib"
	equals "$CODE" 1
	has "$(of victim.jpg)" "refused suspect"
	# It has its time when nobody need wait for it.
	victim_is_gone_there() { [ ! -e "$DATA/upload/$(sql "SELECT path FROM assets WHERE name = 'victim.jpg'")" ]; }
	wait_for 10 victim_is_gone_there
	doubted_for 7200 victim.jpg
	ur import --json --after delete "$T/lib"
	equals "$CODE" 1
	has "$(of victim.jpg)" "refused suspect: the server names it but did not give its bytes"
	[ -e "$T/lib/victim.jpg" ]
	# A day later, and while others come, it is this asset's fault.
	doubted_for 90000 victim.jpg
	photo "$T/lib/another.jpg"
	ur import --json --after delete "$T/lib"
	equals "$CODE" 1
	has "$(of victim.jpg)" "failed broken there: broken there: the server names it, and twice"
	has "$(of victim.jpg)" "$(sql "SELECT id FROM assets WHERE name = 'victim.jpg'")"
	[ -e "$T/lib/victim.jpg" ] && [ ! -e "$T/lib/another.jpg" ]
	# And so it stays until somebody mends the server.
	ur import --json --after delete "$T/lib"
	equals "$CODE" 1
	[ -e "$T/lib/victim.jpg" ]
	control DELETE /api/assets "{\"force\":true,\"ids\":[\"$(sql "SELECT id FROM assets WHERE name = 'victim.jpg'")\"]}"
	no_victim() { [ "$(sql "SELECT count(*) FROM assets WHERE name = 'victim.jpg'")" = 0 ]; }
	wait_for 10 no_victim
	ur retry "$T/lib/victim.jpg"
	import_json --after delete "$T/lib"
	fields sent=1
	equals "$(files_in "$T/lib")" 0
	compare_stored
}

@test "after a power cut at the server no picture goes that it cannot give back" {
	start_immichd
	photos "$T/lib" 10
	import_json "$T/lib"
	control POST /_immichd/power-cut | jq -e '.lost | length == 10' >/dev/null
	ur import --json --after delete "$T/lib"
	equals "$CODE" 3
	has "$ERR" "the server cannot read its library"
	equals "$(files_in "$T/lib")" 10
	equals "$(events 'select(.state == "broken there" or .state == "suspect") | .path' | wc -l)" 0
	no_leftovers "$T/lib"
}

@test "what was withdrawn from the server is neither removed nor sent again by itself" {
	start_immichd
	photos "$T/lib" 2
	photo "$T/lib/gone.jpg"
	import_json "$T/lib"
	local id
	id=$(sql "SELECT id FROM assets WHERE name = 'gone.jpg'")
	control DELETE /api/assets "{\"force\":true,\"ids\":[\"$id\"]}"
	two_left() { [ "$(sql 'SELECT count(*) FROM assets')" = 2 ]; }
	wait_for 10 two_left
	import_json --after delete "$T/lib"
	fields present=2 refused=1
	has "$(of gone.jpg)" "refused withdrawn: "
	equals "$(find "$T/lib" -type f -printf '%f ')" "gone.jpg "
	import_json --after delete "$T/lib"
	fields refused=1 sent=0
}

@test "a file that is open for writing, or changed after it was sent, stays" {
	start_immichd
	photo "$T/lib/1.jpg"
	photo "$T/lib/2.jpg"
	import_json "$T/lib"
	exec 7>>"$T/lib/1.jpg"
	ur import --json --after delete "$T/lib"
	exec 7>&-
	equals "$(find "$T/lib" -type f -printf '%f ')" "1.jpg "
	echo more >>"$T/lib/1.jpg"
	import_json --after delete "$T/lib"
	fields sent=1
	equals "$(files_in "$T/lib")" 0
	equals "$(server_count)" 3
	no_leftovers "$T/lib"
}

@test "a file that is named more than once is removed once and counts once" {
	start_immichd
	photos "$T/lib" 59
	photo "$T/lib/1.jpg"
	find "$T/lib" -type f >"$T/once"
	cat "$T/once" "$T/once" "$T/once" >"$T/list"
	import_json --after delete --files-from "$T/list"
	fields sent=60 found=60 waiting=0 failed=0
	equals "$(files_in "$T/lib")" 0
	photos "$T/kept" 60 --seed 9
	import_json --after keep "$T/kept" "$T/kept"
	fields sent=60 found=60
	photo "$T/lib/2.jpg"
	import_json --after delete "$T/lib" "$T/lib/2.jpg"
	fields sent=1 found=1
	ur explain "$T/lib/2.jpg"
	equals "$CODE" 0
}

@test "where we may not remove, everything is sent and said, and stays in its place" {
	can_be_nobody || skip "no setpriv to become somebody else"
	start_immichd
	photos "$T/lib" 3
	chmod -R a+rX "$T/lib"
	chmod 777 "$T/ledger"
	as_nobody
	[ "$(id -u)" = 0 ] || chmod -R a-w "$T/lib"
	ur import --json --after delete "$T/lib"
	equals "$CODE" 1 # it could not be removed as asked
	fields sent=3 kept=3
	equals "$(files_in "$T/lib")" 3
	has "$OUT" "it may not be removed: no write permission in its folder"
}

# --- drain ---------------------------------------------------------------------------------------

write_config() { # LINES OF THE FOLDER…
	cat >"$T/drain.yaml" <<YAML
server: $URL
ledger: $LEDGER
min_age: 1s
settle_after: 1s
folders:
  - path: $T/in
$(printf '    %s\n' "$@")
YAML
}

drain() { # ARGUMENT…
	CODE=0
	timeout -k 5 $((${UR_LIMIT:-60} * UR_SLOW)) "$URINGEST" drain --config "$T/drain.yaml" "$@" \
		>"$T/out" 2>"$T/err" 3>&- || CODE=$?
	ERR=$(cat "$T/err") OUT=$(cat "$T/out")
}

@test "drain waits for quiet files, sends them, and removes them when they have settled" {
	start_immichd
	photos "$T/in" 6
	write_config
	drain --json
	equals "$CODE" 0
	fields waiting=6 sent=0
	drained() { drain --json && [ "$(files_in "$T/in")" = 0 ]; }
	wait_for 20 drained
	equals "$CODE" 0
	equals "$(server_count)" 6
	[ -d "$T/in" ]
	equals "$(find "$T/in" -mindepth 1 | wc -l)" 0
	compare_stored
}

@test "drain does not remove before settle_after has passed since the server's answer" {
	start_immichd
	photo "$T/in/1.jpg"
	write_config
	sed -i 's/settle_after: 1s/settle_after: 1h/; s/min_age: 1s/min_age: 0s/' "$T/drain.yaml"
	drain --json
	fields sent=1
	drain --json
	equals "$CODE" 0
	fields present=1
	[ -e "$T/in/1.jpg" ]
}

@test "drain --wait stays until the folders are empty" {
	start_immichd
	photos "$T/in" 4
	write_config
	drain --wait
	equals "$CODE" 0
	equals "$(files_in "$T/in")" 0
	equals "$(server_count)" 4
}

@test "drain can keep and move instead, by folder" {
	start_immichd
	mkdir "$T/done"
	photo "$T/in/sub/1.jpg"
	write_config "after: move" "move_to: $T/done"
	drain --wait
	equals "$CODE" 0
	[ -e "$T/done/sub/1.jpg" ] && [ ! -e "$T/in/sub" ]
}

@test "a second drain of the same folder ends at once with 4 and names what is locked" {
	start_immichd
	photos "$T/in" 3
	write_config
	sed -i 's/min_age: 1s/min_age: 0s/' "$T/drain.yaml"
	mischief 'POST /api/assets: hang=3000'
	"$URINGEST" drain --config "$T/drain.yaml" >"$T/first.out" 2>&1 3>&- &
	local first=$!
	PIDS+=("$first")
	uploading() { [ "$(uploads)" -gt 0 ]; }
	wait_for 10 uploading
	drain --json
	equals "$CODE" 4
	[ -n "$ERR" ]
	sed -i "s,^ledger: .*,ledger: $T/other.db," "$T/drain.yaml"
	drain --json
	equals "$CODE" 4
	has "$ERR" "'$T/in' is being drained by another run"
	mischief
	wait "$first"
}

@test "drain without or with a wrong configuration ends with 2 and says what is missing" {
	start_immichd
	printf 'server: %s\nafter: remove\n' "$URL" >"$T/drain.yaml"
	drain
	equals "$CODE" 2
	has "$ERR" "drain.yaml"
	printf 'server: %s\n' "$URL" >"$T/drain.yaml"
	drain
	equals "$CODE" 2
	has "$ERR" "folders"
	printf 'server: %s\nfolders:\n  - path: %s/nowhere\n' "$URL" "$T" >"$T/drain.yaml"
	drain
	equals "$CODE" 2
	has "$ERR" "nowhere"
}
