# Faults: the importer with a seam that crashes, forgets, fails and spoils; and what drives it.
#
#   make fault        a sample of all crash points and failing calls, in a few minutes
#   make fault-all    every one of them (FAULTS=crash for one script; ASan: BUILD=asan)
FAULT_OBJ := $(OUT)/tests/fault/seam.o $(OUT)/tests/fault/power.o
FAULT_WRAP := -Wl,--wrap=malloc,--wrap=calloc,--wrap=realloc,--wrap=strdup,--wrap=strndup

$(OUT)/uringest-faulty: $(CLI_OBJ) $(FAULT_OBJ) $(OUT)/liburingest.a
	@echo "  LD  $@"
	$(Q)$(CC) $(LDFLAGS_ALL) $(FAULT_WRAP) -o $@ $^ $(call pkg_libs,$(ENGINE_PKGS)) -lm

# The spool is driven by a program of its own, that runs itself once a crash point.
$(OUT)/tests/fault/spool_crash: $(OUT)/tests/fault/spool_crash.o $(FAULT_OBJ) $(OUT)/liburingest.a
	@echo "  LD  $@"
	$(Q)$(CC) $(LDFLAGS_ALL) $(FAULT_WRAP) -o $@ $^ $(call pkg_libs,$(TEST_PKGS) $(ENGINE_PKGS)) -lm

FAULT_PROGRAMS := $(OUT)/tests/fault/spool_crash $(OUT)/uringest-faulty $(OUT)/uringest $(OUT)/immichd \
	$(OUT)/mklib
FAULTS := spool gateway crash failing proofs

# Each script says what it tested and adds its counts to $UR_COUNTS.
define run_faults
	$(Q)failed=0; for name in $(FAULTS); do \
		BUILD=$(BUILD) $(1) tests/fault/$$name.sh || failed=1; \
	done; exit $$failed
endef

fault: $(FAULT_PROGRAMS) ## crashes, failing calls, wrong hashes: a sample, in minutes
	$(call run_faults,)

fault-all: $(FAULT_PROGRAMS) ## every crash point and every failing call, in an hour
	$(call run_faults,STEP=1)

.PHONY: fault fault-all
