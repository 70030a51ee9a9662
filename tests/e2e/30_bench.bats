#!/usr/bin/env bats
# shellcheck disable=SC2030,SC2031 # each test is a process
# The bench: what it measures, what it leaves, what it says, and how two of them are compared.

load lib

setup() {
	begin
	TOP=$(cd "$BATS_TEST_DIRNAME/../.." && pwd)
	export TMPDIR=$T/tmp
	mkdir "$TMPDIR"
}
teardown() { finish; }

bench() { # ARGUMENT…: sets CODE, OUT, ERR
	CODE=0
	timeout -k 5 $((120 * UR_SLOW)) "$URINGEST" bench "$@" >"$T/out" 2>"$T/err" 3>&- || CODE=$?
	ERR=$(tr -d '\0' <"$T/err")
	OUT=$(tr -d '\0' <"$T/out")
}

# results FILE CASE:MEDIAN:LOW:HIGH…: a file as the bench writes it.
results() {
	local file=$1
	shift
	printf '%s\n' "$@" | jq -Rn '{cases: [inputs | split(":") | {name: .[0], size: 10,
		claims: [{text: "CPU", median: (.[1] | tonumber), low: (.[2] | tonumber),
			high: (.[3] | tonumber)}]}]}' >"$file"
}

compare() { # the two files; sets CODE, OUT
	CODE=0
	OUT=$("$TOP/bench/compare" "$T/old" "$T/new" 2>&1) || CODE=$?
}

@test "a ratio that is worse beyond the spread is found, and named" {
	results "$T/old" plan:0.50:0.45:0.55 resync:1.0:0.9:1.1
	results "$T/new" plan:0.70:0.60:0.80 resync:1.0:0.9:1.1
	compare
	equals "$CODE" 1
	has "$OUT" "1 worse"
	has "$(grep '^WORSE' <<<"$OUT")" "plan (10): CPU"
	has "$(grep '^same' <<<"$OUT")" "resync (10): CPU"
}

@test "what the spread explains, what is better, and what is hardly worse is not called worse" {
	results "$T/old" overlaps:0.50:0.45:0.55 better:1.0:0.9:1.1 hardly:1.00:1.00:1.00 below:-0.1:-0.2:0
	results "$T/new" overlaps:0.60:0.54:0.66 better:0.5:0.4:0.6 hardly:1.04:1.04:1.04 below:-0.3:-0.4:-0.25
	compare
	equals "$CODE" 0
	has "$OUT" "0 worse"
	equals "$(grep -c '^same' <<<"$OUT")" 2
	equals "$(grep -c '^better' <<<"$OUT")" 2
}

@test "cases of other sizes, other files, and no files are not compared" {
	results "$T/old" plan:0.50:0.45:0.55 other:1:1:1
	results "$T/new" plan:0.50:0.45:0.55
	jq '.cases[0].size = 20' "$T/new" >"$T/new2" && mv "$T/new2" "$T/new"
	compare
	equals "$CODE" 2
	has "$OUT" "no case of the same size in common"
	echo '{"cases":[{"name":"plan","claims":[{"median":"fast"}]}]}' >"$T/new"
	compare
	equals "$CODE" 2
	has "$OUT" "holds no results"
	rm "$T/new"
	compare
	equals "$CODE" 2
	run "$TOP/bench/compare" "$T/old"
	equals "$status" 2
}

@test "a bench of a few files measures, compares, draws, and leaves nothing" {
	bench --cases resync,plan,import,new,growth --rounds 2 --save "$T/saved" --plot "$T/plot.svg" \
		--size resync=60,plan=20,import=20,new=60,growth=1000
	equals "$CODE" 0
	has "$OUT" "resync - import again, nothing has changed: 60 files of 2.0 KiB"
	has "$OUT" "at most 1.3"
	has "$OUT" "$ find $TMPDIR/uringest-bench."
	# Both commands of every claim ran, and what they used is more than nothing.
	jq -e '[.cases[].runs[] | select(.why == null)] | length >= 14
		and all(.[]; .wall_s.median > 0 and .wall_s.low <= .wall_s.median
			and .wall_s.median <= .wall_s.high and .peak_kib.median > 0)' "$T/saved"
	jq -e '[.cases[] | .claims[].text] | index("CPU beyond the plan, ms a file") != null' "$T/saved"
	# The server saw the 100 new files, and they alone.
	jq -e '.cases[] | select(.name == "new") | .claims[] | select(.text | startswith("requests"))
		| .median >= 2 and .median < 20' "$T/saved"
	equals "$(grep -c '<path' "$T/plot.svg")" 4
	has "$(cat "$T/plot.svg")" "prefers-color-scheme: dark"
	equals "$(ls -A "$TMPDIR")" ""
	# A run is the same as itself.
	"$TOP/bench/compare" "$T/saved" "$T/saved" >/dev/null
}

@test "with --dir what was made is kept and used again" {
	bench --cases resync --size resync=40 --rounds 1 --dir "$T/kept"
	equals "$CODE" 0
	has "$ERR" "making $T/kept/tree-40x2048-100"
	has "$OUT" "To repeat a command"
	bench --cases resync --size resync=40 --rounds 1 --dir "$T/kept" --json
	equals "$CODE" 0
	lacks "$ERR" making
	equals "$(jq -r '.cases[0].name' "$T/out")" resync
}

@test "a folder of one's own is planned against one's own server, which is sent nothing" {
	start_immichd
	photos "$T/it's mine" 30
	bench --server "$URL" --rounds 1 "$T/it's mine"
	equals "$CODE" 0
	has "$OUT" "folder - a folder of your own"
	has "$OUT" "plan -q --server $URL"
	lacks "$OUT$ERR" "$KEY"
	[ "$(stats '.endpoints["POST /api/assets/bulk-upload-check"]')" -ge 1 ]
	equals "$(uploads)" 0
	equals "$(server_count)" 0
	# On libraries of its own it sends, so somebody's server is not taken for that.
	bench --server "$URL"
	equals "$CODE" 2
	has "$ERR" "--server goes with a folder of yours"
}

@test "what makes no sense is refused with a sentence" {
	bench --cases resync,warp
	equals "$CODE" 2
	has "$ERR" "'warp' is no case; \`uringest bench --list\` names them"
	bench --cases plan --size plan=many
	equals "$CODE" 1
	has "$ERR" "--size takes NAME=NUMBER"
	bench "$T/nowhere"
	equals "$CODE" 2
	has "$ERR" "cannot use '$T/nowhere': No such file"
}

@test "a command that fails is an error, with its words, and the other cases go on" {
	mkdir "$T/bin"
	printf '#!/bin/sh\necho "out of order" >&2\nexit 7\n' >"$T/bin/openssl"
	chmod +x "$T/bin/openssl"
	PATH=$T/bin:$PATH bench --cases plan,resync --size plan=5,resync=5 --rounds 1
	equals "$CODE" 1
	has "$ERR" "plan, openssl sha1:"
	has "$ERR" "out of order"
	has "$OUT" "resync - "
}

@test "a bench that is stopped takes its servers and folders with it" {
	"$URINGEST" bench --cases import --size import=2000 --rounds 20 >"$T/out" 2>"$T/err" 3>&- &
	local bench=$!
	PIDS+=("$bench")
	wait_for 30 serves_a_folder
	pgrep -f "immichd.*$TMPDIR" >"$T/servers"
	kill -TERM "$bench"
	wait_for 30 gone "$bench"
	local code=0
	wait "$bench" || code=$?
	equals "$code" 143
	equals "$(ls -A "$TMPDIR")" ""
	wait_for 10 none_of_the_servers
}
@test "whenever a bench is stopped, it ends and leaves nothing" {
	local after
	for after in 0.01 0.05 0.1 0.15 0.2 0.3 0.4 0.6; do
		"$URINGEST" bench --cases import --size import=5 --rounds 99 >"$T/out" 2>"$T/err" 3>&- &
		local bench=$!
		PIDS+=("$bench")
		sleep "$after" # no hope in it: a moment like any other
		kill -TERM "$bench"
		wait_for 40 gone "$bench"
		wait "$bench" || true
		equals "$(ls -A "$TMPDIR")" "" "what is left of a bench that was stopped after $after s"
	done
	wait_for 10 none_of_the_servers
}
serves_a_folder() { pgrep -f "immichd.*$TMPDIR" >/dev/null; }
none_of_the_servers() { ! pgrep -f "immichd.*$TMPDIR" >/dev/null; }

@test "the reference programs see what find sees" {
	photos "$T/lib" 150 --size 5K --per-dir 7
	local wanted
	wanted="$(files_in "$T/lib") files, $(bytes_in "$T/lib") bytes"
	equals "$("$BIN/bench/reference" walk "$T/lib")" "$wanted"
	equals "$("$BIN/bench/reference" read "$T/lib")" "$wanted"
	equals "$("$BIN/bench/reference" read "$T/lib" 4)" "$wanted"
	run "$BIN/bench/reference" read "$T/lib" 0
	equals "$status" 2
}

@test "the first half of a run hashes what there is, and leaves no row" {
	photos "$T/lib" 150 --size 5K --per-dir 7
	equals "$("$BIN/bench/scan_bench" "$T/lib" "$T/scan.db")" \
		"150 files hashed, 0 not, $(bytes_in "$T/lib") bytes"
	equals "$(sqlite3 "$T/scan.db" 'SELECT count(*) FROM file')" 0
}
