#!/usr/bin/env bats
# shellcheck disable=SC2030,SC2031,SC2317 # each test is a process; functions are replaced for lib
# Ways to the server: client certificates, headers that a proxy wants, a forward proxy, IPv6.

load lib

setup() { begin; }
teardown() { finish; }

library() { "$MKLIB" "$T/lib" --count 5 --size 3000 --seed 21 --kinds jpeg,png >/dev/null; }

# nginx that lets nobody in without a client certificate of the CA and a header of its own.
guarded() {
	eval "plain_$(declare -f write_nginx)"
	cat >"$T/guard" <<-CONF
		ssl_client_certificate $T/nginx/ca.pem;
		ssl_verify_client on;
		if (\$http_x_door != "open sesame") { return 403; }
	CONF
	write_nginx() { plain_write_nginx "$@" | sed "/client_max_body_size/r $T/guard"; }
	serves_or_ended() { curl -sk --max-time 5 -o "$T/answer" "$1/" || gone "$2"; }
}

@test "a client certificate and further headers open a guarded door, and neither alone does" {
	start_immichd
	library
	guarded
	start_nginx
	(
		cd "$T/nginx" || exit
		openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj /CN=camera \
			-keyout client.key -out client.csr
		openssl x509 -req -in client.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 \
			-out client.pem
	) >"$T/openssl.log" 2>&1
	printf '# for the door\nX-Door: open sesame\n' >"$T/headers"
	local cert=(--client-cert "$T/nginx/client.pem" --client-key "$T/nginx/client.key")

	ur import "${cert[@]}" "$T/lib"
	equals "$CODE" 2 "without the header"
	ur import --headers-file "$T/headers" "$T/lib"
	[ "$CODE" -ne 0 ]
	equals "$(server_count)" 0
	import_json "${cert[@]}" --headers-file "$T/headers" "$T/lib"
	fields sent=5
	equals "$(server_count)" 5
}

@test "a certificate that nobody vouches for is refused with a sentence, and nothing is sent" {
	start_immichd
	library
	start_nginx
	CACERT=
	ur import "$T/lib"
	equals "$CODE" 2
	has "$ERR" certificate
	equals "$(server_count)" 0
}

@test "uploads go through a forward proxy" {
	start_immichd
	library
	write_nginx() {
		cat <<-CONF
			daemon off;
			pid $T/nginx/pid;
			error_log $T/nginx/error.log;
			events { worker_connections 64; }
			http {
				access_log $T/nginx/access.log;
				client_body_temp_path $T/nginx/body;
				proxy_temp_path $T/nginx/proxy;
				fastcgi_temp_path $T/nginx/fastcgi;
				uwsgi_temp_path $T/nginx/uwsgi;
				scgi_temp_path $T/nginx/scgi;
				server {
					listen 127.0.0.1:$1;
					client_max_body_size 0;
					location / {
						proxy_pass http://\$http_host\$request_uri;
						proxy_http_version 1.1;
						proxy_request_buffering off;
					}
				}
			}
		CONF
	}
	serves_or_ended() { (: <"/dev/tcp/127.0.0.1/${1##*:}") 2>/dev/null || gone "$2"; }
	start_nginx
	local proxy=http://127.0.0.1:${URL##*:}
	URL=$DIRECT CACERT=
	import_json --proxy "$proxy" "$T/lib"
	fields sent=5
	equals "$(grep -c 'POST http://127.0.0.1:[0-9]*/api/assets HTTP' "$T/nginx/access.log")" 5
}

@test "a server that has an IPv6 address only is reached by it" {
	[ -e /proc/net/if_inet6 ] && grep -q '^0\{31\}1 ' /proc/net/if_inet6 || skip "no IPv6 loopback"
	start_immichd
	library
	eval "plain_$(declare -f write_nginx)"
	write_nginx() { plain_write_nginx "$@" | sed 's/listen 127.0.0.1:/listen [::1]:/'; }
	serves_or_ended() { curl -sk --max-time 5 -o "$T/answer" "${1/127.0.0.1/[::1]}/" || gone "$2"; }
	start_nginx
	sed -i 's/IP:127.0.0.1/IP:::1/' "$T/nginx/server.ext"
	(
		cd "$T/nginx" && openssl x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial \
			-days 2 -extfile server.ext -out server.pem
	) >"$T/openssl.log" 2>&1
	kill -HUP "$NGINX_PID"
	URL=${URL/127.0.0.1/[::1]}
	wait_for 10 curl -s --max-time 5 --cacert "$CACERT" -o "$T/answer" "$URL/api/server/ping"
	import_json "$T/lib"
	fields sent=5
}

# --- what stands between says so itself -------------------------------------------------------------

# A listener that says the same to everybody: sets URL.  The answer is in $T/answer.txt.
start_parrot() { # [SECONDS BETWEEN TWO BYTES OF THE BODY]
	cat >"$T/parrot.py" <<-'PY'
		import socket, sys, threading, time
		answer = open(sys.argv[1], "rb").read()
		pause = float(sys.argv[2])
		s = socket.create_server(("127.0.0.1", 0))
		print(s.getsockname()[1], flush=True)
		def talk(c):
		    try:
		        c.recv(65536)
		        head, _, body = answer.partition(b"\n\n")
		        c.sendall(head.replace(b"\n", b"\r\n") + b"\r\n\r\n")
		        for i in range(len(body)):
		            c.sendall(body[i:i + 1])
		            time.sleep(pause)
		        c.close()
		    except OSError:
		        pass
		while True:
		    threading.Thread(target=talk, args=(s.accept()[0],), daemon=True).start()
	PY
	rm -f "$T/parrot.port"
	python3 "$T/parrot.py" "$T/answer.txt" "${1:-0}" >"$T/parrot.port" 2>/dev/null 3>&- &
	PIDS+=("$!")
	wait_for 10 test -s "$T/parrot.port"
	URL=http://127.0.0.1:$(cat "$T/parrot.port")
}

@test "a redirect ends the run, names where it points, and no key goes there" {
	library
	for to in https://photos.example.org/api/server/version https://photos.example.org/ /elsewhere; do
		printf 'HTTP/1.1 308 Permanent Redirect\nLocation: %s\nContent-Type: text/html\nContent-Length: 0\nConnection: close\n\n' \
			"$to" >"$T/answer.txt"
		start_parrot
		ur import "$T/lib"
		equals "$CODE" 2
		has "$ERR" "redirects to '${to%/api/server/version}'"
		has "$ERR" "--server"
	done
}

@test "a door before the server is not taken for Immich's own, and no new key is advised" {
	library
	for status in '401 Unauthorized' '403 Forbidden'; do
		printf 'HTTP/1.1 %s\nWWW-Authenticate: Basic realm=x\nContent-Type: text/html\nConnection: close\n\n<html>no</html>' \
			"$status" >"$T/answer.txt"
		start_parrot
		ur import "$T/lib"
		equals "$CODE" 2
		has "$ERR" "something before the server wants a proof of its own"
		lacks "$ERR" "API Keys"
		lacks "$ERR" "<html"
	done
}

@test "https where plain http is spoken is a fault of the set-up, with that word" {
	start_immichd
	library
	URL=${DIRECT/http:/https:}
	ur import "$T/lib"
	equals "$CODE" 2
	has "$ERR" "speaks no TLS: try http://"
}

@test "a proxy of the environment that is not there is named, and its password is not" {
	start_immichd
	library
	http_proxy=http://me:hush@127.0.0.1:9 ur import "$T/lib"
	equals "$CODE" 3
	has "$ERR" "the proxy of http_proxy"
	lacks "$ERR" hush
	ur import --proxy http://127.0.0.1:9 "$T/lib"
	equals "$CODE" 3
	has "$ERR" "the proxy of --proxy"
}

@test "a server that asks to be left alone for longer than we may wait ends the run at once" {
	start_immichd
	library
	for rule in 'POST /api/assets: status=429 retry-after=86400' 'POST /api/assets: status=503 retry-after=80000' \
		'POST /api/assets/bulk-upload-check: status=429 retry-after=86400'; do
		mischief "$rule"
		UR_LIMIT=20 ur import --json --server-wait 5s "$T/lib"
		equals "$CODE" 3 "$rule"
		has "$ERR" "asks to be left alone until $(date -d '+1 day' +%Y)"
	done
	mischief
	ur retry --failed
	import_json "$T/lib"
	equals "$(server_count)" 5
}

@test "an answer that drips has an end" {
	library
	printf 'HTTP/1.1 200 OK\nContent-Type: application/json\nContent-Length: 60000\n\n%060000d' 0 >"$T/answer.txt"
	start_parrot 0.5
	local begun=$SECONDS
	UR_LIMIT=50 ur import "$T/lib"
	equals "$CODE" 3
	at_most $((SECONDS - begun)) 40
}
