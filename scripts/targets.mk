# What is done with the programs besides building them: `make help` lists it.
#
#     make test ─▶ suite.sh ─▶ make unit, replay, golden-count, e2e ─▶ run-*.sh ─▶ $UR_COUNTS
#
# Each of the inner targets can be run by itself, with BUILD=asan or tsan too.

JOBS ?= $(shell nproc 2>/dev/null || echo 2)
SUITE = $(Q)+UR_JOBS=$(JOBS) MAKE='$(MAKE)' scripts/suite.sh

# --- what must be there ---------------------------------------------------------------------------
# pkg-config is asked while the Makefile is read, so a build begins only when everything is there:
# targets that need more than the compiler install it first and build in a make of their own, and
# the others end here, with the one line that helps.
SELF_SUFFICIENT := deps deps-lint deps-list deps-aarch64 test test-all asan tsan aarch64 demo cover \
	fuzz-count lint lint-fresh format clean help install soak
ifneq ($(filter-out $(SELF_SUFFICIENT),$(or $(MAKECMDGOALS),all)),)
ifneq ($(shell scripts/deps.sh check build >/dev/null 2>&1 && echo yes),yes)
$(shell scripts/deps.sh check build >&2)
$(error something to build with is missing; 'make deps' installs it)
endif
endif

deps: ## install what building and testing need (Debian 12; root or sudo)
	$(Q)scripts/deps.sh install build test

deps-lint: ## install what lint and fuzz need
	$(Q)scripts/deps.sh install build lint

deps-list: ## the packages that deps and deps-lint install
	$(Q)scripts/deps.sh list build test lint

deps-aarch64: deps ## install the cross compiler, qemu, and a sysroot below build
	$(Q)scripts/deps.sh install aarch64
	$(Q)scripts/sysroot.sh build/sysroot-aarch64 arm64 $$(scripts/deps.sh libraries build test)

# --- tests ----------------------------------------------------------------------------------------
# Files of tests/e2e, without folder and ending: what takes minutes, and what the sanitizers run.
E2E_SLOW ?=
E2E_SANITIZED ?= 02_mklib 10_main 12_peers 13_settle 31_cold 33_staging 41_gateway 43_tus

# Those that take longest begin first, so that they do not end alone.
E2E_FIRST := 50_lies 42_delivery 27_backup 45_abuse 24_verify 23_deploy 14_weather 40_resumable 49_restart

E2E_FOUND := $(sort $(wildcard tests/e2e/[0-9]*.bats))
E2E_ALL := $(filter $(E2E_FIRST:%=tests/e2e/%.bats),$(E2E_FOUND)) \
	$(filter-out $(E2E_FIRST:%=tests/e2e/%.bats),$(E2E_FOUND))
E2E_FAST := $(filter-out $(E2E_SLOW:%=tests/e2e/%.bats),$(E2E_ALL))
ifneq ($(filter asan tsan,$(BUILD)),)
E2E := $(filter $(E2E_SANITIZED:%=tests/e2e/%.bats),$(E2E_ALL))
else
E2E := $(E2E_FAST)
endif

TEST_STEPS := unit sim replay golden-count e2e fault

test: deps ## unit tests, fuzzers' seeds, recorded exchanges, fast end-to-end tests, faults
	$(SUITE) $(TEST_STEPS)

test-all: deps ## test, the slow end-to-end tests, both sanitizers, and aarch64
	$(SUITE) $(TEST_STEPS) $(if $(E2E_SLOW),e2e-slow) asan tsan aarch64

asan: deps ## unit tests and some end-to-end tests with ASan and UBSan
	$(SUITE) asan/unit asan/replay asan/golden-count asan/e2e

tsan: deps ## unit tests and some end-to-end tests with TSan
	$(SUITE) tsan/unit tsan/e2e

# Programs that another machine's compiler made, against its libraries, run here by qemu's translation.
# It has no io_uring, so the rings are those of ordinary system calls.
aarch64: deps-aarch64 ## build for aarch64, and run its unit tests by qemu
	$(Q)+$(MAKE) --no-print-directory CROSS=aarch64-linux-gnu- all
	$(Q)+UR_RUNNER="qemu-aarch64-static -L $(abspath build/sysroot-aarch64)" UR_UNIT_TIMEOUT=900 \
		$(MAKE) --no-print-directory CROSS=aarch64-linux-gnu- unit

# One test that does not compile must not keep the others from running, nor an old one run for it.
unit: ## the unit tests
	$(Q)$(MAKE) --no-print-directory -k $(UNIT_BIN) || for test in $(UNIT_BIN); do \
		$(MAKE) -q $$test >/dev/null 2>&1 || rm -f $$test; \
	done; \
	scripts/run-unit.sh $(UNIT_BIN)

e2e: all ## the fast end-to-end tests (E2E=FILE.bats for one)
	$(Q)$(if $(E2E),BUILD=$(BUILD) scripts/run-bats.sh $(E2E),echo "  e2e: none for BUILD=$(BUILD)")

e2e-slow: all ## the slow end-to-end tests
	$(Q)BUILD=$(BUILD) scripts/run-bats.sh $(E2E_SLOW:%=tests/e2e/%.bats)

forced: all $(OUT)/uringest-faulty $(OUT)/tests/unit/test_ring ## the main job and some crashes, with each way to hash and to read
	$(Q)BUILD=$(BUILD) scripts/run-forced.sh

include tests/fuzz/fuzz.mk
# clang counts assert(!"a sentence") among the doubtful conversions; here it is how a state that
# cannot be says so.
FUZZ_CFLAGS += -Wno-string-conversion
-include tests/golden/golden.mk
-include tests/fault/fault.mk
-include tests/sim/sim.mk

REPLAYS := $(FUZZ_TARGETS:%=$(OUT)/tests/fuzz/replay_%)
replay: $(REPLAYS) ## fuzz-replay, counted
	$(Q)failed=0; for name in $(FUZZ_TARGETS); do \
		scripts/run-counted.sh "seeds $$name" \
			$(OUT)/tests/fuzz/replay_$$name tests/fuzz/corpus/$$name || failed=1; \
	done; exit $$failed

golden-count: $(OUT)/tests/golden/replay_golden $(OUT)/immichd ## golden, counted
	$(Q)scripts/run-unit.sh -- $(OUT)/tests/golden/replay_golden $(OUT)/immichd tests/golden

fuzz-count: deps-lint ## fuzz, counted
	$(Q)$(MAKE) --no-print-directory $(FUZZ_TARGETS:%=$(FUZZ_OUT)/fuzz_%)
	$(Q)$(MAKE) --no-print-directory -k $(FUZZ_TARGETS:%=fuzz-count-%)

fuzz-count-%:
	$(Q)+scripts/run-counted.sh "fuzz $*" $(MAKE) --no-print-directory fuzz-run-$*

SOAKS = $(sort $(wildcard tests/soak/*.sh))
soak: deps ## the tests that take hours (tests/soak)
	$(Q)$(MAKE) --no-print-directory all
	$(Q)failed=0; for soak in $(SOAKS); do \
		echo "== $$soak"; BUILD=$(BUILD) "$$soak" || failed=1; \
	done; exit $$failed

cover: deps ## how much of the sources the tests reach, file by file
	$(Q)+UR_JOBS=$(JOBS) MAKE='$(MAKE)' scripts/cover.sh

# --- style ----------------------------------------------------------------------------------------
lint: deps-lint ## clang-format, clang-tidy, cppcheck, shellcheck, the direction of #includes and of calls
	$(Q)$(MAKE) --no-print-directory lint-fresh

lint-fresh: export LINT_CFLAGS = $(BASE_CFLAGS) $(PKG_CFLAGS)
lint-fresh: export LINT_OBJECTS = $(OUT)
lint-fresh: $(OUT)/liburingest.a $(CLI_OBJ) $(IMMICHD_OBJ) $(MKLIB_OBJ) $(CUTTER_OBJ)
	$(Q)scripts/lint.sh

format: deps-lint ## put every C file into the project's format
	$(Q)scripts/lint.sh files c h | xargs clang-format-14 -i

# --- install, demo --------------------------------------------------------------------------------
PREFIX ?= /usr/local
INSTALL ?= install

install: ## install program, units, example (DESTDIR=, PREFIX=/usr/local)
	$(Q)$(MAKE) --no-print-directory $(OUT)/uringest
	$(Q)PREFIX='$(PREFIX)' DESTDIR='$(DESTDIR)' INSTALL='$(INSTALL)' \
		scripts/install.sh $(OUT)/uringest

demo: deps ## import a small library into a server of our own, and show what happens
	$(Q)$(MAKE) --no-print-directory $(if $(filter -j% --jobserver%,$(MAKEFLAGS)),,-j$(JOBS)) all
	$(Q)BUILD=$(BUILD) scripts/demo.sh

.PHONY: deps deps-lint deps-list deps-aarch64 test test-all asan tsan aarch64 unit e2e e2e-slow forced replay golden-count \
	fuzz-count soak cover lint lint-fresh format install demo
