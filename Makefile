# What a developer types. `make test` installs what it needs (Debian packages, Python and npm packages) and runs
# everything that must pass.

PYTHON ?= python3
BINARY := target/release/quorate

SEEDS ?= 1000
FIRST ?= 0
# Of the LLVM version that `rustc -vV` names; Debian: apt install llvm-22.
LLVM ?= /usr/lib/llvm-$(shell rustc -vV | sed -n 's/^LLVM version: \([0-9]*\).*/\1/p')/bin

# Of each target of the fuzzer.
SECONDS ?= 10
COVERAGE ?= target/coverage

.PHONY: demo test build lint docs unit e2e bench tools sim storms fuzz coverage

demo: build ## the tour: a cluster, a killed leader, nothing lost
	$(BINARY) demo

build:
	cargo build --release --locked -p quorate

test: tools lint unit storms fuzz e2e ## everything

lint: ## format, clippy, documentation
	cargo fmt --all --check && cargo fmt --check --manifest-path fuzz/Cargo.toml
	cargo fmt --check --manifest-path tests/clients/rust/Cargo.toml
	cargo clippy --workspace --all-targets --locked -- -D warnings
	RUSTDOCFLAGS="-D warnings -A rustdoc::private_intra_doc_links" cargo doc --workspace --no-deps --document-private-items --locked
	@if command -v cargo-deny >/dev/null; then cargo deny check; else echo "cargo-deny is not installed: skipped"; fi

# Bugs can be planted in what is built here. The simulator's tests are mostly computing: optimised, as the storms are built,
# they take a fifth of the time.
unit: tools ## every test in Rust, the simulator's seeds among them
	QUORATE_TEST_PLANTS=required cargo nextest run --workspace --exclude quorate-sim --features quorate-planted/on --locked
	cargo nextest run -p quorate-sim --cargo-profile sim --locked

sim: ## SEEDS=N storms of the simulator on all cores, from FIRST on
	cargo run --profile sim --locked -p quorate-sim --example storms -- $(SEEDS) $(FIRST)

storms: ## a few hundred of them, in a few minutes
	$(MAKE) sim SEEDS=300 FIRST=0

fuzz: tools ## SECONDS=N of each target of the fuzzer, guided by coverage; see fuzz/run
	./fuzz/run $(SECONDS)

# Only the profiles of this run count, and only the programs that it built.
coverage: ## lines of log, replica and cluster that the tests in Rust and 60 storms reach: over 85 % of each
	@test -x $(LLVM)/llvm-profdata || { echo "no $(LLVM)/llvm-profdata: install the llvm of rustc's version"; exit 1; }
	rm -rf $(COVERAGE)/profiles && mkdir -p $(COVERAGE)/profiles
	RUSTFLAGS="-C instrument-coverage" CARGO_TARGET_DIR=$(COVERAGE) \
		LLVM_PROFILE_FILE=$(abspath $(COVERAGE))/profiles/%p-%8m.profraw ./tests/coverage-run
	$(LLVM)/llvm-profdata merge -sparse $(COVERAGE)/profiles/*.profraw -o $(COVERAGE)/all.profdata
	$(LLVM)/llvm-cov export -format=lcov -instr-profile $(COVERAGE)/all.profdata \
		$$(sed 's/^/-object /' $(COVERAGE)/programs) | ./tests/coverage.py $(MISSED) 85 log replica cluster

# Most of them wait most of the time: two files at once.
e2e: build tools ## real processes, real clients
	. .venv/bin/activate && pytest -q -n 2 --dist loadgroup --no-loadscope-reorder --durations=25 tests

bench: build ## beside Redis with two asynchronous replicas
	$(PYTHON) bench/compare.py

tools:
	./tests/install-tools
