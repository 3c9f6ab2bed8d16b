# The commands of this project. `make help` lists them.

CARGO ?= cargo

.PHONY: help setup build fmt lint test live chaos sim detect fuzz boards

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## Install what the tests need (Debian packages, npm): .ci/setup lists it
	@.ci/setup

build: ## Build the program for use: target/release/zmesh
	$(CARGO) build --locked --release -p zmesh

fmt: ## Format all code
	$(CARGO) fmt --all

lint: ## Check the format, and clippy with warnings as errors
	$(CARGO) fmt --all --check
	$(CARGO) clippy --locked --workspace --all-targets -- -D warnings

# The live tests start the program that is built first, in the same profile as the tests, so that
# libzmq is compiled once.
test: setup lint ## Run everything that CI runs
	$(CARGO) build --locked -p zmesh
	$(CARGO) test --locked --workspace --no-fail-fast

live: setup ## Run only the tests with real processes and real ZeroMQ clients
	$(CARGO) build --locked -p zmesh
	$(CARGO) test --locked -p chaos-tests --no-fail-fast

chaos: setup ## Every fault against real nodes in network namespaces, under load (minutes; needs root)
	$(CARGO) build --locked --release -p zmesh -p chaos-tests
	target/release/chaos-tests live

SEEDS ?= 1000
sim: ## Simulate whole meshes with faults, SEEDS=1000 of them, from a first seed nobody has run
	$(CARGO) run --locked --release -p chaos-tests -- sim --seeds $(SEEDS)

detect: ## Measure how soon the dead are found, beside models of others: docs/reliability.md (long)
	$(CARGO) run --locked --release -p chaos-tests -- detect --out docs

RUNS ?= 1000000
fuzz: ## Fuzz all that a node reads from others, RUNS=1000000 inputs a target (needs cargo-fuzz)
	RUNS=$(RUNS) chaos-tests/fuzz/run

boards: ## Draw the Grafana boards from a real mesh: docs/boards (needs prometheus and chromium)
	$(CARGO) build --locked -p zmesh -p chaos-tests
	target/debug/chaos-tests boards --out docs/boards
