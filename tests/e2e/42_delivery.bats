#!/usr/bin/env bats
# From the gateway to immich-server: what arrives there, what is believed, who may see what.
# shellcheck disable=SC2030,SC2031,SC2034,SC2153,SC2129 # read by lib.bash; each test is a shell of its own
load lib
load gateway

setup() {
	begin
	start_immichd --user ann:key-of-ann --user bob:key-of-bob
	as key-of-ann
}
teardown() { finish; }

as() { WHO=(-H "x-api-key: $1"); }

# Delivered is asked for at once, doubtful deliveries and lost answers a little later.
served() { start_gateway --settle-after 0s --suspect-wait 2s --answer-wait "${ANSWER_WAIT:-30s}" "$@"; }

# store FILE [KEY]: straight to the server; sets ASSET.
store() {
	ASSET=$(curl -s -H "x-api-key: ${2:-key-of-ann}" -F deviceAssetId=a -F deviceId=d \
		-F fileCreatedAt=2024-01-01T00:00:00Z -F fileModifiedAt=2024-01-01T00:00:00Z \
		-F filename="${1##*/}" -F "assetData=@$1" "$DIRECT/api/assets" | jq -r .id)
	[ "${#ASSET}" -eq 36 ]
}

became() { # STATE [SECONDS]: the upload came to be so
	wait_for "${2:-30}" is_state "$1" || { say . && return 1; }
}
explained() { has "$(say .reason)" "$1" && has "$(<"$T/gateway.err")" "$1"; }
bytes_left() { find "$T/spool" -name bytes | wc -l; }
no_bytes_left() { [ "$(bytes_left)" = 0 ]; }
keys_left() { find "$T/spool" -name key | wc -l; }
asset_value() { sql "SELECT $1 FROM assets WHERE id='$(say .asset)'"; }
revoke() { sql "DELETE FROM keys WHERE digest='$(printf %s "$1" | sha256sum | cut -c1-64)'"; }

# --- what becomes of an upload -------------------------------------------------------------------

@test "an upload becomes an asset of its owner, its bytes leave the spool, its status tells" {
	served
	picture "$T/a.jpg" 1
	upload "$T/a.jpg" 'Ünlaub "1".jpg'
	became confirmed
	equals "$(say .result)" created
	equals "$(asset_value name)" 'Ünlaub "1".jpg'
	equals "$(asset_value "(SELECT name FROM users WHERE id=owner)")" ann
	equals "$(server_count)" 1
	compare_stored
	wait_for 10 no_bytes_left
	ask GET "$UPLOAD"
	answered 410 immich-server
	equals "$(figure delivered_total)" 1
	equals "$(figure delivered_bytes_total)" "$(stat -c %s "$T/a.jpg")"
	ask HEAD "$UPLOAD" "${TUS[@]}"
	equals "$(header upload-offset)" "$(stat -c %s "$T/a.jpg")"
	ask DELETE "$UPLOAD" "${TUS[@]}"
	answered 204
	equals "$(server_count)" 1 # what the server holds is the server's
}

@test "what the server has is a duplicate, once it gave a byte of it" {
	served
	picture "$T/a.jpg" 1
	store "$T/a.jpg"
	named a.jpg
	create "$(stat -c %s "$T/a.jpg")" "${META[@]}"
	send 0 "$T/a.jpg"
	answered 204
	became confirmed
	equals "$(say .result)" duplicate
	equals "$(say .asset)" "$ASSET"
	equals "$(server_count)" 1
	equals "$(uploads)" 1 # ours, by hand: nothing was sent a second time
	wait_for 10 no_bytes_left
}

@test "a creation that names its checksum is answered at once when the server has it" {
	served
	picture "$T/a.jpg" 1
	size=$(stat -c %s "$T/a.jpg")
	store "$T/a.jpg"
	named b.jpg "$T/a.jpg"
	create "$size" "${META[@]}"
	equals "$(header upload-offset)" "$size"
	equals "$(header uringest-asset)" "$ASSET"
	equals "$(header uringest-result)" duplicate
	equals "$(say .state)" confirmed
	equals "$(figure received_bytes_total)" 0
	as key-of-bob # it is not bob's
	create "$size" "${META[@]}"
	equals "$(header upload-offset)" ''
	send 0 "$T/a.jpg"
	became confirmed
	equals "$(say .result)" created
	equals "$(server_count)" 2
	equals "$(figure early_total)" 1
}

@test "no early answer, and no duplicate, for what lies in the server's trash" {
	served
	picture "$T/a.jpg" 1
	store "$T/a.jpg"
	curl -sf -X DELETE -H 'x-api-key: key-of-ann' -H 'content-type: application/json' \
		--data "{\"ids\":[\"$ASSET\"]}" "$DIRECT/api/assets"
	named a.jpg "$T/a.jpg"
	create "$(stat -c %s "$T/a.jpg")" "${META[@]}"
	equals "$(header upload-offset)" ''
	send 0 "$T/a.jpg"
	answered 204
	became refused
	explained 'trash'
	equals "$(say .result)" null
	equals "$(bytes_left)" 1
	ask GET "$UPLOAD"
	cmp "$T/body" "$T/a.jpg"
}

@test "a server that names an asset whose bytes are gone is not believed" {
	served
	picture "$T/a.jpg" 1
	store "$T/a.jpg"
	rm "$DATA/upload/$(sql "SELECT path FROM assets WHERE id='$ASSET'")"
	named a.jpg "$T/a.jpg"
	create "$(stat -c %s "$T/a.jpg")" "${META[@]}"
	equals "$(header upload-offset)" ''
	send 0 "$T/a.jpg"
	answered 204
	wait_for 20 reason_has 'does not give its bytes'
	equals "$(say .state)" delivered
	equals "$(say .asset)" "$ASSET"
	explained 'does not give its bytes'
	equals "$(bytes_left)" 1
	ask GET "$UPLOAD"
	cmp "$T/body" "$T/a.jpg"
}
reason_has() { has "$(say .reason)" "$1" >/dev/null; }

@test "an empty file is no picture: said, not sent" {
	served
	: >"$T/empty.jpg"
	upload "$T/empty.jpg"
	became refused
	explained empty
	equals "$(server_count)" 0
}

# --- what travels with it ------------------------------------------------------------------------

@test "a sidecar reaches the server with its picture, whichever came first" {
	served
	picture "$T/a.jpg" 1
	xmp "$T/a.xmp" 'said by the sidecar'
	sidecar="filename $(base64_of a.xmp),role $(base64_of sidecar)"
	create "$(stat -c %s "$T/a.xmp")" -H "Upload-Metadata: $sidecar"
	beside=$UPLOAD
	create "$(stat -c %s "$T/a.jpg")" -H \
		"Upload-Metadata: filename $(base64_of a.jpg),sidecar $(base64_of "${beside##*/}")"
	picture=$UPLOAD
	send 0 "$T/a.jpg"
	answered 204
	UPLOAD=$beside
	equals "$(uploads)" 0
	send 0 "$T/a.xmp"
	answered 204
	UPLOAD=$picture
	became confirmed
	cmp "$T/a.xmp" "$DATA/upload/$(asset_value sidecar)"
	wait_for 10 described
	UPLOAD=$beside
	equals "$(say .state)" confirmed
	equals "$(server_count)" 1
	equals "$(uploads)" 1
	wait_for 10 no_bytes_left
}
described() { [ "$(sql 'SELECT description FROM assets')" = 'said by the sidecar' ]; }

@test "a live movie is an asset first, and its picture names it" {
	served
	picture "$T/a.jpg" 1
	"$MKLIB" "$T/movies" --count 1 --kinds mp4 --seed 3 --size 64K >/dev/null
	mv "$(find "$T/movies" -type f -print -quit)" "$T/a.mp4"
	named a.mp4
	create "$(stat -c %s "$T/a.mp4")" "${META[@]}"
	movie=$UPLOAD
	create "$(stat -c %s "$T/a.jpg")" -H \
		"Upload-Metadata: filename $(base64_of a.jpg),livePhotoVideo $(base64_of "${movie##*/}")"
	picture=$UPLOAD
	send 0 "$T/a.jpg"
	answered 204
	UPLOAD=$movie
	send 0 "$T/a.mp4"
	answered 204
	became confirmed
	asset=$(say .asset)
	UPLOAD=$picture
	became confirmed
	equals "$(asset_value live_video)" "$asset"
	equals "$(sql "SELECT visibility FROM assets WHERE id='$asset'")" hidden
	equals "$(server_count)" 2
	picture "$T/b.jpg" 2 # or named by the asset that it is already
	create "$(stat -c %s "$T/b.jpg")" -H \
		"Upload-Metadata: filename $(base64_of b.jpg),livePhotoVideoId $(base64_of "$asset")"
	send 0 "$T/b.jpg"
	became confirmed
	equals "$(asset_value live_video)" "$asset"
}

@test "what is said to belong to an upload and does not keeps nothing waiting" {
	served
	picture "$T/a.jpg" 1
	picture "$T/b.jpg" 2
	xmp "$T/a.xmp"
	as key-of-bob # somebody else's sidecar, which never ends
	create 100 -H "Upload-Metadata: role $(base64_of sidecar)"
	other=${UPLOAD##*/}
	as key-of-ann
	create "$(stat -c %s "$T/a.xmp")" -H "Upload-Metadata: role $(base64_of sidecar)"
	send 0 "$T/a.xmp"
	mine=${UPLOAD##*/}
	create "$(stat -c %s "$T/a.jpg")" -H "Upload-Metadata: filename $(base64_of a.jpg),sidecar $(
		base64_of "$other"),livePhotoVideo $(base64_of "$other")"
	send 0 "$T/a.jpg"
	became confirmed
	create "$(stat -c %s "$T/b.jpg")" -H \
		"Upload-Metadata: filename $(base64_of b.jpg),livePhotoVideo $(base64_of "$mine")"
	send 0 "$T/b.jpg" # a sidecar is no movie, and never will be
	became confirmed
	equals "$(sql 'SELECT count(*) FROM assets WHERE sidecar IS NOT NULL AND sidecar != ""')" 0
}

# --- a server in trouble -------------------------------------------------------------------------

@test "a server that is away is waited for, and who asks is told so" {
	served
	picture "$T/a.jpg" 1
	named a.jpg
	create "$(stat -c %s "$T/a.jpg")" "${META[@]}"
	stop_immichd
	send 0 "$T/a.jpg" # known for a minute
	answered 204
	equals "$(say .state)" complete
	wait_for 20 reason_has 'does not answer'
	as key-nobody-knows
	ask HEAD "$UPLOAD" "${TUS[@]}"
	answered 423 # to a HEAD; after any other answer some clients begin anew
	[ -n "$(header retry-after)" ]
	ask OPTIONS "$UPLOAD"
	answered 204
	as key-of-ann
	start_immichd
	became confirmed 60
	equals "$(server_count)" 1
	compare_stored
}

@test "5xx and 429 pass: it is sent again, when the server asked for that" {
	served
	picture "$T/a.jpg" 1
	picture "$T/b.jpg" 2
	mischief 'POST /api/assets: status=502 html nth=1 name=*' 'POST /api/assets: status=503 nth=2 name=*'
	upload "$T/a.jpg"
	wait_for 20 reason_has '50'
	became confirmed 40
	equals "$(say .tries)" 3
	mischief 'POST /api/assets: status=429 retry-after=4 first=1 name=*'
	upload "$T/b.jpg"
	began=$SECONDS
	became confirmed 40
	[ $((SECONDS - began)) -ge 3 ]
	equals "$(server_count)" 2
	compare_stored
}

@test "an answer that was lost makes no second asset, and the bytes are asked for later" {
	served --suspect-wait $((6 * UR_SLOW))s
	picture "$T/a.jpg" 1
	mischief 'POST /api/assets: lost-answer nth=1 name=*'
	upload "$T/a.jpg"
	wait_for 20 is_state delivered
	has "$(say .reason)" lost
	equals "$(bytes_left)" 1
	became confirmed
	equals "$(server_count)" 1
	equals "$(uploads)" 1
	compare_stored
	wait_for 10 no_bytes_left
}

@test "a row without a file is found out before the bytes go" {
	served --suspect-wait $((6 * UR_SLOW))s
	picture "$T/a.jpg" 1
	mischief 'POST /api/assets: row-without-file nth=1 name=*'
	upload "$T/a.jpg"
	wait_for 40 reason_has 'does not give its bytes'
	equals "$(say .state)" delivered
	equals "$(bytes_left)" 1
	equals "$(server_count)" 1
	ask GET "$UPLOAD"
	cmp "$T/body" "$T/a.jpg"
}

@test "a server that stored other bytes is found out" {
	served
	picture "$T/a.jpg" 1
	mischief 'POST /api/assets: wrong-checksum name=*'
	upload "$T/a.jpg"
	wait_for 20 reason_has 'other bytes'
	explained 'other bytes'
	equals "$(bytes_left)" 1
}

@test "a server that stores slowly is sent to once, and nobody's request waits for it" {
	served
	picture "$T/a.jpg" 1
	mischief 'POST /api/assets: hang=4000 name=*'
	upload "$T/a.jpg"
	wait_for 20 delivering
	equals "$(say .state)" complete
	has "$(say .reason)" 'being delivered'
	ask DELETE "$UPLOAD" "${TUS[@]}"
	answered 409 'delivered'
	became confirmed
	equals "$(uploads)" 1
	equals "$(server_count)" 1
}
delivering() { [ "$(figure delivering)" = 1 ]; }

@test "what the server refuses is kept, in its words" {
	stop_immichd
	start_immichd --user carl:key-of-carl:1000
	served
	picture "$T/a.jpg" 1
	as key-of-carl
	upload "$T/a.jpg"
	became refused
	explained 'Quota has been exceeded'
	quota=$UPLOAD
	as key-of-ann
	echo 'no picture' >"$T/notes" # whose name leaves it open until the server has seen it
	upload "$T/notes"
	became refused
	explained 'Unsupported file type'
	equals "$(bytes_left)" 2
	equals "$(figure refused_total)" 2
	stop_gateway
	served
	equals "$(say .state)" refused
	as key-of-carl
	UPLOAD=$quota
	has "$(say .reason)" Quota
	ask DELETE "$UPLOAD" "${TUS[@]}"
	answered 204
	equals "$(bytes_left)" 1
}

# --- kills and keys ------------------------------------------------------------------------------

@test "killed twenty times while it delivers: one asset, its bytes, an empty spool" {
	head -c 32 /dev/urandom >"$T/seal"
	ANSWER_WAIT=1s
	served --seal-key "$T/seal"
	head -c 6M /dev/urandom >"$T/a.jpg"
	mischief 'POST /api/assets: bandwidth=8M' 'GET /api/assets: latency=300' \
		'POST /api/assets: lost-answer first=5 after=3 name=*'
	seed=${UR_SEED:-$RANDOM}
	RANDOM=$seed
	upload "$T/a.jpg"
	at=
	for _ in {1..20}; do
		sleep "0.$((RANDOM % 10))$((RANDOM % 10))"
		at="$at $(figure delivering)" # for whoever reads a failure
		stop_gateway KILL
		served --seal-key "$T/seal"
	done
	echo "seed $seed, deliveries under way at each kill:$at"
	became confirmed 60
	equals "$(server_count)" 1
	compare_stored
	equals "$(sql 'SELECT lower(hex(checksum)) FROM assets')" "$(sha1sum "$T/a.jpg" | cut -c1-40)"
	wait_for 10 no_bytes_left
	equals "$(keys_left)" 0
}

@test "without a seal a delivery waits, after a restart, for its owner's next request" {
	served
	picture "$T/a.jpg" 1
	picture "$T/b.jpg" 2
	mischief 'POST /api/assets/bulk-upload-check: status=503'
	upload "$T/a.jpg"
	equals "$(say .state)" complete
	stop_gateway
	mischief
	served
	as key-of-bob
	anns=$UPLOAD
	upload "$T/b.jpg" # somebody else's request moves nothing of ann's
	became confirmed
	equals "$(server_count)" 1
	grep -q '1 of them wait for' "$T/gateway.err"
	as key-of-ann
	UPLOAD=$anns
	became confirmed # by asking
	equals "$(server_count)" 2
}

@test "with a seal nobody is needed after a restart, and the key is gone in the end" {
	head -c 32 /dev/urandom >"$T/seal"
	served --seal-key "$T/seal"
	picture "$T/a.jpg" 1
	mischief 'POST /api/assets/bulk-upload-check: status=503'
	upload "$T/a.jpg"
	equals "$(keys_left)" 1
	lacks "$(find "$T/spool" -name key -exec cat {} + | tr -d "\\0")" key-of-ann
	stop_gateway KILL
	mischief
	served --seal-key "$T/seal"
	wait_for 20 counts 1
	wait_for 10 no_bytes_left
	wait_for 10 no_keys_left
	became confirmed
}
counts() { [ "$(server_count)" = "$1" ]; }
no_keys_left() { [ "$(keys_left)" = 0 ]; }

@test "another seal opens nothing: the delivery waits for its owner" {
	head -c 32 /dev/urandom >"$T/seal"
	served --seal-key "$T/seal"
	picture "$T/a.jpg" 1
	mischief 'POST /api/assets/bulk-upload-check: status=503'
	upload "$T/a.jpg"
	stop_gateway KILL
	mischief
	head -c 32 /dev/urandom >"$T/seal"
	served --seal-key "$T/seal"
	wait_for 10 grep -q '1 of them wait for' "$T/gateway.err"
	equals "$(server_count)" 0
	became confirmed
}

@test "a revoked key: nothing is lost, and another key of the same user makes it go on" {
	stop_immichd
	start_immichd --user ann:second-key-of-ann
	head -c 32 /dev/urandom >"$T/seal"
	served --seal-key "$T/seal"
	picture "$T/a.jpg" 1
	mischief 'POST /api/assets/bulk-upload-check: status=503'
	upload "$T/a.jpg"
	revoke key-of-ann
	mischief
	wait_for 30 grep -q "refuses its owner's key" "$T/gateway.err"
	equals "$(bytes_left)" 1
	equals "$(keys_left)" 0
	ask GET "$UPLOAD/status"
	answered 401
	equals "$(server_count)" 0
	as second-key-of-ann
	became confirmed
	equals "$(server_count)" 1
	compare_stored
}

# --- permissions ---------------------------------------------------------------------------------

with_keys() { # of ann: what each lacks is in its name
	stop_immichd
	start_immichd --user ann:no-user-read::asset.upload,asset.read,asset.download \
		--user ann:no-upload::user.read,asset.read,asset.download \
		--user ann:no-download::user.read,asset.upload,asset.read \
		--user ann:no-read::user.read,asset.upload
}

@test "a key without user.read, and one without asset.upload, are refused with that word" {
	with_keys
	served
	as no-user-read
	ask POST "$FILES" "${TUS[@]}" -H 'Upload-Length: 5'
	answered 403 user.read
	as no-upload
	ask POST "$FILES" "${TUS[@]}" -H 'Upload-Length: 5'
	answered 403 asset.upload
	as key-of-ann
	create 5
	printf hello >"$T/hello"
	as no-upload
	send 0 "$T/hello" # not a byte of it is taken
	answered 403 asset.upload
	equals "$(offset)" 0 # it may look
	equals "$(say .state)" receiving
	as no-such-key
	ask HEAD "$UPLOAD" "${TUS[@]}"
	answered 401
	WHO=()
	ask GET "$UPLOAD"
	answered 401 x-api-key
	WHO=(-H 'x-api-key: two words')
	ask HEAD "$UPLOAD" "${TUS[@]}"
	answered 401
}

@test "keys that cannot prove anything deliver and keep, until a better one comes by" {
	with_keys
	served
	for key in no-download no-read; do
		as $key
		picture "$T/$key.jpg" "${#key}"
		upload "$T/$key.jpg"
		wait_for 20 reason_has asset.download
		explained asset.download
		equals "$(say .state)" delivered
		equals "$(bytes_left)" 1
		as key-of-ann
		became confirmed
		wait_for 10 no_bytes_left
	done
	equals "$(server_count)" 2
	equals "$(uploads)" 2
	as no-read # and no early answer for it
	named a.jpg "$T/no-read.jpg"
	create "$(stat -c %s "$T/no-read.jpg")" "${META[@]}"
	equals "$(header upload-offset)" ''
}

@test "somebody else's upload is not there" {
	served
	printf hello >"$T/hello"
	create 10
	send 0 "$T/hello"
	answered 204
	as key-of-bob
	for id in "${UPLOAD##*/}" 00000000000000000000000000000000; do
		ask HEAD "$FILES$id" "${TUS[@]}"
		equals "$STATUS" 404
		equals "$(header upload-offset)" ''
		ask GET "$FILES$id"
		answered 404
		cp "$T/body" "$T/answer.$id"
		ask GET "$FILES$id/status"
		answered 404
		cmp "$T/body" "$T/answer.$id"
		ask PATCH "$FILES$id" "${TUS[@]}" "${BYTES[@]}" -H 'Upload-Offset: 5' --data-binary "@$T/hello"
		answered 404
		ask POST "$FILES$id" "${TUS[@]}" -H 'X-HTTP-Method-Override: DELETE'
		answered 404
		ask DELETE "$FILES$id" "${TUS[@]}"
		answered 404
	done
	# Nobody can tell an upload of another user's from one that never was.
	cmp "$T/answer.${UPLOAD##*/}" "$T/answer.00000000000000000000000000000000"
	as key-of-ann
	equals "$(offset)" 5
	send 5 "$T/hello"
	answered 204
}

# --- who it is -----------------------------------------------------------------------------------

@test "a browser's cookie counts from its own pages only; tokens count as they are" {
	stop_immichd
	start_immichd --session ann:token-of-ann
	served
	printf hello >"$T/hello"
	host=${GATE#http://}
	cookie=(-H 'Cookie: theme=dark; immich_access_token=token-of-ann; x=y')
	attempt() { ask POST "$FILES" "${TUS[@]}" -H 'Upload-Length: 5' "$@"; }
	WHO=()
	attempt "${cookie[@]}"
	answered 401
	attempt "${cookie[@]}" -H 'Sec-Fetch-Site: cross-site'
	answered 401
	attempt "${cookie[@]}" -H 'Sec-Fetch-Site: same-site'
	answered 401
	attempt "${cookie[@]}" -H 'Sec-Fetch-Site: cross-site' -H "Origin: http://$host"
	answered 401
	attempt "${cookie[@]}" -H 'Origin: https://example.org'
	answered 401
	attempt "${cookie[@]}" -H "Origin: http://$host.example.org"
	answered 401
	attempt "${cookie[@]}" -H 'Origin: null'
	answered 401
	attempt "${cookie[@]}" -H "Origin: http://$host"
	answered 201
	attempt -H 'Authorization: Bearer token-of-ann'
	answered 201
	attempt -H 'x-immich-user-token: token-of-ann'
	answered 201
	attempt -H 'x-api-key: token-of-ann'
	answered 401
	attempt -H 'Authorization: Bearer key-of-ann'
	answered 401
	WHO=("${cookie[@]}" -H 'Sec-Fetch-Site: same-origin')
	picture "$T/a.jpg" 1
	upload "$T/a.jpg"
	became confirmed
	equals "$(asset_value "(SELECT name FROM users WHERE id=owner)")" ann
}

# guess COUNT [HEADER…]: so many wrong keys at once, # in a header counts them; their answers are in
# $T/guesses.
guess() {
	local count=$1
	shift
	for i in $(seq "$count"); do
		printf 'next\nurl = "%s"\nsilent\noutput = "%s"\nwrite-out = "%%{http_code}\\n"\n' \
			"${FILES}00000000000000000000000000000000/status" /dev/null
		printf 'header = "x-api-key: wrong-%s-%s"\nmax-time = %s\n' "$RANDOM$RANDOM" "$i" 60
		printf 'header = "%s"\n' "${@//\#/$((i % 250))}"
	done | sed 1d >"$T/config"
	curl --parallel --parallel-max 50 --config "$T/config" >"$T/guesses" 2>/dev/null || true
}
answers_with() { grep -c "^$1" "$T/guesses" || true; }

@test "whoever guesses keys is slowed down, and a valid key gets through all the same" {
	stop_immichd
	start_immichd --user ann:second-key-of-ann
	served
	create 5
	guess 200
	asked=$(figure questions_total)
	[ "$asked" -le $((70 + 2 * SECONDS)) ] || { echo "$asked questions" && false; }
	[ "$(answers_with 503)" -ge 100 ] || { sort "$T/guesses" | uniq -c && false; }
	equals "$(answers_with 200)" 0
	began=$SECONDS
	equals "$(offset)" 0 # known before: not held up
	[ $((SECONDS - began)) -le 2 ]
	as second-key-of-ann # never seen: waits in the slow lane, but not for long
	wait_for 40 offset_is 0
}
offset_is() { [ "$(offset)" = "$1" ]; }

@test "a guesser's address is the proxy's word, and only the declared proxy's" {
	served --trusted-proxy 127.0.0.1
	guess 250 'X-Real-IP: 198.51.100.1'
	[ "$(answers_with 503)" -ge 40 ] || { sort "$T/guesses" | uniq -c && false; }
	guess 10 'X-Real-IP: 198.51.100.2' # somebody else is not slowed by that
	equals "$(answers_with 401)" 10
	stop_gateway
	served
	guess 250 'X-Real-IP: 198.51.100.#'
	[ "$(answers_with 503)" -ge 40 ] # believed from nobody: one address
}

@test "no credential stands in a log, in the spool, in figures, in an answer or in ps" {
	head -c 32 /dev/urandom >"$T/seal"
	stop_immichd
	start_immichd --session ann:token-of-ann --user ann:no-read::user.read,asset.upload
	served --seal-key "$T/seal"
	picture "$T/a.jpg" 1
	picture "$T/b.jpg" 2
	picture "$T/c.jpg" 3
	mischief 'POST /api/assets: status=503 name=*'
	: >"$T/answers"
	for who in 'x-api-key: key-of-ann' 'x-immich-user-token: token-of-ann' \
		'Authorization: Bearer token-of-ann' 'x-api-key: wrong-key' 'x-api-key: no-read'; do
		WHO=(-H "$who")
		ask POST "$FILES?key=key-of-ann" "${TUS[@]}" -H 'Upload-Length: 5'
		cat "$T/head" "$T/body" >>"$T/answers"
		ask GET "$FILES?x-api-key=key-of-ann" "${TUS[@]}"
		cat "$T/head" "$T/body" >>"$T/answers"
	done
	as key-of-ann
	upload "$T/a.jpg"
	WHO=(-H 'Authorization: Bearer token-of-ann')
	upload "$T/b.jpg"
	as no-read
	upload "$T/c.jpg"
	[ "$(keys_left)" -ge 3 ]
	curl -s "$GATE/uringest/metrics" >>"$T/answers"
	tr '\0' ' ' <"/proc/$GATEWAY_PID/cmdline" >>"$T/answers"
	tr '\0' '\n' <"/proc/$GATEWAY_PID/environ" | grep -v '^IMMICH_API_KEY=' >>"$T/answers"
	secrets='key-of-ann|token-of-ann|wrong-key|no-read'
	for place in "$T/answers" "$T/gateway.err" "$T/gateway.out" "$T/spool"; do
		if grep -raE "$secrets" "$place"; then
			echo "in $place" && false
		fi
	done
	if grep -raF "$(head -c 16 "$T/seal" | tr -d '\0\n')" "$T/spool"; then
		false
	fi
	mischief
	wait_for 60 reason_has asset.download # that key proves nothing
}
