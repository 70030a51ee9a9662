#!/usr/bin/env bats
# Files that nobody has in memory: read past the page cache where a plan reads them once, and let go
# of where an import reads them twice.
# shellcheck disable=SC2034 # read by lib.bash
load lib

setup() { begin; }
teardown() { finish; }

# What of the library is in memory, in bytes.
resident() { find "$T/lib" -type f -print0 | xargs -0 fincore -nbo res | awk '{ n += $1 } END { print n + 0 }'; }

# A library of many small files and of sizes around every boundary, none of it in memory.
cold_library() {
	local size
	mkdir -p "$T/lib/odd"
	mklib "$T/lib/small" --kinds jpeg --count 600 --size 4000 --per-dir 100
	mklib "$T/one" --kinds jpeg --count 1 --size 2000
	for size in 4095 4096 4097 262143 262144 262145 327679 327680 327681 331775 331777 \
		524287 524288 524289 4194303 4194305 9000001; do
		{
			find "$T/one" -type f -exec cat {} +
			openssl enc -aes-128-ctr -K "$(printf '%032d' "$size")" -iv "$(printf '%032d' 0)" \
				-in /dev/zero 2>/dev/null
		} | head -c "$size" >"$T/lib/odd/$size.jpg"
	done
	sync
	find "$T/lib" -type f -exec dd if={} iflag=nocache count=0 status=none \;
	[ "$(resident)" = 0 ] || skip "this file system keeps its files in memory"
}

# The ledger's hashes are those of the files.
hashes_are_right() {
	find "$T/lib" -type f -exec sha1sum {} + | cut -d ' ' -f 1 | sort >"$T/true"
	ledger 'SELECT lower(hex(sha1)) FROM file' | sort | diff "$T/true" -
}

@test "a plan of what is not in memory hashes it right, and leaves it where it was" {
	start_immichd
	cold_library
	ur plan "$T/lib"
	equals "$CODE" 0
	[ "$(resident)" -lt 2000000 ] # of 17 MB: those that were read before it was known
	hashes_are_right
}

@test "the same with system calls instead of a ring" {
	start_immichd
	cold_library
	ur plan --ring sync "$T/lib"
	equals "$CODE" 0
	[ "$(resident)" -lt 2000000 ]
	hashes_are_right
}

@test "an import of what is not in memory sends it right, and lets it go" {
	start_immichd
	cold_library
	import_json "$T/lib"
	equals "$(field sent)" 617
	[ "$(resident)" -lt 4000000 ]
	hashes_are_right
	compare_all
}
