# What can be made here; `make help` lists it.
#
#   LIBC=auto|musl|glibc   which C library the static binaries of `make dist` link
#   DIST=DIR               where `make dist` puts them
#   RUST_IMAGE, RUNTIME_IMAGE, IMAGE   base images and name for `make docker`
#   PREFIX, DESTDIR        where `make install` puts the programs
#   TARGET, SECONDS        what `make fuzz` fuzzes (all), and for how long each

SHELL := /bin/sh
.DEFAULT_GOAL := help

PROGRAMS := zei-init zei-supervise zei-setuidgid zei-ctl zei-probe zei-cron zei-log
TARGET_DIR := $(or $(CARGO_TARGET_DIR),target)
LIBC ?= auto
DIST ?= target/dist
PREFIX ?= /usr/local
IMAGE ?= zei
RUST_IMAGE ?= rust:alpine
RUNTIME_IMAGE ?= alpine:3.22
# `builder` compiles inside the image, `prebuilt` takes what `make dist` left in target/dist.
BINARIES ?= builder
DOCKER ?= docker
DOCKER_BUILD = $(DOCKER) build --build-arg RUST_IMAGE=$(RUST_IMAGE) --build-arg RUNTIME_IMAGE=$(RUNTIME_IMAGE) \
	--build-arg BINARIES=$(BINARIES)

.PHONY: demo test check dist docker docker-test docker-e2e install bench fuzz clean help

demo: dist ## show a small tree as PID 1 of a namespace: start, control, logs, shutdown
	@ZEI_BIN_DIR="$(abspath $(DIST))" tests/e2e/demo.sh

# A job in the background ignores signals, which tests of what is inherited would take for a fault.
test: dist ## run every test: cargo's, then end to end in a PID namespace and in Docker
	@code=0; clean=; \
	if env --default-signal=INT true 2>/dev/null; then clean="env --default-signal=HUP,INT,QUIT"; fi; \
	$$clean cargo test --workspace --locked --no-fail-fast || code=1; \
	ZEI_BIN_DIR="$(abspath $(DIST))" tests/e2e/run all || code=1; \
	exit $$code

check: ## check format, lints, the rules of the architecture, and the shell scripts
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --locked -- -D warnings
	cargo test --locked -p zei-tests --test tidy
	@if command -v shellcheck >/dev/null; then \
		echo "shellcheck: $$(grep -lIrE '^#!.*(/| )(ba)?sh$$' .ci tests skel | wc -l) scripts"; \
		grep -lIrE '^#!.*(/| )(ba)?sh$$' .ci tests skel | xargs shellcheck -x; \
	else echo "shellcheck is not installed: the shell scripts were not checked"; fi

# One cargo run for each program, so that the features that one needs are not linked into another.
# zei-supervise runs once per service and is never setuid: without position independence each of its
# processes has fewer private pages. Other flags need another target directory.
dist: ## build the stripped static binaries into target/dist (LIBC=musl|glibc|auto)
	@set -e; \
	host=$$(rustc -vV | sed -n 's/^host: //p'); \
	musl=$$(echo "$$host" | sed 's/-gnu/-musl/'); glibc=$$(echo "$$host" | sed 's/-musl/-gnu/'); \
	has() { ls "$$(rustc --print target-libdir --target "$$1")"/libstd-*.rlib >/dev/null 2>&1; }; \
	add() { command -v rustup >/dev/null && rustup target add "$$1" >/dev/null 2>&1; }; \
	case "$(LIBC)" in \
	musl) target=$$musl; has "$$target" || add "$$target" || { echo "no Rust target $$target here: rustup target add $$target" >&2; exit 1; };; \
	glibc) target=$$glibc; has "$$target" || { echo "no Rust target $$target here" >&2; exit 1; };; \
	auto) target=$$musl; has "$$target" || add "$$target" || target=$$glibc;; \
	*) echo "LIBC=$(LIBC): expected musl, glibc or auto" >&2; exit 1;; \
	esac; \
	echo "static binaries for $$target"; \
	mkdir -p "$(DIST)"; \
	for program in $(PROGRAMS); do \
		flags="-C target-feature=+crt-static"; dir="$(TARGET_DIR)"; \
		if [ $$program = zei-supervise ]; then flags="$$flags -C relocation-model=static"; dir="$(TARGET_DIR)/static"; fi; \
		RUSTFLAGS="$$flags" cargo build --release --locked -p $$program --target "$$target" --target-dir "$$dir"; \
		install -m 0755 "$$dir/$$target/release/$$program" "$(DIST)/$$program"; \
	done; \
	ls -l "$(DIST)"

docker: ## build the runtime image and the toolkit image (for COPY --from)
	$(DOCKER_BUILD) --target toolkit -t $(IMAGE)-toolkit .
	$(DOCKER_BUILD) --target runtime -t $(IMAGE) .

docker-test: ## run cargo's tests inside the builder image
	$(DOCKER_BUILD) --target test -t $(IMAGE)-test .

docker-e2e: dist ## run the end-to-end scenarios in Docker only
	@ZEI_BIN_DIR="$(abspath $(DIST))" tests/e2e/run docker

install: dist ## install the programs into PREFIX/bin and the skeleton into /etc/zei (nothing is overwritten there)
	install -d "$(DESTDIR)$(PREFIX)/bin" "$(DESTDIR)/etc/zei/zei.d"
	for program in $(PROGRAMS); do install -m 0755 "$(DIST)/$$program" "$(DESTDIR)$(PREFIX)/bin/$$program"; done
	[ -e "$(DESTDIR)/etc/zei/zei.yaml" ] || install -m 0644 skel/etc/zei/zei.yaml "$(DESTDIR)/etc/zei/zei.yaml"

bench: dist ## measure start, restart, control, memory and shutdown
	@if [ -x tests/bench/run ]; then ZEI_BIN_DIR="$(abspath $(DIST))" tests/bench/run; \
	else echo "no benchmark here yet: tests/bench/run"; fi

fuzz: ## look for bytes that break what reads them (needs a C++ compiler; tests/fuzz/README.md)
	@SECONDS_EACH="$(or $(SECONDS),60)" tests/fuzz/run $(TARGET)

clean: ## remove everything that was built
	cargo clean
	rm -rf "$(DIST)"

help: ## list the targets
	@sed -n 's/^\([a-z0-9-]*\):[^#]*## \(.*\)/\1|\2/p' $(firstword $(MAKEFILE_LIST)) | \
		while IFS='|' read -r name text; do printf '%-12s %s\n' "$$name" "$$text"; done
