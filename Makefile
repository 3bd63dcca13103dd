# Everything runs from .venv, which the first target that needs it creates from requirements.lock.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

export DO_NOT_TRACK := 1
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help run test soak coverage bench next lint format up down lock clean

help: ## list the targets
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## (.*)$$/  make \1\t\2/' | expand -t 16

VERSION := import sys; print("%d.%d" % sys.version_info[:2])
# The Python of .venv with its packages; nothing where it went away, as after an upgrade of the system's.
HAVE := $(shell $(BIN)/python -c 'import uv; $(VERSION)' 2>/dev/null)
ASKED := $(if $(filter-out file,$(origin PYTHON)),$(shell $(PYTHON) -c '$(VERSION)' 2>/dev/null),$(HAVE))
ifneq ($(HAVE),$(or $(ASKED),none))
.PHONY: $(READY)
endif

$(READY): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(0 if (3, 11) <= v[:2] <= (3, 14) else "Python 3.11 to 3.14 wanted, %s is %d.%d: make PYTHON=python3.12 ..." % (sys.executable, v[0], v[1]))'
	@echo "setting up $(VENV) (once; about a minute)"
	@test ! -d $(VENV) || test "$(HAVE)" = "$(or $(ASKED),none)" || { echo "$(VENV) is of another Python: made anew"; rm -rf $(VENV); }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check "$$(grep '^uv==' requirements.lock)"
	@$(BIN)/python .ci/uv.py pip sync --quiet --python $(BIN)/python --compile-bytecode requirements.lock
	@$(BIN)/python .ci/uv.py pip install --quiet --python $(BIN)/python --no-deps --editable .
	@touch $@

run: $(READY) ## one batch through the whole pipeline on the embedded stack
	@$(BIN)/cxm run
	@printf '%s\n' '' 'What to do next:' \
	    '  make up                            the Prefect UI, schedules and a worker, Data Docs and dbt docs; make down ends them' \
	    '  .venv/bin/cxm build                the marts, out of what was published' \
	    '  .venv/bin/cxm run --data FOLDER    your own files' \
	    '  architecture/README.md             every page: for those who ask, run, set up, change'

test: $(READY) ## every test that needs no account
	@$(BIN)/pytest -n 2 --dist loadfile --no-loadscope-reorder -m "not soak"

soak: $(READY) ## the tests that take long: many faults, many rounds, large files
	@$(BIN)/pytest -n 2 --dist loadfile -m soak

coverage: $(READY) ## which lines of flows/ the tests of `make test` run, in every process
	@mkdir -p .cxm/coverage && $(BIN)/coverage erase
	@$(BIN)/pytest -n 2 --dist loadfile --no-loadscope-reorder -m "not soak" --cov --cov-report=term

# The peers have an environment of their own; what each needs is no business of the product's.
.cxm/bench/.peers: tests/benchmarks/peers.txt $(READY)
	@mkdir -p .cxm/bench
	@$(BIN)/uv venv --quiet --allow-existing --python $(BIN)/python .cxm/bench/peers
	@$(BIN)/uv pip install --quiet --python .cxm/bench/peers/bin/python --compile-bytecode -r tests/benchmarks/peers.txt
	@touch $@

bench: .cxm/bench/.peers ## ours against its peers, measured; writes architecture/benchmarks.md (about ten minutes)
	@$(BIN)/python -m tests.benchmarks.run .cxm/bench/peers $(BENCH)

# Environments of their own: the emulated warehouse needs today's connector, so it stays in .venv. See architecture/next_versions.md.
next: $(READY) ## what comes: the wire tests with connector 5, the dbt project parsed by dbt 2
	@$(BIN)/uv venv --quiet --allow-existing --python $(BIN)/python .cxm/next/connector
	@$(BIN)/uv pip sync --quiet --python .cxm/next/connector/bin/python requirements.lock
	@$(BIN)/uv pip install --quiet --python .cxm/next/connector/bin/python --no-deps --editable .
	@$(BIN)/uv pip install --quiet --python .cxm/next/connector/bin/python --upgrade 'snowflake-connector-python>=5'
	-WAREHOUSE_PYTHON=$(CURDIR)/$(BIN)/python .cxm/next/connector/bin/python -m pytest -m "not soak" --timeout 60 \
	    tests/embedded/test_warehouse_sessions.py tests/embedded/test_warehouse_tables.py tests/embedded/test_warehouse_objects.py
	@$(BIN)/uv venv --quiet --allow-existing --python $(BIN)/python .cxm/next/dbt
	@if $(BIN)/uv pip install --quiet --python .cxm/next/dbt/bin/python 'dbt-oss>=2' >.cxm/next/dbt.log 2>&1; then \
	    sed -i.bak 's/<1.13.0/<3.0.0/' dbt/cxm_medtech/dbt_project.yml; \
	    .cxm/next/dbt/bin/dbt parse --project-dir dbt/cxm_medtech --profiles-dir dbt/cxm_medtech --target-path ../../.cxm/next/target; \
	    mv dbt/cxm_medtech/dbt_project.yml.bak dbt/cxm_medtech/dbt_project.yml; \
	else echo "dbt 2 does not install here: its build downloads a program (.cxm/next/dbt.log)"; fi

up: $(READY) ## start the embedded stack and leave it running
	@$(BIN)/cxm up

down: $(READY) ## stop it
	@$(BIN)/cxm down

lint: $(READY) ## ruff, mypy, imports, declared packages, sqlfluff, derived files, lineage, dbt, YAML, workflow, secrets
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/deptry .
	$(BIN)/sqlfluff lint sql dbt/cxm_medtech/models dbt/cxm_medtech/snapshots dbt/cxm_medtech/tests
	$(BIN)/cxm contract check
	$(BIN)/cxm docs check
	$(BIN)/cxm contract diff --check
	$(BIN)/yamllint --strict .
	$(BIN)/zizmor --offline --quiet .github
	$(BIN)/detect-secrets-hook --disable-plugin KeywordDetector --exclude-files 'tests/unit/test_synthetic_.*|requirements\.lock' $$(git ls-files)
	$(BIN)/cxm contract lineage --check
	$(BIN)/dbt --quiet --warn-error parse --show-all-deprecations --no-partial-parse --project-dir dbt/cxm_medtech \
	    --profiles-dir dbt/cxm_medtech --target-path ../../.cxm/lint --log-path ../../.cxm/lint
	$(BIN)/dbt-bouncer run --config-file dbt/cxm_medtech/dbt-bouncer.yml

format: $(READY) ## let ruff rewrite what it can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

lock: $(READY) ## resolve requirements.lock anew, for Linux and macOS, Python 3.11 to 3.14
	$(BIN)/uv pip compile --quiet pyproject.toml --group dev --universal --python-version 3.11 --upgrade \
	    --no-emit-index-url --no-emit-find-links --no-header --no-annotate --output-file requirements.lock
	@sed -E -i.bak "s/ (;|and) (python_full_version < '3.15' and )?\(sys_platform == 'darwin' or sys_platform == 'linux'\)\$$//; s/ ; python_full_version < '3.15'\$$//" requirements.lock && rm requirements.lock.bak

clean: ## remove the environment and the embedded stack's state
	rm -rf $(VENV) .cxm
