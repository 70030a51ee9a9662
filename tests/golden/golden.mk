# Recorded exchanges of a real server, replayed against immichd.
GOLDEN_OBJ := \
	$(OUT)/tests/golden/golden_compare.o \
	$(OUT)/tests/golden/golden_files.o \
	$(OUT)/tests/golden/golden_server.o \
	$(OUT)/tests/golden/raw_golden.o \
	$(OUT)/tests/golden/replay_golden.o

$(OUT)/tests/golden/replay_golden: $(GOLDEN_OBJ) $(BASE_OBJ)
	@echo "  LD  $@"
	$(Q)$(CC) $(LDFLAGS_ALL) -o $@ $^ \
		$(call pkg_libs,cmocka libcurl jansson libcrypto zlib) -lm

golden: $(OUT)/tests/golden/replay_golden $(OUT)/immichd ## replay recorded exchanges against immichd
	$(Q)CMOCKA_MESSAGE_OUTPUT=$(GOLDEN_OUTPUT) \
		$(OUT)/tests/golden/replay_golden $(OUT)/immichd tests/golden
GOLDEN_OUTPUT ?= stdout

# The fixture's own units are not in the library.
$(OUT)/tests/unit/test_multipart: $(OUT)/tests/unit/test_multipart.o \
	$(OUT)/fixtures/immichd/multipart.o $(BASE_OBJ)
	@echo "  LD  $@"
	$(Q)$(CC) $(LDFLAGS_ALL) -o $@ $^ $(call pkg_libs,cmocka)

$(OUT)/tests/unit/test_mischief: $(OUT)/tests/unit/test_mischief.o \
	$(OUT)/fixtures/immichd/mischief.o $(BASE_OBJ)
	@echo "  LD  $@"
	$(Q)$(CC) $(LDFLAGS_ALL) -o $@ $^ $(call pkg_libs,cmocka)

.PHONY: golden
