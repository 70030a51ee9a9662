#!/usr/bin/env bats
# What did not arrive, or could not be taken away as asked, is in the exit code: of a run by hand always,
# of a timer's when it is new and once a day after.  What a file was kept for is named, with what to do.
# shellcheck disable=SC2034,SC2030,SC2031,SC2119,SC2120,SC2153,SC2317 # read by lib.bash; each test is a shell of its own
load lib

setup() { begin; }
teardown() {
	[ -z "${MOUNTED-}" ] || umount -l "$MOUNTED" || true
	finish
}

configure() { # LINE…: of the folder
	cat >"$T/drain.yaml" <<YAML
server: $URL
ledger: $LEDGER
min_age: 0s
settle_after: 0s
quiet_without_lease: 0s
folders:
  - path: $T/in
$(printf '    %s\n' "$@")
YAML
	chmod 644 "$T/drain.yaml"
}

drain() { ur drain --config "$T/drain.yaml" --answer-wait 5s "$@"; }

drains_with() { # CODE…: one run after the other
	local code
	for code in "$@"; do
		drain
		equals "$CODE" "$code" || return
	done
}

# What the ledger has as said was said so long ago, by the boot clock or by the wall clock.
said_earlier() { # boot|wall SECONDS
	local value run count told places had rest
	value=$(ledger "SELECT value FROM meta WHERE key LIKE 'trouble %'")
	# The places may be empty: then two blanks follow each other.
	run=${value%% *} && value=${value#* }
	count=${value%% *} && value=${value#* }
	told=${value%% *} && value=${value#* }
	places=${value%% *} && value=${value#* }
	had=${value%% *} && rest=${value#* }
	if [ "$1" = boot ]; then had=$((had + $2 * 1000000000)); else told=$((told - $2 * 1000000000)); fi
	ledger "UPDATE meta SET value='$run $count $told $places $had $rest' WHERE key LIKE 'trouble %'"
}

# A run by hand says it each time.
stays_1() { # ARGUMENT…
	local run
	for run in 1 2; do
		ur import "$@"
		equals "$CODE" 1 "exit code of run $run" || return
	done
}

@test "import ends with 1 for each kind of what did not arrive, in each run" {
	start_immichd
	photo "$T/in/bad.jpg"
	photo "$T/in/good.jpg"
	mischief 'POST /api/assets: status=400 name=bad.jpg'
	stays_1 "$T/in" # refused by the server, for good
	mischief
	ur retry --ledger "$LEDGER" --failed
	ur import "$T/in"
	equals "$CODE" 0
	photo "$T/in/large.jpg"
	mischief 'POST /api/assets: status=413 html name=large.jpg'
	stays_1 "$T/in" # by a proxy
	mischief
	ur import "$T/in"
	equals "$CODE" 0
}

@test "import ends with 1 for a file and a folder that cannot be read, and for a full quota" {
	can_be_nobody || skip "no setpriv to become somebody else"
	start_immichd
	photo "$T/in/1.jpg"
	photo "$T/in/closed.jpg"
	photo "$T/in/sub/2.jpg"
	chmod -R a+rX "$T/in"
	chmod 777 "$T/ledger"
	as_nobody
	chmod 0 "$T/in/closed.jpg"
	stays_1 "$T/in"
	has "$OUT" "closed.jpg: it cannot be read"
	chmod 644 "$T/in/closed.jpg"
	chmod 0 "$T/in/sub"
	stays_1 "$T/in"
	chmod 755 "$T/in/sub"
	ur import "$T/in"
	equals "$CODE" 0
	photo "$T/in/3.jpg"
	chmod 644 "$T/in/3.jpg"
	sql "UPDATE users SET quota=1"
	stays_1 "$T/in"
	has "$OUT" "quota"
}

@test "import ends with 1 for what it cannot take away; what is no media, or waits, is no failure" {
	can_be_nobody || skip "no setpriv to become somebody else"
	start_immichd
	photo "$T/in/1.jpg"
	chmod -R a+rX "$T/in"
	chmod 777 "$T/ledger"
	as_nobody
	[ "$(id -u)" = 0 ] || chmod a-w "$T/in"
	stays_1 --after delete "$T/in"
	ur import "$T/in" # which was not asked to
	equals "$CODE" 0
	mkdir "$T/odd"
	echo x >"$T/odd/notes.txt"
	: >"$T/odd/empty.jpg"
	chmod -R a+rX "$T/odd"
	ur import "$T/odd"
	equals "$CODE" 0
}

@test "drain ends with 1 when a failure is new and once a day after, and counts it between" {
	start_immichd
	photo "$T/in/bad.jpg"
	configure "after: keep"
	mischief 'POST /api/assets: status=400 name=bad*'
	drain
	equals "$CODE" 1
	has "$OUT" "bad.jpg"
	has "$OUT" "1 files and folders in all did not arrive, or could not be taken away as asked, 1 of them new"
	drains_with 0 0
	lacks "$OUT" "bad.jpg"
	has "$OUT" "1 files and folders in all did not arrive, or could not be taken away as asked, 0 of them new"
	ur status --ledger "$LEDGER"
	has "$OUT" "in trouble 1 files and folders of $T/in (drain said so at "
	ur status --ledger "$LEDGER" --failed
	has "$OUT" "$T/in/bad.jpg"
	photo "$T/in/bad2.jpg" # one more is news
	drains_with 1 0
	said_earlier boot 86300
	drains_with 0
	said_earlier boot 200
	drains_with 1 0
	said_earlier wall 86300
	drains_with 0
	said_earlier wall 200
	drains_with 1 0
	said_earlier wall -864000 # the clock was put back: by the other one it is said all the same
	drains_with 0
	said_earlier boot 86500
	drains_with 1 0
	mischief
	ur retry --ledger "$LEDGER" --failed
	drains_with 0
	ur status --ledger "$LEDGER"
	lacks "$OUT" "files and folders of"
}

@test "what the server refuses for good is asked again at growing pauses, and goes when it is taken" {
	start_immichd
	photo "$T/in/bad.jpg"
	configure "after: keep"
	mischief 'POST /api/assets: status=400 name=bad.jpg'
	drains_with 1 0 0
	equals "$(stats .uploadsRefused)" 1
	local hours
	next() { ledger "SELECT (next_ns - $(date +%s%N)) / 3600000000000.0 FROM file"; }
	for hours in 0.9 1.9 3.9; do
		[ "$(echo "$(next) > $hours" | bc)" = 1 ]
		ledger "UPDATE file SET next_ns = next_ns - (SELECT next_ns FROM file) + 1"
		drains_with 0 # asked again, and told of before
		lacks "$OUT" "bad.jpg"
		drains_with 0
	done
	equals "$(stats .uploadsRefused)" 4
	ur import "$T/in" # by hand it stays until somebody says so
	equals "$CODE" 1
	equals "$(stats .uploadsRefused)" 4
	mischief
	ledger "UPDATE file SET next_ns = 1"
	drains_with 0
	equals "$(server_count)" 1
}

@test "what drain cannot take away is named once and counted, also over other runs and folders" {
	can_be_nobody || skip "no setpriv to become somebody else"
	start_immichd
	photo "$T/in/closed/1.jpg"
	photo "$T/in/closed/2.jpg"
	chmod -R a+rX "$T/in"
	chmod 777 "$T/ledger" "$T/in"
	chmod 755 "$T/in/closed"
	configure "after: delete"
	as_nobody
	[ "$(id -u)" = 0 ] || chmod a-w "$T/in/closed"
	drain
	equals "$CODE" 1
	equals "$(grep -c 'may not be removed' "$T/out")" 2
	drain
	equals "$CODE" 0
	equals "$(grep -c 'may not be removed' "$T/out")" 0
	has "$OUT" "2 files could not be proved"
	chmod 0 "$T/in/closed" # now it is another failure, of a folder
	drain
	equals "$CODE" 1
	has "$ERR" "closed: cannot be opened"
	drain
	equals "$CODE" 0
	lacks "$ERR" "closed"
	chmod 777 "$T/in/closed"
	drain
	equals "$CODE" 0
	equals "$(files_in "$T/in")" 0
}

@test "what cannot be read is told of once by a timer, and each folder has its own memory" {
	can_be_nobody || skip "no setpriv to become somebody else"
	start_immichd
	photo "$T/in/closed.jpg"
	photo "$T/more/fine.jpg"
	chmod -R a+rX "$T/in" "$T/more"
	chmod 777 "$T/ledger"
	configure "after: keep" && printf '  - path: %s\n    after: keep\n' "$T/more" >>"$T/drain.yaml"
	as_nobody
	chmod 0 "$T/in/closed.jpg"
	drain
	equals "$CODE" 1
	has "$OUT" "closed.jpg: it cannot be read: Permission denied; give this user the right to read it"
	drains_with 0 0
	lacks "$OUT" "closed.jpg"
	photo "$T/more/next.jpg"
	chmod 0 "$T/more/next.jpg"
	drains_with 1 0 # known of one folder, and news of the other
	ur status --ledger "$LEDGER"
	equals "$(grep -c 'in trouble . files and folders of' "$T/out")" 2
	chmod 644 "$T/in/closed.jpg"
	drains_with 0 0
	ur status --ledger "$LEDGER"
	equals "$(grep -c 'in trouble . files and folders of' "$T/out")" 1
}

@test "a proxy's limit and a quota are told of once by a timer, and each time by hand" {
	start_immichd --user ann:key-of-ann:300000
	export IMMICH_API_KEY=key-of-ann
	photo "$T/in/large.jpg"
	configure "after: keep"
	mischief 'POST /api/assets: status=413 html name=large.jpg'
	drain
	equals "$CODE" 1
	has "$ERR" "is too large for the server, or for a proxy before it"
	drain
	equals "$CODE" 0
	equals "$ERR" ""
	lacks "$OUT" "large.jpg"
	ur import "$T/in"
	has "$ERR" "is too large for the server, or for a proxy before it"
	rm "$T/in/large.jpg"
	mischief
	PHOTO_SIZE=500K photo "$T/in/big.jpg"
	drain
	equals "$CODE" 1
	has "$OUT" "quota on the server is used up"
	drain
	equals "$CODE" 0
	lacks "$ERR$OUT" "quota"
}

@test "what a killed or stopped drain found is still news for the next one" {
	start_immichd
	photo "$T/in/bad.jpg"
	photo "$T/in/zz.jpg"
	configure "after: keep"
	mischief 'POST /api/assets: status=400 name=bad.jpg' 'POST /api/assets: latency=60000 name=zz.jpg'
	local signal
	for signal in KILL TERM; do
		"$URINGEST" drain --answer-wait 5s --config "$T/drain.yaml" >"$T/first" 2>&1 3>&- &
		local pid=$!
		PIDS+=("$pid")
		failed() { [ "$(ledger "SELECT count(*) FROM file WHERE state=13" 2>/dev/null || echo 0)" = 1 ]; }
		wait_for 20 failed
		kill -"$signal" "$pid"
		wait "$pid" || true
	done
	mischief 'POST /api/assets: status=400 name=bad.jpg'
	drains_with 1 0
}

# --- what cannot be taken away -------------------------------------------------------------------

# A second name for the folder, behind a mount of its own that takes nothing.
read_only() { # FOLDER AT
	mkdir -p "$2"
	mount --bind "$1" "$2" 2>/dev/null || skip "nothing can be mounted here"
	MOUNTED=$2
	mount -o remount,bind,ro "$2"
}

@test "where nothing can be taken away that is said once, before anything is sent, and not of each file" {
	start_immichd
	photos "$T/lib" 12
	read_only "$T/lib" "$T/card"
	ur import --after delete "$T/card"
	equals "$CODE" 1
	equals "$(cat "$T/out" "$T/err" | grep -c 'read-only')" 1
	has "$ERR" "'$T/card': nothing can be taken away there, so files are imported and kept; of each of them: it cannot be removed: its file system is read-only; mount it writable"
	has "$OUT" "12 files could not be proved"
	equals "$(server_count)" 12
	equals "$(files_in "$T/card")" 12
	ur explain "$(find "$T/card" -name '*.jpg' -print -quit)"
	has "$OUT" "read-only"
	ur import --json --after delete "$T/card"
	fields kept=12 bytes_hashed=0
	umount "$T/card"
	mount --bind "$T/lib" "$T/card"
	import_json --after delete "$T/card"
	equals "$(files_in "$T/lib")" 0
}

@test "a folder of somebody else's is one sentence, too; drain says it once and counts" {
	can_be_nobody || skip "no setpriv to become somebody else"
	start_immichd
	photos "$T/in" 5
	chmod -R a+rX "$T/in"
	chmod 777 "$T/ledger"
	configure "after: delete"
	as_nobody
	[ "$(id -u)" = 0 ] || chmod -R a-w "$T/in"
	drain
	equals "$CODE" 1
	equals "$(cat "$T/out" "$T/err" | grep -c 'no write permission in its folder')" 1
	drain
	equals "$CODE" 0
	equals "$(cat "$T/out" "$T/err" | grep -c 'no write permission in its folder')" 0
	has "$OUT" "6 files and folders in all did not arrive, or could not be taken away as asked, 0 of them new"
}

@test "a folder to move to that cannot be written ends with 2 before anything is sent" {
	can_be_nobody || skip "no setpriv to become somebody else"
	start_immichd
	photo "$T/lib/1.jpg"
	mkdir "$T/closed"
	chmod -R a+rwX "$T/lib" "$T/ledger"
	chmod 755 "$T/closed"
	as_nobody
	[ "$(id -u)" = 0 ] || chmod a-w "$T/closed"
	ur import --after "move=$T/closed" "$T/lib"
	equals "$CODE" 2
	has "$ERR" "cannot write into '$T/closed', where --after move=… should move files to"
	equals "$(server_count)" 0
}

@test "what the server stored as other bytes is sent again by a timer, and not in every run" {
	start_immichd
	photo "$T/in/a.jpg"
	configure "after: delete"
	mischief 'POST /api/assets: wrong-checksum name=*'
	drains_with 1 0 0
	equals "$(uploads)" 1
	has "$(ledger 'SELECT reason FROM file')" "the server stored other bytes"
	[ $(($(ledger 'SELECT next_ns FROM file') - $(date +%s%N))) -gt 3600000000000 ]
	[ -e "$T/in/a.jpg" ]
	mischief
	ledger "UPDATE file SET next_ns = 1"
	drains_with 0
	equals "$(uploads)" 2
	[ ! -e "$T/in/a.jpg" ]
	equals "$(ledger 'SELECT count(*) FROM file WHERE state=12')" 1
}

@test "another file under a name that was told of is news" {
	start_immichd
	photo "$T/in/a.jpg"
	configure "after: delete"
	mischief 'POST /api/assets: status=400 name=*'
	drains_with 1 0
	photo "$T/in/a.jpg"
	drains_with 1 0
}

@test "what is only in doubt, and what nobody could be asked about in its time, is no 0 for ever" {
	start_immichd
	photo "$T/in/a.jpg"
	configure "after: delete"
	mischief 'POST /api/assets: row-without-file name=*'
	drain --answer-wait 1s --suspect-wait 1s
	equals "$CODE" 0 # it has its time, and its answer
	mischief 'GET /api/assets/: status=403 html'
	ledger "UPDATE file SET doubt = '7200000000000 1 an-earlier-boot'"
	drain --suspect-wait 1s
	[ "$CODE" != 0 ]
	[ -e "$T/in/a.jpg" ]
}
