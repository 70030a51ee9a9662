#!/usr/bin/env bats
# tus 1.0.0, one requirement a test: md/tus.md says which is which.
# shellcheck disable=SC2030,SC2031,SC2034,SC2153 # read by lib.bash; each test is a shell of its own
load lib
load gateway

setup() {
	begin
	anonymous --max-size 1M
	printf 'hello world' >"$T/hello"
	printf ' again' >"$T/again"
}
teardown() { finish; }

unchanged() { # OFFSET: nothing was taken, nothing was forgotten
	equals "$(offset)" "$1"
	equals "$(say .durable)" "$1"
}
is_number() { [[ "$1" =~ ^[0-9]+$ ]] || { echo "'$1' is no number" && return 1; }; }
date_of() { date -u -d "$1" '+%a, %d %b %Y %H:%M:%S GMT'; }

@test "offsets and lengths in answers are plain numbers" {
	create 11
	send 0 "$T/hello"
	is_number "$(header upload-offset)"
	ask HEAD "$UPLOAD" "${TUS[@]}"
	is_number "$(header upload-offset)"
	is_number "$(header upload-length)"
}

@test "offsets that are no numbers are refused, and change nothing" {
	create 11
	for offset in -1 +0 0x0 0.0 '0 0' '0,0' 1e0 18446744073709551616 9223372036854775808 x; do
		ask PATCH "$UPLOAD" "${TUS[@]}" "${BYTES[@]}" -H "Upload-Offset: $offset" \
			--data-binary "@$T/hello"
		answered 400 upload-offset || { echo "offset '$offset'" && false; }
	done
	unchanged 0
}

@test "every answer of tus says Tus-Resumable, also a refusal" {
	local method
	create 11
	equals "$(header tus-resumable)" 1.0.0
	send 0 "$T/hello"
	equals "$(header tus-resumable)" 1.0.0
	send 0 "$T/hello" # 409
	equals "$(header tus-resumable)" 1.0.0
	for method in HEAD PATCH DELETE PUT POST; do # 412, 405
		ask $method "$UPLOAD"
		equals "$(header tus-resumable)" 1.0.0 "$method, $STATUS"
		ask $method "$UPLOAD" "${TUS[@]}"
		equals "$(header tus-resumable)" 1.0.0 "$method, $STATUS"
	done
	ask HEAD "$UPLOAD" "${TUS[@]}" # 404
	equals "$(header tus-resumable)" 1.0.0
}

@test "another version is not processed: 412, and the versions that are spoken" {
	create 11
	for version in 0.2.2 1.0 1.0.1 '1.0.0, 0.2.2' '' nonsense; do
		ask PATCH "$UPLOAD" -H "Tus-Resumable;" -H "Tus-Resumable: $version" "${BYTES[@]}" \
			-H 'Upload-Offset: 0' --data-binary "@$T/hello"
		answered 412
		equals "$(header tus-version)" 1.0.0
		ask DELETE "$UPLOAD" -H "Tus-Resumable: $version"
		answered 412
	done
	unchanged 0
	ask POST "$FILES" -H 'Tus-Resumable: 2.0.0' -H 'Upload-Length: 11'
	answered 412
	equals "$(figure created_total)" 1
}

@test "OPTIONS tells versions, extensions, checksums and the largest size, whatever version it is asked in" {
	for version in 1.0.0 0.2.2 nonsense; do
		ask OPTIONS "$FILES" -H "Tus-Resumable: $version"
		answered 204
		equals "$(header tus-version)" 1.0.0
		equals "$(header tus-extension)" \
			creation,creation-with-upload,creation-defer-length,checksum,expiration,termination
		equals "$(header tus-max-size)" 1048576
		[[ "$(header tus-checksum-algorithm)" =~ ^[a-z0-9]+(,[a-z0-9]+)*$ ]]
		has ",$(header tus-checksum-algorithm)," ,sha1,
	done
}

@test "POST with X-HTTP-Method-Override is the method that it names" {
	create 17
	ask POST "$UPLOAD" "${TUS[@]}" "${BYTES[@]}" -H 'X-HTTP-Method-Override: PATCH' \
		-H 'Upload-Offset: 0' --data-binary "@$T/hello"
	answered 204
	equals "$(header upload-offset)" 11
	ask POST "$UPLOAD" "${TUS[@]}" -H 'X-HTTP-Method-Override: DELETE'
	answered 204
	ask HEAD "$UPLOAD" "${TUS[@]}"
	answered 404
}

@test "no other method is overridden, nor into another one" {
	create 11
	ask GET "$UPLOAD" "${TUS[@]}" -H 'X-HTTP-Method-Override: DELETE'
	answered 409 # it was a GET
	for method in HEAD GET PUT OPTIONS delete ''; do
		ask POST "$UPLOAD" "${TUS[@]}" -H "X-HTTP-Method-Override;" -H "X-HTTP-Method-Override: $method"
		answered 405
	done
	unchanged 0
}

@test "HEAD gives the offset, be it 0, in between or the end, and the length, and is not cached" {
	create 17
	for step in '0 hello' '11 again' '17 -'; do
		ask HEAD "$UPLOAD" "${TUS[@]}"
		answered 200
		equals "$(header upload-offset)" "${step% *}"
		equals "$(header upload-length)" 17
		equals "$(header cache-control)" no-store
		[ "${step#* }" = - ] || send "${step% *}" "$T/${step#* }"
	done
}

@test "HEAD of what is not there has no offset" {
	ask HEAD "${FILES}0123456789abcdef0123456789abcdef" "${TUS[@]}"
	answered 404
	equals "$(header upload-offset)" ''
}

@test "PATCH takes application/offset+octet-stream and nothing else" {
	create 11
	for type in application/octet-stream text/plain application/offset+octet-streams ''; do
		ask PATCH "$UPLOAD" "${TUS[@]}" -H "Content-Type: $type" -H 'Upload-Offset: 0' \
			--data-binary "@$T/hello"
		answered 415
	done
	unchanged 0
	send 0 "$T/hello" # with a parameter it is still that type
	answered 204
}

@test "PATCH at another offset is 409, and changes nothing" {
	create 17
	send 0 "$T/hello"
	answered 204
	for offset in 0 10 12 17 1000000 9223372036854775807; do
		send $offset "$T/again"
		answered 409
		equals "$(header upload-offset)" 11
	done
	unchanged 11
	send 11 "$T/again"
	equals "$(say .sha1)" "$(cat "$T/hello" "$T/again" | sha1sum | cut -c1-40)"
}

@test "PATCH is answered with 204 and the sum of the offset and what came" {
	create 17
	send 0 "$T/hello"
	answered 204 ''
	equals "$(header upload-offset)" 11
	send 11 /dev/null
	answered 204
	equals "$(header upload-offset)" 11
	send 11 "$T/again"
	equals "$(header upload-offset)" 17
	send 17 /dev/null # its end is its end
	answered 204
	equals "$(header upload-offset)" 17
}

@test "PATCH beyond the length is refused, and changes nothing" {
	create 10
	send 0 "$T/hello"
	answered 413
	unchanged 0
	send 0 "$T/hello" -H 'Transfer-Encoding: chunked'
	answered 413
	[ "$(offset)" -le 10 ]
	equals "$(say .state)" receiving
}

@test "PATCH of what is not there is 404" {
	UPLOAD=${FILES}0123456789abcdef0123456789abcdef
	send 0 "$T/hello"
	answered 404
}

@test "a broken request leaves what arrived" {
	local fd
	create 1000
	exec {fd}<>"/dev/tcp/127.0.0.1/$GATEWAY_PORT"
	printf 'PATCH %s HTTP/1.1\r\nHost: h\r\nTus-Resumable: 1.0.0\r\nUpload-Offset: 0\r\n' \
		"${UPLOAD#"$GATE"}" >&"$fd"
	printf 'Content-Type: application/offset+octet-stream\r\nContent-Length: 1000\r\n\r\nhello' >&"$fd"
	wait_for 10 arrived 5
	exec {fd}>&-
	equals "$(offset)" 5
}
arrived() { [ "$(say .offset)" = "$1" ]; }

@test "a creation is 201 with its URL, and says when it expires" {
	ask POST "$FILES" "${TUS[@]}" -H 'Upload-Length: 11'
	answered 201 ''
	[[ "$(header location)" =~ ^/uringest/files/[0-9a-f]{32}$ ]]
	equals "$(header upload-expires)" "$(date_of "$(header upload-expires)")"
	[ "$(date -d "$(header upload-expires)" +%s)" -gt "$(date +%s)" ]
}

@test "a creation needs one of Upload-Length and Upload-Defer-Length: 1, and not both" {
	ask POST "$FILES" "${TUS[@]}"
	answered 400 Upload-Length
	for value in 0 2 true 01 ''; do
		ask POST "$FILES" "${TUS[@]}" -H "Upload-Defer-Length;" -H "Upload-Defer-Length: $value"
		answered 400
	done
	ask POST "$FILES" "${TUS[@]}" -H 'Upload-Length: 5' -H 'Upload-Defer-Length: 1'
	answered 400
	equals "$(figure created_total)" 0
}

@test "a length that is deferred is said to be so until it is known, and then stays" {
	ask POST "$FILES" "${TUS[@]}" -H 'Upload-Defer-Length: 1'
	answered 201
	UPLOAD=$GATE$(header location)
	send 0 "$T/hello"
	answered 204
	ask HEAD "$UPLOAD" "${TUS[@]}"
	equals "$(header upload-defer-length)" 1
	equals "$(header upload-length)" ''
	send 11 /dev/null -H 'Upload-Length: 17'
	answered 204
	ask HEAD "$UPLOAD" "${TUS[@]}"
	equals "$(header upload-defer-length)" ''
	equals "$(header upload-length)" 17
	for length in 16 18 11; do
		send 11 "$T/again" -H "Upload-Length: $length"
		answered 400
	done
	stop_gateway KILL
	anonymous --max-size 1M
	ask HEAD "$UPLOAD" "${TUS[@]}"
	equals "$(header upload-length)" 17
	send 11 "$T/again" -H 'Upload-Length: 17'
	answered 204
	equals "$(say .state)" complete
}

@test "an upload of no bytes is complete when it is made" {
	create 0
	equals "$(say .state)" complete
	equals "$(offset)" 0
}

@test "metadata comes back as it was sent" {
	local said='filename d29ybGRfZG9taW5hdGlvbl9wbGFuLnBkZg==,is_confidential,empty ,other AAEC/w=='
	create 11 -H "Upload-Metadata: $said"
	ask HEAD "$UPLOAD" "${TUS[@]}"
	equals "$(header upload-metadata)" "$said"
	stop_gateway
	anonymous
	ask HEAD "$UPLOAD" "${TUS[@]}"
	equals "$(header upload-metadata)" "$said"
}

@test "metadata that is none is refused: keys twice, keys without a name, values that are no base64" {
	for said in 'a YQ==,a YQ==' ',' 'a YQ==,,b YQ==' 'a YQ==, ' 'a Y' 'a Y!==' 'a YQ== YQ==' \
		'a =YQ='; do
		ask POST "$FILES" "${TUS[@]}" -H 'Upload-Length: 5' -H "Upload-Metadata: $said"
		answered 400 || { echo "metadata '$said'" && false; }
	done
	equals "$(figure created_total)" 0
}

@test "a creation beyond Tus-Max-Size is 413, and one as large is none" {
	ask POST "$FILES" "${TUS[@]}" -H 'Upload-Length: 1048577'
	answered 413
	create 1048576
	ask POST "$FILES" "${TUS[@]}" -H 'Upload-Defer-Length: 1'
	UPLOAD=$GATE$(header location)
	send 0 /dev/null -H 'Upload-Length: 1048577'
	answered 413
}

@test "a creation with bytes says how far they came" {
	ask POST "$FILES" "${TUS[@]}" "${BYTES[@]}" -H 'Upload-Length: 17' --data-binary "@$T/hello"
	answered 201
	equals "$(header upload-offset)" 11
	[ -n "$(header upload-expires)" ]
	UPLOAD=$GATE$(header location)
	unchanged 11
	ask POST "$FILES" "${TUS[@]}" -H 'Content-Type: text/plain' -H 'Upload-Length: 17' \
		--data-binary "@$T/hello"
	answered 415
	ask POST "$FILES" "${TUS[@]}" "${BYTES[@]}" -H 'Upload-Length: 10' --data-binary "@$T/hello"
	answered 413
}

@test "each PATCH says when the upload expires, as HTTP writes a date" {
	create 17
	send 0 "$T/hello"
	equals "$(header upload-expires)" "$(date_of "$(header upload-expires)")"
}

@test "an expired upload is 410, and takes nothing more" {
	stop_gateway
	anonymous --expire 1s
	create 17
	send 0 "$T/hello"
	wait_for 20 is_state refused
	ask HEAD "$UPLOAD" "${TUS[@]}"
	answered 410
	send 11 "$T/again"
	answered 410
}

@test "a checksum is checked: 204, or 460 and nothing is kept" {
	create 17
	send 0 "$T/hello" -H "Upload-Checksum: sha1 $(sha1_base64 "$T/again")"
	answered 460
	unchanged 0
	send 0 "$T/hello" -H "Upload-Checksum: sha1 $(sha1_base64 "$T/hello")"
	answered 204
	send 11 "$T/again" -H "Upload-Checksum: sha1 $(sha1_base64 "$T/hello")"
	answered 460
	unchanged 11
	equals "$(say .state)" receiving
}

@test "a checksum that is not ours is 400, and nothing is kept" {
	create 11
	for sum in 'md5 XrY7u+Ae7tCTyyK7j1rNww==' 'SHA1 Kq5sNclPz7QV2+lfQIuc6R7oRu0=' sha1 'sha1 ' \
		'sha1 Kq5s' 'sha1 !!!!' 'sha1  Kq5sNclPz7QV2+lfQIuc6R7oRu0=' 'crc32 AAAAAA=='; do
		send 0 "$T/hello" -H "Upload-Checksum: $sum"
		answered 400 || { echo "checksum '$sum'" && false; }
	done
	unchanged 0
}

@test "DELETE is 204, frees what was taken, and leaves 404" {
	create 17
	send 0 "$T/hello"
	ask DELETE "$UPLOAD" "${TUS[@]}"
	answered 204
	equals "$(find "$T/spool" -mindepth 1 -maxdepth 1 -type d | wc -l)" 0
	for method in HEAD DELETE; do
		ask $method "$UPLOAD" "${TUS[@]}"
		answered 404
	done
	send 11 "$T/again"
	answered 404
	ask POST "$FILES" "${TUS[@]}" "${BYTES[@]}" -H 'Upload-Length: 11' --data-binary "@$T/hello"
	UPLOAD=$GATE$(header location)
	ask DELETE "$UPLOAD" "${TUS[@]}" # a complete one, too
	answered 204
}

@test "concatenation is not offered, and not taken for something else" {
	ask OPTIONS "$FILES"
	lacks "$(header tus-extension)" concatenation
	ask POST "$FILES" "${TUS[@]}" -H 'Upload-Length: 5' -H 'Upload-Concat: partial'
	answered 400 concatenated
	equals "$(figure created_total)" 0
}

@test "every test that md/tus.md names is there" {
	local file name rows=0
	# shellcheck disable=SC2016 # the document's quotes
	while IFS=$'\t' read -r file name; do
		grep -qF "@test \"$name\" {" "$BATS_TEST_DIRNAME/$file" ||
			{ echo "$file has no test '$name'" && false; }
		rows=$((rows + 1))
	done < <(sed -nE 's/^\|.*\| `([0-9a-z_]+\.bats)`: (.*) \|$/\1\t\2/p' "$BATS_TEST_DIRNAME/../../md/tus.md")
	equals "$rows" "$(grep -cE '^\| [^-]' "$BATS_TEST_DIRNAME/../../md/tus.md" | awk '{ print $1 - 1 }')"
	[ "$rows" -ge 30 ]
}
