# Two commands do it all: `make dev` starts Berth, `make test` installs what the tests need and runs them.

CARGO ?= cargo
export CARGO_TERM_COLOR ?= auto

.PHONY: dev test storm upgrade bench generate tools fmt

dev: cargo
	$(CARGO) run --package berth -- dev

test: cargo
	scripts/test.sh

upgrade: cargo
	scripts/upgrade.sh

bench: cargo
	scripts/bench.sh

storm: cargo
	scripts/storm.sh

generate: cargo
	scripts/generate.sh

fmt: cargo
	$(CARGO) fmt --all

tools:
	scripts/tools.sh

.PHONY: cargo
cargo:
	@command -v $(CARGO) >/dev/null || { echo "berth: cargo is missing. Install Rust 1.95 or newer, and a C compiler (on Debian: apt-get install build-essential)."; exit 1; }
