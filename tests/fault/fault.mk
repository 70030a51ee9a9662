# Faults: the importer with a seam that crashes, forgets, fails and spoils; and what drives it.
#
#   make fault        a sample of all crash points and failing calls, in a few minutes
#   make fault-all    every one of them
FAULT_OBJ := $(OUT)/tests/fault/seam.o $(OUT)/tests/fault/power.o
FAULT_WRAP := -Wl,--wrap=malloc,--wrap=calloc,--wrap=realloc,--wrap=strdup,--wrap=strndup

$(OUT)/uringest-faulty: $(CLI_OBJ) $(FAULT_OBJ) $(OUT)/liburingest.a
	@echo "  LD  $@"
	$(Q)$(CC) $(LDFLAGS_ALL) $(FAULT_WRAP) -o $@ $^ $(call pkg_libs,$(ENGINE_PKGS)) -lm

fault: $(OUT)/uringest-faulty $(OUT)/immichd $(OUT)/mklib ## crash and fault tests, a sample
	$(Q)BUILD=$(BUILD) tests/fault/fault.sh $(FAULT)

fault-all: $(OUT)/uringest-faulty $(OUT)/immichd $(OUT)/mklib ## every crash point and failing call
	$(Q)BUILD=$(BUILD) STEP=1 tests/fault/fault.sh $(FAULT)

.PHONY: fault fault-all
