# The simulations: the shipped decisions, other neighbours put in their place by the linker.
#
#   make sim                      100,000 worlds
#   SIM_COUNT=N UR_SEED=N make sim
SIM_COMMON := main clock server disk
SIM_IMPORTER := sim_importer importer_run ledger
SIM_NAMES := importer gateway
SIM_BIN := $(SIM_NAMES:%=$(OUT)/tests/sim/sim_%)

SIM_WRAPPED := ur_clock_steady_ns ur_clock_wall_ns ur_clock_boot_ns ur_clock_boot_id ur_clock_local \
	ur_http_submit ur_http_wake ur_http_cancel
SIM_IMPORTER_WRAPPED := ur_dir_take ur_dir_give ur_run_leave ur_bell_ring \
	$(addprefix ur_ledger_,folder put commit get same_in_run doubt doubt_keep asset_get asset_put asset_forget upload_get \
	upload_put upload_forget learn learned)

$(OUT)/tests/sim/sim_importer: $(patsubst %,$(OUT)/tests/sim/%.o,$(SIM_COMMON) $(SIM_IMPORTER)) \
		$(OUT)/liburingest.a
	@echo "  LD  $@"
	$(Q)$(CC) $(LDFLAGS_ALL) $(patsubst %,-Wl$(comma)--wrap=%,$(SIM_WRAPPED) $(SIM_IMPORTER_WRAPPED)) \
		-o $@ $^ $(call pkg_libs,$(ENGINE_PKGS)) -lm

SIM_GATEWAY_WRAPPED := ur_crew_submit ur_httpd_post ur_gate_forget ur_gateway_log ur_upstream_note \
	$(addprefix ur_spool_,ran_ms stamp conclude concluded empty find wipe metadata open rest)

$(OUT)/tests/sim/sim_gateway: $(patsubst %,$(OUT)/tests/sim/%.o,$(SIM_COMMON) sim_gateway) \
		$(OUT)/liburingest.a
	@echo "  LD  $@"
	$(Q)$(CC) $(LDFLAGS_ALL) $(patsubst %,-Wl$(comma)--wrap=%,$(SIM_WRAPPED) $(SIM_GATEWAY_WRAPPED)) \
		-o $@ $^ $(call pkg_libs,$(ENGINE_PKGS)) -lm

sim: $(SIM_BIN) ## the decisions on 100,000 worlds that lie, lose and die
	$(Q)scripts/run-unit.sh $^

mutants: ## a fault in each place that decides: do the fast tests find it?
	$(Q)tests/mutants/mutants.sh

.PHONY: sim mutants
