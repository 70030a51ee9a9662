#!/usr/bin/env bats
# Where files come from: folders, lists and patterns, and everything a file system can hold.
# shellcheck disable=SC2034 # read by lib.bash
load lib

setup() {
	begin
	start_immichd
}
teardown() { finish; }

@test "files, folders and several of each are sources of one run" {
	photos "$T/a" 5
	photos "$T/b" 4 --seed 2
	photo "$T/single one.jpg"
	photo "$T/c/other.jpg"
	import_json "$T/a" "$T/single one.jpg" "$T/b" "$T/c/other.jpg"
	sum_law 11
	fields sent=11
	compare_all
	import_json "$T/single one.jpg" "$T/c"
	fields found=2 sent=0 bytes_hashed=0
}

@test "a source is a name and never a pattern" {
	photo "$T/[x]/1.jpg"
	photo "$T/{a,b}/2.jpg"
	photo "$T/x/3.jpg"
	photo "$T/a/4.jpg"
	photo "$T/[ab]*.jpg"
	(cd "$T" && import_json '[x]' '{a,b}' '[ab]*.jpg')
	sum_law 3
	fields sent=3
	equals "$(server_names | tr '\n' ' ')" "1.jpg 2.jpg [ab]*.jpg "
}

@test "a list of paths comes from a file or from standard input, ended by newline or NUL" {
	photos "$T/lib" 6
	photo "$T/new"$'\n'"line.jpg"
	find "$T/lib" -type f | head -n 3 >"$T/list"
	import_json --files-from "$T/list"
	fields found=3 sent=3
	find "$T/lib" -type f | import_json --files-from -
	fields found=6 sent=3 present=3
	find "$T" -name 'new*.jpg' -print0 | import_json -0 --files-from -
	fields found=1 sent=1
	find "$T/lib" "$T"/new* -type f -print0 >"$T/list"
	import_json --null -T "$T/list"
	sum_law 7
	fields present=7 bytes_hashed=0
}

@test "a path of the list that is not there is named and the rest goes on" {
	photos "$T/lib" 3
	{
		echo "$T/lib/not there.jpg"
		find "$T/lib" -type f
		echo "$T/nowhere/x.jpg"
	} >"$T/list"
	ur import --json --files-from "$T/list"
	equals "$CODE" 1
	fields sent=3 folder_errors=2
	has "$ERR" "lib/not there.jpg: No such file or directory"
	has "$ERR" "nowhere/x.jpg"
}

@test "patterns leave out, take back in, and the last one decides" {
	photo "$T/lib/a/1.jpg"
	photo "$T/lib/a/2.jpg"
	photo "$T/lib/b/1.jpg"
	photo "$T/lib/b/keep/1.jpg"
	photo "$T/lib/c.jpg"
	import_json --exclude '/b/' -x '1.*' -x '!/a/1.jpg' "$T/lib"
	sum_law 3
	events .path | sed "s,$T/lib/,," | sort | tr '\n' ' ' >"$T/got"
	equals "$(cat "$T/got")" "a/1.jpg a/2.jpg c.jpg "
}

@test "an ignore file in the tree holds for its folder and those below" {
	photo "$T/lib/out.jpg"
	photo "$T/lib/sub/out.jpg"
	photo "$T/lib/sub/in.jpg"
	photo "$T/lib/sub/deep/out.jpg"
	photo "$T/lib/sub/deep/back.jpg"
	printf '# comment\n*.jpg\n!in.jpg\n' >"$T/lib/sub/.uringestignore"
	printf '!back.jpg\n' >"$T/lib/sub/deep/.uringestignore"
	import_json "$T/lib"
	sum_law 3
	equals "$(events .path | sed "s,$T/lib/,," | sort | tr '\n' ' ')" \
		"out.jpg sub/deep/back.jpg sub/in.jpg "
}

@test "junk stays out by default, a pattern takes some back and --no-junk all" {
	local junk
	for junk in '@eaDir/SYNO.jpg' '#recycle/old.jpg' thumbnails/t.jpg '._mac.jpg' \
		'Recently Deleted/d.jpg' SYNOFILE_THUMB_M.jpg half.jpg.part; do
		photo "$T/lib/$junk"
	done
	photo "$T/lib/real.jpg"
	import_json "$T/lib"
	sum_law 1
	import_json -x '!thumbnails/' "$T/lib"
	sum_law 2
	import_json --no-junk "$T/lib"
	fields found=8 present=2 sent=5 refused=1
	has "$(of half.jpg.part)" "does not take '.part' files"
}

@test "hidden files and folders are taken, unless asked not to" {
	photo "$T/lib/.hidden.jpg"
	photo "$T/lib/.folder/1.jpg"
	photo "$T/lib/1.jpg"
	import_json --no-hidden "$T/lib"
	sum_law 1
	import_json "$T/lib"
	sum_law 3
	fields sent=2
}

@test "symbolic links are named and not followed, and a broken one stops nothing" {
	photo "$T/outside/o.jpg"
	photo "$T/lib/real.jpg"
	ln -s "$T/outside" "$T/lib/folder"
	ln -s real.jpg "$T/lib/good.jpg"
	ln -s nowhere.jpg "$T/lib/broken.jpg"
	import_json "$T/lib"
	sum_law 1
	has "$ERR" "good.jpg: a symbolic link, not followed"
	has "$ERR" "broken.jpg: a symbolic link, not followed"
}

@test "links are followed when asked, loops end and what they lead to is never removed" {
	photo "$T/outside/o.jpg"
	photo "$T/lib/sub/real.jpg"
	photo "$T/elsewhere.jpg"
	ln -s "$T/outside" "$T/lib/folder"
	ln -s .. "$T/lib/sub/up"
	ln -s "$T/lib" "$T/lib/sub/top"
	ln -s loop.jpg "$T/lib/loop.jpg"
	ln -s nowhere.jpg "$T/lib/broken.jpg"
	ln -s "$T/elsewhere.jpg" "$T/lib/good.jpg"
	import_json -L --after delete "$T/lib"
	fields found=3 sent=3
	equals "$(server_count)" 3
	[ -e "$T/outside/o.jpg" ] && [ -e "$T/elsewhere.jpg" ] && [ ! -e "$T/lib/sub/real.jpg" ]
	[ -L "$T/lib/good.jpg" ] && [ -L "$T/lib/folder" ]
}

@test "a source that is itself a link to a folder or a file is that folder or file" {
	photo "$T/real/1.jpg"
	ln -s real "$T/link"
	ln -s real/1.jpg "$T/one.jpg"
	import_json "$T/link"
	fields found=1 sent=1
	ur import --json "$T/one.jpg"
	[ "$CODE" -eq 0 ] || has "$ERR" "one.jpg"
	has "$OUT$ERR" "one.jpg"
}

@test "names that are not UTF-8 are sent, shown escaped, and given whole in base64" {
	local name=$'\xff\xfe caf\xe9.jpg' folder=$'d\xc3'
	photo "$T/lib/$folder/$name"
	import_json "$T/lib"
	sum_law 1
	fields sent=1
	equals "$(events .path)" "$T/lib/d\\xc3/\\xff\\xfe caf\\xe9.jpg"
	equals "$(events .path_b64 | base64 -d)" "$T/lib/$folder/$name"
	iconv -f UTF-8 -t UTF-8 "$T/out" >/dev/null
	compare_all
	import_json "$T/lib"
	fields sent=0 bytes_hashed=0
}

@test "odd names arrive as they are, newlines, escapes, quotes and backslashes too" {
	local name
	for name in 'double"quote.jpg' "single'quote.jpg" 'back\slash.jpg' 'trailing\.jpg' \
		'per%20cent.jpg' '☀📷.jpg' 'semi;colon.jpg' ' leading.jpg' '-rf.jpg' '%s%n.jpg' \
		'a&b=c?d#e.jpg' $'new\nline.jpg' $'carriage\rreturn.jpg' $'tab\there.jpg' \
		$'\e[31mred\e[0m.jpg' $'bell\a.jpg'; do
		photo "$T/lib/$name"
		printf '%s' "$name" | od -An -tx1 | tr -d ' \n' >>"$T/names"
		echo >>"$T/names"
	done
	import_json "$T/lib"
	sum_law 16
	fields sent=16 failed=0
	sql 'SELECT lower(hex(name)) FROM assets' | sort | diff <(sort "$T/names") -
	compare_all
}

@test "what no server can hold of a name is replaced visibly" {
	photo "$T/lib/"$'caf\xe9.jpg'
	photo "$T/lib/.jpg"
	PHOTO_KIND=mp4 photo "$T/lib/PXL_20240506_050809123.MP"
	import_json "$T/lib"
	fields sent=3
	equals "$(server_names | tr '\n' ' ')" "PXL_20240506_050809123.MP.MP4 caf�.jpg unnamed.jpg "
}

@test "control bytes of names never reach the terminal" {
	photo "$T/lib/"$'\e]0;title\a.jpg'
	photo "$T/lib/"$'\e[2J\u009b5n.jpg'
	echo text >"$T/lib/"$'\e[31m.txt'
	mkfifo "$T/lib/"$'\e[5m.jpg'
	ur import -v "$T/lib"
	equals "$CODE" 0
	equals "$(cat "$T/out" "$T/err" | tr -d '\n' | LC_ALL=C tr -cd '\000-\037\177' | wc -c)" 0
	lacks "$OUT$ERR" $'\u009b'
}

@test "a path of 8,000 bytes is read, sent, known again and removed" {
	mklib "$T/lib" --count 0 --hostile
	mkdir "$T/only"
	mv "$T/lib/hostile/deep" "$T/only/deep"
	import_json "$T/only"
	sum_law 1
	fields sent=1
	[ "$(events .path | wc -c)" -gt 8000 ]
	import_json "$T/only"
	fields present=1 bytes_hashed=0
	import_json --after delete "$T/only"
	equals "$(files_in "$T/only")" 0
	[ -d "$T/only" ] && [ ! -e "$T/only/deep" ]
}

@test "pipes, sockets and devices with a picture's name are never opened" {
	mklib "$T/made" --count 0 --hostile
	mkdir "$T/lib"
	mv "$T/made/hostile/special" "$T/lib/"
	UR_LIMIT=20
	import_json "$T/lib"
	equals "$(events .path | sed 's,.*/,,' | sort | tr '\n' '|')" "first name.jpg|real.jpg|second name.jpg|"
	has "$ERR" "pipe.jpg: no regular file, left alone"
	has "$ERR" "socket.jpg: no regular file, left alone"
	import_json --files-from - <<<"$T/lib/special/pipe.jpg"
	fields found=0
}

@test "a folder and a file that may not be read are errors of their own" {
	can_be_nobody || skip "no setpriv to become somebody else"
	photos "$T/lib" 4
	mkdir "$T/lib/closed"
	photo "$T/lib/closed/1.jpg"
	photo "$T/lib/closed.jpg"
	chmod 000 "$T/lib/closed" "$T/lib/closed.jpg"
	chmod 777 "$T/ledger"
	as_nobody
	ur import --json "$T/lib"
	equals "$CODE" 1
	sum_law 5
	fields sent=4 refused=1 folder_errors=1
	has "$(of closed.jpg)" "it cannot be read: Permission denied"
	has "$ERR" "lib/closed: cannot be opened: Permission denied"
	equals "$(jq -r 'select(.event == "folder").path' "$T/out")" "$T/lib/closed"
	chmod 755 "$T/lib/closed" "$T/lib/closed.jpg"
	ur import --json "$T/lib"
	equals "$CODE" 0
	sum_law 6
	fields sent=2
}

@test "another file system is entered, unless asked not to" {
	[ -d /dev/shm ] && [ "$(stat -c %d /dev/shm)" != "$(stat -c %d "$T")" ] ||
		skip "no second file system here"
	ELSEWHERE=$(mktemp -d /dev/shm/ur-e2e.XXXXXX)
	mkdir "$T/lib"
	photo "$T/lib/here.jpg"
	photo "$ELSEWHERE/there.jpg"
	ln -s "$ELSEWHERE" "$T/lib/mount"
	import_json -L --one-file-system "$T/lib"
	sum_law 1
	import_json -L "$T/lib"
	sum_law 2
}

@test "with --min-age a file waits until it has been quiet for so long" {
	photo "$T/lib/1.jpg"
	import_json --min-age 2s "$T/lib"
	sum_law 1
	fields waiting=1
	has "$(of 1.jpg)" "not yet quiet for 2 s"
	quiet_now() {
		import_json --min-age 2s "$T/lib" && fields sent=1 >/dev/null
	}
	wait_for 20 quiet_now
	equals "$(server_count)" 1
	photo "$T/lib/2.jpg"
	import_json --min-age 1h "$T/lib"
	fields present=1 waiting=1
}

@test "--limit sends so many and the rest waits for the next run" {
	photos "$T/lib" 25
	import_json --limit 10 "$T/lib"
	sum_law 25
	fields sent=10 waiting=15
	equals "$(server_count)" 10
	import_json --limit 10 "$T/lib"
	fields sent=10 present=10 waiting=5
	import_json "$T/lib"
	fields sent=5 present=20 bytes_hashed=0
	compare_all
}

@test "the server's own library is refused, from above, inside and below" {
	photo "$T/lib/upload/user/1.jpg"
	touch "$T/lib/upload/.immich"
	local source
	for source in "$T/lib/upload" "$T/lib/upload/user" "$T/lib"; do
		ur import --json "$source"
		equals "$CODE" 2 "$source"
		has "$ERR" "the server's own library"
	done
	mkdir -p "$T/far/away"
	mv "$T/lib" "$T/far/away/lib"
	photo "$T/far/other.jpg"
	ur import --json "$T/far"
	equals "$CODE" 1
	has "$ERR" "Immich's own library"
	fields found=1 sent=1
}

@test "the ledger's folder and the target of a move are no sources" {
	photo "$T/ledger/1.jpg"
	ur import --json "$T/ledger"
	equals "$CODE" 2
	has "$ERR" "the ledger's folder"
	mkdir "$T/done"
	photo "$T/done/2.jpg"
	ur import --json --after "move=$T/done" "$T/done"
	equals "$CODE" 2
	has "$ERR" "the folder that --after moves to"
	ur import --json --after "move=$T" "$T/done"
	equals "$CODE" 2
	mkdir "$T/lib" "$T/lib/done"
	photo "$T/lib/3.jpg"
	import_json --after "move=$T/lib/done" "$T/lib"
	fields found=1 sent=1
	[ -e "$T/lib/done/3.jpg" ]
	import_json --after "move=$T/lib/done" "$T/lib"
	fields found=0
	has "$ERR" "left alone, it is the folder that --after moves to"
}

@test "a source that is not there ends the run with 2 before anything is sent" {
	photo "$T/lib/1.jpg"
	ur import --json "$T/lib" "$T/nowhere"
	equals "$CODE" 2
	has "$ERR" "cannot open the source '$T/nowhere': No such file or directory"
	equals "$(server_count)" 0
	ur import --json --files-from "$T/no list"
	equals "$CODE" 2
	has "$ERR" "no list"
	ur import --json
	equals "$CODE" 2
	has "$ERR" "name files or folders"
}

@test "the same folder named twice, and a folder with its own subfolder, count each file once" {
	photos "$T/lib" 6
	local sub
	sub=$(find "$T/lib" -mindepth 1 -type d | sort | tail -n 1)
	import_json "$T/lib" "$T/lib" "$sub"
	equals "$(server_count)" 6
	fields sent=6 failed=0
	sum_law 6
}

@test "dates before 1970, ahead of us and beyond 2262 are carried, known again and moved along" {
	local year
	for year in 1903 1969 2050 2400; do
		photo "$T/lib/$year.jpg"
		touch -d "$year-12-31 23:59:58.5" "$T/lib/$year.jpg"
	done
	import_json "$T/lib"
	fields sent=4
	import_json "$T/lib"
	fields present=4 bytes_hashed=0
	mkdir "$T/done"
	if [ -d /dev/shm ]; then
		ELSEWHERE=$(mktemp -d /dev/shm/ur-e2e.XXXXXX)
		rmdir "$T/done"
		ln -s "$ELSEWHERE" "$T/done"
	fi
	(cd "$T/lib" && find . -type f -printf '%f %s %TY %TS\n' | sort) >"$T/before"
	import_json --after "move=$T/done" "$T/lib"
	(cd "$T/done/" && find . -type f -printf '%f %s %TY %TS\n' | sort) | diff "$T/before" -
}

@test "the usual junk is left out, counted, and named to whoever asks" {
	photo "$T/lib/DCIM/Camera/a.jpg"
	photo "$T/lib/DCIM/Camera/.trashed-1712345678-b.jpg"
	photo "$T/lib/DCIM/.thumbnails/1.jpg"
	photo "$T/lib/PRIVATE/M4ROOT/THMBNL/C0001T01.JPG"
	ur plan "$T/lib"
	has "$(tr -s ' ' <<<"$OUT")" "left out 3 as the usual junk"
	import_json "$T/lib"
	fields sent=1 left_out=3
	ur plan -v "$T/lib"
	has "$ERR" "DCIM/.thumbnails: left out, as '.thumbnails/' is among the usual junk"
	ur plan --json --no-junk "$T/lib"
	fields found=4 left_out=0
	ur plan --json --exclude '!.trashed-*' "$T/lib"
	fields found=2 left_out=2
}
