#!/usr/bin/env bats
# The commands around the import: reading and mending what is remembered, help, and secrets.
# shellcheck disable=SC2034,SC2030,SC2031 # read by lib.bash; each test is a shell of its own
load lib

setup() { begin; }
teardown() { finish; }

id_of() { sql "SELECT id FROM assets WHERE name = '$1'"; }
count_is() { [ "$(sql 'SELECT count(*) FROM assets')" = "$1" ]; } # also without what is being deleted

marked_one() { [ "$(ledger "SELECT count(*) FROM file WHERE state=9" 2>/dev/null)" = 1 ]; }

@test "status beside a run says that it runs, and after a kill that it did not end" {
	start_immichd
	photo "$T/lib/a.jpg"
	mischief 'POST /api/assets: latency=60000 name=*'
	"$URINGEST" import -q --server "$URL" --ledger "$LEDGER" "$T/lib" 3>&- &
	local run=$!
	wait_for 20 marked_one
	ur status
	has "$OUT" "is running"
	lacks "$OUT" "did not end by itself"
	ur status --json
	equals "$(jq -r 'select(.event == "run") | .running' "$T/out")" true
	kill -KILL "$run"
	wait "$run" || true
	ur status
	has "$OUT" "did not end by itself"
	lacks "$OUT" "is running"
}

@test "status counts the files by user and state and lists the last runs" {
	start_immichd
	photos "$T/lib" 5
	echo text >"$T/lib/notes.txt"
	import_json "$T/lib"
	ur status
	equals "$CODE" 0
	has "$OUT" "user Admin at $URL"
	[[ "$OUT" =~ delivered\ +5\ files ]]
	[[ "$OUT" =~ refused\ +1\ files ]]
	has "$OUT" "found 6, sent 5, present 0"
	ur status --json
	equals "$(jq -r 'select(.event == "count" and .state == "delivered").files' "$T/out")" 5
	equals "$(jq -r 'select(.event == "run").command' "$T/out")" import
	ur status --failed
	equals "$(wc -l <"$T/out")" 1
	has "$OUT" "notes.txt: the server does not take '.txt' files"
}

@test "explain says what happened to a file and what comes next" {
	start_immichd
	photo "$T/lib/1.jpg"
	echo text >"$T/lib/notes.txt"
	photo "$T/never seen.jpg"
	import_json "$T/lib"
	ur explain "$T/lib/1.jpg"
	equals "$CODE" 0
	has "$OUT" "state      delivered"
	has "$OUT" "asset      $(id_of 1.jpg) (created by us)"
	has "$OUT" "sha1       $(sha1sum <"$T/lib/1.jpg" | cut -c1-40)"
	has "$OUT" "next       nothing: it is on the server"
	(cd "$T/lib" && ur explain notes.txt && has "$OUT" "state      refused: the server does not take")
	ur explain "$T/lib"
	equals "$(grep -c '^  state' "$T/out")" 2
	ur explain --json "$T/lib/1.jpg"
	equals "$(jq -r .state "$T/out")" delivered
	ur explain "$T/never seen.jpg"
	equals "$CODE" 1
	has "$OUT" "no import has looked at it"
	import_json --after delete "$T/lib"
	ur explain "$T/lib/1.jpg"
	equals "$CODE" 0
	has "$OUT" "taken away"
}

@test "retry lets the next run look again at what failed or was refused" {
	start_immichd
	photo "$T/lib/a/1.jpg"
	photo "$T/lib/b/2.jpg"
	mischief 'POST /api/assets: status=400'
	ur import --json "$T/lib"
	equals "$CODE" 2
	mischief 'POST /api/assets: status=400 name=*.jpg'
	ur import --json "$T/lib"
	equals "$CODE" 1
	fields failed=2
	mischief
	ur retry "$T/lib/a"
	equals "$CODE" 0
	has "$OUT" "1 files will be looked at again"
	ur import --json "$T/lib"
	fields sent=1 failed=1
	ur retry --failed
	import_json "$T/lib"
	fields sent=1 present=1
	ur retry
	equals "$CODE" 2
}

@test "verify finds what is trashed or gone, and sends again only when asked" {
	start_immichd
	photos "$T/lib" 4
	photo "$T/lib/trashed.jpg"
	photo "$T/lib/gone.jpg"
	import_json "$T/lib"
	ur verify
	equals "$CODE" 0
	has "$OUT" "6 contents asked for: 6 there, 0 in the trash, 0 gone"
	control DELETE /api/assets "{\"ids\":[\"$(id_of trashed.jpg)\"]}"
	control DELETE /api/assets "{\"force\":true,\"ids\":[\"$(id_of gone.jpg)\"]}"
	wait_for 10 count_is 5
	ur verify --json
	equals "$CODE" 1
	equals "$(jq -r 'select(.event == "summary") | "\(.there) \(.trashed) \(.missing)"' "$T/out")" "4 1 1"
	ur status --failed
	has "$OUT" "trashed.jpg"
	has "$OUT" "gone.jpg"
	import_json "$T/lib"
	fields present=4 refused=2 sent=0
	has "$(of gone.jpg)" "refused withdrawn"
	has "$(of trashed.jpg)" "refused trashed"
	ur verify --resend-missing
	import_json "$T/lib"
	fields sent=1 present=4 refused=1
	has "$(of gone.jpg)" "sent delivered"
	compare_stored
}

@test "forget drops rows and never files, and the next run asks the server and sends nothing" {
	start_immichd
	photos "$T/lib" 4
	photo "$T/lib/1.jpg"
	import_json "$T/lib"
	ur forget "$T/lib/1.jpg"
	has "$OUT" "1 files forgotten"
	[ -e "$T/lib/1.jpg" ]
	import_json "$T/lib"
	fields present=5 sent=0
	rm "$T/lib/1.jpg"
	ur forget --missing
	has "$OUT" "1 files forgotten"
	ur explain "$T/lib/1.jpg"
	equals "$CODE" 1
}

@test "commands that read say so when there is no ledger, and make none" {
	start_immichd
	local command
	for command in status "explain x" "retry --failed" "forget x"; do
		# shellcheck disable=SC2086 # a command and its argument
		ur $command
		equals "$CODE" 2 "$command"
		has "$ERR" "there is no ledger"
	done
	[ ! -e "$LEDGER" ]
}

@test "a file that is no ledger is refused and stays as it is" {
	start_immichd
	photo "$T/lib/1.jpg"
	head -c 5000 /dev/urandom >"$LEDGER"
	cp "$LEDGER" "$T/before"
	ur import --json "$T/lib"
	equals "$CODE" 2
	has "$ERR" "$LEDGER"
	cmp "$T/before" "$LEDGER"
	equals "$(server_count)" 0
}

@test "without --ledger it lies below XDG_STATE_HOME, readable for its user only" {
	start_immichd
	photo "$T/lib/1.jpg"
	"$URINGEST" import --server "$URL" "$T/lib" >/dev/null
	equals "$(stat -c %a "$T/state/uringest/ledger.db")" 600
	unset XDG_STATE_HOME
	"$URINGEST" import --server "$URL" "$T/lib" >/dev/null
	[ -e "$HOME/.local/state/uringest/ledger.db" ]
}

@test "every command has help with examples, and the whole lists them all" {
	local command
	"$URINGEST" --help >"$T/help"
	for command in import plan drain status explain retry accept verify forget recover; do
		grep -q "^  $command " "$T/help"
		"$URINGEST" "$command" --help >"$T/out" 2>"$T/err"
		grep -q "^usage: uringest $command " "$T/out"
		grep -q '^examples:' "$T/out"
		grep -q "^  .*uringest .*$command" "$T/out"
		[ ! -s "$T/err" ]
	done
	grep -q '^Exit: 0 all well' "$T/help"
	"$URINGEST" --version | grep -qE '^uringest [0-9]'
}

@test "what makes no sense ends with 2, a sentence on stderr and nothing on stdout" {
	start_immichd
	photo "$T/lib/1.jpg"
	local line
	while read -r line; do
		CODE=0
		# shellcheck disable=SC2086 # a command line
		"$URINGEST" $line >"$T/out" 2>"$T/err" || CODE=$?
		equals "$CODE" 2 "$line"
		[ ! -s "$T/out" ]
		equals "$(grep -c '^uringest: ' "$T/err")" 1 "$line"
		equals "$(wc -l <"$T/err")" 1 "$line"
	done <<LINES
nonsense
import
import --nonsense $T/lib
import --server $URL --after burn $T/lib
import --server $URL --limit many $T/lib
import --server $URL --bwlimit fast $T/lib
import --server $URL --concurrency 0 $T/lib
import --server $URL --min-age yesterday $T/lib
import --server $URL --ring bell $T/lib
import --server $URL --confirm perhaps $T/lib
import --server $URL -0 $T/lib
import --server ftp://127.0.0.1/ $T/lib
import --server http://user:password@127.0.0.1/ $T/lib
import --server $URL --client-cert x.pem $T/lib
import --server $URL --key-file /nowhere/key $T/lib
import --server
status --limit 3
LINES
	run "$URINGEST"
	equals "$status" 2
	has "$output" "usage: uringest COMMAND"
	equals "$(server_count)" 0
}

@test "without a server, or without a key, the sentence says where to put it" {
	start_immichd
	photo "$T/lib/1.jpg"
	run "$URINGEST" import --ledger "$LEDGER" "$T/lib"
	equals "$status" 2
	has "$output" "IMMICH_URL"
	unset IMMICH_API_KEY
	run "$URINGEST" import --server "$URL" --ledger "$LEDGER" "$T/lib"
	equals "$status" 2
	has "$output" "--key-file"
	echo "$KEY" >"$T/key"
	ur import --json --key-file "$T/key" "$T/lib"
	equals "$CODE" 0
	mkdir "$T/credentials"
	cp "$T/key" "$T/credentials/immich-key"
	CREDENTIALS_DIRECTORY=$T/credentials ur import --json "$T/lib"
	equals "$CODE" 0
	fields present=1
}

@test "a wrong key, a key that may not upload and a server that is none end with 2 and say why" {
	start_immichd --limited key-that-reads:asset.read,user.read,apiKey.read
	photo "$T/lib/1.jpg"
	IMMICH_API_KEY=wrong ur import --json "$T/lib"
	equals "$CODE" 2
	has "$ERR" "does not accept the key"
	IMMICH_API_KEY=key-that-reads ur import --json "$T/lib"
	equals "$CODE" 2
	has "$ERR" "asset.upload"
	URL=$URL/somewhere/else
	ur import --json "$T/lib"
	equals "$CODE" 2
	has "$ERR" "no Immich server"
}

@test "the key is nowhere: not in what is said, the ledger, nginx's log, or the list of processes" {
	start_immichd
	photos "$T/lib" 20
	mischief 'POST /api/assets: latency=60'
	"$URINGEST" import --json -v --server "$URL" --ledger "$LEDGER" "$T/lib" >"$T/out" 2>"$T/err" 3>&- &
	local run=$!
	PIDS+=("$run")
	arrived() { [ "$(server_count)" -ge 1 ]; }
	wait_for 10 arrived
	equals "$(tr '\0' ' ' <"/proc/$run/cmdline" | grep -c "$KEY")" 0
	wait "$run"
	mischief 'POST /api/assets: status=401 early'
	photo "$T/lib/new.jpg"
	ur import -v "$T/lib"
	equals "$CODE" 2
	mischief
	ur status
	ur verify
	local hits
	hits=$(grep -rla "$KEY" "$T/out" "$T/err" "$T/ledger" "$HOME" "$T/state" 2>/dev/null | wc -l)
	equals "$hits" 0 "files that hold the key"
	# It travels in its header only.
	equals "$(grep -c "$KEY" "$T/immichd.err")" 0
}

@test "what is said goes to stderr, results to stdout, and --quiet says only what went wrong" {
	start_immichd
	photos "$T/lib" 3
	ur import -q "$T/lib"
	equals "$CODE" 0
	equals "$OUT$ERR" ""
	photo "$T/lib/bad.jpg"
	mischief 'POST /api/assets: status=400 name=bad.jpg'
	ur import -q "$T/lib"
	equals "$CODE" 1
	has "$OUT" "bad.jpg"
	lacks "$OUT" "files found"
}

@test "a plan writes nothing on the server and its reading is not done twice" {
	start_immichd
	mklib "$T/lib" --count 30 --size 2K --live 20
	ur plan "$T/lib"
	equals "$CODE" 0
	has "$OUT" "would be sent"
	equals "$(uploads)" 0
	equals "$(server_count)" 0
	import_json "$T/lib"
	fields bytes_hashed=0 failed=0
	compare_stored
}

@test "a sidecar is no asset: nobody asks where it went" {
	start_immichd
	photo "$T/lib/a.jpg"
	xmp "$T/lib/a.jpg.xmp"
	import_json "$T/lib"
	import_json "$T/lib"
	ur verify
	equals "$CODE" 0
	ur explain "$T/lib/a.jpg.xmp"
	lacks "$OUT" "gone from the server"
	has "$OUT" "delivered"
}

# --- what comes in as text, and goes out ----------------------------------------------------------

@test "text as editors on Windows leave it is read: keys, addresses, lists, headers, settings" {
	start_immichd
	photo "$T/lib/a.jpg"
	photo "$T/lib/b.jpg"
	local mark=$'\xef\xbb\xbf' list
	printf '%s%s\r\n' "$mark" "$KEY" >"$T/key"
	IMMICH_API_KEY='' ur plan --key-file "$T/key" "$T/lib"
	equals "$CODE" 0
	IMMICH_API_KEY=$KEY$'\r' ur plan "$T/lib"
	equals "$CODE" 0
	IMMICH_URL=$URL$'\r' "$URINGEST" plan --ledger "$LEDGER" "$T/lib"
	for list in "$T/lib/a.jpg"$'\r\n'"$T/lib/b.jpg"$'\r\n' "$mark$T/lib/a.jpg"$'\n'"$T/lib/b.jpg"$'\n'; do
		printf %s "$list" >"$T/list"
		ur plan --json --files-from "$T/list"
		equals "$CODE" 0
		fields found=2
	done
	# Where such a name is there it is meant.
	cp "$T/lib/a.jpg" "$T/lib/a.jpg"$'\r'
	printf '%s\r\n' "$T/lib/a.jpg" >"$T/list"
	ur plan --json --files-from "$T/list"
	fields found=1
	has "$OUT" 'a.jpg\u000d"'
	printf '%sserver: %s\nfolders:\n  - path: %s\n    after: keep\n' "$mark" "$URL" "$T/lib" >"$T/c.yaml"
	"$URINGEST" drain --min-age 0s --ledger "$LEDGER" -c "$T/c.yaml"
	printf '%s' "$KEY" | iconv -t UTF-16 >"$T/key"
	IMMICH_API_KEY='' ur plan --key-file "$T/key" "$T/lib"
	equals "$CODE" 2
	has "$ERR" "save it as UTF-8"
}

@test "a list with NUL bytes and no -0 is an error, and not its first path" {
	start_immichd
	photos "$T/lib" 3
	find "$T/lib" -type f -print0 >"$T/list"
	ur import --files-from "$T/list"
	equals "$CODE" 2
	has "$ERR" "give --null (-0)"
	equals "$(server_count)" 0
	import_json -0 --files-from "$T/list"
	equals "$(server_count)" 3
}

@test "a whole path as a pattern is named, and nothing is sent that was to be left out" {
	start_immichd
	photo "$T/lib/a.jpg"
	photo "$T/lib/private/b.jpg"
	ur import -x "$T/lib/private/" "$T/lib"
	equals "$CODE" 2
	has "$ERR" "it is '/private/'"
	equals "$(server_count)" 0
	import_json -x /private/ "$T/lib"
	equals "$(server_count)" 1
}

@test "a password in an address is not said again, with or without its scheme" {
	local url
	for url in user:hunter2@photos.example.org https://user:hunter2@photos.example.org; do
		"$URINGEST" plan --server "$url" --ledger "$LEDGER" "$T" >"$T/out" 2>&1 && return 1
		lacks "$(<"$T/out")" hunter2
		has "$(<"$T/out")" "--key-file"
	done
}

@test "results that cannot be written are no 0" {
	[ -w /dev/full ] || skip "there is no /dev/full"
	start_immichd
	photo "$T/lib/a.jpg"
	local command code
	for command in "plan --server $URL $T/lib" "import --server $URL $T/lib" status; do
		code=0
		read -ra command <<<"$command"
		"$URINGEST" "${command[@]}" --json --ledger "$LEDGER" >/dev/full 2>"$T/err" || code=$?
		equals "$code" 1 "${command[0]}"
		has "$(<"$T/err")" "standard output could not be written"
	done
}
