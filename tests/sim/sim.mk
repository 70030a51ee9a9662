# The simulation: the shipped coordinator, its neighbours put in their place by the linker.
#
#   make sim                      100,000 worlds
#   SIM_COUNT=N UR_SEED=N make sim
SIM_OBJ := $(addprefix $(OUT)/tests/sim/,clock.o ledger.o server.o importer.o main.o)
SIM_WRAPPED := ur_clock_steady_ns ur_clock_wall_ns ur_clock_boot_ns ur_clock_boot_id ur_clock_local \
	ur_http_submit ur_http_wake ur_http_cancel ur_dir_take ur_dir_give ur_run_leave ur_bell_ring \
	$(addprefix ur_ledger_,folder put commit get same_in_run asset_get asset_put upload_get \
	upload_put upload_forget learn)

$(OUT)/tests/sim/importer: $(SIM_OBJ) $(OUT)/liburingest.a
	@echo "  LD  $@"
	$(Q)$(CC) $(LDFLAGS_ALL) $(SIM_WRAPPED:%=-Wl,--wrap=%) -o $@ $^ $(call pkg_libs,$(ENGINE_PKGS)) -lm

sim: $(OUT)/tests/sim/importer ## the decisions on 100,000 worlds that lie, lose and die
	$(Q)scripts/run-unit.sh $^

mutants: ## a fault in each place that decides: do the fast tests find it?
	$(Q)tests/mutants/mutants.sh

.PHONY: sim mutants
