# The bench as a whole (cli/bench, bench/README.md), reference programs, benches of single modules.
#
#     make bench BENCH_SIZES=growth=1000000,film=10G BENCH_CASES=growth,film BENCH_DIR=/var/tmp/bench
BENCH_ROUNDS ?=
BENCH_CASES ?=
BENCH_SIZES ?=
BENCH_DIR ?=
BENCH_SAVE ?= $(OUT)/bench/bench.json
BENCH_PLOT ?= $(OUT)/bench/growth.svg

REFERENCE := $(OUT)/bench/reference
BENCH_OPTIONS = $(if $(BENCH_ROUNDS),--rounds $(BENCH_ROUNDS)) $(if $(BENCH_DIR),--dir $(BENCH_DIR)) \
	$(if $(BENCH_CASES),--cases $(BENCH_CASES)) $(if $(BENCH_SIZES),--size $(BENCH_SIZES))

$(REFERENCE): $(REFERENCE).o
	@echo "  LD  $@"
	$(Q)$(CC) $(LDFLAGS_ALL) -o $@ $^

SCAN_BENCH := $(OUT)/bench/scan_bench

$(SCAN_BENCH): $(SCAN_BENCH).o $(OUT)/liburingest.a
	@echo "  LD  $@"
	$(Q)$(CC) $(LDFLAGS_ALL) -o $@ $^ $(call pkg_libs,$(ENGINE_PKGS)) -lm

BENCH_PROGRAMS := $(REFERENCE) $(SCAN_BENCH)

bench: all $(BENCH_PROGRAMS) ## how fast it is, beside find, openssl, sha1sum, curl (bench/README.md)
	$(Q)$(OUT)/uringest bench $(BENCH_OPTIONS) --save $(BENCH_SAVE) --plot $(BENCH_PLOT)
	@echo "figures in $(BENCH_SAVE), plot in $(BENCH_PLOT)"

# Only JSON on stdout, also when something is compiled first.
bench-ci: ## two minutes of it, as JSON (bench/compare OLD NEW)
	$(Q)$(MAKE) --no-print-directory all $(BENCH_PROGRAMS) >&2
	$(Q)timeout -k 10 900 $(OUT)/uringest bench --quick --json $(BENCH_OPTIONS)

bench-table: all $(BENCH_PROGRAMS) ## the same two minutes, as a table; figures in BENCH_SAVE too
	$(Q)timeout -k 10 900 $(OUT)/uringest bench --quick $(BENCH_OPTIONS) --save $(BENCH_SAVE)

# The end-to-end tests compare a little, too.
e2e e2e-slow: $(BENCH_PROGRAMS)

HASH_BENCH := $(OUT)/bench/hash_bench

$(HASH_BENCH): $(HASH_BENCH).o $(OUT)/liburingest.a
	@echo "  LD  $@"
	$(Q)$(CC) $(LDFLAGS_ALL) -o $@ $^ $(call pkg_libs,$(ENGINE_PKGS)) -lm

bench-hash: $(HASH_BENCH) ## SHA-1 and XXH3 of each kernel, against OpenSSL
	$(Q)$(HASH_BENCH)

bench-gateway: all ## what receiving uploads costs, behind nginx (PEER_TUSD= beside it)
	$(Q)bench/gateway.sh

.PHONY: bench bench-ci bench-table bench-hash bench-gateway
