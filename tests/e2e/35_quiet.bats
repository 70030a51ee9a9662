#!/usr/bin/env bats
# What may still be growing is not removed: writers of other users, transfers that stand still.
# shellcheck disable=SC2034,SC2030,SC2031,SC2317 # read by lib.bash; each test is a shell of its own
load lib

setup() { begin; }
teardown() { finish; }

# The drain as the unit runs it: a user of its own, without capabilities, files of somebody else.
somebody_elses() { # FOLDER
	if [ "$(id -u)" != 0 ] || ! command -v setpriv >/dev/null; then
		skip "only root can have files of two users"
	fi
	mkdir -p "$1"
	chmod 777 "$1" "$T/ledger"
	as_nobody
}

configure() { # LINE…
	cat >"$T/drain.yaml" <<YAML
server: $URL
ledger: $LEDGER
min_age: 0s
settle_after: 0s
$(printf '%s\n' "$@")
folders:
  - path: $T/in
YAML
	chmod 644 "$T/drain.yaml"
}

drain() { ur drain --config "$T/drain.yaml" "$@"; }

# half FILE KIND [PERCENT]: what a transfer that stands still has left of a picture or a film.
half() {
	PHOTO_KIND=$2 PHOTO_SIZE=200K photo "$T/whole"
	mkdir -p "$(dirname "$1")"
	head -c $(($(stat -c %s "$T/whole") * ${3:-60} / 100)) "$T/whole" >"$1"
}

# In boot-clock terms: everything in the ledger has been as it is for so long already.
age_by() { ledger "UPDATE file SET quiet_had_ns = quiet_had_ns + $1 * 1000000000"; }

uploading() { [ "$(uploads)" -gt 0 ]; }

is_safe() { # SHA1 of a file that must be somewhere
	find "$T/in" "$DATA" -type f -exec sha1sum {} + | grep -q "^$1"
}

@test "the files of another user are sent at once, and go when they have been unchanged long enough" {
	start_immichd
	somebody_elses "$T/in"
	photos "$T/in" 3 --per-dir 100
	chmod -R a+rwX "$T/in"
	configure "quiet_without_lease: 1h"
	drain --json
	equals "$CODE" 0
	fields sent=3
	equals "$(files_in "$T/in")" 3
	drain --json
	equals "$CODE" 0
	fields waiting=3 sent=0 bytes_hashed=0
	has "$OUT" "nobody can say whether it is still being written to"
	age_by 3600
	drain --json
	equals "$CODE" 0
	equals "$(files_in "$T/in")" 0
	compare_stored
}

@test "what waits for want of a lease is named once and counted from then on" {
	start_immichd
	somebody_elses "$T/in"
	photo "$T/in/1.jpg"
	configure "quiet_without_lease: 1h"
	drain
	drain
	has "$OUT" "waiting   $T/in/1.jpg: kept: nobody can say"
	drain
	equals "$CODE" 0
	lacks "$OUT" "1.jpg"
	has "$OUT" "1 files wait"
	drain -v
	has "$OUT" "1.jpg: kept: nobody can say"
}

@test "a run by hand says that it waits for what nobody has a lease on, and takes it in the end" {
	start_immichd
	somebody_elses "$T/in"
	photo "$T/in/1.jpg"
	photo "$T/in/sub/2.jpg"
	chmod -R a+rwX "$T/in"
	ur import --json --after delete --quiet-without-lease 3s "$T/in"
	equals "$CODE" 0
	has "$ERR" "nobody can say who writes to them: waiting for"
	equals "$(files_in "$T/in")" 0
	equals "$(server_count)" 2
	# A wait that is long is not ours: the next run's.
	photo "$T/in/3.jpg"
	ur import --json --after delete --quiet-without-lease 3h "$T/in"
	equals "$CODE" 0
	fields sent=1
	[ -e "$T/in/3.jpg" ]
	# And with --after keep nothing waits.
	ur import --json --after keep "$T/in"
	equals "$CODE" 0
	fields waiting=0
}

@test "a file of one's own goes at once: the lease is the proof" {
	start_immichd
	mkdir -p "$T/in"
	photos "$T/in" 3
	import_json --after delete --quiet-without-lease 3h "$T/in"
	fields sent=3
	equals "$(files_in "$T/in")" 0
}

# writer FILE: holds FILE open for appending as another user, and appends when $T/now appears or the
# file has left its name.
writer() {
	mkfifo -m 666 "$T/tick"
	# shellcheck disable=SC2016 # the other shell expands it
	setpriv --reuid 1000 --regid 1000 --clear-groups bash -c '
		exec 7>>"$1" 8<>"$2/tick"
		: >"$2/ready"
		for ((i = 0; i < 30000; i++)); do
			[ ! -e "$2/now" ] && [ -e "$1" ] || break
			read -rt 0.002 -u 8
		done
		printf "the rest of it" >&7
		: >"$2/done"
		for ((i = 0; i < 6000; i++)); do
			[ ! -e "$2/done.read" ] || break
			read -rt 0.01 -u 8
		done' writer "$1" "$T" 3>&- &
	WRITER=$!
	PIDS+=("$WRITER")
	ready() { [ -e "$T/ready" ]; }
	wait_for 10 ready
}

# Sets up a file of user 1000 that looks whole at every length, and has been quiet for long enough;
# `want` is what it is in the end.
growing() { # [BYTES]
	start_immichd
	somebody_elses "$T/in"
	chmod 777 "$T"
	photo "$T/in/film.jpg"
	[ -z "${1-}" ] || truncate -s "$1" "$T/in/film.jpg"
	chown 1000:1000 "$T/in/film.jpg"
	want=$({ cat "$T/in/film.jpg" && printf 'the rest of it'; } | sha1sum | cut -c1-40)
	configure "quiet_without_lease: 1h"
	ur plan --after delete "$T/in" # it is known from now on
	age_by 3600
	writer "$T/in/film.jpg"
}

drain_behind() {
	drain --json &
	DRAIN=$!
	PIDS+=("$DRAIN")
}
wrote() { [ -e "$T/done" ]; }

# The writer has written at its stage: nothing is lost now, and in the end all of it arrives.
all_arrives() {
	wait_for 20 wrote
	is_safe "$want" || { echo "the rest of it is lost" && return 1; }
	wait "$DRAIN" || true
	is_safe "$want" || { echo "the rest of it was lost" && return 1; }
	touch "$T/done.read"
	wait "$WRITER" || true
	empty() { drain --json && age_by 3600 && [ "$(files_in "$T/in")" = 0 ]; }
	wait_for 20 empty
	is_safe "$want"
	equals "$(find "$T/in" -name .uringest | wc -l)" 0
}

@test "a writer of another user before the drain begins loses nothing" {
	growing
	touch "$T/now"
	wait_for 20 wrote
	drain_behind
	all_arrives
}

@test "a writer of another user while the file is being sent loses nothing" {
	growing
	mischief 'POST /api/assets: latency=2000 name=film.jpg'
	drain_behind
	wait_for 20 uploading
	touch "$T/now"
	all_arrives
}

@test "a writer of another user between the sending and the confirmation loses nothing" {
	growing
	mischief 'GET /api/assets: latency=2000'
	drain_behind
	arrived() { [ "$(server_count)" = 1 ]; }
	wait_for 20 arrived
	touch "$T/now"
	all_arrives
}

@test "a writer of another user between the confirmation and the removal loses nothing" {
	growing
	mischief 'GET /api/assets: latency=2000 nth=2'
	drain_behind
	looked_at() { [ "$(stats '[.endpoints | to_entries[] | select(.key | test("GET /api/assets"))] | map(.value) | add // 0')" -ge 1 ]; }
	wait_for 20 looked_at
	touch "$T/now"
	all_arrives
}

@test "a writer of another user while the file stands in staging loses nothing" {
	growing 256M
	drain_behind
	all_arrives
}

@test "half a film, half a picture of another user is not even sent while it may be growing" {
	start_immichd
	somebody_elses "$T/in"
	half "$T/in/1.mp4" mp4
	half "$T/in/2.jpg" jpeg
	half "$T/in/3.heic" heic
	half "$T/in/4.png" png
	PHOTO_KIND=mp4 PHOTO_SIZE=200K photo "$T/whole"
	head -c $(($(stat -c %s "$T/whole") - 3)) "$T/whole" >"$T/in/5.mp4" # all but the end of the index
	configure "quiet_without_lease: 0s"
	drain --json
	equals "$CODE" 0
	fields waiting=5 sent=0
	equals "$(server_count)" 0
	has "$(of 1.mp4)" "it ends too early, as if it were still being copied: it waits for the rest until"
	# Named once, not every two minutes.
	drain
	lacks "$OUT" "1.mp4"
	has "$OUT" "5 files wait"
}

@test "what looks cut off is sent after a day, kept, named once, and goes when it is accepted" {
	start_immichd
	half "$T/in/1.jpg" jpeg
	photo "$T/in/2.jpg"
	configure
	drain --json
	fields waiting=1 sent=1
	age_by 86300
	drain --json
	fields waiting=1 sent=0
	age_by 200
	drain
	equals "$CODE" 0
	has "$OUT" "1.jpg: kept: it ends too early"
	[ -e "$T/in/1.jpg" ] && [ ! -e "$T/in/2.jpg" ]
	equals "$(server_count)" 2
	drain
	equals "$CODE" 0
	lacks "$OUT" "1.jpg"
	has "$OUT" "1 files wait"
	ur explain "$T/in/1.jpg"
	has "$OUT" "uringest accept FILE"
	ur accept "$T/in/1.jpg"
	equals "$CODE" 0
	drain --json
	equals "$CODE" 0
	equals "$(files_in "$T/in")" 0
	compare_stored
}

@test "drain --wait ends when what is left waits for somebody, and stays for what waits for time" {
	start_immichd
	half "$T/in/1.jpg" jpeg
	xmp "$T/in/1.jpg.xmp"
	photo "$T/in/2.jpg"
	configure
	UR_LIMIT=20 drain --wait
	equals "$CODE" 0
	equals "$(find "$T/in" -type f -printf '%f\n' | sort | tr '\n' ' ')" "1.jpg 1.jpg.xmp "
	rm -r "$T/in" "$LEDGER"*
	somebody_elses "$T/in"
	photo "$T/in/3.jpg"
	configure "quiet_without_lease: 3s"
	UR_LIMIT=20 drain --wait
	equals "$CODE" 0
	has "$ERR" "until nobody can be writing to what is left"
	equals "$(files_in "$T/in")" 0
}

@test "what is accepted is those bytes: a file that changes waits again, a setting accepts all" {
	start_immichd
	half "$T/in/1.jpg" jpeg 50
	configure
	drain --json
	fields waiting=1
	ur accept "$T/in/1.jpg"
	equals "$CODE" 0
	half "$T/in/1.jpg" jpeg 70
	drain --json
	fields waiting=1 sent=0
	equals "$(server_count)" 0
	configure "accept_cut_off: true"
	drain --json
	fields sent=1
	equals "$(files_in "$T/in")" 0
	half "$T/in/2.jpg" jpeg 40
	import_json --after delete --accept-cut-off "$T/in"
	fields sent=1
	equals "$(files_in "$T/in")" 0
}

@test "accept of what is not known as cut off ends with 1, and says so" {
	start_immichd
	photo "$T/in/1.jpg"
	import_json "$T/in"
	ur accept "$T/in/1.jpg"
	equals "$CODE" 1
	has "$ERR" "is not known as cut off"
	ur accept "$T/in/nowhere.jpg"
	equals "$CODE" 1
	ur accept
	equals "$CODE" 2
}

@test "with --after keep what looks cut off is sent as ever; a later run that removes keeps it" {
	start_immichd
	half "$T/in/1.jpg" jpeg
	import_json "$T/in"
	fields sent=1
	import_json --after delete "$T/in"
	fields waiting=1
	has "$(of 1.jpg)" "kept: it ends too early"
	[ -e "$T/in/1.jpg" ]
	mkdir "$T/done"
	import_json --after "move=$T/done" "$T/in"
	fields waiting=1
	[ -e "$T/in/1.jpg" ]
}

@test "the group of what looks cut off waits with it" {
	start_immichd
	half "$T/in/1.jpg" jpeg
	PHOTO_KIND=mp4 photo "$T/in/1.mov"
	xmp "$T/in/1.jpg.xmp"
	photo "$T/in/2.jpg"
	import_json --after delete "$T/in"
	fields waiting=3 sent=1
	has "$(of 1.mov)" "it goes with '1.jpg', which waits"
	equals "$(files_in "$T/in")" 3
}

@test "rows of an older ledger do not say what is whole: it is read once more before it goes" {
	start_immichd
	half "$T/in/1.jpg" jpeg
	photo "$T/in/2.jpg"
	import_json "$T/in"
	fields sent=2
	ledger "UPDATE file SET flags = flags & ~96"
	import_json --after delete "$T/in"
	fields waiting=1
	equals "$(find "$T/in" -type f -printf '%f ')" "1.jpg "
}

@test "a member that cannot be read keeps its group here: a sidecar, a movie, a raw twin" {
	start_immichd
	somebody_elses "$T/in"
	local name
	for name in 1.jpg 2.jpg 3.jpg 4.jpg; do photo "$T/in/$name"; done
	xmp "$T/in/1.jpg.xmp" "the facts"
	PHOTO_KIND=mp4 photo "$T/in/2.mov"
	photo "$T/in/3.png"
	chmod 600 "$T/in/1.jpg.xmp" "$T/in/2.mov" "$T/in/3.png"
	chown 65534 "$T/in/"[1234].jpg
	ur import --json --after delete "$T/in"
	fields sent=4 refused=3
	has "$(of 1.jpg)" "kept: '1.jpg.xmp', which goes with it, could not be read (its own line says why)"
	equals "$(find "$T/in" -type f -name '*.jpg' -printf '%f\n' | sort | tr '\n' ' ')" "1.jpg 2.jpg 3.jpg "
	chmod 644 "$T/in/"*
	chown 65534 "$T/in/"*
	import_json --after delete "$T/in"
	equals "$(find "$T/in" -type f -name '*.jpg' | wc -l)" 0
	equals "$(sql "SELECT description FROM assets WHERE name = '1.jpg'")" "the facts"
}

# --- clocks --------------------------------------------------------------------------------------

@test "on a file system of whole seconds an edit in the second of the hash is not removed" {
	[ "$(id -u)" = 0 ] || skip "only root can mount"
	truncate -s 40M "$T/image"
	mkfs.ext4 -q -I 128 "$T/image" 2>/dev/null || skip "no mkfs.ext4"
	mkdir -p "$T/tmpfs"
	mount -o loop "$T/image" "$T/tmpfs" || skip "no loop device"
	start_immichd
	photo "$T/whole.jpg"
	mischief 'POST /api/assets: latency=400 name=a.jpg'
	early() { [ "$(date +%1N)" = 0 ]; }
	wait_for 5 early
	cp "$T/whole.jpg" "$T/tmpfs/a.jpg"
	ur import --json --after delete "$T/tmpfs" &
	local run=$! sha1
	PIDS+=("$run")
	wait_for 10 uploading
	printf 'MY EDIT' | dd of="$T/tmpfs/a.jpg" bs=1 seek=900 conv=notrunc 2>/dev/null
	sha1=$(sha1sum "$T/tmpfs/a.jpg" | cut -c1-40)
	wait "$run" || true
	find "$T/tmpfs" "$DATA" -type f -exec sha1sum {} + | grep -q "^$sha1"
}

@test "a plan, and a run that keeps, write nothing into the folder, not even to measure its clock" {
	start_immichd
	photos "$T/in" 3
	find "$T/in" -printf '%p %T@ %C@\n' | sort >"$T/before"
	ur plan --after delete "$T/in"
	import_json "$T/in"
	find "$T/in" -printf '%p %T@ %C@\n' | sort | cmp "$T/before" -
}

# --- what cannot be removed ----------------------------------------------------------------------

@test "what cannot be removed is not read again in every run" {
	start_immichd
	somebody_elses "$T/in"
	photo "$T/in/closed/1.jpg"
	chmod 755 "$T/in/closed"
	chmod 644 "$T/in/closed/1.jpg"
	ur import --json --after delete "$T/in"
	fields sent=1
	lacks "$ERR" "waiting for"
	ur import --json --after delete "$T/in"
	fields sent=0 bytes_hashed=0
	has "$(of 1.jpg)" "no write permission in its folder"
	mkdir -m 777 "$T/moved"
	ur import --json --after "move=$T/moved" "$T/in"
	fields sent=0 bytes_hashed=0
	equals "$(files_in "$T/moved")" 0
}

@test "a protected file is not blamed on its folder" {
	start_immichd
	photo "$T/in/1.jpg"
	chattr +i "$T/in/1.jpg" 2>/dev/null || skip "no file can be made immutable here"
	ur import --json --after delete "$T/in"
	chattr -i "$T/in/1.jpg"
	has "$(of 1.jpg)" "it may not be removed: the file or its folder is protected"
	[ -e "$T/in/1.jpg" ]
}

@test "what a timer cannot send it names once, and counts from then on" {
	local i
	mkdir -p "$T/in"
	for i in 1 2 3 4 5; do echo x >"$T/in/IMG_$i.AAE"; done
	start_immichd
	configure "server_wait: 5s"
	drain
	equals "$(grep -c AAE "$T/out")" 5
	has "$OUT" "refused                 5"
	drain
	equals "$(grep -c AAE "$T/out")" 0
	has "$OUT" "refused                 5"
	photo "$T/in/IMG_2.jpg" # whose group has something to do now
	drain
	equals "$(grep -c AAE "$T/out")" 0
	has "$OUT" "refused                 5"
	equals "$(server_count)" 1
	echo other >"$T/in/IMG_3.AAE" # which is another file
	drain
	equals "$(grep -c AAE "$T/out")" 1
	drain -v
	equals "$(grep -c AAE "$T/out")" 5
	ur import "$T/in" # by hand they are all named
	equals "$(grep -c AAE "$T/out")" 5
}
