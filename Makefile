# What a developer types. `make test` installs what it needs (Debian packages, Python and npm packages) and runs
# everything that must pass.

PYTHON ?= python3
BINARY := target/release/quorate

SEEDS ?= 1000
FIRST ?= 0
# Of the LLVM version that `rustc -vV` names; Debian: apt install llvm-22.
LLVM ?= /usr/lib/llvm-$(shell rustc -vV | sed -n 's/^LLVM version: \([0-9]*\).*/\1/p')/bin

.PHONY: demo test build lint docs unit e2e bench tools sim storms coverage

demo: build ## the tour: a cluster, a killed leader, nothing lost
	$(BINARY) demo

build:
	cargo build --release --locked -p quorate

test: tools lint unit storms e2e ## everything

lint: ## format, clippy, documentation
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --locked -- -D warnings
	RUSTDOCFLAGS="-D warnings -A rustdoc::private_intra_doc_links" cargo doc --workspace --no-deps --document-private-items --locked
	@if command -v cargo-deny >/dev/null; then cargo deny check; else echo "cargo-deny is not installed: skipped"; fi

unit: tools ## every test in Rust, the simulator's seeds among them
	cargo nextest run --workspace --locked

sim: ## SEEDS=N storms of the simulator on all cores, from FIRST on
	cargo run --profile sim --locked -p quorate-sim --example storms -- $(SEEDS) $(FIRST)

storms: ## a few hundred of them, in a few minutes
	$(MAKE) sim SEEDS=300 FIRST=0

coverage: ## lines of log, replica and cluster that the tests in Rust reach
	@test -x $(LLVM)/llvm-profdata || { echo "no $(LLVM)/llvm-profdata: install the llvm of rustc's version"; exit 1; }
	rm -rf target/coverage/profiles && mkdir -p target/coverage/profiles
	RUSTFLAGS="-C instrument-coverage" LLVM_PROFILE_FILE=$(CURDIR)/target/coverage/profiles/%p-%8m.profraw \
		CARGO_TARGET_DIR=target/coverage cargo test --locked -p quorate-log -p quorate-replica -p quorate-cluster -p quorate-sim
	$(LLVM)/llvm-profdata merge -sparse target/coverage/profiles/*.profraw -o target/coverage/all.profdata
	$(LLVM)/llvm-cov report -instr-profile target/coverage/all.profdata \
		$$(find target/coverage/debug/deps -maxdepth 1 -type f -executable ! -name '*.so' | sed 's/^/-object /') \
		--sources $(CURDIR)/crates/log/src $(CURDIR)/crates/replica/src $(CURDIR)/crates/cluster/src

e2e: build tools ## real processes, real clients
	. .venv/bin/activate && pytest -q tests

bench: build ## beside Redis with two asynchronous replicas
	$(PYTHON) bench/compare.py

tools:
	./tests/install-tools
