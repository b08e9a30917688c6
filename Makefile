# Everything a developer runs, and CI runs the same. Needs make and Python with venv and
# pip; the rest is installed under this folder, each kind in an environment of its own:
#
#   .venv          the tap, its tests, linters; uv, which fills the others
#   .venv-target   target-jsonl, whose old packages would break those of the tap
#   .venv-postgres target-postgres, which would bring its own version of the SDK
#   .venv-meltano  Meltano, which in turn installs tap and target under .meltano
#   .venv-dagster  Dagster, for the example
#
# Another Python: make clean; make test PYTHON=python3.13
# What was built instead of what is here: make clean; make test PACKAGE=dist/….whl

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

# Compiled once, every start of a tap is faster; this holds for the uv of Meltano too.
export UV_COMPILE_BYTECODE := 1
export UV_PYTHON_DOWNLOADS := never

.PHONY: help test lint format demo sync meltano dagster live bench faults hot soak
.PHONY: snapshots
.PHONY: build notes clean
.DELETE_ON_ERROR:

help: ## Say what there is
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-10s %s\n", $$1, $$2 }' Makefile

# Meltano installs the tap from this folder, whatever else is tested.
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

format: $(tap) ## Rewrite the code in the one style
	.venv/bin/ruff check --fix
	.venv/bin/ruff format

demo: $(tap) $(plugins) ## Load a simulated Sentry through Meltano and query it
	@.venv/bin/python -m tests.demo .venv-meltano/bin/meltano

sync: $(plugins) ## Load your Sentry into output/: TAP_SENTRY_AUTH_TOKEN=… make sync
	.venv-meltano/bin/meltano --log-level warning run tap-sentry target-jsonl

meltano: $(tap) $(plugins) ## Test the tap as Meltano runs it
	@.venv/bin/pytest tests/test_meltano.py

dagster: $(tap) $(postgres) $(dagster) ## Test the example of Dagster
	@.venv/bin/pytest -m dagster tests/warehouse/test_dagster.py

live: $(tap) $(target) ## Test a server: make live SENTRY_URL=… SENTRY_TOKEN=… [SENTRY_TRUTH=folder]
	$(if $(and $(SENTRY_URL),$(SENTRY_TOKEN)),,$(error SENTRY_URL and SENTRY_TOKEN must be set))
	@.venv/bin/pytest -m live tests/live

bench: $(tap) ## Measure the tap against rivals: make bench [BENCH='--quick light latency']
	@.venv/bin/python -m tests.benchmarks $(BENCH)

# What `make test` tries in a short form, too.
soak: $(tap) $(target) ## Run the tests of made-up cases at full length
	@SOAK=1 .venv/bin/pytest --numprocesses=auto tests/sync/test_histories.py \
	  tests/sync/test_kills.py tests/api/test_fault_mixtures.py tests/api/test_ties.py
	@.venv/bin/python -m tests.hot --seeds 100
	@.venv/bin/python -m tests.soak --seconds 120

faults: $(tap) ## Run the tap under hundreds of mixtures of faults: [FAULTS='--first 1000']
	@.venv/bin/python -m tests.soak $(FAULTS)

hot: $(tap) ## Read hundreds of hot issues, page by page: [HOT='--seeds 1000']
	@.venv/bin/python -m tests.hot $(HOT)

snapshots: $(tap) $(postgres) ## Rewrite what tests hold: catalog, tables, recipes; review the diff
	@SNAPSHOTS=write .venv/bin/pytest --quiet tests/test_catalog.py tests/test_tables.py \
	  tests/warehouse/test_recipes.py

build: $(uv) ## Build what is released, into dist/
	rm -rf dist
	$(uv) build --quiet

notes: ## Print what the changelog says of a version: make notes VERSION=1.2.3
	@awk -v heading='## [$(VERSION)]' '\
	  /^## / { printing = index($$0, heading) == 1; found += printing; next } \
	  /^\[.*\]: / { next } \
	  printing { print } \
	  END { exit !found }' CHANGELOG.md

clean: ## Remove environments, caches, loaded rows and their bookmarks
	rm -rf .venv .venv-target .venv-postgres .venv-meltano .venv-dagster .meltano output
	rm -rf build dist .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache

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

# Again whenever what the tap depends on may have changed.
$(plugins): meltano.yml pyproject.toml $(meltano)
	.venv-meltano/bin/meltano --log-level warning install
	@touch $@

$(dagster): Makefile examples/dagster/requirements.txt | $(uv)
	$(uv) venv --quiet --clear --python .venv/bin/python .venv-dagster
	$(uv) pip install --quiet --python .venv-dagster --requirement examples/dagster/requirements.txt
	@touch $@
