# The only commands a newcomer needs: make up, make test, make check, make install.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
DAEMONS := $(VENV)/.daemons
# Compiled Python is kept: without it every process that a test starts compiles half of Forestall again.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: up install test check fuzz fast lock clean migrations assets

up: install              ## set up and run; prints a one-time set-up link
	$(BIN)/forestall up $(ARGS)

install: $(STAMP)        ## only the set-up, into .venv/

$(STAMP): requirements/dev.lock pyproject.toml hatch_build.py
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-build-isolation --no-deps --editable .
	@touch $@

assets: install          ## rebuild style sheet and scripts after editing a template
	$(BIN)/python hatch_build.py

$(DAEMONS): tests/daemons.txt tests/install_daemons.sh
	sh tests/install_daemons.sh
	@touch $@

test: install $(DAEMONS) ## every test, with the real daemons that they talk to
	$(BIN)/python hatch_build.py
	$(BIN)/pytest -n 2 tests/unit tests/house  # first: what is compiled for the others, who have deadlines
	$(BIN)/pytest -n 3 --dist loadscope -m "not e2e" tests --ignore tests/unit --ignore tests/house
	$(BIN)/pytest -n 4 --dist loadscope --no-loadscope-reorder -m e2e tests

check: install           ## fast checks for a developer
	$(BIN)/ruff check src tests benchmarks
	$(BIN)/ruff format --check src tests benchmarks
	$(BIN)/lint-imports
	$(BIN)/mypy
	$(BIN)/python -m django makemigrations --check --dry-run --settings forestall.web.settings
	$(BIN)/pytest -n 2 tests/unit tests/house

fuzz: install            ## fuzz every decoder, each for MINUTES (3)
	$(BIN)/python tests/fuzz/run.py --minutes $(or $(MINUTES),3)

lock:                    ## renew the pinned packages (needs uv)
	uv pip compile -q requirements/run.in --generate-hashes --no-header --no-emit-index-url --no-annotate --python-version 3.11 -o requirements/run.lock
	uv pip compile -q requirements/dev.in --generate-hashes --no-header --no-emit-index-url --no-annotate --python-version 3.11 -o requirements/dev.lock

clean:
	rm -rf $(VENV) src/forestall/web/static/dist
