# All commands of a developer; CI runs the same ones. They need make and Python with venv
# and pip; everything else is installed under this folder, in these environments:
#
#   .venv          the tap, its tests, linters; uv, which installs the others
#   .venv-target   target-jsonl, whose old dependencies conflict with those of the tap
#   .venv-postgres target-postgres, which installs its own version of the SDK
#   .venv-meltano  Meltano, which in turn installs tap and target under .meltano
#   .venv-dagster  Dagster, for the example
#   .venv-dbt      dbt for PostgreSQL and DuckDB, for the other example
#
# To use another Python: make clean; make test PYTHON=python3.13
# To test a built package instead: make clean; make test PACKAGE=dist/….whl

PYTHON ?= python3
PACKAGE ?= --editable .
JSONL_LOADER := target-jsonl==0.1.4
POSTGRES_LOADER := meltanolabs-target-postgres==0.8.1
MELTANO := meltano==4.4.1

uv := .venv/bin/uv
tap := .venv/stamp
target := .venv-target/stamp
postgres := .venv-postgres/stamp
meltano := .venv-meltano/stamp
plugins := .meltano/stamp
dagster := .venv-dagster/stamp
dbt := .venv-dbt/stamp

# Compiling once makes every start of a tap faster; this holds for the uv of Meltano too.
export UV_COMPILE_BYTECODE := 1
export UV_PYTHON_DOWNLOADS := never

.PHONY: help test lint format demo sync meltano dagster dbt live bench faults hot soak
.PHONY: snapshots
.PHONY: build notes clean
.DELETE_ON_ERROR:

help: ## List these commands
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-10s %s\n", $$1, $$2 }' Makefile

# Meltano installs the tap from this folder, so only tests of this folder need it.
ifeq ($(PACKAGE),--editable .)
test: $(plugins)
endif
test: $(tap) $(target) $(postgres) ## Run all tests but those against a live server
	@.venv/bin/pytest --numprocesses=auto

lint: $(tap) ## Check style, types and workflows
	.venv/bin/ruff check
	.venv/bin/ruff format --check
	.venv/bin/mypy
	.venv/bin/lint-imports
	.venv/bin/check-jsonschema --builtin-schema vendor.meltano meltano.yml
	.venv/bin/check-jsonschema --builtin-schema vendor.dependabot .github/dependabot.yml
	.venv/bin/check-jsonschema --builtin-schema vendor.github-workflows .github/workflows/*.yml
	.venv/bin/check-jsonschema --builtin-schema vendor.github-issue-forms .github/ISSUE_TEMPLATE/*.yml
	.venv/bin/check-jsonschema --builtin-schema vendor.compose-spec .github/glitchtip/compose.yml
	.venv/bin/zizmor --offline --quiet .github

format: $(tap) ## Fix and format the code
	.venv/bin/ruff check --fix
	.venv/bin/ruff format

demo: $(tap) $(plugins) ## Load a simulated Sentry through Meltano, build marts, query both
	@$(MAKE) --silent --no-print-directory $(dbt) 2> /dev/null || rm -rf .venv-dbt
	@.venv/bin/python -m tests.demo .venv-meltano/bin/meltano .venv-dbt/bin/dbt

sync: $(plugins) ## Load your Sentry into output/: TAP_SENTRY_AUTH_TOKEN=… make sync
	.venv-meltano/bin/meltano --log-level warning run tap-sentry target-jsonl

meltano: $(tap) $(plugins) ## Test the tap as Meltano runs it
	@.venv/bin/pytest tests/test_meltano.py

dagster: $(tap) $(postgres) $(dagster) ## Test the Dagster example
	@.venv/bin/pytest -m dagster tests/warehouse/test_dagster.py

dbt: $(tap) $(target) $(postgres) $(dbt) ## Build the dbt example on DuckDB and PostgreSQL, and test it
	@.venv/bin/pytest -m dbt tests/warehouse/test_dbt.py

live: $(tap) $(target) ## Test a server: make live SENTRY_URL=… SENTRY_TOKEN=… [SENTRY_TRUTH=folder]
	$(if $(and $(SENTRY_URL),$(SENTRY_TOKEN)),,$(error SENTRY_URL and SENTRY_TOKEN must be set))
	@.venv/bin/pytest -m live tests/live

bench: $(tap) ## Measure the tap against rivals: make bench [BENCH='--quick light latency']
	@.venv/bin/python -m tests.benchmarks $(BENCH)

# `make test` runs these tests as well, in a short form.
soak: $(tap) $(target) ## Run the tests with generated cases at full length
	@SOAK=1 .venv/bin/pytest --numprocesses=auto tests/sync/test_histories.py \
	  tests/sync/test_kills.py tests/api/test_fault_mixtures.py tests/api/test_ties.py \
	  tests/sync/test_sliced_histories.py tests/streams/test_explore_histories.py \
	  tests/sync/test_ways_histories.py tests/streams/test_events_by.py \
	  tests/cli/test_plan_accuracy.py
	@.venv/bin/python -m tests.hot --seeds 100
	@.venv/bin/python -m tests.soak --seconds 120

faults: $(tap) ## Run the tap under hundreds of mixtures of faults: [FAULTS='--first 1000']
	@.venv/bin/python -m tests.soak $(FAULTS)

hot: $(tap) ## Read hundreds of hot issues, page by page: [HOT='--seeds 1000']
	@.venv/bin/python -m tests.hot $(HOT)

snapshots: $(tap) $(target) $(postgres) ## Rewrite the catalog, pages, pictures and sources; review the diff
	@SNAPSHOTS=write .venv/bin/pytest --quiet tests/test_catalog.py tests/test_tables.py \
	  tests/test_stream_docs.py tests/test_readme.py tests/warehouse/test_recipes.py \
	  tests/warehouse/test_dbt_project.py

build: $(uv) ## Build the packages to release, into dist/
	rm -rf dist
	$(uv) build --quiet

notes: ## Print the changelog of a version: make notes VERSION=1.2.3
	@awk -v heading='## [$(VERSION)]' '\
	  /^## / { printing = index($$0, heading) == 1; found += printing; next } \
	  /^\[.*\]: / { next } \
	  printing { print } \
	  END { exit !found }' CHANGELOG.md

clean: ## Remove environments, caches, loaded rows and their bookmarks
	rm -rf .venv .venv-target .venv-postgres .venv-meltano .venv-dagster .venv-dbt .meltano output
	rm -rf build dist .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	rm -rf examples/dbt/logs examples/dbt/target examples/dbt/*.duckdb*

$(uv):
	$(PYTHON) -m venv .venv
	.venv/bin/pip install --quiet --disable-pip-version-check uv

$(tap): pyproject.toml | $(uv)
	$(uv) pip install --quiet --python .venv $(PACKAGE) --group dev
	@touch $@

$(target): Makefile | $(uv)
	$(uv) venv --quiet --clear --python .venv/bin/python .venv-target
	$(uv) pip install --quiet --python .venv-target '$(JSONL_LOADER)'
	@touch $@

$(postgres): Makefile | $(uv)
	$(uv) venv --quiet --clear --python .venv/bin/python .venv-postgres
	$(uv) pip install --quiet --python .venv-postgres '$(POSTGRES_LOADER)'
	@touch $@

$(meltano): Makefile | $(uv)
	$(uv) venv --quiet --clear --python .venv/bin/python .venv-meltano
	$(uv) pip install --quiet --python .venv-meltano '$(MELTANO)'
	@touch $@

# Installed again whenever the dependencies of the tap may have changed.
$(plugins): meltano.yml pyproject.toml $(meltano)
	.venv-meltano/bin/meltano --log-level warning install
	@touch $@

$(dagster): Makefile examples/dagster/requirements.txt | $(uv)
	$(uv) venv --quiet --clear --python .venv/bin/python .venv-dagster
	$(uv) pip install --quiet --python .venv-dagster --requirement examples/dagster/requirements.txt
	@touch $@

$(dbt): Makefile examples/dbt/requirements.txt | $(uv)
	$(uv) venv --quiet --clear --python .venv/bin/python .venv-dbt
	$(uv) pip install --quiet --python .venv-dbt --requirement examples/dbt/requirements.txt
	@touch $@
