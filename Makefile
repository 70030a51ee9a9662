# uringest - one Makefile, one graph.  `make help` lists the targets.
#
#   make                 release build in build/release
#   make BUILD=asan      the same in build/asan with ASan and UBSan (also: debug tsan cover)
#   make CROSS=TRIPLET-  for another machine, see `make aarch64`
#   make V=1             with whole commands

BUILD ?= release
CC ?= gcc
ifeq ($(origin CC),default)
CC := gcc
endif
# CROSS=aarch64-linux-gnu- builds for that machine in build/BUILD-aarch64, against the libraries that
# scripts/sysroot.sh unpacked into SYSROOT.
CROSS ?=
PKG_CONFIG := pkg-config
ifneq ($(CROSS),)
MACHINE := $(firstword $(subst -, ,$(CROSS)))
SYSROOT ?= build/sysroot-$(MACHINE)
TRIPLET := $(CROSS:%-=%)
CC := $(CROSS)gcc --sysroot=$(abspath $(SYSROOT))
PKG_CONFIG := env PKG_CONFIG_SYSROOT_DIR=$(abspath $(SYSROOT)) \
	PKG_CONFIG_LIBDIR=$(abspath $(SYSROOT))/usr/lib/$(TRIPLET)/pkgconfig pkg-config
OUT := build/$(BUILD)-$(MACHINE)
else
OUT := build/$(BUILD)
endif
Q := $(if $(V),,@)

VERSION := 0.1.0

# --- what we stand on -----------------------------------------------------------------------------
ENGINE_PKGS := liburing libcurl jansson sqlite3 libcrypto libxxhash libutf8proc yaml-0.1 libexif libmagic \
	expat libsodium
IMMICHD_PKGS := jansson sqlite3 libcrypto expat zlib
TEST_PKGS := cmocka

pkg_cflags = $(shell $(PKG_CONFIG) --cflags $(1) 2>/dev/null)
pkg_libs = $(shell $(PKG_CONFIG) --libs $(1) 2>/dev/null)

WARN := -Wall -Wextra -Werror -Wshadow -Wconversion -Wno-sign-conversion -Wformat=2 \
	-Wmissing-prototypes -Wstrict-prototypes -Wvla -Wundef -Wwrite-strings \
	-Wimplicit-fallthrough
BASE_CFLAGS := -std=gnu2x -D_GNU_SOURCE -D_FILE_OFFSET_BITS=64 -I. -pthread \
	-DUR_VERSION='"$(VERSION)"' -fno-strict-aliasing -fstack-protector-strong $(WARN)

OPT_release := -O2 -g -D_FORTIFY_SOURCE=2
OPT_debug := -O0 -g3
OPT_asan := -O1 -g -fno-omit-frame-pointer -fsanitize=address,undefined -fno-sanitize-recover=undefined
OPT_tsan := -O1 -g -fno-omit-frame-pointer -fsanitize=thread
OPT_cover := -O0 -g --coverage
ifeq ($(OPT_$(BUILD)),)
$(error BUILD=$(BUILD): choose release, debug, asan, tsan or cover)
endif
CFLAGS_ALL = $(BASE_CFLAGS) $(OPT_$(BUILD)) $(CFLAGS)
LDFLAGS_ALL = -pthread $(OPT_$(BUILD)) $(LDFLAGS)

# --- sources, by name -----------------------------------------------------------------------------
BASE_SRC := \
	engine/base/age.c \
	engine/base/arena.c \
	engine/base/bucket.c \
	engine/base/clock.c \
	engine/base/err.c \
	engine/base/filter.c \
	engine/base/pace.c \
	engine/base/queue.c \
	engine/base/retry.c \
	engine/base/schedule.c \
	engine/base/text.c \
	engine/base/thread.c \
	engine/sys/sys.c

include engine/files.mk
include fixtures/files.mk
include tests/files.mk

ENGINE_OBJ := $(ENGINE_SRC:%.c=$(OUT)/%.o)
BASE_OBJ := $(BASE_SRC:%.c=$(OUT)/%.o)
CLI_OBJ := $(CLI_SRC:%.c=$(OUT)/%.o)
IMMICHD_OBJ := $(IMMICHD_SRC:%.c=$(OUT)/%.o)
MKLIB_OBJ := $(MKLIB_SRC:%.c=$(OUT)/%.o)
CUTTER_OBJ := $(CUTTER_SRC:%.c=$(OUT)/%.o)

PROGRAMS := $(OUT)/uringest $(OUT)/immichd $(OUT)/mklib $(OUT)/cutter

all: $(PROGRAMS) ## build uringest and the fixtures (BUILD=release|debug|asan|tsan|cover)

$(OUT)/liburingest.a: $(BASE_OBJ) $(ENGINE_OBJ)
	@mkdir -p $(@D)
	$(Q)rm -f $@ && ar rcs $@ $^

$(OUT)/uringest: $(CLI_OBJ) $(OUT)/liburingest.a
	@echo "  LD  $@"
	$(Q)$(CC) $(LDFLAGS_ALL) -o $@ $^ $(call pkg_libs,$(ENGINE_PKGS)) -lm

$(OUT)/immichd: $(IMMICHD_OBJ) $(BASE_OBJ)
	@echo "  LD  $@"
	$(Q)$(CC) $(LDFLAGS_ALL) -o $@ $^ $(call pkg_libs,$(IMMICHD_PKGS)) -lm

$(OUT)/mklib: $(MKLIB_OBJ) $(BASE_OBJ)
	@echo "  LD  $@"
	$(Q)$(CC) $(LDFLAGS_ALL) -o $@ $^ -lm

$(OUT)/cutter: $(CUTTER_OBJ) $(BASE_OBJ)
	@echo "  LD  $@"
	$(Q)$(CC) $(LDFLAGS_ALL) -o $@ $^ -lm

PKG_CFLAGS := $(call pkg_cflags,$(ENGINE_PKGS) $(IMMICHD_PKGS))
$(OUT)/%.o: %.c Makefile
	@mkdir -p $(@D)
	@echo "  CC  $<"
	$(Q)$(CC) $(CFLAGS_ALL) $(PKG_CFLAGS) -MMD -MP -c -o $@ $<

# --- tests ----------------------------------------------------------------------------------------
UNIT_BIN := $(UNIT_TESTS:%=$(OUT)/tests/unit/test_%)

$(OUT)/tests/unit/test_%: $(OUT)/tests/unit/test_%.o $(OUT)/liburingest.a
	@echo "  LD  $@"
	$(Q)$(CC) $(LDFLAGS_ALL) $(UNIT_LINK) $(UNIT_LINK_$*) -o $@ $(filter %.o,$^) $(filter %.a,$^) \
		$(call pkg_libs,$(TEST_PKGS) $(ENGINE_PKGS)) -lm

# The parts of the coordinator have their neighbours played by one file: tests/unit/coordinator.h.
$(COORDINATOR_TESTS:%=$(OUT)/tests/unit/test_%): $(OUT)/tests/unit/coordinator.o
$(COORDINATOR_TESTS:%=$(OUT)/tests/unit/test_%): UNIT_LINK := $(COORDINATOR_PLAYED:%=-Wl,--wrap=%)

.PRECIOUS: $(OUT)/%.o
-include $(shell find $(OUT) -name '*.d' 2>/dev/null)

include scripts/targets.mk
-include bench/bench.mk
-include tests/e2e/e2e.mk

clean: ## remove everything that was built
	$(Q)rm -rf build

help: ## this list
	@grep -hE '^[a-z][a-z0-9-]*:.*## ' $(MAKEFILE_LIST) | sort | \
		awk -F':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'

.PHONY: all clean help
.DEFAULT_GOAL := all
