# shellcheck shell=bash
# shellcheck disable=SC2034 # read by the tests
# What the tests of the importer share: servers, runs, and the comparison of what is where.
#
#     begin ─▶ start_immichd [start_nginx] ─▶ ur import … ─▶ compare_all ─▶ finish
#
# BUILD chooses the programs (release, asan, tsan …).  UR_SLOW stretches every time limit: a
# sanitizer or a loaded machine is slow, and that is no failure.  Nothing here waits for a fixed
# time; what is waited for is a condition, within a limit.

E2E=${BATS_TEST_DIRNAME:-$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)}
BUILD=${BUILD:-release}
BIN=${BIN:-$(cd "$E2E/../.." && pwd)/build/$BUILD}
URINGEST=$BIN/uringest IMMICHD=$BIN/immichd MKLIB=$BIN/mklib
case $BUILD in
asan) UR_SLOW=${UR_SLOW:-4} ;;
tsan) UR_SLOW=${UR_SLOW:-8} ;;
*) UR_SLOW=${UR_SLOW:-1} ;;
esac
KEY=secret-of-the-admin

# --- the frame of a test -------------------------------------------------------------------------

# In setup: an empty folder $T of the test's own, and an environment that nobody prepared.
begin() {
	local program
	for program in "$URINGEST" "$IMMICHD" "$MKLIB"; do
		[ -x "$program" ] || skip "uringest, immichd and mklib are not built"
	done
	T=$(mktemp -d "${TMPDIR:-/tmp}/ur-e2e.XXXXXX")
	chmod 755 "$T" # for the tests that become somebody else
	mkdir "$T/home"
	PIDS=()
	LEDGER=$T/ledger/ledger.db
	mkdir "$T/ledger"
	export HOME=$T/home XDG_STATE_HOME=$T/state XDG_CONFIG_HOME=$T/config
	export IMMICH_API_KEY=$KEY LC_ALL=C.UTF-8
	unset IMMICH_URL IMMICH_INSTANCE_URL CREDENTIALS_DIRECTORY STATE_DIRECTORY
	unset http_proxy https_proxy HTTP_PROXY HTTPS_PROXY all_proxy ALL_PROXY no_proxy NO_PROXY
}

# In teardown: nothing is left, also after a failure; the last run's words help to understand it.
finish() {
	local pid
	[ -n "${T-}" ] || return 0
	if [ -z "${BATS_TEST_COMPLETED-}" ]; then
		show_last
	fi
	stop_nginx
	for pid in "${PIDS[@]}"; do
		kill -KILL "$pid" 2>/dev/null || true
		wait "$pid" 2>/dev/null || true
	done
	if mountpoint -q "$T/tmpfs" 2>/dev/null; then
		umount -l "$T/tmpfs" || true
	fi
	chmod -R u+rwX "$T" 2>/dev/null || true
	rm -rf "$T" ${ELSEWHERE:+"$ELSEWHERE"}
}

show_last() {
	local file
	for file in out err; do
		[ ! -s "$T/$file" ] || { echo "-- $file" && tail -n 6 "$T/$file"; }
	done
	if [ -s "$T/gateway.err" ]; then
		echo "-- gateway" && tail -n 10 "$T/gateway.err"
	fi
	if [ -s "$T/immichd.err" ]; then
		echo "-- immichd" && grep -v '^[0-9:.]* ' "$T/immichd.err" | tail -n 5
	fi
}

# wait_for SECONDS COMMAND…: until the command succeeds; fails when it never does.
wait_for() {
	local end=$((SECONDS + $1 * UR_SLOW + 1))
	shift
	until "$@"; do
		[ $SECONDS -lt $end ] || { echo "waited in vain for: $*" && return 1; }
		sleep 0.05
	done
}

gone() { ! kill -0 "$1" 2>/dev/null; }

# equals WHAT EXPECTED: says both when they differ.
equals() {
	[ "$1" = "$2" ] || { echo "it is '$1' and should be '$2'${3:+ ($3)}" && return 1; }
}

# at_least NUMBER LEAST, at_most NUMBER MOST: say both when it is not so.
at_least() { [ "$1" -ge "$2" ] || { echo "it is $1 and should be at least $2" && return 1; }; }
at_most() { [ "$1" -le "$2" ] || { echo "it is $1 and should be at most $2" && return 1; }; }

# has TEXT PART, lacks TEXT PART: fixed strings, and the text when they are not as asked.
has() { [[ "$1" == *"$2"* ]] || { printf "'%s' is not in:\n%s\n" "$2" "$1" && return 1; }; }
lacks() { [[ "$1" != *"$2"* ]] || { printf "'%s' is in:\n%s\n" "$2" "$1" && return 1; }; }

# --- servers -------------------------------------------------------------------------------------

# start_immichd [OPTION…]: sets URL, SERVER_PID; the data is in $DATA ($T/server).
start_immichd() {
	DATA=${DATA:-$T/server}
	IMMICHD_PORT=${IMMICHD_PORT:-0}
	rm -f "$T/immichd.out"
	"$IMMICHD" --listen "127.0.0.1:$IMMICHD_PORT" --data "$DATA" --key "$KEY" --quiet \
		--extract-delay "${EXTRACT_MS:-20}" "$@" >"$T/immichd.out" 2>>"$T/immichd.err" 3>&- &
	SERVER_PID=$!
	PIDS+=("$SERVER_PID")
	wait_for 10 grep -q '^listening on ' "$T/immichd.out"
	DIRECT=$(sed -n 's/^listening on //p' "$T/immichd.out")
	IMMICHD_PORT=${DIRECT##*:} # a restart listens where it was
	URL=$DIRECT
}

stop_immichd() { # [SIGNAL]
	kill "-${1:-TERM}" "$SERVER_PID"
	wait "$SERVER_PID" 2>/dev/null || true
}

# control METHOD PATH [BODY]: asks immichd itself, with the admin's key, not through nginx.
control() {
	curl -sS --max-time $((30 * UR_SLOW)) -X "$1" -H "x-api-key: $KEY" \
		${3+-H 'content-type: application/json' --data-binary "$3"} "$DIRECT$2"
}

mischief() { # RULE…: these and no others; none: none
	printf '%s\n' "$@" >"$T/rules"
	curl -sS --max-time $((30 * UR_SLOW)) -H "x-api-key: $KEY" -H 'content-type: text/plain' \
		--data-binary "@$T/rules" "$DIRECT/_immichd/mischief" | grep -q '"rules"'
}

stats() { control GET /_immichd/stats | jq -r "$1"; }
uploads() { stats .uploadsStarted; }

# make_certificates FOLDER: a CA of our own and a certificate for 127.0.0.1.
make_certificates() {
	(
		cd "$1" || exit
		openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 \
			-subj '/CN=a CA for tests' -keyout ca.key -out ca.pem
		openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes \
			-subj /CN=localhost -keyout server.key -out server.csr
		printf 'subjectAltName=IP:127.0.0.1,DNS:localhost\n' >server.ext
		openssl x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 \
			-extfile server.ext -out server.pem
	) >"$1/openssl.log" 2>&1 || { cat "$1/openssl.log" && return 1; }
}

write_nginx() { # PORT LIMIT
	cat <<CONF
daemon off;
pid $T/nginx/pid;
error_log $T/nginx/error.log;
worker_processes 2;
events { worker_connections 512; }
http {
	access_log off;
	client_body_temp_path $T/nginx/body;
	proxy_temp_path $T/nginx/proxy;
	fastcgi_temp_path $T/nginx/fastcgi;
	uwsgi_temp_path $T/nginx/uwsgi;
	scgi_temp_path $T/nginx/scgi;
	server {
		listen 127.0.0.1:$1 ssl;
		ssl_certificate $T/nginx/server.pem;
		ssl_certificate_key $T/nginx/server.key;
		client_max_body_size $2;
		client_body_buffer_size 1m;
		location / {
			proxy_pass $DIRECT;
			proxy_http_version 1.1;
			proxy_set_header Connection "";
			proxy_set_header Host \$http_host;
			proxy_request_buffering off;
			proxy_read_timeout 120s;
		}
	}
}
CONF
}

answers() { curl -sk --max-time 5 -o /dev/null "$1/"; }
serves_or_ended() { answers "$1" || gone "$2"; }

# start_nginx [BODY_LIMIT]: TLS before immichd; sets URL and CACERT.
start_nginx() {
	local port nginx
	nginx=$(PATH=$PATH:/usr/sbin:/usr/local/sbin command -v nginx) || skip "nginx is not here"
	mkdir -p "$T/nginx"
	make_certificates "$T/nginx"
	CACERT=$T/nginx/ca.pem
	for _ in 1 2 3 4 5 6 7 8 9 10; do
		port=$((20000 + RANDOM % 12000)) # below the ports that others are given
		write_nginx "$port" "${1:-0}" >"$T/nginx/nginx.conf"
		"$nginx" -p "$T/nginx" -c "$T/nginx/nginx.conf" >"$T/nginx/log" 2>&1 3>&- &
		NGINX_PID=$!
		wait_for 10 serves_or_ended "https://127.0.0.1:$port" "$NGINX_PID"
		if ! gone "$NGINX_PID"; then
			PIDS+=("$NGINX_PID")
			# Its workers are children of the master, which ends them on SIGTERM only.
			URL=https://127.0.0.1:$port
			return 0
		fi
	done
	cat "$T/nginx/log"
	return 1
}

stop_nginx() {
	if [ -n "${NGINX_PID-}" ]; then
		kill -TERM "$NGINX_PID" 2>/dev/null || true
		wait "$NGINX_PID" 2>/dev/null || true
	fi
	NGINX_PID=
}

# --- runs ----------------------------------------------------------------------------------------

# ur COMMAND ARGUMENT…: uringest with our server and ledger; sets CODE, ERR (what it said) and
# leaves stdout in $T/out.  A run that never ends is ended, with 124.
ur() {
	local command=$1
	shift
	local more=() forced=()
	case $command in
	import | plan | drain | verify)
		more+=(--server "$URL")
		[ -z "${CACERT-}" ] || more+=(--cacert "$CACERT")
		;;
	esac
	case $command in
	import | plan | drain)
		read -ra forced <<<"${UR_FORCE-}" # one path among several, see `make forced`
		more+=("${forced[@]}")
		;;
	esac
	CODE=0
	timeout -k 5 $((${UR_LIMIT:-60} * UR_SLOW)) ${AS+"${AS[@]}"} "$URINGEST" "$command" \
		"${more[@]}" --ledger "$LEDGER" "$@" >"$T/out" 2>"$T/err" 3>&- || CODE=$?
	ERR=$(tr -d '\0' <"$T/err")
	OUT=$(tr -d '\0' <"$T/out")
}

# import_json ARGUMENT…: import, which must end with 0; field NAME then reads its summary.
import_json() {
	ur import --json "$@"
	equals "$CODE" 0 "exit code of import"
}

field() { tail -n 1 "$T/out" | jq -r "select(.event == \"summary\") | .$1"; }

# fields NAME=VALUE…: all of them, and says which is not so.
fields() {
	local want
	for want in "$@"; do
		equals "$(field "${want%%=*}")" "${want#*=}" "${want%%=*} of $(tail -n 1 "$T/out")" || return
	done
}

# events FILTER: the lines of files, as the jq expression FILTER makes them.
events() { jq -r "select(.event == \"file\") | $1" "$T/out"; }

# of PATH: the line of the one file whose path ends so, as "outcome state: reason".
of() {
	jq -r --arg tail "$1" 'select(.event == "file" and (.path | endswith($tail)))
		| "\(.outcome) \(.state): \(.reason)"' "$T/out"
}

# Every file one line, each outcome as often as the summary says, the sum and the bytes right.
sum_law() { # [NUMBER_OF_FILES [THEIR_BYTES]]
	jq -es '(map(select(.event == "file"))) as $files | (last) as $s
		| ($s.event == "summary")
		and ($s.found == $s.sent + $s.present + $s.duplicate + $s.refused + $s.failed + $s.waiting)
		and ($s.found == ($files | length))
		and ($s.found == ($files | map(.path_b64 // .path) | unique | length))
		and all(("sent", "present", "duplicate", "refused", "failed", "waiting");
			. as $o | $s[$o] == ($files | map(select(.outcome == $o)) | length))' \
		"$T/out" >/dev/null || { echo "the sums are wrong" && tail -n 1 "$T/out" && return 1; }
	[ -z "${1-}" ] || fields "found=$1"
	[ -z "${2-}" ] || fields "bytes_found=$2"
}

# same_decisions FOLDER FILE FILE: two runs' lines decide the same about every content.  Which of
# two files with the same bytes is the one that is sent is a matter of who is read first, and so is
# whether the sidecar of such a file travels or is told to the server later.
same_decisions() {
	(cd "$1" && find . -type f -print0 | xargs -0r sha256sum -z | tr '\0' '\n') |
		sed 's,  \./,\t,' >"$T/contents"
	decisions "$1" "$2" >"$T/decisions.1"
	decisions "$1" "$3" >"$T/decisions.2"
	if [ ! -s "$T/decisions.1" ] || ! cmp -s "$T/decisions.1" "$T/decisions.2"; then
		echo "the decisions differ"
		diff "$T/decisions.1" "$T/decisions.2" | head -n 12
		return 1
	fi
}
decisions() {
	jq -r --arg root "$(realpath "$1")/" 'select(.event == "file")
		| [(.path | ltrimstr($root)), .outcome] | @tsv' "$2" |
		awk -F'\t' 'NR == FNR { sum[$2] = $1; copies[$1]++; next }
			{ who = copies[sum[$1]] > 1 ? sum[$1] : $1 }
			tolower($1) ~ /\.xmp$/ { sub(/present/, "sent", $2) }
			{ print who "\t" $2 }' "$T/contents" - | sort
}

# --- what is where -------------------------------------------------------------------------------

sql() { sqlite3 -cmd '.timeout 20000' "$DATA/immichd.db" "$@"; }
ledger() { sqlite3 -cmd '.timeout 20000' "$LEDGER" "$@"; }
server_count() { sql 'SELECT count(*) FROM assets WHERE deleted=0'; }
server_names() { sql 'SELECT name FROM assets WHERE deleted=0 ORDER BY name'; }

# sums: SHA-256 of the files whose paths come in, each followed by NUL; sorted.
sums() { xargs -0r sha256sum -z -- | tr '\n\0' ' \n' | cut -c1-64 | sort; }

# Relative paths beyond what the kernel takes are walked to.
sums_below() { # FOLDER FIND_ARGUMENT…
	local folder=$1
	shift
	find "$folder" "$@" -type f -execdir sha256sum {} + | sed 's/^\\//' | grep -oE '^[0-9a-f]{64}' | sort
}

# compare_stored: each stored file has the SHA-1 and the size of its row.
compare_stored() {
	sql "SELECT path || char(9) || lower(hex(checksum)) || char(9) || size FROM assets
		WHERE deleted=0" | sort >"$T/rows"
	(
		cd "$DATA/upload" || exit
		cut -f1 "$T/rows" | tr '\n' '\0' | xargs -0r sha1sum | awk '{ print $2 "\t" $1 }' >"$T/sha1"
		cut -f1 "$T/rows" | tr '\n' '\0' | xargs -0r stat -c '%s' | paste "$T/sha1" - | sort
	) >"$T/stored"
	cmp "$T/rows" "$T/stored" ||
		{ echo "stored bytes and rows differ" && diff "$T/rows" "$T/stored" | head -n 5 && return 1; }
}

# compare_all FOLDER…: every byte that the last run counts as sent, present or duplicate is stored,
# once, and nothing else is.  Sidecars are compared with the sidecars.
compare_all() {
	compare_stored || return
	jq -j 'select(.event == "file" and .path_b64 == null and (.path | ascii_downcase | endswith(".xmp") | not)
		and (.outcome == "sent" or .outcome == "present" or .outcome == "duplicate"))
		| .path + "\u0000"' "$T/out" >"$T/paths"
	jq -r 'select(.event == "file" and .path_b64 != null and (.path | ascii_downcase | endswith(".xmp") | not)
		and (.outcome == "sent" or .outcome == "present" or .outcome == "duplicate"))
		| .path_b64' "$T/out" | while read -r path; do
		base64 -d <<<"$path" && printf '\0'
	done >>"$T/paths"
	# A path beyond PATH_MAX is for the test that has one.
	tr '\n\0' '\001\n' <"$T/paths" | awk 'length < 4000' | tr '\n\001' '\0\n' | sums | uniq >"$T/source-sums"
	(cd "$DATA/upload" && cut -f1 "$T/rows" | tr '\n' '\0' | sums) >"$T/stored-sums"
	equals "$(uniq -d "$T/stored-sums" | wc -l)" 0 "contents stored twice" || return
	cmp "$T/source-sums" "$T/stored-sums" || { echo "sources and stored files differ: $(
		comm -23 "$T/source-sums" "$T/stored-sums" | wc -l) only here, $(
		comm -13 "$T/source-sums" "$T/stored-sums" | wc -l) only there" && return 1; }
}

# Every sidecar that was sent lies beside its asset, byte for byte.
compare_sidecars() {
	events 'select((.path | ascii_downcase | endswith(".xmp")) and .outcome == "sent") | .path' |
		tr '\n' '\0' | sums | uniq >"$T/sidecars-sent"
	sql 'SELECT sidecar FROM assets WHERE sidecar IS NOT NULL AND sidecar != ""' >"$T/sidecars"
	(cd "$DATA/upload" && tr '\n' '\0' <"$T/sidecars" | sums | uniq) >"$T/sidecars-stored"
	equals "$(comm -23 "$T/sidecars-sent" "$T/sidecars-stored" | wc -l)" 0 "sidecars not stored"
}

# --- files ---------------------------------------------------------------------------------------

mklib() { "$MKLIB" "$@" >/dev/null 2>&1; }

# photos FOLDER COUNT [OPTION…]: distinct small JPEGs, all in folders below.
photos() {
	local folder=$1 count=$2
	shift 2
	mklib "$folder" --count "$count" --size 2K --kinds jpeg "$@"
}

# photo FILE [SEED]: one small JPEG of this name.
photo() {
	local made
	mkdir -p "$(dirname "$1")"
	PHOTO_SEED=${2:-$((${PHOTO_SEED:-100} + 1))}
	rm -rf "$T/one"
	mklib "$T/one" --count 1 --size "${PHOTO_SIZE:-2K}" --kinds "${PHOTO_KIND:-jpeg}" --seed "$PHOTO_SEED"
	made=$(find "$T/one" -type f -print -quit)
	mv -- "$made" "$1"
	rm -rf "$T/one"
}

# xmp FILE [DESCRIPTION]: a sidecar.
xmp() {
	cat >"$1" <<XMP
<?xpacket begin="" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/">
 <rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
  <rdf:Description rdf:about="" xmlns:dc="http://purl.org/dc/elements/1.1/" xmlns:xmp="http://ns.adobe.com/xap/1.0/" xmp:Rating="4">
   <dc:description><rdf:Alt><rdf:li xml:lang="x-default">${2:-a description}</rdf:li></rdf:Alt></dc:description>
   <dc:subject><rdf:Bag><rdf:li>tag of the sidecar</rdf:li></rdf:Bag></dc:subject>
  </rdf:Description>
 </rdf:RDF>
</x:xmpmeta>
<?xpacket end="w"?>
XMP
}

files_in() { find "$1" -type f -printf x | wc -c; }
bytes_in() { find "$1" -type f -printf '%s\n' | awk '{ s += $1 } END { print s + 0 }'; }

# nobody COMMAND…: as a user who may nothing special; fails when we may not become one.
can_be_nobody() { [ "$(id -u)" != 0 ] || command -v setpriv >/dev/null; }
as_nobody() {
	if [ "$(id -u)" = 0 ]; then
		AS=(setpriv --reuid 65534 --regid 65534 --clear-groups --inh-caps=-all --bounding-set=-all)
	else
		AS=()
	fi
}
