# What a developer types. `make test` installs what it needs (Debian packages, Python and npm packages) and runs
# everything that must pass.

PYTHON ?= python3
BINARY := target/release/quorate

.PHONY: demo test build lint docs unit e2e bench tools

demo: build ## the tour: a cluster, a killed leader, nothing lost
	$(BINARY) demo

build:
	cargo build --release --locked -p quorate

test: tools lint unit e2e ## everything

lint: ## format, clippy, documentation
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --locked -- -D warnings
	RUSTDOCFLAGS="-D warnings -A rustdoc::private_intra_doc_links" cargo doc --workspace --no-deps --document-private-items --locked
	@if command -v cargo-deny >/dev/null; then cargo deny check; else echo "cargo-deny is not installed: skipped"; fi

unit: tools ## every test in Rust, the simulator's seeds among them
	cargo nextest run --workspace --locked

e2e: build tools ## real processes, real clients
	. .venv/bin/activate && pytest -q tests

bench: build ## beside Redis with two asynchronous replicas
	$(PYTHON) bench/compare.py

tools:
	./tests/install-tools
