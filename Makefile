# Everything a person or a machine does with this project. Needs make and Python 3.11 or newer.

# The first of these that is new enough; name another one with make PYTHON=...
PYTHON ?= $(shell for p in python3 python3.11 python3.12 python3.13 python3.14; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
# What is installed is known by what it was installed from, so that repeating costs nothing.
RUN_STAMP := .venv/.installed-$(shell cat requirements.lock pyproject.toml | cksum | cut -d' ' -f1)
DEV_STAMP := .venv/.dev-$(shell cat requirements-dev.lock pyproject.toml | cksum | cut -d' ' -f1)
COMPILE := $(BIN)/uv pip compile -q --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-header
# Arguments for a target, as in make run ARGS="--exit --json" or make test ARGS="tests/db -k audit".
ARGS ?=
TEST_WORKERS ?= 2

.DEFAULT_GOAL := help
.PHONY: help install install-dev run test check fmt bench lock openapi clean clean-data

help: ## Tell what there is
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | \
		awk -F '\t' '{ printf "  make %-12s %s\n", $$1, $$2 }'

install: $(RUN_STAMP) ## Install what running needs into .venv

install-dev: $(DEV_STAMP) ## Install what testing and changing need as well

.venv/.made:
	@$(or $(PYTHON),false) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
		echo "Python 3.11 or newer is needed, and none was found: install one," \
		"or name it with make PYTHON=/path/to/python." >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { echo "$(PYTHON) comes without venv" \
		"or ensurepip: install the package that has them (on Debian: python3-venv)." >&2; exit 1; }
	@$(PYTHON) -m venv .venv
	@touch $@

# The build tool is in the lock, hence no isolation: nothing is fetched besides what the lock names.
$(RUN_STAMP): .venv/.made
	@echo "Installing what running needs; the first time takes a minute or two" >&2
	@$(PIP) install --progress-bar off -q --require-hashes -r requirements.lock
	@$(PIP) install -q --no-deps --no-build-isolation -e .
	@rm -f .venv/.installed-* && touch $@

$(DEV_STAMP): $(RUN_STAMP)
	@echo "Installing what testing needs" >&2
	@$(PIP) install --progress-bar off -q --require-hashes -r requirements-dev.lock
	@rm -f .venv/.dev-* && touch $@

run: install ## Start everything, show the demo, stay up until Ctrl-C
	@$(BIN)/stockwright demo $(ARGS)

test: install-dev ## Run all tests on real servers
	@$(BIN)/python -m tools.servers
	@$(BIN)/python -m pytest -n $(TEST_WORKERS) --dist loadfile $(ARGS)

check: install-dev ## Lint, types, contracts between folders, dependencies, documents, house limits
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy .
	$(BIN)/lint-imports
	$(BIN)/deptry .
	$(BIN)/python -m tools.openapi
	$(BIN)/python -m tools.house

fmt: install-dev ## Format and sort imports
	@$(BIN)/ruff check --fix --select I -q .
	@$(BIN)/ruff format .

bench: install-dev ## Measure, and compare with the baselines
	@$(BIN)/python -m benchmarks $(ARGS)

lock: install-dev ## Resolve requirements*.in into the locks again
	$(COMPILE) requirements.in -o requirements.lock
	$(COMPILE) requirements-dev.in -o requirements-dev.lock

openapi: install-dev ## Write docs/openapi.json anew
	@$(BIN)/python -m api.openapi

clean: ## Remove what was installed and built; the data stays
	rm -rf .venv build *.egg-info .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

clean-data: install ## Stop everything and delete the data folder
	@$(BIN)/python -m tools.servers --destroy
