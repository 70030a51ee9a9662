#!/usr/bin/env bats
# What stands between: each kind of request that importer and gateway make, with each lie that a proxy has
# been seen to tell (tests/lies).  All cells are tried at once, for most of it is waiting; a test a kind
# then reads what came of its cells.
load lib

IMPORTER="version me key types libraries check send asset bytes link amend tags tagging discover create head patch"
GATEWAY="version me key check send asset bytes"

setup_file() {
	E2E=$BATS_TEST_DIRNAME
	command -v python3 >/dev/null || skip "python3 is not here"
	export LIES=$BATS_FILE_TMPDIR
	mkdir "$LIES/i" "$LIES/g"
	lies importer "$IMPORTER" "$LIES/i" &
	lies gateway "$GATEWAY" "$LIES/g" &
	wait
}

lies() { # WHO KINDS FOLDER
	env -u IMMICH_URL -u IMMICH_API_KEY PYTHONDONTWRITEBYTECODE=1 BIN="$BIN" UR_SLOW="$UR_SLOW" T="$3" \
		python3 "$E2E/../lies/$1.py" "${2// /,}" >"$LIES/$1" 2>"$LIES/$1.err" 3>&- || true
}

# told WHO KIND: every lie about it, and all of them went well; what was measured is shown by bats -T too.
told() {
	local lies
	lies=$(python3 -c 'import between; print(len(between.LIES))')
	if grep -A12 "^not ok $2 " "$LIES/$1" || [ -s "$LIES/$1.err" ]; then
		tail -n 20 "$LIES/$1.err"
		return 1
	fi
	equals "$(grep -c "^ok $2 " "$LIES/$1")" "$lies" "lies about $2"
}

setup() { export PYTHONPATH=$BATS_TEST_DIRNAME/../lies PYTHONDONTWRITEBYTECODE=1; }

@test "an import is told every lie about its version" { told importer version; }
@test "an import is told every lie about who the user is" { told importer me; }
@test "an import is told every lie about what the key may do" { told importer key; }
@test "an import is told every lie about what media it takes" { told importer types; }
@test "an import is told every lie about its external libraries" { told importer libraries; }
@test "an import is told every lie about what the server lacks" { told importer check; }
@test "an import is told every lie about an upload" { told importer send; }
@test "an import is told every lie about an asset" { told importer asset; }
@test "an import is told every lie about an asset's bytes" { told importer bytes; }
@test "an import is told every lie about a live photo's link" { told importer link; }
@test "an import is told every lie about a sidecar's facts" { told importer amend; }
@test "an import is told every lie about its tags" { told importer tags; }
@test "an import is told every lie about who has them" { told importer tagging; }
@test "an import is told every lie about whether a gateway is there" { told importer discover; }
@test "an import is told every lie about an upload that begins at the gateway" { told importer create; }
@test "an import is told every lie about how far it came" { told importer head; }
@test "an import is told every lie about a piece of it" { told importer patch; }

@test "the gateway is told every lie about its version" { told gateway version; }
@test "the gateway is told every lie about who the user is" { told gateway me; }
@test "the gateway is told every lie about what the key may do" { told gateway key; }
@test "the gateway is told every lie about what the server lacks" { told gateway check; }
@test "the gateway is told every lie about an upload" { told gateway send; }
@test "the gateway is told every lie about an asset" { told gateway asset; }
@test "the gateway is told every lie about an asset's bytes" { told gateway bytes; }

# A lie is a row of the put table: the unit tests say what follows, these that it does.
@test "every status of a lie is a row of the put table, for every question" {
	local question status
	for question in CHECK LOST SEND ASSET BYTES; do
		for status in $(python3 -c 'import between; print(*between.PAGES, 302, 308, 429)'); do
			grep -q "asked = UR_PUT_$question, .status = ${status}[,}]" "$BATS_TEST_DIRNAME/../unit/test_put.c" ||
				{ echo "no row: $question, $status" && return 1; }
		done
	done
}
