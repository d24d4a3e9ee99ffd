# CodeLab Core. `make up` and `make test` are all a newcomer needs; `make` alone lists the rest.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --quiet --disable-pip-version-check --no-input
PROTOS := $(shell find protos/codelab -name '*.proto' 2>/dev/null)
DESCRIPTORS := protos/codelab/descriptors.binpb
PID_FILE := $(or $(CODELAB_DATA_DIR),.codelab)/suite.pid

.DEFAULT_GOAL := help
.PHONY: help up down test test-all check lock bench clean

help: ## List what can be made
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' Makefile

up: $(VENV)/.runtime $(DESCRIPTORS) ## Install what is needed, then run the whole suite in the foreground
	@exec $(BIN)/codelab up

down: ## Stop the suite that `make up` runs in this folder
	@pid=$$(cat '$(PID_FILE)' 2>/dev/null); \
	case "$$(ps -p "$${pid:-0}" -o command= 2>/dev/null)" in \
	  *codelab*) ;; \
	  *) echo "No suite is running in this folder."; exit 0 ;; \
	esac; \
	kill "$$pid"; \
	for _ in $$(seq 150); do \
	  kill -0 "$$pid" 2>/dev/null || { echo "The suite is stopped."; exit 0; }; \
	  sleep 0.1; \
	done; \
	echo "The suite (process $$pid) is still draining after 15 seconds." >&2; exit 1

test: $(VENV)/.dev $(DESCRIPTORS) ## Run the tests; those whose servers or tools are missing are skipped
	@$(BIN)/python -m pytest

test-all: $(VENV)/.dev $(DESCRIPTORS) ## Run every test; a skipped one is a failure
	@CODELAB_REQUIRE_ALL=1 $(BIN)/python -m pytest

check: $(VENV)/.dev $(DESCRIPTORS) ## Lint, types, contract, imports, locks
	$(BIN)/ruff check --quiet
	$(BIN)/ruff format --check --quiet
	$(BIN)/mypy
	$(BIN)/buf lint $(DESCRIPTORS)
	$(BIN)/lint-imports
	$(BIN)/python .ci/lock.py --check

lock: ## Write the locks anew from pyproject.toml; UPGRADE=1 moves every pin
	@test -x $(BIN)/uv || $(MAKE) --no-print-directory $(VENV)/.dev
	@PATH="$(CURDIR)/$(BIN):$$PATH" python .ci/lock.py $(if $(UPGRADE),--upgrade)

bench: $(VENV)/.dev $(DESCRIPTORS) ## Measure a direct call: overhead, CPU, start-up, memory
	@$(BIN)/python -m tests.bench.direct_call

clean: ## Remove everything that was made here, except the data in .codelab
	@git clean -Xdfq -e '!.codelab' -e '!.env'

# Installing. A stamp is older than its inputs when something must be installed again.

$(VENV)/.dev: $(VENV)/.runtime requirements-dev.lock
	@echo "Installing development tools (once)…"
	@$(PIP) install --require-hashes -r requirements-dev.lock
	@touch $@

$(VENV)/.runtime: pyproject.toml protos/build_hook.py requirements.lock requirements-assets.lock | $(BIN)/pip
	@echo "Installing dependencies (once, about half a minute)…"
	@$(PIP) install --require-hashes -r requirements.lock
	@$(PIP) install --require-hashes --no-deps -r requirements-assets.lock
	@$(PIP) install --no-build-isolation --no-deps --editable .
	@touch $@

# pip is the last thing that venv writes: without it an environment is unfinished.
$(BIN)/pip:
	$(if $(shell command -v $(PYTHON)),,$(error CodeLab needs Python 3.11 or newer and found no `$(PYTHON)`: \
	  install it (Debian: apt-get install python3 python3-venv) or name one: make PYTHON=/path/to/python3))
	$(if $(shell $(PYTHON) -c 'import sys; print("yes" if sys.version_info >= (3, 11) else "")'),,$(error \
	  CodeLab needs Python 3.11 or newer and `$(PYTHON)` is older: name another one: make PYTHON=/path/to/python3.11))
	$(if $(shell $(PYTHON) -c 'import venv, ensurepip; print("yes")' 2>/dev/null),,$(error \
	  `$(PYTHON)` cannot make virtual environments: apt-get install python3-venv))
	@$(PYTHON) -m venv --clear $(VENV)

$(DESCRIPTORS): $(PROTOS) protos/generate.py | $(VENV)/.runtime
	@$(BIN)/python protos/generate.py
