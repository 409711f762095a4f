# The one entrance. `make` alone lists the targets.
SHELL := /bin/bash
.DEFAULT_GOAL := help
.NOTPARALLEL:
MAKEFLAGS += --no-print-directory

CARGO ?= cargo
MUSL := x86_64-unknown-linux-musl
CARGO_HOME ?= $(HOME)/.cargo
PROGRAM := build/target/$(MUSL)/release/director
IMAGE := build/target/debug/director-image
LAB := build/target/debug/lab
SCENARIO ?= five-node

CAMPAIGN = $(if $(ONLY),--only '$(ONLY)') $(if $(SEED),--seed '$(SEED)') $(if $(COUNT),--count '$(COUNT)')

# The flashed program names source files in its messages; without this the bytes would depend on the folder it was
# built in. Only for this target, so that nothing of the host tools is compiled again.
REMAP := --remap-path-prefix=$(CURDIR)=director --remap-path-prefix=$(CARGO_HOME)=cargo
# Sequences of instructions that come often become functions: the program is smaller by a twentieth.
OUTLINE := -C llvm-args=-enable-machine-outliner=always

.PHONY: help setup run test lint unit sim vm fuzz soak bench provision image flash upgrade buildroot lab docs clean firmware image-tool lab-tool

help: ## this list
	@printf 'Director: firmware for a two-NIC Linux Virtual Server director. Start with run or test.\n\n'
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-21s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@printf '\nvm takes CASE=filter, lab takes SCENARIO=name (a wrong name lists them). Everything built lies under build/.\n'

run: firmware lab-tool ## boot the five-node cluster in QEMU, show who answers, attach to the director's console
	@$(LAB) run five-node

test: setup ## everything that must pass: lint, unit, vm, with the time of each
	@set -u; began=$$SECONDS; \
	for stage in lint unit vm; do \
	  printf '\n== %s\n' $$stage; start=$$SECONDS; \
	  if $(MAKE) $$stage; then result=passed; else result=FAILED; fi; \
	  printf '== %s %s after %d s\n' $$stage $$result $$((SECONDS - start)); \
	  [ $$result = passed ] || exit 1; \
	done; \
	printf '\n== all passed after %d s\n' $$((SECONDS - began))

lint: setup ## formatting, and clippy for the host and for the firmware's target, warnings denied
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets --locked -- -D warnings
	$(CARGO) clippy --package director --target $(MUSL) --locked -- -D warnings

unit: setup ## unit, property, golden and tidy tests: no root, no network, no QEMU
	$(CARGO) test --workspace --exclude director-vm-tests --exclude director-qemu --locked
	$(CARGO) test --package director-qemu --lib --bins --locked

sim: ## random faults around one director: SEEDS=n, or SEED=0x.. for one with its timeline
	$(if $(SEED),SEED=$(SEED)) $(if $(SEEDS),SEEDS=$(SEEDS)) $(CARGO) test --package director-sim --test chaos --locked -- --nocapture

vm: firmware lab-tool ## the lab itself, then the real image in QEMU; CASE=filter runs the cases whose name contains it
	$(CARGO) test --package director-qemu --test lab --locked -- $(CASE)
	@$(CARGO) test --package director --no-run --locked --message-format=json >build/platform-tests.json
	@LAB_PLATFORM_TESTS=$$(sed -n 's/.*"executable":"\([^"]*\)".*/\1/p' build/platform-tests.json) \
	  CASE='$(CASE)' tests/vm/run.sh

fuzz: setup ## libFuzzer over every decoder and parser, writes build/fuzz.json; TARGET=name, SECONDS=n for all together
	@FUZZ_SECONDS='$(SECONDS)' FUZZ_TARGET='$(TARGET)' tests/fuzz/run.sh

soak: firmware lab-tool ## the same for hours, with other seeds: ONLY=name, SEED=n, COUNT=n; writes build/soak.json
	$(CARGO) run --profile soak --package director-bench --bin soak --locked -- $(CAMPAIGN)

bench: firmware lab-tool ## measures beside the peers, prints a table, writes build/bench.json: ONLY=name
	@case power-on in *'$(ONLY)'*) tests/bench/debian.sh build/debian;; esac
	$(CARGO) run --package director-bench --bin bench --locked -- $(CAMPAIGN)

image: firmware ## kernel, initramfs and disk image, with their sizes against the budget
	@$(IMAGE) disk
	@$(IMAGE) manifest
	@printf '\ninitramfs:\n'; $(IMAGE) ls
	@printf '\nsizes (build/sizes.md):\n'; $(IMAGE) report

flash: firmware ## write the firmware to a whole disk and read it back: DEV=/dev/sdb, ROLE=backup, FILE=config.set, YES=sdb ('sdb sdb': built in)
	@$(IMAGE) flash --device '$(DEV)' $(if $(ROLE),--role '$(ROLE)') $(if $(FILE),--config '$(FILE)') $(if $(YES),--yes '$(YES)')

upgrade: firmware ## a signed upgrade of kernel and initramfs: KEY=file (director-image key makes one)
	@$(IMAGE) bundle --key '$(or $(KEY),board/x86_64/development.key)'

buildroot: image-tool ## the release build with a Buildroot tree (2026.02.x): BUILDROOT=path, TARGETS=savedefconfig for one step
	@test -f '$(BUILDROOT)/Config.in' || { printf 'BUILDROOT=path of a Buildroot tree\n' >&2; exit 1; }
	@$(IMAGE) kernel
	$(CARGO) vendor --locked --quiet build/vendor > build/vendor.toml
	$(MAKE) -C '$(BUILDROOT)' BR2_EXTERNAL='$(CURDIR)/buildroot-ext' O='$(CURDIR)/build/buildroot' director_x86_64_defconfig
	$(MAKE) -C '$(BUILDROOT)' O='$(CURDIR)/build/buildroot' $(TARGETS)

provision: setup ## push a configuration over a serial line: PORT=/dev/ttyUSB0 FILE=config.set; ARGS='--socket PATH log' for the rest
	@$(CARGO) run --quiet --locked --package director-provision -- $(or $(ARGS),--port '$(PORT)' push '$(FILE)')

lab: firmware lab-tool ## boot a named topology and stay, with its consoles; SCENARIO=five-node
	@$(LAB) up $(SCENARIO)

docs: setup ## the documentation of the source code, build/target/doc; broken links are errors
	RUSTDOCFLAGS='-D warnings' $(CARGO) doc --workspace --no-deps --locked

clean: ## remove build/; built kernels stay in ~/.cache/director
	rm -rf build

setup: ## install what is missing: Debian packages (with sudo when not root) and the Rust target
	@image/setup.sh

# --- parts of the above

firmware: image-tool
	@$(IMAGE) kernel
	CARGO_TARGET_X86_64_UNKNOWN_LINUX_MUSL_RUSTFLAGS='$(REMAP) $(OUTLINE)' \
	  $(CARGO) build --release --package director --target $(MUSL) --locked
	@$(IMAGE) initramfs --program $(PROGRAM)

image-tool: setup
	$(CARGO) build --package director-image --locked

lab-tool: setup
	$(CARGO) build --package director-qemu --package director-provision --locked
