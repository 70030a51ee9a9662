#!/usr/bin/env bats
# mklib: what other tests rely on when they count its files.

setup() {
	MKLIB=${MKLIB:-$BATS_TEST_DIRNAME/../../build/${BUILD:-release}/mklib}
	[ -x "$MKLIB" ] || skip "mklib is not built"
	DIR=$(mktemp -d)
}

teardown() {
	[ -n "$DIR" ] || return 0
	chmod -R u+rwx "$DIR" 2>/dev/null || true
	rm -rf "$DIR"
}

# Names, sizes, times and contents of a tree, as one line.
fingerprint() {
	(
		cd "$1" || exit
		find . -printf '%y %P %l\n' | LC_ALL=C sort
		find . -type f -printf '%P %s %T@\n' | LC_ALL=C sort
		find . -type f -perm -400 -print0 | LC_ALL=C sort -z | xargs -0r sha1sum 2>/dev/null
	) | sha1sum
}

@test "the same seed gives the same tree, another seed another one" {
	local options=(--count 200 --live 30 --sidecars 20 --duplicates 10 --per-dir 20 --junk --hostile)
	"$MKLIB" "$DIR/a" "${options[@]}" --seed 5 --list "$DIR/a.list"
	"$MKLIB" "$DIR/b" "${options[@]}" --seed 5 --list "$DIR/b.list"
	"$MKLIB" "$DIR/c" "${options[@]}" --seed 6
	[ "$(fingerprint "$DIR/a")" = "$(fingerprint "$DIR/b")" ]
	[ "$(fingerprint "$DIR/a")" != "$(fingerprint "$DIR/c")" ]
	cmp "$DIR/a.list" "$DIR/b.list"
}

@test "every file has its own content, but for the duplicates" {
	"$MKLIB" "$DIR/a" --count 400 --size 1 --live 50 --duplicates 20 --list "$DIR/list"
	local files originals different
	files=$(wc -l <"$DIR/list")
	originals=$(grep -vc '^duplicate' "$DIR/list")
	different=$(find "$DIR/a" -type f -print0 | xargs -0 sha1sum | cut -c1-40 | sort -u | wc -l)
	[ "$originals" -lt "$files" ]
	[ "$different" -eq "$originals" ]
}

@test "a duplicate lies in another folder than its original" {
	"$MKLIB" "$DIR/a" --count 300 --duplicates 30 --per-dir 50 --kinds jpeg,mp4
	find "$DIR/a" -type f -exec sha1sum {} + >"$DIR/sums"
	# shellcheck disable=SC2016
	run awk '{ folder = substr($0, 43); sub(/[^\/]*$/, "", folder) }
		/ copy [0-9]+\.[^.]*$/ { copies++; copy[copies] = $1; lies[copies] = folder; next }
		{ original[$1] = folder }
		END {
			for (i = 1; i <= copies; i++)
				if (!(copy[i] in original) || original[copy[i]] == lies[i]) bad++
			print (copies > 50), bad + 0
		}' "$DIR/sums"
	[ "$output" = "1 0" ]
}

@test "without options for more, count is the number of files and size their size" {
	"$MKLIB" "$DIR/a" --count 120 --size 5000 --kinds jpeg,png,heic,gif,mp4,mov --per-dir 7
	[ "$(find "$DIR/a" -type f | wc -l)" -eq 120 ]
	[ "$(find "$DIR/a" -type f -size 5000c | wc -l)" -eq 120 ]
	[ "$(find "$DIR/a" -mindepth 2 -type d | wc -l)" -eq 18 ]
}

@test "mtimes lie in the years 2001 to 2024" {
	"$MKLIB" "$DIR/a" --count 300 --per-dir 1 --kinds jpeg
	[ "$(find "$DIR/a" -type f -newermt '2000-12-31' ! -newermt '2025-01-01' | wc -l)" -eq 300 ]
	[ "$(find "$DIR/a" -mindepth 1 -maxdepth 1 -type d | wc -l)" -ge 20 ]
}

@test "the list names every file, and the comparison finds what is gone or changed" {
	"$MKLIB" "$DIR/a" --count 50 --hostile --junk --list "$DIR/list"
	[ "$(wc -l <"$DIR/list")" -eq "$(find "$DIR/a" ! -type d -printf x | wc -c)" ]
	"$MKLIB" "$DIR/a" --verify-list --list "$DIR/list"

	rm "$DIR/a/hostile/names/back\\slash.jpg"
	echo more >>"$DIR/a/hostile/content/text.txt"
	run "$MKLIB" "$DIR/a" --verify-list --list "$DIR/list"
	[ "$status" -eq 1 ]
	[[ "$output" == *$'gone\thostile/names/back\\\\slash.jpg'* ]]
	[[ "$output" == *$'changed\thostile/content/text.txt'* ]]
	[[ "$output" == *", 1 gone, 1 changed,"* ]]
}

@test "the hostile cases are what they say" {
	"$MKLIB" "$DIR/a" --count 0 --hostile
	cd "$DIR/a/hostile" || return
	[ -p special/pipe.jpg ] && [ -S special/socket.jpg ]
	[ -L special/loop.jpg ] && [ ! -e special/loop.jpg ] && [ ! -e "special/broken link.jpg" ]
	[ "special/first name.jpg" -ef "special/second name.jpg" ]
	[ "$(stat -c %a unreadable/folder)" = 0 ] && [ "$(stat -c %a unreadable/file.jpg)" = 0 ]
	[ -e names/$'new\nline.jpg' ] && [ -e names/$'\033[31mred\033[0m.jpg' ]
	[ "$(find names -printf '%f\n' | LC_ALL=C awk '{ print length }' | sort -n | tail -1)" -eq 250 ]
	[ "$(find deep -type f -printf '%P\n' | wc -c)" -gt 8000 ]
	run cmp -s same-name/a/IMG_0001.jpg same-name/b/IMG_0001.jpg
	[ "$status" -eq 1 ]
	cmp sidecar/s11.jpg "sidecar/copy/s11 again.jpg"
	[ ! -s content/empty.jpg ] && [ -z "$(tr -d '\0' <content/zeros.heic)" ]
}

@test "a large file is a movie of the size asked for, and a sparse one takes no space" {
	"$MKLIB" "$DIR/a" --count 0 --big x/hole.mp4:20G:sparse --big full.mp4:3M
	[ "$(stat -c %s "$DIR/a/x/hole.mp4")" -eq $((20 << 30)) ]
	[ "$(stat -c %b "$DIR/a/x/hole.mp4")" -lt 100 ]
	[ "$(stat -c %s "$DIR/a/full.mp4")" -eq $((3 << 20)) ]
	[ "$(head -c 8 "$DIR/a/full.mp4" | tail -c 4)" = ftyp ]
}

@test "a folder with something in it is refused and stays as it is" {
	mkdir "$DIR/a"
	echo mine >"$DIR/a/mine"
	run "$MKLIB" "$DIR/a"
	[ "$status" -eq 1 ]
	[[ "$output" == *"is not empty"* ]]
	[ "$(ls -A "$DIR/a")" = mine ]
}

@test "what cannot be understood ends with 2 and a sentence" {
	for option in "--count many" "--kinds jpeg,bmp" "--live 101" "--big x" "--big ../x:1M" \
		"--per-dir 0" "--nonsense" "--verify-list"; do
		# shellcheck disable=SC2086 # an option and its argument
		run "$MKLIB" "$DIR/a" $option
		[ "$status" -eq 2 ]
		[ -n "$output" ]
	done
	[ ! -e "$DIR/a" ]
}

@test "ordinary readers open every kind" {
	command -v exiftool >/dev/null || skip "exiftool is not here to ask"
	"$MKLIB" "$DIR/a" --count 80 --live 50 --size 3000
	# shellcheck disable=SC2016
	run exiftool -r -q -q -if '$error or $warning and $warning !~ /APP9/' -p '$directory/$filename' \
		"$DIR/a"
	[ -z "$output" ]
	# shellcheck disable=SC2016
	[ "$(exiftool -r -q -p '$filename' -if '$mimetype =~ /^(image|video)/ and $createdate or $filetype eq "GIF"' \
		"$DIR/a" | wc -l)" -eq "$(find "$DIR/a" -type f | wc -l)" ]
}
