# Small reference programs and benches of single modules.
HASH_BENCH := $(OUT)/bench/hash_bench

$(HASH_BENCH): $(HASH_BENCH).o $(OUT)/liburingest.a
	@echo "  LD  $@"
	$(Q)$(CC) $(LDFLAGS_ALL) -o $@ $^ $(call pkg_libs,$(ENGINE_PKGS)) -lm

bench-hash: $(HASH_BENCH) ## SHA-1 and XXH3 of each kernel, against OpenSSL
	$(Q)$(HASH_BENCH)

.PHONY: bench-hash
