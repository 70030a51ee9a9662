#!/usr/bin/env bats
# shellcheck disable=SC2030,SC2031,SC2317 # each test is a process; functions are replaced for lib
# Large files through the gateway: in chunks, interrupted, gone on with, and what happens without it.

load lib
load gateway

setup() { begin; }
teardown() { finish; }

# A video of this size, whose bytes are mostly holes, and distinct by SEED.
video() { # FILE SIZE SEED
	PHOTO_KIND=mp4 photo "$1" "$3"
	truncate -s "$2" "$1"
}

# nginx with TLS before both: immichd, and the gateway at /uringest/ with LIMIT for its bodies.
proxied() { # [LIMIT_OF_THE_GATEWAY]
	GATEWAY_LIMIT=${1:-0}
	eval "plain_$(declare -f write_nginx)"
	write_nginx() {
		cat >"$T/gateway.location" <<-CONF
			access_log $T/nginx/access.log;
			location /uringest/ {
				proxy_pass $GATE;
				proxy_http_version 1.1;
				proxy_set_header Connection "";
				proxy_set_header Host \$http_host;
				proxy_request_buffering off;
				client_max_body_size $GATEWAY_LIMIT;
			}
		CONF
		plain_write_nginx "$@" | sed "/client_body_buffer_size/r $T/gateway.location"
	}
	start_nginx
}

both() { # [LIMIT]
	start_immichd
	start_gateway
	proxied "$@"
}

patches() { grep -c '"PATCH /uringest/files/' "$T/nginx/access.log"; }
creations() { grep -c '"POST /uringest/files/ .* 201 ' "$T/nginx/access.log"; }

@test "a large file goes in chunks, each with its checksum, and arrives byte for byte" {
	both
	video "$T/lib/long.mp4" 300M 1
	photo "$T/lib/small.jpg" 2
	import_json --chunk 16M "$T/lib"
	fields sent=2 failed=0
	equals "$(creations)" 1
	[ "$(patches)" -ge 4 ]
	compare_all "$T/lib"
	equals "$(ledger 'SELECT count(*) FROM upload')" 0
	[ $(($(field bytes_sent) - $(bytes_in "$T/lib"))) -lt 2000 ] # the form around the small one
	import_json "$T/lib"
	fields sent=0 present=2
}

# grown_by BYTES: the gateway has received so many more than when BEFORE was taken, or the run ended.
received() { figure received_bytes_total; }
grown_by() { gone "$RUN" || [ "$(received)" -ge $((BEFORE + $1)) ]; }

# begin_run ARGUMENT…: an import in the background; RUN is its process.
begin_run() {
	BEFORE=$(received)
	"$URINGEST" import --server "$URL" ${CACERT:+--cacert "$CACERT"} --ledger "$LEDGER" --json \
		"$@" >"$T/out" 2>"$T/err" 3>&- &
	RUN=$!
	PIDS+=("$RUN")
}

@test "killed ten times it goes on each time, and each time costs little" {
	local kills=0
	both
	video "$T/lib/long.mp4" 160M 1
	for _ in 1 2 3 4 5 6 7 8 9 10; do
		begin_run --chunk 8M --bwlimit 60M "$T/lib"
		wait_for 30 grown_by $((RANDOM % 8 * 1000000 + 3000000))
		gone "$RUN" || kills=$((kills + 1))
		kill -KILL "$RUN" 2>/dev/null || true
		wait "$RUN" 2>/dev/null || true
	done
	equals "$kills" 10 "interruptions"
	ur explain "$T/lib/long.mp4"
	has "$OUT" "at the gateway, as "
	import_json --chunk 8M "$T/lib"
	fields sent=1 failed=0
	equals "$(creations)" 1 "uploads that were made"
	compare_all "$T/lib"
	# An interruption costs what was on its way; what the gateway had received counts on.
	[ "$(received)" -le $((160 * 1048576 + 10 * 8 * 1048576)) ] || {
		echo "received $(received)" && return 1
	}
	echo "# 160 MiB, 10 kills: $(($(received) - 160 * 1048576)) bytes received twice" >&3
}

@test "the gateway is killed and comes back in mid-run: the upload goes on" {
	both
	video "$T/lib/long.mp4" 120M 1
	begin_run --chunk 8M --bwlimit 40M "$T/lib"
	for _ in 1 2 3; do
		wait_for 30 grown_by 8000000
		stop_gateway KILL
		start_gateway
		BEFORE=$(received)
	done
	wait "$RUN"
	fields sent=1
	equals "$(creations)" 1
	compare_all "$T/lib"
}

@test "without a gateway all goes in one piece, and one sentence says what is lost by that" {
	start_immichd
	video "$T/lib/a.mp4" 40M 1
	video "$T/lib/b.mp4" 40M 2
	import_json "$T/lib"
	fields sent=2
	equals "$(grep -c 'an upload that is interrupted starts again' "$T/err")" 1
	compare_all "$T/lib"
}

@test "small files ask for no gateway, and with --gateway off neither do large ones" {
	start_immichd
	photos "$T/lib" 3
	import_json "$T/lib"
	lacks "$ERR" gateway
	video "$T/lib/a.mp4" 40M 1
	import_json --gateway off "$T/lib"
	fields sent=1
	lacks "$ERR" gateway
	equals "$(grep -c OPTIONS "$T/immichd.err")" 0
}

@test "an upload that the gateway forgot starts anew, once" {
	both
	video "$T/lib/long.mp4" 60M 1
	begin_run --chunk 8M --bwlimit 30M "$T/lib"
	wait_for 30 grown_by 16000000
	kill -KILL "$RUN"
	wait "$RUN" 2>/dev/null || true
	stop_gateway
	rm -rf "$T/spool"
	start_gateway
	import_json --chunk 8M "$T/lib"
	fields sent=1
	equals "$(creations)" 2
	compare_all "$T/lib"
}

@test "a proxy that refuses large bodies gets smaller ones, and is remembered for it" {
	both 4m
	video "$T/lib/long.mp4" 40M 1
	import_json "$T/lib"
	fields sent=1
	compare_all "$T/lib"
	equals "$(ledger "SELECT value FROM server WHERE key='chunk_max'")" 4194304
	equals "$(grep -c '"PATCH .* 413 ' "$T/nginx/access.log")" 3 "32, 16 and 8 MiB"
	video "$T/lib/more.mp4" 40M 2
	import_json "$T/lib"
	fields sent=1
	equals "$(grep -c '"PATCH .* 413 ' "$T/nginx/access.log")" 3 "refusals, all of the first run"
}

@test "a file that changes while it is sent is taken back, and sent as what it is now" {
	both
	video "$T/lib/long.mp4" 60M 1
	begin_run --chunk 8M --bwlimit 30M "$T/lib"
	wait_for 30 grown_by 16000000
	printf changed | dd of="$T/lib/long.mp4" bs=1 seek=50000000 conv=notrunc status=none
	wait "$RUN"
	has "$(of long.mp4)" "waiting seen: it changed under our hands"
	equals "$(server_count)" 0
	equals "$(find "$T/spool" -mindepth 1 -maxdepth 1 -type d | wc -l)" 0 "uploads in the spool"
	equals "$(ledger 'SELECT count(*) FROM upload')" 0
	import_json "$T/lib"
	fields sent=1
	compare_all "$T/lib"
}

@test "a file that changed between two runs is taken back, and sent as what it is now" {
	both
	video "$T/lib/long.mp4" 60M 1
	begin_run --chunk 8M --bwlimit 30M "$T/lib"
	wait_for 30 grown_by 16000000
	kill -KILL "$RUN"
	wait "$RUN" 2>/dev/null || true
	printf changed | dd of="$T/lib/long.mp4" bs=1 seek=50000000 conv=notrunc status=none
	import_json --chunk 8M "$T/lib"
	fields sent=1
	equals "$(grep -c '"DELETE .* 204 ' "$T/nginx/access.log")" 1
	compare_all "$T/lib"
}

@test "sidecars and live movies arrive as in direct uploads" {
	both
	mklib "$T/lib" --count 6 --size 2M --kinds jpeg,heic --live 100 --sidecars 100 --seed 7
	import_json --resumable-threshold 1M --chunk 1M "$T/lib"
	fields sent=18 failed=0 waiting=0 refused=0
	equals "$(sql 'SELECT count(*) FROM assets WHERE live_video IS NOT NULL')" 6
	compare_all "$T/lib"
	compare_sidecars
	[ "$(creations)" -ge 18 ] # six movies, six pictures, at least six sidecars
	equals "$(grep -c '"POST /api/assets ' "$T/nginx/access.log")" 0 "direct uploads"
	import_json --after delete --settle-after 0s "$T/lib"
	equals "$(files_in "$T/lib")" 0 "files that are left"
}

@test "what the server got in another way meanwhile is not sent on" {
	both
	video "$T/lib/long.mp4" 60M 1
	begin_run --chunk 8M --bwlimit 30M "$T/lib"
	wait_for 30 grown_by 16000000
	kill -KILL "$RUN"
	wait "$RUN" 2>/dev/null || true
	"$URINGEST" import --server "$DIRECT" --gateway off --ledger "$T/other.db" -q "$T/lib"
	BEFORE=$(received)
	import_json --chunk 8M "$T/lib"
	fields present=1 sent=0
	equals "$(received)" "$BEFORE" "bytes that the gateway received"
	equals "$(ledger 'SELECT count(*) FROM upload')" 0
}

@test "an early answer of the gateway: not one byte is sent, and the file is a suspect" {
	both
	video "$T/lib/long.mp4" 40M 1
	"$URINGEST" import --server "$DIRECT" --gateway off --ledger "$T/other.db" -q "$T/lib"
	# What has just been stored may still fail, and is not answered early: it has been there for a while.
	sql "UPDATE assets SET created=created-86400000*(CASE WHEN created>100000000000000 THEN 1000000 ELSE 1 END)"
	# The importer's own question is answered by somebody who knows nothing.
	cat >"$T/gateway.location.more" <<-CONF
		location = /api/assets/bulk-upload-check {
			default_type application/json;
			return 200 '{"results":[{"id":"0","action":"accept"}]}';
		}
	CONF
	sed -i "/client_body_buffer_size/r $T/gateway.location.more" "$T/nginx/nginx.conf"
	kill -HUP "$NGINX_PID"
	knows_nothing() {
		curl -sk -X POST "$URL/api/assets/bulk-upload-check" | grep -q accept
	}
	wait_for 10 knows_nothing
	ur import --json "$T/lib"
	equals "$CODE" 1 # it is claimed, and not proved
	has "$(of long.mp4)" "refused suspect"
	equals "$(received)" 0 "bytes that the gateway received"
}

@test "a quota that is used up after the upload ends in its sentence, and the file waits" {
	start_immichd --user ann:key-of-ann:30000000
	start_gateway
	proxied
	export IMMICH_API_KEY=key-of-ann
	PHOTO_SIZE=1500K photo "$T/lib/a.jpg" 1
	video "$T/lib/long.mp4" 20M 2
	video "$T/lib/more.mp4" 20M 3
	ur import --json --resumable-threshold 4M --chunk 4M -j 1 "$T/lib"
	equals "$CODE" 1 # one did not arrive
	fields sent=2 waiting=1 failed=0
	has "$ERR$OUT" "quota"
	equals "$(ledger "SELECT count(*) FROM upload")" 0
	stop_immichd
	start_immichd --user ann:key-of-ann:90000000
	import_json --resumable-threshold 4M --chunk 4M "$T/lib"
	fields sent=1 present=2
}

@test "a server that stores slowly: the file stays with its upload, and the next run asks" {
	both
	video "$T/lib/long.mp4" 40M 1
	mischief 'POST /api/assets: status=503 name=*.mp4'
	# The gateway tries on; the run waits only so long.
	ur import --json --answer-wait 2s "$T/lib"
	equals "$CODE" 1 # the gateway has it, the server has not
	has "$(of long.mp4)" "waiting sending: all of it (40.0 MiB) is at the gateway"
	equals "$(ledger 'SELECT count(*) FROM upload')" 1
	BEFORE=$(received)
	mischief
	import_json --answer-wait 60s "$T/lib"
	fields waiting=0 failed=0
	equals "$(received)" "$BEFORE" "bytes that the gateway received"
	compare_all "$T/lib"
}

@test "memory does not depend on the size, with either ring" {
	local ring
	both
	for ring in auto sync; do
		video "$T/lib/$ring.mp4" 400M "$((++PHOTO_SEED))"
		/usr/bin/time -f %M -o "$T/peak" "$URINGEST" import --server "$URL" --cacert "$CACERT" \
			--ledger "$LEDGER" -q --ring "$ring" "$T/lib"
		[ "$(tail -n 1 "$T/peak")" -lt 120000 ] || { cat "$T/peak" && return 1; }
		rm "$T/lib/$ring.mp4"
	done
	equals "$(server_count)" 2
	compare_stored
}
