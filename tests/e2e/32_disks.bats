#!/usr/bin/env bats
# Disks that are not ext4: files leave them, arrive on them, and survive a run that is killed there.
#
#     ntfs-3g, exFAT by FUSE, a file system that lies   no RENAME_NOREPLACE, owners and times made up
#     overlay, bind mounts, ext4 with small inodes      what a rename cannot cross, whole seconds
#
# shellcheck disable=SC2034,SC2030,SC2031 # read by lib.bash; each test is a shell of its own
load lib

setup() {
	begin
	[ "$(id -u)" = 0 ] || skip "needs root, to mount"
	DISK=$T/disk IMAGE=$T/image LOOP='' LYING=''
	mkdir "$DISK"
	# Nobody else writes here: what a file system without leases waits for is 35_quiet's.
	UR_FORCE="${UR_FORCE-} --quiet-without-lease 0"
}

teardown() {
	local at
	for at in "$DISK/inner" "$DISK"; do
		! mountpoint -q "$at" 2>/dev/null || umount -l "$at" || true
	done
	[ -z "${LOOP-}" ] || losetup -d "$LOOP" 2>/dev/null || true
	finish
}

# --- disks ---------------------------------------------------------------------------------------

loop_disk() { # SIZE: an empty image behind a loop device
	truncate -s "$1" "$IMAGE"
	LOOP=$(losetup -f --show "$IMAGE" 2>/dev/null) || skip "no loop device can be had here"
}

need_commands() {
	local command
	for command in "$@"; do
		command -v "$command" >/dev/null || skip "no $command here"
	done
}

make_disk() { # KIND
	case $1 in
	ntfs)
		need_commands ntfs-3g mkfs.ntfs
		loop_disk 32M
		mkfs.ntfs -F -Q "$LOOP" >/dev/null 2>&1
		;;
	exfat)
		need_commands mount.exfat-fuse mkfs.exfat
		loop_disk 32M
		mkfs.exfat "$LOOP" >/dev/null 2>&1
		;;
	ext4)
		loop_disk 32M
		mkfs.ext4 -q -I 128 "$LOOP" 2>/dev/null || skip "mkfs.ext4 makes no inodes of 128 bytes"
		;;
	lying*)
		[ -x "$BIN/tests/e2e/lyingfs" ] || skip "lyingfs is not built: no libfuse3"
		[ -c /dev/fuse ] || skip "no /dev/fuse here"
		;;
	esac
	mkdir -p "$T/below" "$T/upper" "$T/work"
	mount_disk "$1"
}

mount_disk() { # KIND
	case $1 in
	ntfs) ntfs-3g "$LOOP" "$DISK" 2>/dev/null || skip "ntfs-3g cannot mount here" ;;
	exfat) mount.exfat-fuse "$LOOP" "$DISK" >/dev/null 2>&1 || skip "exfat-fuse cannot mount here" ;;
	ext4) mount "$LOOP" "$DISK" || skip "ext4 cannot be mounted here" ;;
	overlay)
		mount -t overlay overlay -o "lowerdir=$T/below,upperdir=$T/upper,workdir=$T/work" "$DISK" \
			2>/dev/null || skip "no overlay on this file system"
		;;
	bind) # a folder of the tree is another mount of the same disk
		mkdir -p "$DISK/inner" "$T/below"
		mount --bind "$T/below" "$DISK/inner" || skip "no bind mounts here"
		;;
	lying)
		"$BIN/tests/e2e/lyingfs" "$T/below" "$DISK" 3>&- &
		PIDS+=("$!")
		wait_for 5 mountpoint -q "$DISK" || skip "FUSE cannot mount here"
		;;
	lying-links)
		"$BIN/tests/e2e/lyingfs" "$T/below" "$DISK" links 3>&- &
		PIDS+=("$!")
		wait_for 5 mountpoint -q "$DISK" || skip "FUSE cannot mount here"
		;;
	esac
}

# As when a card is pulled out and put in again: what inode numbers there are may be others.
remount() { # KIND
	case $1 in
	bind) return ;;
	esac
	umount "$DISK" || umount -l "$DISK"
	mount_disk "$1"
}

# --- files ---------------------------------------------------------------------------------------

# Some pictures in two folders (one of them the inner mount of `bind`), their sums in $T/sums.
fill() { # FOLDER
	mkdir -p "$1/inner/100CANON"
	photo "$1/top.jpg"
	photo "$1/inner/IMG_1.JPG"
	photo "$1/inner/100CANON/IMG_2.JPG"
	photo "$1/inner/100CANON/IMG_2 sürprise 🎂.JPG"
	photo "$1/inner/100CANON/$(printf 'long%.0s' {1..60}).jpg"
	sha1_below "$1" >"$T/sums"
	equals "$(wc -l <"$T/sums")" 5
}

# files_below FOLDER: every file below, each followed by NUL.  find gives up where all inodes are 0.
files_below() {
	(
		shopt -s globstar dotglob nullglob
		for path in "$1"/**/*; do
			[ ! -f "$path" ] || printf '%s\0' "$path"
		done
	)
}

sha1_below() { files_below "$1" | xargs -0r sha1sum | cut -c1-40 | sort; }

no_staging_left() { # FOLDER
	(
		shopt -s globstar dotglob nullglob
		for path in "$1"/**/.uringest*; do
			echo "a staging folder is left: $path"
			exit 1
		done
	)
}

all_on_server() {
	sql 'SELECT lower(hex(checksum)) FROM assets WHERE deleted=0' | sort | diff "$T/sums" - ||
		{ echo "the server does not have exactly what was there" && return 1; }
	compare_stored
}

emptied() { # FOLDER
	equals "$(files_below "$1" | tr '\0' '\n')" "" "files left"
	no_staging_left "$1"
}

# again ARGUMENT…: the run that mends, and, for what was on its way when the other one was killed, one
# more.
again() {
	ur import --json --suspect-wait 0 --answer-wait 1s "$@"
	ur import --json --suspect-wait 0 --answer-wait 1s "$@"
	equals "$CODE" 0
}

# kill_behind MARK[:N] ARGUMENT…: an import that ends at once behind the second (N-th) such step.
kill_behind() {
	local mark=$1
	shift
	CODE=0
	[[ $mark == *:* ]] || mark=$mark:2
	UR_FAULT_BEHIND=$mark timeout -k 5 60 "$BIN/uringest-faulty" import --server "$URL" \
		--ledger "$LEDGER" --threads 1 --concurrency 1 --suspect-wait 0 --answer-wait 1s \
		--quiet-without-lease 0 "$@" >"$T/out" 2>"$T/err" 3>&- || CODE=$?
	equals "$CODE" 99 "killed behind $mark"
}

delete_all() { # KIND
	make_disk "$1"
	start_immichd
	fill "$DISK"
	import_json --after delete "$DISK"
	fields sent=5
	emptied "$DISK"
	all_on_server
}

killed_while_deleting() { # KIND
	local mark
	[ -x "$BIN/uringest-faulty" ] || skip "uringest-faulty is not built"
	make_disk "$1"
	start_immichd
	for mark in stage unlink rename_over rename_new; do
		case $mark:$1 in
		rename_over:overlay | rename_over:bind | rename_over:ext4) continue ;;
		esac
		rm -f "$LEDGER"*
		fill "$DISK"
		sql 'DELETE FROM assets'
		kill_behind "$mark" --after delete "$DISK"
		remount "$1"
		again --after delete "$DISK"
		emptied "$DISK"
		all_on_server
	done
}

# What a camera writes under the name of a file that stands staged is neither lost nor replaced.
camera_meanwhile() { # KIND
	[ -x "$BIN/uringest-faulty" ] || skip "uringest-faulty is not built"
	make_disk "$1"
	start_immichd
	fill "$DISK"
	kill_behind stage --after delete "$DISK"
	files_below "$DISK" | grep -zq '/\.uringest/' # one stands there
	local path
	for path in top.jpg inner/IMG_1.JPG inner/100CANON/IMG_2.JPG; do
		[ -e "$DISK/$path" ] || photo "$DISK/$path"
	done
	{ sha1_below "$DISK" && cat "$T/sums"; } | sort -u >"$T/sums.new"
	mv "$T/sums.new" "$T/sums"
	remount "$1"
	again --after delete "$DISK"
	emptied "$DISK"
	all_on_server
}

# The run that mends is killed as well, between two steps of putting a file back; and once more.
killed_while_mending() { # KIND MARK…
	local kind=$1 mark
	shift
	[ -x "$BIN/uringest-faulty" ] || skip "uringest-faulty is not built"
	make_disk "$kind"
	start_immichd
	for mark in "$@"; do
		rm -f "$LEDGER"*
		fill "$DISK"
		sql 'DELETE FROM assets'
		kill_behind stage:1 --after delete "$DISK"
		remount "$kind"
		kill_behind "$mark:1" --after delete "$DISK"
		equals "$(files_below "$DISK" | xargs -0r sha1sum | cut -c1-40 | sort -u | comm -23 "$T/sums" - | wc -l)" \
			0 "lost"
		remount "$kind"
		kill_behind "$mark:1" --after delete "$DISK" || equals "$CODE" 0
		remount "$kind"
		again --after delete "$DISK"
		emptied "$DISK"
		all_on_server
	done
}

moved_once() { # FOLDER: every file once, with its bytes
	sha1_below "$1" | diff "$T/sums" - || { echo "what arrived is not what was there" && return 1; }
	no_staging_left "$1"
}

move_away_and_back() { # KIND
	make_disk "$1"
	start_immichd
	fill "$DISK"
	mkdir "$T/done"
	import_json --after "move=$T/done" "$DISK"
	emptied "$DISK"
	moved_once "$T/done"
	[ -e "$T/done/inner/100CANON/IMG_2 sürprise 🎂.JPG" ]
	mkdir "$DISK/back"
	import_json --after "move=$DISK/back" "$T/done"
	emptied "$T/done"
	moved_once "$DISK/back"
	mkdir "$DISK/within"
	import_json --after "move=$DISK/within" "$DISK/back"
	emptied "$DISK/back"
	moved_once "$DISK/within"
	# And a name that is taken is never overwritten.
	photo "$T/again/top.jpg"
	cp "$DISK/within/top.jpg" "$T/before"
	import_json --after "move=$DISK/within" "$T/again"
	cmp "$T/before" "$DISK/within/top.jpg"
	[ -e "$DISK/within/top (2).jpg" ]
}

killed_while_moving() { # KIND
	local mark from to
	[ -x "$BIN/uringest-faulty" ] || skip "uringest-faulty is not built"
	make_disk "$1"
	start_immichd
	for mark in stage copy publish unlink; do
		for from in "$DISK/from.$mark" "$T/from.$mark"; do
			to=$T/to.$mark
			[ "$from" = "$DISK/from.$mark" ] || to=$DISK/to.$mark
			rm -f "$LEDGER"*
			mkdir "$to"
			fill "$from"
			sql 'DELETE FROM assets'
			kill_behind "$mark" --after "move=$to" "$from"
			remount "$1"
			again --after "move=$to" "$from"
			emptied "$from"
			moved_once "$to"
			all_on_server
		done
	done
}

# A disk that is taken out and put in again has other inode numbers, or never had any.
not_read_again() { # KIND
	local kind=$1 name
	make_disk "$kind"
	start_immichd
	for name in 1 2 3 4 5; do photo "$DISK/in/$name.jpg"; done
	PHOTO_SIZE=400K photo "$DISK/in/large.jpg"
	# Old enough for a coarse clock, so that what was hashed is remembered.
	find "$DISK/in" -type f -exec touch -d '2020-01-01 12:00:00' {} +
	read -rt 4 <>/dev/zero || true
	import_json "$DISK/in"
	fields sent=6
	remount "$kind"
	stat "$DISK"/in/{large,5,4,3,2,1}.jpg >/dev/null # numbers are given out in this order now
	import_json "$DISK/in"
	fields sent=0 bytes_hashed=0
}

# Same name, size and times, and other bytes at one end: what is looked at besides tells.
rewritten_with_its_times() { # FILE
	local size
	size=$(stat -c %s "$1")
	cp "$1" "$T/was"
	printf 'XY' | dd of="$1" bs=1 seek=$((size - 40)) conv=notrunc status=none
	touch -r "$T/was" "$1" 2>/dev/null
	touch -d '2020-01-01 12:00:00' "$1"
	cmp -s "$T/was" "$1" && return 1
	return 0
}

put_in_again() { # KIND
	not_read_again "$1"
	rewritten_with_its_times "$DISK/in/3.jpg"
	remount "$1"
	ur import --json "$DISK/in"
	at_least "$(field bytes_hashed)" 1024
	equals "$(server_count)" 7 # it is another picture
	# Nothing that is looked at tells of other bytes in the middle where no ctime is kept: what is to go is
	# read whole before it does, and these bytes are sent first.
	local sum
	printf 'XY' | dd of="$DISK/in/large.jpg" bs=1 seek=200000 conv=notrunc status=none
	touch -d '2020-01-01 12:00:00' "$DISK/in/large.jpg"
	sum=$(sha1sum <"$DISK/in/large.jpg" | cut -d' ' -f1)
	remount "$1"
	ur import --json --after delete "$DISK/in"
	find "$DISK/in" "$DATA" -type f -exec sha1sum {} + | grep -q "^$sum"
	[ "$1" != exfat ] || [ -e "$DISK/in/large.jpg" ] # only now it is known to be another picture
	again --after delete "$DISK/in"
	equals "$(find "$DISK/in" -type f -name '*.jpg' | wc -l)" 0
	find "$DATA" -type f -exec sha1sum {} + | grep -q "^$sum"
}

# Where ctime is real, what was rewritten in its middle, with its times set back, is read again; nobody
# would be told by its ends.
put_in_again_with_ctime() { # KIND
	not_read_again "$1"
	printf 'XY' | dd of="$DISK/in/large.jpg" bs=1 seek=200000 conv=notrunc status=none
	touch -d '2020-01-01 12:00:00' "$DISK/in/large.jpg"
	remount "$1"
	ur import --json "$DISK/in"
	at_least "$(field bytes_hashed)" 400000
	equals "$(server_count)" 7
}

@test "exfat-fuse: taken out and put in, what is unchanged is not read again, and still proved before it goes" { put_in_again exfat; }
@test "a disk that lies: taken out and put in, what is unchanged is not read again" { put_in_again lying; }
@test "a disk that lies: what was rewritten with its times set back is read again" { put_in_again_with_ctime lying; }
@test "ntfs-3g: taken out and put in, what was rewritten with its times set back is read again" { put_in_again_with_ctime ntfs; }

@test "ntfs-3g: delete empties the disk" { delete_all ntfs; }
@test "ntfs-3g: killed while deleting, nothing is lost and the next run empties it" { killed_while_deleting ntfs; }
@test "ntfs-3g: what a camera writes meanwhile under the old name is kept" { camera_meanwhile ntfs; }
@test "ntfs-3g: move goes there, away and within" { move_away_and_back ntfs; }
@test "ntfs-3g: killed while moving, every file is in one place" { killed_while_moving ntfs; }

@test "exfat-fuse: delete empties the disk" { delete_all exfat; }
@test "exfat-fuse: killed while deleting, nothing is lost and the next run empties it" { killed_while_deleting exfat; }
@test "exfat-fuse: what a camera writes meanwhile under the old name is kept" { camera_meanwhile exfat; }
@test "exfat-fuse: move goes there, away and within" { move_away_and_back exfat; }
@test "exfat-fuse: killed while moving, every file is in one place" { killed_while_moving exfat; }

@test "a disk that lies: delete empties it" { delete_all lying; }
@test "a disk that lies: killed while deleting, nothing is lost and the next run empties it" { killed_while_deleting lying; }
@test "a disk that lies: what a camera writes meanwhile under the old name is kept" { camera_meanwhile lying; }
@test "a disk that lies: killed while putting back, both names are understood" { killed_while_mending lying openat pwrite rename_over put-back; }
@test "a disk that lies but knows links: killed while putting back, both names are understood" { killed_while_mending lying-links linkat unlinkat put-back; }
@test "exfat-fuse: killed while putting back, both names are understood" { killed_while_mending exfat openat pwrite rename_over put-back; }
@test "ntfs-3g: killed while putting back, both names are understood" { killed_while_mending ntfs linkat unlinkat put-back; }
@test "a disk that lies: move goes there, away and within" { move_away_and_back lying; }
@test "a disk that lies: killed while moving, every file is in one place" { killed_while_moving lying; }
@test "a disk that lies but knows links: what a camera writes meanwhile is kept" { camera_meanwhile lying-links; }
@test "a disk that lies but knows links: move goes there, away and within" { move_away_and_back lying-links; }

@test "overlay: delete empties it" { delete_all overlay; }
@test "overlay: killed while deleting, nothing is lost and the next run empties it" { killed_while_deleting overlay; }
@test "overlay: move goes there, away and within" { move_away_and_back overlay; }

@test "a bind mount within the source: delete empties both" { delete_all bind; }
@test "a bind mount within the source: killed while deleting, nothing is lost" { killed_while_deleting bind; }
@test "a bind mount within the source: what a camera writes meanwhile is kept" { camera_meanwhile bind; }

@test "ext4 with inodes of 128 bytes: delete empties it" { delete_all ext4; }
@test "ext4 with inodes of 128 bytes: killed while deleting, nothing is lost" { killed_while_deleting ext4; }
@test "ext4 with inodes of 128 bytes: move goes there, away and within" { move_away_and_back ext4; }
@test "ext4 with inodes of 128 bytes: killed while moving, every file is in one place" { killed_while_moving ext4; }

# --- full to the last byte -----------------------------------------------------------------------

# fill_up FS: folder and ledger on one small file system, which a copy to the folder then fills.
fill_up() {
	mkdir "$T/tmpfs"
	case $1 in
	tmpfs) mount -t tmpfs -o size=40m none "$T/tmpfs" 2>/dev/null || skip "no tmpfs can be mounted here" ;;
	*)
		truncate -s 64M "$T/image"
		mkfs."$1" -q "$T/image"
		mount -o loop "$T/image" "$T/tmpfs" || skip "no loop device"
		;;
	esac
	LEDGER=$T/tmpfs/ledger.db
	start_immichd
	photo "$T/before/x.jpg"
	import_json "$T/before" # as a timer does
	photos "$T/tmpfs/in" 20 --size 100K
	dd if=/dev/zero of="$T/tmpfs/in/zz.raw" bs=1k 2>/dev/null || true
	equals "$(df --output=avail "$T/tmpfs" | tail -n 1 | tr -d ' ')" 0
}

makes_room() {
	fill_up "$1"
	ur import --after delete --settle-after 0s "$T/tmpfs/in"
	equals "$(find "$T/tmpfs/in" -type f ! -name zz.raw | wc -l)" 0
	equals "$(server_count)" 21
}

@test "tmpfs: a drain makes room on a disk that is full to the last byte" { makes_room tmpfs; }
@test "ext4: a drain makes room on a disk that is full to the last byte" { makes_room ext4; }

@test "a disk that is full where there never was a reserve: it says so, and goes on by itself" {
	fill_up tmpfs
	rm "$LEDGER-room"
	dd if=/dev/zero of="$T/tmpfs/in/zz2.raw" bs=1k 2>/dev/null || true
	ur import --after delete --settle-after 0s "$T/tmpfs/in"
	equals "$CODE" 2
	has "$ERR" "No space left on device (make room on its disk and run again: nothing is lost)"
	equals "$(find "$T/tmpfs/in" -type f ! -name '*.raw' | wc -l)" 20
	rm "$T/tmpfs/in/zz2.raw"
	ur import --after delete --settle-after 0s --suspect-wait 0s "$T/tmpfs/in"
	equals "$(find "$T/tmpfs/in" -type f ! -name '*.raw' | wc -l)" 0
	equals "$(server_count)" 21
}
