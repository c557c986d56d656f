# Two commands to start with: `make demo` and `make test`. Each sets itself up.

PYTHON ?= $(shell command -v python3.11 || command -v python3.12 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
export PREFECT_SERVER_ANALYTICS_ENABLED := false
export DO_NOT_TRACK := 1
# Hundreds of processes are started here: without bytecode each compiles all that it imports.
unexport PYTHONDONTWRITEBYTECODE

LOCAL := deployments/local_model
AZURITE := tests/stores/azurite
# Where pip looks for wheels besides the index, such as a CPU build of torch, uv looks too.
WHEELS := $(if $(PIP_FIND_LINKS),--find-links $(PIP_FIND_LINKS))

SUDO := $(if $(filter 0,$(shell id -u)),,sudo)

.PHONY: help setup demo demo-real demo-vllm test test-contract test-stores test-e2e drill drill-sweep drill-adoption drill-ledger truth overhead bench-verify bench-pai bench-dlc bench-stores lint lock clean

help:
	@echo "make demo        a benchmark from end to end, offline, against a simulated endpoint"
	@echo "make test        lint, types, import rules and tests"
	@echo "make test-contract  the official SDKs against the simulated services, and ours beside them"
	@echo "make test-stores  every kind of store against a server of its own (ten minutes)"
	@echo "make test-e2e    forms, approvals and runs in a real browser, PostgreSQL (fifteen minutes)"
	@echo "make demo-real   the same against llama.cpp on this machine (200 MB more)"
	@echo "make demo-vllm   the same against vLLM on this machine's processor (2 to 4 GB more)"
	@echo "make drill       a job's run with a fault at every point: 900 cases (at most MINUTES=60; goes on)"
	@echo "make drill-sweep  sweeps interrupted at 50 random moments (at most thirty minutes; goes on)"
	@echo "make drill-adoption  one job each for a thousand random schedules of lost and late answers"
	@echo "make drill-ledger  two flows and one cap: a thousand random schedules"
	@echo "make truth       does the truth lie within what is printed? (twenty minutes)"
	@echo "make overhead    a sweep beside the bare engine: time and memory (ten minutes)"
	@echo "make bench-verify  tidemark verify on a million requests: time and memory (ten minutes)"
	@echo "make bench-pai   the PAI client beside the official SDK; watching 1 to 1000 jobs (ten minutes)"
	@echo "make bench-dlc   what a job's run adds to the job, for 1 to 500 runs at once (thirty minutes)"
	@echo "make bench-stores  10,000 cells on every kind of store, before and after compaction (hours; goes on)"
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
	@# What a busy machine cannot be trusted to measure ends the first with 3, and is no reason to
	@# leave the second out.
	$(BIN)/tidemark demo --directory demo; first=$$?; \
	$(BIN)/tidemark dlc demo --directory demo-dlc; second=$$?; \
	[ $$first -ne 0 ] && exit $$first; exit $$second

demo-real: setup .venv-llama/ready
	$(BIN)/python $(LOCAL)/demo.py llama --server-python .venv-llama/bin/python --directory demo-real

demo-vllm: setup .venv-vllm/ready
	$(BIN)/python $(LOCAL)/demo.py vllm --server-python .venv-vllm/bin/python --directory demo-vllm

.venv-llama/ready: $(VENV)/ready $(LOCAL)/requirements-llama.txt
	$(PYTHON) -m venv .venv-llama
	$(BIN)/uv pip install --quiet --python .venv-llama/bin/python --require-hashes \
		-r $(LOCAL)/requirements-llama.txt
	@touch $@

# Pinned by version only: the builds of torch for one processor or another differ in their hashes.
.venv-vllm/ready: $(VENV)/ready $(LOCAL)/requirements-vllm.txt $(LOCAL)/overrides-vllm.txt
	$(PYTHON) -m venv .venv-vllm
	$(BIN)/uv pip install --quiet --python .venv-vllm/bin/python $(WHEELS) \
		--overrides $(LOCAL)/overrides-vllm.txt -r $(LOCAL)/requirements-vllm.txt
	@touch $@

truth: setup
	$(BIN)/python benchmarks/truth.py

overhead: setup
	$(BIN)/python benchmarks/overhead.py

bench-verify: setup
	$(BIN)/python benchmarks/verify.py

bench-pai: $(VENV)/contract
	$(BIN)/python benchmarks/pai_client.py

bench-dlc: $(VENV)/ready
	$(BIN)/python benchmarks/dlc_overhead.py

bench-stores: $(VENV)/stores
	$(BIN)/python benchmarks/stores.py

drill-adoption: $(VENV)/ready
	ADOPTION_SCHEDULES=1000 $(BIN)/python -m pytest --timeout 600 tests/alibaba/test_adoption.py

drill: $(VENV)/ready
	$(BIN)/python tests/drill/dlc_drill.py --directory drill/dlc --minutes $(or $(MINUTES),60)

drill-ledger: $(VENV)/ready
	LEDGER_SCHEDULES=1000 $(BIN)/python -m pytest --timeout 900 tests/money/test_ledger_concurrency.py

drill-sweep: setup
	$(BIN)/python tests/drill/drill.py --directory drill

test: setup lint
	$(BIN)/python -m pytest -n 2

# Screenshots are left in e2e/. CHROMIUM names a browser that is not found by itself.
test-e2e: setup $(VENV)/e2e
	@[ -n "$$CHROMIUM" ] || command -v chromium || command -v chromium-browser || \
		command -v google-chrome || { $(SUDO) apt-get update -qq && $(SUDO) apt-get install -y -qq chromium; }
	@ls -d /usr/lib/postgresql/*/bin >/dev/null 2>&1 || command -v initdb || \
		{ $(SUDO) apt-get update -qq && $(SUDO) apt-get install -y -qq postgresql; }
	$(BIN)/python -m pytest --timeout 600 tests/e2e

test-contract: $(VENV)/contract
	$(BIN)/python -m pytest --timeout 300 tests/contract

# Each kind of store has servers of its own, so two processes share them out.
test-stores: $(VENV)/stores $(VENV)/azurite
	$(BIN)/python -m pytest --timeout 300 -n 2 -rs tests/stores

$(VENV)/stores: $(VENV)/ready requirements/stores.txt
	$(BIN)/uv pip install --quiet --python $(BIN)/python --require-hashes -r requirements/stores.txt
	@touch $@

# Without node and npm there is no stamp, so that it is tried again, and the tests say what is left out.
$(VENV)/azurite: $(VENV)/ready $(AZURITE)/package.json $(AZURITE)/package-lock.json
	@if command -v node >/dev/null && command -v npm >/dev/null; then \
		npm --prefix $(AZURITE) ci --ignore-scripts --no-audit --no-fund --loglevel=error && touch $@; \
	else \
		echo "NOT TESTED: Azure Blob Storage. Azurite, which it is tested against, needs node and npm."; \
	fi

$(VENV)/contract: $(VENV)/ready requirements/contract.txt
	$(BIN)/uv pip install --quiet --python $(BIN)/python --require-hashes -r requirements/contract.txt
	@touch $@

$(VENV)/e2e: $(VENV)/ready requirements/e2e.txt
	$(BIN)/uv pip install --quiet --python $(BIN)/python --require-hashes -r requirements/e2e.txt
	@touch $@

lint: $(VENV)/ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

lock: $(VENV)/ready
	echo uv | $(BIN)/uv pip compile - --quiet --upgrade --universal --python-version 3.11 --generate-hashes \
		--no-emit-index-url --no-header --no-annotate --output-file requirements/bootstrap.txt
	$(BIN)/uv pip compile pyproject.toml --group dev --extra simulator --quiet --upgrade --universal \
		--python-version 3.11 --generate-hashes --no-emit-index-url --no-header --no-annotate \
		--output-file requirements/project.txt
	$(BIN)/uv pip compile --group pyproject.toml:e2e --constraint requirements/project.txt --quiet \
		--upgrade --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header \
		--no-annotate --output-file requirements/e2e.txt
	$(BIN)/uv pip compile --group pyproject.toml:contract --constraint requirements/project.txt --quiet \
		--upgrade --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header \
		--no-annotate --output-file requirements/contract.txt
	$(BIN)/uv pip compile pyproject.toml --extra all-stores --group stores \
		--constraint requirements/project.txt --quiet --upgrade --universal --python-version 3.11 \
		--generate-hashes --no-emit-index-url --no-header --no-annotate \
		--output-file requirements/stores.txt
	echo genai-bench==0.0.5 | $(BIN)/uv pip compile - --quiet --upgrade --universal --python-version 3.11 \
		--generate-hashes --no-emit-index-url --no-header --no-annotate \
		--output-file tidemark/engines/locks/genai-bench-0.0.5.txt
	echo "xllamacpp gguf" | tr ' ' '\n' | $(BIN)/uv pip compile - --quiet --upgrade --universal \
		--python-version 3.11 --generate-hashes --no-emit-index-url --no-header --no-annotate \
		--output-file $(LOCAL)/requirements-llama.txt

clean:
	rm -rf $(AZURITE)/node_modules
	rm -rf $(VENV) .venv-llama .venv-vllm demo demo-dlc demo-real demo-vllm drill drill-dlc e2e .mypy_cache .ruff_cache .import_linter_cache
