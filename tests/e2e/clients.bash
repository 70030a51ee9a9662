# shellcheck shell=bash
# shellcheck disable=SC2034,SC2154 # shared with the tests
# tus-js-client and tuspy, from their packages; beside lib.bash and gateway.bash.

CLIENTS=$(cd "$E2E/../clients" && pwd)
CACHE=$(cd "$E2E/../.." && pwd)/build/clients

# Both clients are installed once into build/clients, and anew when what they are pinned to changed.
install_js() {
	cp "$CLIENTS"/package*.json "$CLIENTS/tus.mjs" . &&
		timeout 180 npm ci --no-audit --no-fund --ignore-scripts
}
install_py() {
	cp "$CLIENTS/tus.py" . &&
		timeout 300 python3 -m pip install -q --target lib -r "$CLIENTS/requirements.txt"
}
install_client() { # js|py FILE…: its lists of packages
	local kind=$1 sum
	shift
	sum=$(cat "$@" | sha256sum)
	mkdir -p "$CACHE/$kind"
	(
		flock 9
		cd "$CACHE/$kind" || exit
		[ "$(cat installed 2>/dev/null)" != "$sum" ] || exit 0
		rm -rf node_modules lib installed
		"install_$kind" >log 2>&1 && echo "$sum" >installed
	) 9>"$CACHE/$kind.lock"
}

# js CASE FILE…, py CASE FILE…: URLS are what it printed; SAID is what it complained of.
js() {
	[ -f "$CACHE/js/installed" ] ||
		skip "tus-js-client could not be installed: node and npm are needed, and a registry"
	client node "$CACHE/js/tus.mjs" "$@"
}
py() {
	[ -f "$CACHE/py/installed" ] ||
		skip "tuspy could not be installed: python3 and pip are needed, and an index"
	PYTHONPATH=$CACHE/py/lib client python3 "$CACHE/py/tus.py" "$@"
}
client() {
	local program=$1 driver=$2 what=$3
	shift 3
	CODE=0
	env NODE_EXTRA_CA_CERTS="${CACERT-}" REQUESTS_CA_BUNDLE="${CACERT-}" SSL_CERT_FILE="${CACERT-}" \
		timeout $((${CLIENT_SECONDS:-120} * UR_SLOW)) "$program" "$driver" "$what" "$FILES" "$@" >"$T/urls" \
		2>"$T/said" || CODE=$?
	mapfile -t URLS <"$T/urls"
	SAID=$(<"$T/said")
}
fine() { equals "$CODE" 0 "it said: $SAID"; }
