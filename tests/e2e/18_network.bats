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
