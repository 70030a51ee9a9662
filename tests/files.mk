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
	folder \
	ignore \
	schedule \
	settings \
	kind \
	meta \
	pair \
	sidecar \
	spool \
	staging \
	recover \
	when \
	mischief \
	multipart \
	http1 \
	httpd \
	transfer
