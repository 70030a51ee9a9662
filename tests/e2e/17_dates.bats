#!/usr/bin/env bats
# Dates that only a name carries.

load lib

setup() { begin; }
teardown() { finish; }

# A GIF carries no date of its own; its file's time says something else.
one_picture() {
	"$MKLIB" "$T/made" --count 1 --size 2000 --seed 3 --kinds gif >/dev/null
	mkdir "$T/lib"
	find "$T/made" -type f -exec mv {} "$T/lib/$1" \;
	touch -d 2001-01-01T00:00:00Z "$T/lib/$1"
}

created_at() {
	control POST /api/search/metadata '{}' | jq -r '.assets.items[0].fileCreatedAt'
}

@test "without being asked, a picture's date is its file's time" {
	start_immichd
	one_picture PXL_20240506_070809123.gif
	TZ=UTC "$URINGEST" import --server "$URL" --ledger "$LEDGER" "$T/lib"
	equals "$(created_at)" 2001-01-01T00:00:00.000Z
}

@test "--dates-from-names reads a Pixel's name as UTC with its milliseconds" {
	start_immichd
	one_picture PXL_20240506_070809123.gif
	TZ=America/New_York "$URINGEST" import --dates-from-names --server "$URL" \
		--ledger "$LEDGER" "$T/lib"
	equals "$(created_at)" 2024-05-06T07:08:09.123Z
}

@test "--dates-from-names reads other names in the local zone, summer time included" {
	start_immichd
	one_picture 20240506_070809.gif
	TZ=Europe/Berlin "$URINGEST" import --dates-from-names --server "$URL" --ledger "$LEDGER" "$T/lib"
	equals "$(created_at)" 2024-05-06T05:08:09.000Z
}
