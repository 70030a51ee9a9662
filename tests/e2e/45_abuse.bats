#!/usr/bin/env bats
# Peers that nobody should have: refused or bounded, and nobody else's upload seen or harmed.
# UR_CREATIONS=100000 makes as many uploads as a gateway remembers (tests/soak does).
# shellcheck disable=SC2030,SC2031,SC2034,SC2153,SC2016,SC2028,SC2059 # read by lib.bash; each test is a shell of its own
load lib
load gateway

RUDE=$BATS_TEST_DIRNAME/../clients/rude.py

setup() {
	begin
	command -v python3 >/dev/null || skip "python3 is not here"
	anonymous
	head -c 100000 /dev/urandom >"$T/mine" # somebody's upload, which goes on untouched
	head -c 40000 "$T/mine" >"$T/mine.1"
	tail -c +40001 "$T/mine" >"$T/mine.2"
	named mine.jpg "$T/mine"
	create 100000 "${META[@]}"
	send 0 "$T/mine.1"
	answered 204
	MINE=$UPLOAD
}
teardown() { finish; }

# unharmed: the gateway answers, and the upload that was there stands where it stood and is finished.
unharmed() {
	UPLOAD=$MINE
	equals "$(offset)" 40000 || return
	send 40000 "$T/mine.2"
	answered 204 || return
	equals "$(say .sha1)" "$(sha1sum "$T/mine" | cut -c1-40)" || return
	! gone "$GATEWAY_PID"
}

# raw REQUEST [WHERE]: as printf writes it; ANSWERS is the line of statuses.
raw() {
	# shellcheck disable=SC2059 # the request is a format
	ANSWERS=$(printf "$1" | timeout $((60 * UR_SLOW)) python3 "$RUDE" raw "${2:-127.0.0.1:$GATEWAY_PORT}" |
		tr '\n' ' ')
	ANSWERS=${ANSWERS% }
}
through() { # REQUEST: by nginx, which may refuse it itself
	TLS=1 raw "$1" "${URL#https://}"
}
memory_kib() { awk "/^$1:/ { print \$2 }" "/proc/$GATEWAY_PID/status"; }
below_64_mib() { # VmHWM|VmRSS
	local kib
	kib=$(memory_kib "$1")
	case $BUILD in asan | tsan) return 0 ;; esac # which have a memory of their own
	[ "$kib" -lt 65536 ] || { echo "$1 is $kib KiB" && return 1; }
}
spool_count() { find "$T/spool" -mindepth 1 -maxdepth 1 -type d | wc -l; }

# --- words ---------------------------------------------------------------------------------------

@test "ids are ids: no path leaves the spool, none is anybody's upload" {
	local id way=$GATE own=${MINE##*/}
	front_nginx
	mkdir "$T/spool/../ffffffffffffffffffffffffffffffff"
	for way in "$GATE" "$URL"; do
		for id in ../ffffffffffffffffffffffffffffffff ..%2f..%2fetc%2fpasswd %2e%2e/%2e%2e/etc/passwd \
			"$own/../../../../etc/passwd" "$own%00" "$own%2fstatus" "$own/bytes" "$own/./status" \
			"$own//status" "$own/status/" "$own/status/x" "${own^^}" ".$own" "$own%20" "%20$own" "${own:1}" \
			"0$own" '*' '%' . .. ... ./.. .new-"$own" .gone-"$own" 'info' "$own;x" "$own\\..\\x" \
			ffffffffffffffffffffffffffffffff "$(printf 'a%.0s' {1..4000})"; do
			for method in GET HEAD PATCH DELETE; do
				[ "$way$id$method" != "$URL$own/./statusGET" ] || continue # nginx makes it the real one
				[ "$way$id$method" != "$URL$own//statusGET" ] || continue
				[ "$way$id$method" != "$URL$own%2fstatusGET" ] || continue
				ask "$method" "$way/uringest/files/$id" -g --path-as-is "${TUS[@]}" "${BYTES[@]}" \
					-H 'Upload-Offset: 40000'
				case $STATUS in
				400 | 404 | 405 | 414 | 431) ;;
				*) echo "$method $way $id: $STATUS" && false ;;
				esac
			done
		done
	done
	unharmed
}

@test "what metadata says is never a path and never a header" {
	local name
	for name in ../../../../etc/passwd /etc/passwd "$(printf 'a%.0s' {1..1023})" '..' '.' \
		'$(reboot)' '"; filename="x' '<script>'; do
		create 5 -H "Upload-Metadata: filename $(base64_of "$name")"
	done
	for name in $'a\nb' $'a\rb' $'a\r\nx-api-key: y' $'a\tb' $'\x7f' $'\x1b[31m' "$(printf 'a%.0s' {1..1025})"; do
		ask POST "$FILES" "${TUS[@]}" -H 'Upload-Length: 5' \
			-H "Upload-Metadata: filename $(base64_of "$name")"
		answered 400 || { printf '%q\n' "$name" && false; }
	done
	for name in sidecar livePhotoVideo; do # names of uploads, and nothing else
		for id in ../../etc/passwd "${MINE##*/}x" "${MINE##*/}/../x" ' '; do
			ask POST "$FILES" "${TUS[@]}" -H 'Upload-Length: 5' -H "Upload-Metadata: $name $(base64_of "$id")"
			answered 400 || { echo "$name '$id'" && false; }
		done
	done
	ask POST "$FILES" "${TUS[@]}" -H 'Upload-Length: 5' -H "Upload-Metadata: filename AGEA" # NULs
	answered 400
	equals "$(find "$T/spool" -type f | grep -vcE '/([0-9a-f]{32}/(info|bytes|state|outcome)|clock|lock|wire)$')" 0
	unharmed
}

@test "every byte in every place of a header: an answer each time, and the gateway goes on" {
	local byte hex status
	for byte in {1..255}; do
		hex=$(printf '\\x%02x' "$byte")
		printf 'POST /uringest/files/ HTTP/1.1\r\nHost: h\r\nTus-Resumable: 1.0.0\r\nUpload-Length: 9\r\n'
		printf "Connection: close\r\nUpload-Metadata: a${hex}b YQ==,c$hex YQ==,d Y${hex}Q==\r\n\r\n"
		printf '\0'
		printf 'POST /uringest/files/ HTTP/1.1\r\nHost: h\r\nTus-Resumable: 1.0.0\r\nUpload-Length: 9\r\n'
		printf "Connection: close\r\nUpload-Metadata: a${hex}b YQ==\r\n\r\n"
		printf '\0'
		printf "GET /uringest/files/${MINE##*/}${hex} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n"
		printf "Origin: x${hex}y\r\nCookie: a=${hex}b\r\nX-Api-Key: k${hex}k\r\nRange: bytes=$hex\r\n\r\n\0"
	done >"$T/all"
	equals "$(python3 "$RUDE" each "127.0.0.1:$GATEWAY_PORT" <"$T/all" | grep -c .)" 765
	python3 "$RUDE" each "127.0.0.1:$GATEWAY_PORT" <"$T/all" | sort | uniq -c >"$T/statuses"
	if grep -vE '^ *[0-9]+ (201|400|404|409) ' "$T/statuses"; then
		false
	fi
	# And what was taken is told again.
	python3 "$RUDE" each "127.0.0.1:$GATEWAY_PORT" <"$T/all" | sed -n 's/^201 //p' >"$T/made"
	[ -s "$T/made" ]
	while read -r id; do
		ask HEAD "$GATE$id" "${TUS[@]}"
		equals "$STATUS" 200 "$id"
	done <"$T/made"
	unharmed
}

@test "lengths and offsets that overflow are refused wherever they come" {
	local value header
	for value in -1 -9223372036854775808 9223372036854775808 18446744073709551615 18446744073709551616 \
		99999999999999999999999999999999999999999999 1e3 0x10 ' ' 1,1 '1 1' +1 ٣ 1.; do
		for header in Upload-Length Upload-Offset Content-Length; do
			raw "PATCH ${MINE#"$GATE"} HTTP/1.1\r\nHost: h\r\nConnection: close\r\nTus-Resumable: 1.0.0\r\nContent-Type: application/offset+octet-stream\r\n$(
				[ $header = Upload-Offset ] || echo 'Upload-Offset: 40000\r\n')$header: $value\r\n\r\n"
			case $ANSWERS in 400 | 413) ;; *) echo "$header '$value': $ANSWERS" && false ;; esac
			raw "POST /uringest/files/ HTTP/1.1\r\nHost: h\r\nConnection: close\r\nTus-Resumable: 1.0.0\r\n$(
				[ $header = Upload-Length ] || echo 'Upload-Length: 5\r\n')Content-Type: application/offset+octet-stream\r\n$header: $value\r\n\r\n"
			case $ANSWERS in 400 | 413) ;; 201) [ $header = Upload-Offset ] ;; *) echo "POST $header '$value': $ANSWERS" && false ;; esac
		done
	done
	create 100 # nothing is set aside for what was only announced
	ask POST "$FILES" "${TUS[@]}" -H 'Upload-Length: 68719476736'
	[ "$STATUS" = 201 ] || [ "$STATUS" = 507 ]
	[ "$(du -sk "$T/spool" | cut -f1)" -lt 20000 ]
	ask GET "$MINE" -H 'Range: bytes=-99999999999999999999' # an unfinished one, whatever is asked of it
	answered 409
	unharmed
}

@test "ranges of a finished upload are its bytes or 416, and never others" {
	local range
	UPLOAD=$MINE
	send 40000 "$T/mine.2"
	for range in bytes=100000- bytes=100000-100001 bytes=5-4 bytes=-0 bytes=99999999999999999999- \
		bytes=18446744073709551615-18446744073709551615 bytes=- bytes=x \
		bytes=5--1 bytes=--5 bytes=+5-6 'bytes= 5-6' bytes=5-6x; do
		ask GET "$UPLOAD" -H "Range: $range"
		case $STATUS in 416 | 200) ;; *) echo "$range: $STATUS" && false ;; esac
		[ "$STATUS" = 416 ] || cmp "$T/body" "$T/mine"
	done
	for range in bytes=0-0 bytes=99999- bytes=-1 bytes=-200000 bytes=10-99999999; do
		ask GET "$UPLOAD" -H "Range: $range"
		answered 206 || { echo "$range" && false; }
	done
	equals "$(stat -c %s "$T/body")" 99990
}

# --- many ----------------------------------------------------------------------------------------

@test "thousands of creations: bounded in memory, seen by a restart, and nobody else's harmed" {
	local count=${UR_CREATIONS:-20000} part four pids=()
	case $BUILD in asan | tsan) count=${UR_CREATIONS:-2000} ;; esac
	stop_gateway
	anonymous --user-uploads 100000 --no-sync
	[ "$(offset)" = 40000 ]
	[ "$count" -lt 99990 ] || count=99990 # with what is there, as many as are remembered
	part=$((count / 4))
	for four in 1 2 3 4; do
		python3 "$RUDE" create "127.0.0.1:$GATEWAY_PORT" "$part" >"$T/made.$four" &
		pids+=($!)
	done
	wait "${pids[@]}"
	equals "$(cat "$T"/made.* | sort -u)" "201:$part"
	equals "$(figure created_total)" $((4 * part))
	below_64_mib VmHWM
	echo "# $((4 * part)) creations: VmHWM $(memory_kib VmHWM) KiB" >&3
	stop_gateway
	anonymous --user-uploads 100000
	equals "$(spool_count)" $((4 * part + 1))
	below_64_mib VmHWM
	echo "# after a restart: VmHWM $(memory_kib VmHWM) KiB" >&3
	stop_gateway
	anonymous --user-uploads 1000
	ask POST "$FILES" "${TUS[@]}" -H 'Upload-Length: 5' # and the ordinary bound holds
	answered 503 'too many'
	unharmed
}

@test "neither a deferred length nor haste is a way around what a user may have" {
	local i
	stop_gateway
	anonymous --user-bytes 200000
	create 90000
	ask POST "$FILES" "${TUS[@]}" -H 'Upload-Defer-Length: 1'
	answered 201
	UPLOAD=$GATE$(header location)
	head -c 30000 /dev/urandom >"$T/more"
	send 0 "$T/more"
	answered 503 'as large as they may be'
	[ "$(offset)" -le 10000 ]
	ask PATCH "$UPLOAD" "${TUS[@]}" "${BYTES[@]}" -H "Upload-Offset: $(offset)" -H 'Upload-Length: 20000'
	answered 503 'as large as they may be'
	ask DELETE "$UPLOAD" "${TUS[@]}"
	answered 204
	for i in {1..40}; do # 100,000 + 90,000 + at most one of these
		printf 'POST /uringest/files/ HTTP/1.1\r\nHost: h\r\nTus-Resumable: 1.0.0\r\n'
		printf 'Upload-Length: 6000\r\nConnection: close\r\n\r\n\0'
	done >"$T/hasty"
	python3 "$RUDE" at-once "127.0.0.1:$GATEWAY_PORT" <"$T/hasty" >"$T/statuses"
	equals "$(grep -c 201 "$T/statuses")" 1
	equals "$(grep -c 503 "$T/statuses")" 39
	unharmed
}

@test "two hundred uploads under way stay below 64 MiB, and a late one is served" {
	local made
	mkfifo "$T/go"
	python3 "$RUDE" under-way "127.0.0.1:$GATEWAY_PORT" 200 1024 <"$T/go" >"$T/held" &
	PIDS+=($!)
	made=$!
	exec 8>"$T/go"
	wait_for 120 grep -q 200 "$T/held"
	wait_for 60 has_bytes $((200 << 20))
	equals "$(figure receiving)" 200
	below_64_mib VmHWM
	echo "# 200 uploads under way: VmHWM $(memory_kib VmHWM) KiB, VmRSS $(memory_kib VmRSS) KiB" >&3
	unharmed
	exec 8>&-
	wait "$made"
	wait_for 30 receiving_none
}
has_bytes() { [ "$(figure received_bytes_total)" -ge "$1" ]; }
receiving_none() { [ "$(figure receiving)" = 0 ]; }

@test "five hundred connections with half a head or half a body, also through nginx, harm nobody" {
	local way
	front_nginx
	create 1000
	printf 1234567 >"$T/seven"
	send 0 "$T/seven"
	mkfifo "$T/go"
	for way in direct nginx; do
		if [ $way = nginx ]; then
			TLS=1 python3 "$RUDE" hold "${URL#https://}" 250 "${UPLOAD##*/}" <"$T/go" >"$T/held" &
		else
			python3 "$RUDE" hold "127.0.0.1:$GATEWAY_PORT" 250 "${UPLOAD##*/}" <"$T/go" >"$T/held" &
		fi
		PIDS+=($!)
		exec 8>"$T/go"
		wait_for 60 grep -q 500 "$T/held"
		equals "$(curl -s --max-time $((10 * UR_SLOW)) "$GATE/uringest/healthz")" ok
		equals "$(curl -sk --max-time $((10 * UR_SLOW)) "$URL/uringest/healthz")" ok
		exec 8>&-
		rm "$T/held"
	done
	below_64_mib VmHWM
	unharmed
}

@test "header bombs end at the bound, one large or many small" {
	local many large
	large=$(printf 'a%.0s' {1..20000})
	many=$(printf 'X-%s: y\\r\\n' {1..500})
	front_nginx
	raw "POST /uringest/files/ HTTP/1.1\r\nHost: h\r\nTus-Resumable: 1.0.0\r\nUpload-Length: 5\r\nX: $large\r\n\r\n"
	equals "$ANSWERS" 431
	raw "POST /uringest/files/ HTTP/1.1\r\nHost: h\r\nTus-Resumable: 1.0.0\r\nUpload-Length: 5\r\n$many\r\n"
	equals "$ANSWERS" 431
	raw "GET /$large HTTP/1.1\r\nHost: h\r\n\r\n"
	case $ANSWERS in 414 | 431) ;; *) echo "$ANSWERS" && false ;; esac
	raw "$large$large" # no request at all
	case $ANSWERS in 400 | 414 | 431) ;; *) echo "$ANSWERS" && false ;; esac
	through "POST /uringest/files/ HTTP/1.1\r\nHost: h\r\nTus-Resumable: 1.0.0\r\nUpload-Length: 5\r\n$many\r\n"
	[[ "$ANSWERS" == 4* ]]
	equals "$(figure created_total)" 1
	unharmed
}

# --- framing -------------------------------------------------------------------------------------

P='Host: h\r\nTus-Resumable: 1.0.0\r\nContent-Type: application/offset+octet-stream\r\n'

@test "a chunked body beyond the length is cut there" {
	local chunk
	create 10
	chunk='Connection: close\r\nUpload-Offset: 0\r\nTransfer-Encoding: chunked\r\n\r\n'
	raw "PATCH ${UPLOAD#"$GATE"} HTTP/1.1\r\n$P${chunk}8\r\n12345678\r\n8\r\n12345678\r\n0\r\n\r\n"
	equals "$ANSWERS" 413
	[ "$(offset)" -le 10 ]
	for bad in 'ffffffffffffffffff\r\nx' '-5\r\nhello\r\n' '5;\nhello' '0x5\r\nhello\r\n' ' 5\r\nhello\r\n' \
		'5\r\nhello' '5\r\nhelloXX0\r\n\r\n' 'fffffffffffffff0\r\nhello'; do
		create 10
		raw "PATCH ${UPLOAD#"$GATE"} HTTP/1.1\r\n$P$chunk$bad"
		[[ "$ANSWERS" == 400 || "$ANSWERS" == 413 || "$ANSWERS" == '' || "$ANSWERS" == '(not closed)' ]] ||
			{ echo "$bad: $ANSWERS" && false; }
		equals "$(say .state)" receiving
	done
	unharmed
}

@test "requests one behind the other are answered in their order, and a refused one ends them" {
	local one="HEAD ${MINE#"$GATE"} HTTP/1.1\r\n$P\r\n" made
	raw "$one$one${one}GET /uringest/healthz HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"
	equals "$ANSWERS" '200 200 200 200'
	# What follows a body that was refused early is no request.
	raw "PATCH ${MINE#"$GATE"} HTTP/1.1\r\n${P}Upload-Offset: 1\r\nContent-Length: 500\r\n\r\n$one$one"
	equals "$ANSWERS" 409
	made="POST /uringest/files/ HTTP/1.1\r\n${P}Upload-Length: 5\r\n"
	raw "${made}Content-Length: 5\r\n\r\nhello${made}Content-Length: 5\r\nConnection: close\r\n\r\nworld"
	equals "$ANSWERS" '201 201'
	unharmed
}

# Each body hides a DELETE of somebody's upload: whatever nginx makes of it, it never gets through.
@test "no request is smuggled through nginx" {
	local hidden framing before
	front_nginx
	: >"$T/nginx/hops"
	before=$(figure requests_total)
	hidden="DELETE ${MINE#"$GATE"} HTTP/1.1\r\nHost: h\r\nTus-Resumable: 1.0.0\r\nContent-Length: 0\r\n\r\n"
	while read -r framing; do
		WAIT=3 through "POST /uringest/files/ HTTP/1.1\r\n${P}Upload-Length: 500\r\n$framing$hidden"
		[[ " $ANSWERS " != *' 204 '* ]] || { echo "$framing: $ANSWERS" && false; }
	done <<'TABLE'
Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n
Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n
Transfer-Encoding: xchunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n
Transfer-Encoding : chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n
Transfer-Encoding:\tchunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n
Transfer-Encoding: chunked\r\nTransfer-Encoding: x\r\nContent-Length: 5\r\n\r\n0\r\n\r\n
X: y\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n
X: y\r\n Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n
Transfer-Encoding\r\n: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n
Transfer-Encoding:\r\n chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n
Transfer-Encoding: \x0bchunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n
Transfer-Encoding: "chunked"\r\nContent-Length: 5\r\n\r\n0\r\n\r\n
Transfer-Encoding: chunked, identity\r\nContent-Length: 5\r\n\r\n0\r\n\r\n
Content-Length: 0\r\nContent-Length: 300\r\n\r\n
Content-Length: 0, 300\r\n\r\n
Content-Length: +0\r\n\r\n
TABLE
	# What nginx passed on is what the gateway saw, not one request more.
	wait_for 10 all_logged
	unharmed
}
all_logged() {
	local seen hops
	seen=$(figure requests_total)
	hops=$(grep -vc '^-' "$T/nginx/hops" || true)
	before=$((before + 1)) # our own question
	[ $((seen - before)) -le "$hops" ] || { echo "$hops passed on, $((seen - before)) seen" && false; }
}
