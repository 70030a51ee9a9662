#!/usr/bin/env bats
# Bad weather: servers that fail, lines that break, runs that are killed, files that move.
# shellcheck disable=SC2034,SC2030,SC2031 # read by lib.bash; each test is a shell of its own
load lib

setup() { begin; }
teardown() { finish; }

# once_each NUMBER: so many files are on the server, each once, all bytes right.
once_each() {
	equals "$(server_count)" "$1"
	compare_stored
	equals "$(sql 'SELECT count(*) - count(DISTINCT checksum) FROM assets')" 0
	sums_below "$T/lib" -name '*.*' | uniq >"$T/source-sums"
	(cd "$DATA/upload" && cut -f1 "$T/rows" | tr '\n' '\0' | sums) | diff "$T/source-sums" - | head -n 5
}

# in_background COMMAND ARGUMENT…: uringest, as RUN.
in_background() {
	"$URINGEST" "$1" --server "$URL" --ledger "$LEDGER" "${@:2}" >"$T/out" 2>"$T/err" 3>&- &
	RUN=$!
	PIDS+=("$RUN")
}

# ended SECONDS: waits for RUN and sets CODE.
ended() {
	wait_for "$1" gone_or_zombie "$RUN"
	CODE=0
	wait "$RUN" || CODE=$?
	ERR=$(cat "$T/err") OUT=$(cat "$T/out")
}
gone_or_zombie() { gone "$1" || grep -q '^State:.Z' "/proc/$1/status" 2>/dev/null; }
arrived() { [ "$(server_count)" -ge "$1" ]; }

# --- the server ----------------------------------------------------------------------------------

@test "when every third answer is lost, every file arrives once" {
	start_immichd
	photos "$T/lib" 60
	mischief 'POST /api/assets: lost-answer percent=30 seed=3'
	ur import --json --suspect-wait 0s "$T/lib"
	sum_law 60
	fields failed=0
	mischief
	once_each 60
	import_json --suspect-wait 0s --after delete "$T/lib"
	fields present=60
	equals "$(files_in "$T/lib")" 0
}

@test "an answer 429 is obeyed: Retry-After passes before the next try" {
	start_immichd
	photos "$T/lib" 6
	mischief 'POST /api/assets: status=429 retry-after=2 first=3'
	import_json "$T/lib"
	fields sent=6
	[ "$(field seconds | cut -d. -f1)" -ge 2 ]
	once_each 6
}

@test "a question that the server never answers ends the run with 3 within --server-wait" {
	start_immichd
	photos "$T/lib" 3
	mischief 'POST /api/assets/bulk-upload-check: status=500'
	ur import --json --server-wait 2s "$T/lib"
	equals "$CODE" 3
	has "$ERR" "does not answer the question by checksum"
	fields waiting=3
	mischief
	import_json "$T/lib"
	fields sent=3
}

@test "failures of the server and of a proxy before it pass, early or late, as JSON or HTML" {
	start_immichd
	photos "$T/lib" 40
	mischief 'POST /api/assets: status=500 every=7' 'POST /api/assets: status=502 html early every=9' \
		'POST /api/assets: status=503 html every=11' 'POST /api/assets/bulk: status=503 first=2' \
		'POST /api/assets: status=504 nth=3'
	# A third of all tries fails: five of a row may be those of one file.
	import_json --answer-wait 5s --suspect-wait 0s --tries 12 "$T/lib"
	sum_law 40
	fields sent=40 failed=0
	once_each 40
}

@test "connections that break in the middle leave nothing behind and are tried again" {
	start_immichd
	photos "$T/lib" 5
	PHOTO_KIND=mp4 PHOTO_SIZE=4M photo "$T/lib/film.mp4"
	# The film is asked for before each try, too: with every fourth it could meet one each second try.
	mischief 'POST /api/assets: reset-after=1000000 name=film.mp4 first=2' 'POST /api/assets: down every=5'
	import_json --answer-wait 2s --tries 8 "$T/lib"
	fields sent=6
	once_each 6
}

@test "a file that fails for good is a failure of that file, and the others arrive" {
	start_immichd
	photos "$T/lib" 5
	photo "$T/lib/bad.jpg"
	mischief 'POST /api/assets: status=500 name=bad.jpg'
	ur import --json --tries 2 "$T/lib"
	equals "$CODE" 1
	fields sent=5 failed=1
	has "$(of bad.jpg)" "failed failed: "
	mischief
	import_json "$T/lib"
	fields sent=1 present=5
}

@test "a server that hangs is waited for as long as it may store, and asked what it has" {
	start_immichd
	photos "$T/lib" 4
	mischief 'POST /api/assets: hang=20000 nth=2'
	ur import --json --answer-wait 2s --suspect-wait 0s "$T/lib"
	equals "$CODE" 0
	fields failed=0 waiting=0
	once_each 4
	import_json --suspect-wait 0s --after delete "$T/lib"
	equals "$(files_in "$T/lib")" 0
}

@test "what a proxy calls too large is refused with its sentence, and the rest arrives" {
	start_immichd
	start_nginx 100k
	photos "$T/lib" 4
	PHOTO_KIND=mp4 PHOTO_SIZE=2M photo "$T/lib/film.mp4"
	ur import --json "$T/lib"
	equals "$CODE" 1
	fields sent=4 refused=1
	has "$(of film.mp4)" "refused wanted: too large for the server or a proxy before it: "
	has "$ERR" "client_max_body_size"
	equals "$(server_count)" 4
	[ "$(field bytes_sent)" -lt 8000000 ]
}

# limit_bodies LIMIT: nginx, as it runs, from its next request on.
limit_bodies() {
	sed -i "s|client_max_body_size .*|client_max_body_size $1;|; s|access_log off|access_log $T/nginx/access.log|" \
		"$T/nginx/nginx.conf"
	kill -HUP "$NGINX_PID"
	wait_for 10 test -e "$T/nginx/access.log"
}
lets_through() { # FILE
	[ "$(curl -sk -o "$T/body" -w '%{http_code}' -H Expect: --data-binary "@$1" "$URL/api/none")" != 413 ]
}
refusals() { grep -c '"POST /api/assets HTTP/1.1" 413 ' "$T/nginx/access.log" || true; }

@test "a limit on the way is remembered: one large file is tried in each run, and the rest waits for it" {
	start_immichd
	start_nginx 100k
	limit_bodies 100k
	photos "$T/lib" 3
	for size in 2M 3M 4M 5M; do
		PHOTO_KIND=mp4 PHOTO_SIZE=$size photo "$T/lib/film$size.mp4"
	done
	ur import --json "$T/lib"
	equals "$CODE" 1
	fields sent=3
	equals "$(server_count)" 3
	: >"$T/nginx/access.log"
	photo "$T/lib/one-more.jpg"
	ur import --json "$T/lib"
	equals "$CODE" 1
	fields sent=1 refused=1 waiting=3
	equals "$(refusals)" 1
	has "$(of film2M.mp4)" "refused wanted: "
	has "$(of film5M.mp4)" "waiting wanted: as large as what the server, or a proxy before it, does not let through"
	rm "$T/nginx/access.log"
	limit_bodies 100m
	wait_for 10 lets_through "$T/lib/film2M.mp4"
	: >"$T/nginx/access.log"
	ur import --json "$T/lib"
	fields sent=1 waiting=3
	has "$ERR" "larger files pass again"
	import_json "$T/lib"
	fields sent=3 refused=0 waiting=0
	equals "$(refusals)" 0
	equals "$(server_count)" 8
}

@test "a key that is withdrawn in mid-run ends the run with 2, and nothing is lost" {
	start_immichd
	photos "$T/lib" 30
	mischief 'POST /api/assets: status=401 early after=10' 'POST /api/assets: latency=10'
	ur import --json -j 2 "$T/lib"
	equals "$CODE" 2
	has "$ERR" "key"
	lacks "$ERR$OUT" "$KEY"
	sum_law
	mischief
	import_json "$T/lib"
	once_each 30
}

@test "a server that is gone for good ends the run with 3 within --server-wait" {
	start_immichd
	photos "$T/lib" 40
	mischief 'POST /api/assets: latency=30..60'
	in_background import --json --server-wait 2s "$T/lib"
	wait_for 10 arrived 5
	stop_immichd KILL
	ended 30
	equals "$CODE" 3
	has "$ERR" "the server has been away"
	has "$ERR" "nothing is lost"
	sum_law
	start_immichd
	import_json --answer-wait 1s --suspect-wait 0s "$T/lib"
	once_each 40
}

@test "a server that is not there at all is an exit code of 3 at once" {
	start_immichd
	stop_immichd
	photo "$T/lib/1.jpg"
	ur import --json "$T/lib"
	equals "$CODE" 3
	has "$ERR" "127.0.0.1"
}

# --- the run -------------------------------------------------------------------------------------

@test "an interrupted run ends with 130, what is on its way arrives, and the next one goes on" {
	start_immichd
	photos "$T/lib" 200
	mischief 'POST /api/assets: latency=20..40'
	in_background import --json "$T/lib"
	wait_for 20 arrived 10
	kill -INT "$RUN"
	ended 20
	equals "$CODE" 130
	sum_law
	[ "$(field sent)" -ge 10 ] && [ "$(field sent)" -lt 200 ]
	mischief
	import_json "$T/lib"
	fields found=200 failed=0 refused=0
	once_each 200
}

@test "a terminated run ends with 143" {
	start_immichd
	photos "$T/lib" 100
	mischief 'POST /api/assets: latency=50'
	in_background import --json "$T/lib"
	wait_for 20 arrived 2
	kill -TERM "$RUN"
	ended 20
	equals "$CODE" 143
}

@test "killed at random moments, and then run to the end, every file is there once" {
	start_immichd
	photos "$T/lib" "${UR_KILL_FILES:-400}" --per-dir 50
	local kill files
	files=$(files_in "$T/lib")
	mischief 'POST /api/assets: latency=5..15'
	for kill in $(seq "${UR_KILLS:-10}"); do
		in_background import --json --answer-wait 1s --suspect-wait 0s "$T/lib"
		sleep "0.$((RANDOM % 4))$((RANDOM % 10))"
		kill -KILL "$RUN" 2>/dev/null || true
		wait "$RUN" 2>/dev/null || true
	done
	mischief
	import_json --answer-wait 1s --suspect-wait 0s "$T/lib"
	sum_law "$files"
	fields failed=0 waiting=0
	once_each "$files"
	import_json --suspect-wait 0s --after delete "$T/lib"
	fields failed=0 refused=0
	equals "$(files_in "$T/lib")" 0
	equals "$(server_count)" "$files"
}

@test "killed at random moments while it removes, every picture is here or there, and none is lost" {
	start_immichd
	photos "$T/lib" "${UR_KILL_FILES:-300}" --per-dir 30
	sums_below "$T/lib" -name '*.*' >"$T/all"
	local kill
	for kill in $(seq "${UR_KILLS:-8}"); do
		in_background import --json --after delete --answer-wait 1s --suspect-wait 0s "$T/lib"
		sleep "0.$((RANDOM % 4))$((RANDOM % 10))"
		kill -KILL "$RUN" 2>/dev/null || true
		wait "$RUN" 2>/dev/null || true
	done
	import_json --after delete --answer-wait 1s --suspect-wait 0s "$T/lib"
	import_json --after delete --suspect-wait 0s "$T/lib"
	equals "$(find "$T/lib" -mindepth 1 | wc -l)" 0
	compare_stored
	(cd "$DATA/upload" && cut -f1 "$T/rows" | tr '\n' '\0' | sums) | diff "$T/all" - | head -n 5
}

@test "files that grow, shrink, are replaced or vanish while it runs are never stored half" {
	start_immichd
	photos "$T/lib" 60 --size 20K --per-dir 60
	mischief 'POST /api/assets: latency=20..40'
	local list=() file i=0
	mapfile -d '' list < <(find "$T/lib" -type f -print0 | sort -z)
	# What may be stored: each file's bytes as they were before, or after.
	sums_below "$T/lib" -name '*.*' >"$T/allowed"
	in_background import --json -j 2 --answer-wait 2s "$T/lib"
	wait_for 10 arrived 3
	for file in "${list[@]}"; do
		i=$((i + 1))
		case $((i % 6)) in
		0) echo more >>"$file" ;;
		1) truncate -s 9000 "$file" ;;
		2) head -c 20480 /dev/urandom >"$T/new" && mv "$T/new" "$file" ;;
		3) rm "$file" ;;
		*) ;;
		esac
	done
	ended 60
	[ "$CODE" -eq 0 ] || equals "$CODE" 1
	sum_law
	compare_stored
	sums_below "$T/lib" -name '*.*' >>"$T/allowed"
	sort -u "$T/allowed" >"$T/allowed.sorted"
	(cd "$DATA/upload" && cut -f1 "$T/rows" | tr '\n' '\0' | sums | uniq) >"$T/stored-sums"
	equals "$(comm -13 "$T/allowed.sorted" "$T/stored-sums" | wc -l)" 0 "contents that never were"
	mischief
	ur import --json "$T/lib"
	sum_law "$(files_in "$T/lib")"
	fields waiting=0
}

@test "a second run on the same ledger ends with 4 and says who holds it" {
	start_immichd
	photos "$T/lib" 3
	mischief 'POST /api/assets: hang=3000'
	in_background import --json "$T/lib"
	wait_for 10 arrived 1
	cp "$T/out" "$T/first.out"
	cp "$T/err" "$T/first.err"
	local holder=$RUN first=$T/first
	ur import --json "$T/lib"
	equals "$CODE" 4
	has "$ERR" "$holder"
	mischief
	wait "$holder"
	import_json "$T/lib"
	fields present=3
}

@test "when the ledger's disk is full it says so, and nothing is lost" {
	mkdir "$T/tmpfs"
	# Room for all that a log may hold before it is written back, once the filler is gone.
	mount -t tmpfs -o size=48m none "$T/tmpfs" 2>/dev/null || skip "no tmpfs can be mounted here"
	start_immichd
	photos "$T/lib" 400 --size 1K
	LEDGER=$T/tmpfs/ledger.db
	head -c 48560k /dev/zero >"$T/tmpfs/filler"
	ur import --json --after delete "$T/lib"
	equals "$CODE" 2
	has "$ERR" "ledger"
	equals "$(server_count)" "$(sql 'SELECT count(DISTINCT checksum) FROM assets')"
	local here there
	here=$(files_in "$T/lib")
	there=$(server_count)
	[ $((here + there)) -ge 400 ]
	rm "$T/tmpfs/filler"
	import_json --after delete --answer-wait 1s --suspect-wait 0s "$T/lib"
	# Those whose 201 could not be written down are asked for in a later run.
	import_json --after delete --suspect-wait 0s "$T/lib"
	equals "$(files_in "$T/lib")" 0
	equals "$(server_count)" 400
	compare_stored
}

@test "--bwlimit holds, over all uploads together" {
	start_immichd
	mklib "$T/lib" --count 8 --size 100K --kinds jpeg
	import_json --bwlimit 200K "$T/lib"
	fields sent=8
	local rate
	rate=$(jq -r 'select(.event == "summary") | .bytes_sent / .seconds | floor' "$T/out")
	at_most "$rate" 330000
	at_least "$rate" 40000
}

@test "as many uploads at once as the server is faster with: many over a long line, few beside it" {
	start_immichd
	photos "$T/far" 700 --seed 1
	photos "$T/near" 700 --seed 2
	mischief 'POST /api/assets: latency=60'
	import_json --concurrency 16 "$T/far"
	fields sent=700
	local far
	far=$(field concurrency)
	at_least "$far" 12
	mischief
	import_json --concurrency 64 "$T/near"
	fields sent=700
	local near
	near=$(field concurrency)
	at_most "$near" 32
	compare_stored
}

@test "what is delivered while the server thinks about its copies makes them copies" {
	start_immichd
	mkdir "$T/lib"
	photos "$T/lib/a" 1500
	cp -r "$T/lib/a" "$T/lib/b"
	mischief 'POST /api/assets/bulk-upload-check: latency=700'
	import_json "$T/lib"
	equals "$CODE" 0
	fields sent=1500 duplicate=1500 refused=0
	equals "$(uploads)" 1500
	compare_all
}

@test "no more uploads at once than the server works at: what is beyond only waits there" {
	start_immichd
	photos "$T/lib" 1500
	mischief 'POST /api/assets: latency=10 places=4'
	import_json --concurrency 64 "$T/lib"
	fields sent=1500
	local many
	many=$(field concurrency)
	at_least "$many" 3
	at_most "$many" 16
	compare_stored
}

in_memory() { fincore -b -n -o RES "$1" | tr -d ' '; }
# What is written and flushed is thrown out of memory, where the file system lets us.
cool() { dd of="$1" oflag=nocache conv=notrunc,fdatasync count=0 status=none; }

@test "a large file that was not in memory does not stay there, one that was does" {
	command -v fincore >/dev/null || skip "there is no fincore"
	mklib "$T/lib" --count 0 --big film.mp4:40M
	local film=$T/lib/film.mp4
	cool "$film"
	[ "$(in_memory "$film")" -lt 4000000 ] || skip "this file system keeps what it is told to forget"
	start_immichd
	ur plan --json "$T/lib"
	equals "$CODE" 0
	fields bytes_hashed=$((40 << 20))
	[ "$(in_memory "$film")" -lt 8000000 ] || skip "this kernel has no cachestat"
	LEDGER=$T/other.db
	import_json "$T/lib"
	fields sent=1
	[ "$(in_memory "$film")" -lt 8000000 ]
	cat "$film" >/dev/null
	LEDGER=$T/third.db
	import_json "$T/lib"
	fields present=1
	[ "$(in_memory "$film")" -gt 40000000 ]
}

# --- the machine ---------------------------------------------------------------------------------

whole_job() { # OPTION…
	mklib "$T/lib" --count 80 --size 3K --live 20 --sidecars 20 --duplicates 5
	PHOTO_KIND=mp4 PHOTO_SIZE=5M photo "$T/lib/film.mp4"
	import_json "$@" "$T/lib"
	sum_law "$(files_in "$T/lib")"
	fields failed=0 waiting=0 refused=0
	compare_all
	import_json "$@" "$T/lib"
	fields sent=0 bytes_hashed=0
	import_json "$@" --after delete "$T/lib"
	equals "$(find "$T/lib" -type f ! -iname '*.xmp' | wc -l)" 0
}

@test "io_uring and ordinary system calls do the same job" {
	start_immichd
	whole_job --ring sync
	rm -rf "${T:?}/lib" "$LEDGER"*
	stop_immichd
	rm -rf "$DATA"
	start_immichd
	mkdir "$T/try"
	photo "$T/try/1.jpg"
	ur plan --json --ring uring "$T/try"
	[ "$CODE" -eq 0 ] || skip "io_uring is not allowed here: $ERR"
	rm -rf "$LEDGER"*
	whole_job --ring uring
}

@test "where a filter forbids io_uring the job is done without, and asking for it is an error" {
	[ -x "$BIN/tests/e2e/noring" ] || skip "noring is not built"
	start_immichd
	AS=("$BIN/tests/e2e/noring")
	"${AS[@]}" true || skip "no filter can be installed here"
	whole_job
	ur import --json --ring uring "$T/lib"
	equals "$CODE" 2
	has "$ERR" "io_uring"
}

@test "a user without rights and with 8 MiB of locked memory can do the whole job" {
	can_be_nobody || skip "no setpriv to become somebody else"
	start_immichd
	chmod 777 "$T/ledger"
	as_nobody
	ulimit -l 8192
	umask 000
	mkdir -m 777 "$T/lib"
	mklib "$T/lib" --count 80 --size 3K --live 20
	[ "$(id -u)" != 0 ] || chown -R 65534 "$T/lib"
	import_json "$T/lib"
	fields failed=0 waiting=0 refused=0
	compare_all
	import_json --after delete "$T/lib"
	equals "$(files_in "$T/lib")" 0
}

@test "too few threads are not called a lock: what to do is said, and the run ends with 2" {
	can_be_nobody || skip "nobody cannot be become"
	[ "$(id -u)" = 0 ] || skip "root has no limit, and only root can become somebody without threads"
	start_immichd
	photos "$T/lib" 3
	mkdir "$T/own"
	cp "$URINGEST" "$T/own/uringest"
	chmod -R a+rX "$T/lib" "$T/own"
	chmod 1777 "$T/ledger"
	# A user of whom nobody else runs anything: the limit counts all of a user's threads.
	local code=0
	setpriv --reuid 64999 --regid 65534 --clear-groups bash -c \
		"ulimit -u 5; exec '$T/own/uringest' import --server '$URL' --ledger '$LEDGER' --ring sync '$T/lib'" \
		>"$T/out" 2>"$T/err" || code=$?
	equals "$code" 2
	has "$(cat "$T/err")" "let it have more threads"
	equals "$(server_count)" 0
}

@test "few open files are shared: all files arrive, and where that is too few nothing is blamed on a file" {
	start_immichd
	photos "$T/lib" 200
	AS=(prlimit --nofile=56)
	import_json "$T/lib"
	fields sent=200 failed=0
	photos "$T/more" 60 --seed 9
	AS=(prlimit --nofile=40)
	ur import --json "$T/more"
	[ "$CODE" != 0 ]
	[ "$CODE" = 2 ] || fields failed=0
	AS=()
	import_json "$T/more"
	equals "$(server_count)" 260
}
