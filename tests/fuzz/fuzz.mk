# Fuzzing: every parser of foreign bytes, under libFuzzer (clang) and replayed by any compiler.
#
#   make fuzz                      each target for FUZZ_SECONDS, from the seeds in the tree
#   make fuzz FUZZ_SECONDS=600     longer
#   make fuzz-replay               the seeds once, with the compiler of this build
#
# What a run learns stays in build/BUILD/fuzz/found/NAME and is the start of the next one; what it
# breaks on is build/BUILD/fuzz/crash-NAME-*: make it a seed together with the mend.
FUZZ_TARGETS := exif container sidecar kind settings ignore json http1 tus spool words
FUZZ_SECONDS ?= 10
FUZZ_CC ?= clang-14

FUZZ_OUT := $(OUT)/fuzz
FUZZ_CFLAGS := -O1 -g -fno-omit-frame-pointer -fsanitize=fuzzer,address,undefined \
	-fno-sanitize-recover=undefined
FUZZ_SRC = $(BASE_SRC) $(ENGINE_SRC)
FUZZ_OBJ = $(FUZZ_SRC:%.c=$(FUZZ_OUT)/%.o)

$(FUZZ_OUT)/%.o: %.c Makefile
	@mkdir -p $(@D)
	@echo "  CC  $< (fuzz)"
	$(Q)$(FUZZ_CC) $(BASE_CFLAGS) $(FUZZ_CFLAGS) $(PKG_CFLAGS) -MMD -MP -c -o $@ $<

# An archive, so that a target links only the modules that it reaches.
$(FUZZ_OUT)/libfuzzed.a: $(FUZZ_OBJ)
	$(Q)rm -f $@ && ar rcs $@ $^

$(FUZZ_OUT)/fuzz_%: $(FUZZ_OUT)/tests/fuzz/fuzz_%.o $(FUZZ_OUT)/libfuzzed.a
	@echo "  LD  $@"
	$(Q)$(FUZZ_CC) -pthread $(FUZZ_CFLAGS) -o $@ $^ $(call pkg_libs,$(ENGINE_PKGS)) -lm

$(OUT)/tests/fuzz/replay_%: $(OUT)/tests/fuzz/fuzz_%.o $(OUT)/tests/fuzz/replay.o \
		$(OUT)/liburingest.a
	@echo "  LD  $@"
	$(Q)$(CC) $(LDFLAGS_ALL) -o $@ $^ $(call pkg_libs,$(ENGINE_PKGS)) -lm

fuzz: $(FUZZ_TARGETS:%=fuzz-run-%) ## fuzz every parser for FUZZ_SECONDS (10) with clang

fuzz-run-%: $(FUZZ_OUT)/fuzz_%
	$(Q)mkdir -p $(FUZZ_OUT)/found/$*
	$(Q)if $< -max_total_time=$(FUZZ_SECONDS) -timeout=10 -rss_limit_mb=2048 \
		-artifact_prefix=$(FUZZ_OUT)/crash-$*- -print_final_stats=1 \
		$(FUZZ_OUT)/found/$* tests/fuzz/corpus/$* >$(FUZZ_OUT)/$*.log 2>&1; then \
		awk -v name=$* '/number_of_executed_units/ { n = $$2 } /cov:/ { c = $$0 } \
			END { sub(/.*cov: /, "", c); sub(/ .*/, "", c); \
			print "fuzz: " name ": " n " runs, " c " edges, nothing found" }' \
			$(FUZZ_OUT)/$*.log; \
	else \
		tail -n 40 $(FUZZ_OUT)/$*.log; \
		echo "fuzz: $*: broken; the input is $(FUZZ_OUT)/crash-$*-…" >&2; exit 1; \
	fi

fuzz-replay: $(FUZZ_TARGETS:%=fuzz-replay-%) ## run the fuzzers' seeds once, without clang

fuzz-replay-%: $(OUT)/tests/fuzz/replay_%
	$(Q)$< tests/fuzz/corpus/$*

.PHONY: fuzz fuzz-replay
.PRECIOUS: $(FUZZ_OUT)/%.o $(FUZZ_OUT)/fuzz_% $(OUT)/tests/fuzz/replay_%
