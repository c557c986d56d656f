# Two commands to start with: `make demo` and `make test`. Each sets itself up.

PYTHON ?= $(shell command -v python3.11 || command -v python3.12 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
export PREFECT_SERVER_ANALYTICS_ENABLED := false
export DO_NOT_TRACK := 1

.PHONY: help setup demo test lint lock clean

help:
	@echo "make demo        a benchmark from end to end, offline, against a simulated endpoint"
	@echo "make test        lint, types, import rules and tests"
	@echo "make lock        renew the pinned versions"

setup: $(VENV)/ready
	@$(BIN)/tidemark engines install genai-bench

$(VENV)/ready: pyproject.toml requirements/bootstrap.txt requirements/project.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --require-hashes -r requirements/bootstrap.txt
	$(BIN)/uv pip install --quiet --compile-bytecode --python $(BIN)/python \
		--require-hashes -r requirements/project.txt
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation -e .
	@touch $@

demo: setup
	$(BIN)/tidemark demo --directory demo

test: setup lint
	$(BIN)/python -m pytest

lint: $(VENV)/ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

lock: $(VENV)/ready
	echo uv | $(BIN)/uv pip compile - --quiet --upgrade --universal --python-version 3.11 --generate-hashes \
		--no-emit-index-url --no-header --no-annotate --output-file requirements/bootstrap.txt
	$(BIN)/uv pip compile pyproject.toml --group dev --all-extras --quiet --upgrade --universal \
		--python-version 3.11 --generate-hashes --no-emit-index-url --no-header --no-annotate \
		--output-file requirements/project.txt
	echo genai-bench==0.0.5 | $(BIN)/uv pip compile - --quiet --upgrade --universal --python-version 3.11 \
		--generate-hashes --no-emit-index-url --no-header --no-annotate \
		--output-file tidemark/engines/locks/genai-bench-0.0.5.txt

clean:
	rm -rf $(VENV) demo .mypy_cache .ruff_cache .import_linter_cache
