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
	retry \
	put \
	group \
	folder \
	removal \
	readahead \
	tick \
	ignore \
	schedule \
	settings \
	kind \
	meta \
	reader \
	pair \
	sidecar \
	spool \
	life \
	upload_name \
	delivery \
	delivery_answer \
	delivery_course \
	delivery_related \
	gate \
	line \
	limits \
	seal \
	spool_index \
	spool_outcome \
	told \
	staging \
	recover \
	when \
	mischief \
	multipart \
	http1 \
	httpd \
	transfer \
	chunks_slot \
	probe_file \
	settle_hash

# A part of the coordinator each, with its neighbours played by tests/unit/coordinator.c.
COORDINATOR_TESTS := $(addprefix coordinator_, \
	step call file book under_way outage quota judge quiet lack large ask deliver link amend confirm \
	handover loop)
UNIT_TESTS += $(COORDINATOR_TESTS)
COORDINATOR_PLAYED := ur_clock_steady_ns ur_clock_wall_ns ur_clock_boot_ns ur_clock_boot_id \
	ur_http_submit ur_http_wake ur_http_cancel ur_dir_take ur_dir_give ur_run_leave ur_bell_ring \
	$(addprefix ur_ledger_,folder put commit get same_in_run doubt asset_get asset_put upload_get \
	upload_put upload_forget learn)

# These play the server, the loop and the crew themselves: what is handed to those comes to the test.
UNIT_PLAYED := -Wl,--wrap=ur_http_submit,--wrap=ur_httpd_post,--wrap=ur_crew_submit
UNIT_LINK_gate := $(UNIT_PLAYED)
UNIT_LINK_delivery_course := $(UNIT_PLAYED)
