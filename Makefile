# CodeLab Core. `make up` and `make test` are all a newcomer needs; `make` alone lists the rest.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --quiet --disable-pip-version-check --no-input
PROTOS := $(sort $(shell find protos/codelab -name '*.proto' 2>/dev/null))
DESCRIPTORS := protos/codelab/descriptors.binpb
# Alone, the tests keep little more than one core busy. One that hangs ends its worker, and with it the run.
PYTEST := $(BIN)/python -m pytest --numprocesses=2 --dist=loadscope --max-worker-restart=0

.DEFAULT_GOAL := help
.PHONY: help up down test test-rest test-all soak soak-streams check lock contract-baseline bench bench-memory
.PHONY: bench-durability bench-orchestration bench-fanout bench-tokens bench-parking clean always

help: ## List what can be made
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-19s %s\n", $$1, $$2 }' Makefile

up: $(VENV)/.runtime $(DESCRIPTORS) ## Install what is needed, then run the whole suite in the foreground
	@exec $(BIN)/codelab up

down: ## Stop the suite that `make up` runs in this folder
	@data=; \
	if [ -x $(BIN)/python ]; then \
	  data=$$($(BIN)/python -m services.runtime.dotenv CODELAB_DATA_DIR) || exit 1; \
	fi; \
	pid=$$(cat "$${data:-.codelab}/suite.pid" 2>/dev/null || echo 0); \
	case "$$(ps -p "$$pid" -o command= 2>/dev/null || tr '\0' ' ' 2>/dev/null <"/proc/$$pid/cmdline")" in \
	  *codelab*|*services.cli*) ;; \
	  *) echo "No suite is running in this folder."; exit 0 ;; \
	esac; \
	kill "$$pid"; \
	for _ in $$(seq 150); do \
	  kill -0 "$$pid" 2>/dev/null || { echo "The suite is stopped."; exit 0; }; \
	  sleep 0.1; \
	done; \
	echo "The suite (process $$pid) is still draining after 15 seconds." >&2; exit 1

test: $(VENV)/.dev $(DESCRIPTORS) ## Run the tests; those whose servers or tools are missing are skipped
	@$(PYTEST)

test-rest: $(VENV)/.dev $(DESCRIPTORS) ## Run the tests that `make test` leaves out; a skipped one is a failure
	@CODELAB_REQUIRE_ALL=1 CODELAB_TESTS=rest $(PYTEST)

test-all: $(VENV)/.dev $(DESCRIPTORS) ## Run every test; a skipped one is a failure
	@CODELAB_REQUIRE_ALL=1 CODELAB_TESTS=all $(PYTEST)

soak: $(VENV)/.dev $(DESCRIPTORS) ## Let hundreds of faults strike and print the tally; ARGS="--faults 1000 --seed 7"
	@$(BIN)/python -m tests.e2e.faults.soak $(ARGS)

soak-streams: $(VENV)/.dev $(DESCRIPTORS) ## Torture the event streams in full size; ARGS="--rounds 5 --seed 7"
	@$(BIN)/python -m tests.e2e.torture.soak $(ARGS)

check: $(VENV)/.dev $(DESCRIPTORS) ## Lint, types, contract, imports, locks
	$(BIN)/ruff check --quiet
	$(BIN)/ruff format --check --quiet
	$(BIN)/mypy
	$(BIN)/buf lint $(DESCRIPTORS) --path codelab
	$(BIN)/python protos/baseline.py
	$(BIN)/lint-imports --no-logo
	$(BIN)/python .ci/lock.py --check
	@! git ls-files --cached --ignored --exclude-standard 2>/dev/null | grep . || { echo 'generated, and yet tracked' >&2; exit 1; }

lock: $(if $(wildcard $(BIN)/uv),,$(VENV)/.dev) ## Write the locks anew from pyproject.toml; UPGRADE=1 moves every pin
	@PATH="$(CURDIR)/$(BIN):$$PATH" python .ci/lock.py $(if $(UPGRADE),--upgrade)

contract-baseline: $(VENV)/.dev $(DESCRIPTORS) ## Write down what was added to the contract; what breaks its clients is refused
	@$(BIN)/python protos/baseline.py --write

bench: $(VENV)/.dev $(DESCRIPTORS) ## Measure a direct call: overhead, CPU, start-up, memory
	@$(BIN)/python -m tests.bench.direct_call

bench-memory: $(VENV)/.dev $(DESCRIPTORS) ## Measure the memory: writing, searching, optimising; ARGS=--full for all
	@$(BIN)/python -m tests.bench.memory $(ARGS)

bench-durability: $(VENV)/.dev $(DESCRIPTORS) ## Measure what it costs that runs survive, on both databases
	@$(BIN)/python -m tests.bench.durability $(ARGS)

bench-orchestration: $(VENV)/.dev $(DESCRIPTORS) ## Measure planned runs: beside their model's own time, and many at once
	@$(BIN)/python -m tests.bench.orchestration $(ARGS)

bench-fanout: $(VENV)/.dev $(DESCRIPTORS) ## Measure event streams: a delivery, a stream, readers that stall; ARGS=--redis
	@$(BIN)/python -m tests.bench.fanout $(ARGS)

bench-tokens: $(VENV)/.dev $(DESCRIPTORS) ## Measure a token's way from the model to its reader, and how many at once
	@$(BIN)/python -m tests.bench.tokens $(ARGS)

bench-parking: $(VENV)/.dev $(DESCRIPTORS) ## Measure what waiting for approvals costs, a thousand runs at once
	@$(BIN)/python -m tests.bench.parking $(ARGS)

clean: ## Remove what was installed, generated or cached here; the data in .codelab stays
	@rm -rf $(VENV) $(DESCRIPTORS) dist build .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	@find protos services gateway codelab_client tests \( -name '*_pb2*' -o -name '*.pyc' \) -delete

# Installing. A stamp is older than its inputs when something must be installed again.

$(VENV)/.dev: $(VENV)/.runtime requirements-dev.lock
	@echo "$(if $(wildcard $@),Updating development tools…,Installing development tools (once)…)"
	@$(PIP) install --require-hashes -r requirements-dev.lock
	@touch $@

$(VENV)/.runtime: pyproject.toml protos/build_hook.py requirements.lock requirements-assets.lock | $(BIN)/pip
	@echo "$(if $(wildcard $@),Updating dependencies…,Installing dependencies (once, about half a minute)…)"
	@$(PIP) install --require-hashes -r requirements.lock
	@$(PIP) install --require-hashes --no-deps -r requirements-assets.lock
	@$(PIP) install --no-build-isolation --no-deps --editable .
	@touch $@

# pip is the last thing that venv writes: without it an environment is unfinished.
$(BIN)/pip:
	$(if $(PROBLEM),$(error CodeLab needs Python 3.11 or newer with venv; $(PROBLEM)))
	@$(PYTHON) -m venv --clear $(VENV)

# Asked only when an environment is to be made; empty when the interpreter will do.
PROBLEM = $(shell \
  if ! command -v $(PYTHON) >/dev/null; then \
    echo "there is no '$(PYTHON)' here: apt-get install python3 python3-venv"; \
  elif ! $(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
    echo "'$(PYTHON)' is older: name a newer one, as in: make PYTHON=python3.12"; \
  elif ! $(PYTHON) -c 'import venv, ensurepip' 2>/dev/null; then \
    echo "'$(PYTHON)' has no venv: apt-get install python3-venv"; \
  fi)

$(DESCRIPTORS): $(PROTOS) $(VENV)/.protos protos/generate.py | $(VENV)/.runtime
	@$(BIN)/python protos/generate.py

# The names of all protos: what is generated from one that is gone must go too, and no file is newer for it.
$(VENV)/.protos: always | $(VENV)/.runtime
	@echo '$(PROTOS)' | cmp -s - $@ || echo '$(PROTOS)' >$@
