# What the end-to-end tests need besides the programs.
NORING := $(OUT)/tests/e2e/noring

$(NORING): $(OUT)/tests/e2e/noring.o
	@echo "  LD  $@"
	$(Q)$(CC) $(LDFLAGS_ALL) -o $@ $^

e2e e2e-slow soak: $(NORING)
