# The tests, by name: tests/unit/test_NAME.c each.
UNIT_TESTS := \
	text \
	tus \
	clock \
	age \
	queue \
	filter \
	bucket \
	pace \
	ring \
	hash \
	hash_stream \
	ledger \
	marks \
	scan_list \
	immich \
	proof \
	group \
	folder \
	removal \
	tick \
	ignore \
	schedule \
	settings \
	kind \
	meta \
	pair \
	sidecar \
	spool \
	when \
	mischief \
	multipart \
	http1 \
	httpd \
	transfer
