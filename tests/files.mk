# The tests, by name: tests/unit/test_NAME.c each.
UNIT_TESTS := \
	text \
	tus \
	clock \
	age \
	wire \
	trouble \
	hindrance \
	queue \
	filter \
	bucket \
	pace \
	ring \
	hash \
	hash_stream \
	ledger \
	marks \
	reserve \
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
	route \
	create \
	status \
	passing \
	upstream \
	receive \
	seal \
	spool_index \
	spool_outcome \
	told \
	staging \
	rename \
	leftover \
	recover \
	when \
	mischief \
	multipart \
	http1 \
	http \
	httpd \
	transfer \
	chunks_slot \
	probe_file \
	settle \
	settle_hash \
	settle_stage \
	settle_move

# A part of the coordinator each, with its neighbours played by tests/unit/coordinator.c.
COORDINATOR_TESTS := $(addprefix coordinator_, \
	step call file book under_way standstill outage quota judge quiet lack large ask deliver link amend confirm \
	handover loop way wire)
UNIT_TESTS += $(COORDINATOR_TESTS)
COORDINATOR_PLAYED := ur_clock_steady_ns ur_clock_wall_ns ur_clock_boot_ns ur_clock_boot_id \
	ur_http_submit ur_http_wake ur_http_cancel ur_dir_take ur_dir_give ur_run_leave ur_bell_ring \
	$(addprefix ur_ledger_,folder put commit get same_in_run doubt doubt_keep asset_get asset_put asset_forget upload_get \
	upload_put upload_forget learn)

# These play the server, the loop and the crew themselves: what is handed to those comes to the test.
UNIT_PLAYED := -Wl,--wrap=ur_http_submit,--wrap=ur_httpd_post,--wrap=ur_crew_submit
UNIT_LINK_gate := $(UNIT_PLAYED)
UNIT_LINK_delivery_course := $(UNIT_PLAYED)

# These are tried on a disk that fails: tests/unit/faulty.h.
UNIT_FAULTY := staging rename leftover recover removal settle settle_hash settle_stage settle_move
$(UNIT_FAULTY:%=$(OUT)/tests/unit/test_%): $(OUT)/tests/unit/faulty.o
#
# … and these take the same files away: tests/unit/leaving.h.
UNIT_LEAVING := settle settle_stage settle_move
$(UNIT_LEAVING:%=$(OUT)/tests/unit/test_%): $(OUT)/tests/unit/leaving.o
#
# These play everybody whom a room of the gateway speaks with: tests/unit/visitor.h.
comma := ,
UNIT_VISITOR := route create status upstream receive passing
UNIT_VISITED := $(patsubst %,-Wl$(comma)--wrap=%,ur_http_submit ur_httpd_post ur_httpd_stop ur_httpd_counts ur_crew_submit \
	ur_gate_ask $(addprefix ur_exchange_,set answer answer_file accept pause resume drop))
$(UNIT_VISITOR:%=$(OUT)/tests/unit/test_%): $(OUT)/tests/unit/faulty.o $(OUT)/tests/unit/visitor.o
$(foreach name,$(UNIT_VISITOR),$(eval UNIT_LINK_$(name) := $(UNIT_VISITED)))
