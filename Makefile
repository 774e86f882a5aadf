# The front door. `make` or `make help` explains itself; `make check` is exactly what CI runs.

VENV   ?= .venv
BIN    := $(VENV)/bin
PY     := $(BIN)/python
SOURCE := orchestrator/muster worker/muster_worker blueprints
PYTEST := $(BIN)/pytest $(PYTEST_FLAGS)

# A stamp is newer than pyproject.toml exactly when its packages are installed, so that warm runs install nothing.
SERVER := $(VENV)/.server-installed
DEV    := $(VENV)/.dev-installed

.DEFAULT_GOAL := help
.PHONY: help setup demo dev test check fmt fmt-check lint types arch docs bench bench-batches bench-files bench-logs bench-fans bench-flow bench-scripts chaos sweep model fuzz conformance-server clean
.PHONY: test-core test-store test-e2e

help: ## Show this.
	@echo "Muster: make <target>"
	@echo
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  %-20s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@echo
	@echo "First time?  make demo    then  $(BIN)/muster dev"

setup: $(DEV) ## Make .venv and install everything that development needs.
	@echo "ready: source $(BIN)/activate, then: muster --help"

demo: $(SERVER) ## Run the whole system on a real input for some seconds. INPUT=path takes another text.
	@$(PY) -m muster.cli.demo $(if $(INPUT),--input "$(INPUT)")

dev: $(SERVER) ## Run a development server with the blueprints of this folder.
	@$(BIN)/muster dev --blueprints blueprints/demo.py

conformance-server: $(SERVER) ## Run a server for a conformance suite on MUSTER_PORT (8080); prints export lines.
	@exec $(PY) -m muster.cli.conformance

test: $(DEV) ## Run all tests, against the embedded Valkey and, where installed, redis-server.
	$(PYTEST) -n 4

test-core: $(DEV) ## Run the tests that need no process.
	$(PYTEST) tests/core

test-store: $(DEV) ## Run the store's contract against the memory model, Valkey and Redis.
	$(PYTEST) tests/store

test-e2e: $(DEV) ## Run the tests of whole systems of real processes.
	$(PYTEST) tests/e2e

check: fmt-check lint types arch test ## Everything that must hold: format, lint, types, import contracts, tests.

fmt: $(DEV) ## Format the code and fix what can be fixed.
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

fmt-check: $(DEV)
	$(BIN)/ruff format --check .

lint: $(DEV) ## Look for mistakes and for work that was left for later.
	$(BIN)/ruff check .
	@! git grep -nE 'TO''DO|FIX''ME' -- . || { echo "finish these, or describe them in an issue"; exit 1; }

types: $(DEV) ## Check types strictly.
	$(BIN)/mypy $(SOURCE) tests

arch: $(DEV) ## Check that imports follow the layers.
	$(BIN)/lint-imports --no-cache

docs: $(DEV) ## Write the pages drawn from code, check that all agree with it, and run their examples.
	$(PY) docs/generate.py
	$(PYTEST) tests/docs

bench: $(DEV) ## Measure everything on this machine: steps, files, logs. The parts: bench-batches, bench-files, bench-logs, bench-fans, bench-flow, bench-scripts.
	$(PY) -m tests.benchmarks.run
	$(PY) -m tests.benchmarks.files
	$(PY) -m tests.benchmarks.logs
	$(PY) -m tests.benchmarks.batches
	$(PY) -m tests.benchmarks.fans
	$(PY) -m tests.benchmarks.flow
	$(PY) -m tests.benchmarks.scripts

bench-batches: $(DEV) ## Measure jobs taken per second, one by one and as a stream. JOBS=100000 chooses the batch.
	$(PY) -m tests.benchmarks.batches $(if $(JOBS),--jobs $(JOBS))

bench-files: $(DEV) ## Measure a large file to the server and back. MIB=1024 chooses its size.
	$(PY) -m tests.benchmarks.files $(if $(MIB),--mib $(MIB))

bench-logs: $(DEV) ## Measure lines from tasks to followers: many a second, single ones, to 1,000 sockets.
	$(PY) -m tests.benchmarks.logs

bench-fans: $(DEV) ## Measure a 1,000-wide map against single tasks, and its longest script call.
	$(PY) -m tests.benchmarks.fans

bench-flow: $(DEV) ## Measure claims with much waiting, many tenants and limits. TASKS=1000000 chooses the backlog.
	$(PY) -m tests.benchmarks.flow $(if $(TASKS),--tasks $(TASKS))

bench-scripts: $(DEV) ## Measure each script of the store at its bounds. CALLS=1000 chooses how often.
	$(PY) -m tests.benchmarks.scripts $(if $(CALLS),--calls $(CALLS))

chaos: $(DEV) ## Kill, pause and restart real processes under load. SECONDS=600 SEED=7 choose another run.
	$(PY) -m tests.chaos.run --seconds $(or $(SECONDS),120) $(if $(SEED),--seed $(SEED))

sweep: $(DEV) ## Let a replica die at every store command of a job, in every way; then prove that bugs are found so.
	$(PY) -m tests.chaos.sweep
	$(PY) -m tests.chaos.mutants

model: $(DEV) ## Walk the stores' model and real servers at random through thousands of histories, and compare.
	MUSTER_LONG=1 $(PYTEST) tests/store/test_model.py

fuzz: $(DEV) ## Send strangers' requests to a development server. EXAMPLES=10000 SEED=7 choose another run.
	$(PY) -m tests.chaos.fuzz --examples $(or $(EXAMPLES),3000) $(if $(SEED),--seed $(SEED))

clean: ## Remove the environment, caches and the development data (.muster).
	rm -rf $(VENV) .muster .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(PY):
	@.ci/make-venv $(VENV)

$(SERVER): pyproject.toml | $(PY)
	@echo "installing Muster into $(VENV) …" >&2
	@$(PY) -m pip install --quiet --disable-pip-version-check -e '.[server]'
	@touch $@

$(DEV): pyproject.toml | $(PY)
	@echo "installing Muster and its development tools into $(VENV) …" >&2
	@$(PY) -m pip install --quiet --disable-pip-version-check -e '.[dev]'
	@touch $@ $(SERVER)
