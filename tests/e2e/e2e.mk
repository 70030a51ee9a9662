# What the end-to-end tests need besides the programs.
NORING := $(OUT)/tests/e2e/noring

$(NORING): $(OUT)/tests/e2e/noring.o
	@echo "  LD  $@"
	$(Q)$(CC) $(LDFLAGS_ALL) -o $@ $^

# A file system that lies; without FUSE's headers its tests say so and are skipped.
ifneq ($(call pkg_libs,fuse3),)
LYINGFS := $(OUT)/tests/e2e/lyingfs

$(LYINGFS): tests/e2e/lyingfs.c
	@mkdir -p $(@D)
	@echo "  LD  $@"
	$(Q)$(CC) $(CFLAGS_ALL) $(call pkg_cflags,fuse3) $(LDFLAGS_ALL) -o $@ $< $(call pkg_libs,fuse3)
endif

e2e e2e-slow soak: $(NORING) $(LYINGFS) $(OUT)/uringest-faulty
