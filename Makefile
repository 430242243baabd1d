# Two commands do everything on a fresh machine: make demo, make test.
SHELL := /bin/bash
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.ready

.PHONY: setup demo test test-slow check bench docs clean
.DEFAULT_GOAL := help

help:
	@echo "make setup   all the set-up, into $(VENV); a second call is instant"
	@echo "make demo    the paper's loop on a small model, in minutes: recipes/demo.yaml"
	@echo "make test    the test suite"
	@echo "make check   ruff (lint and format), import contracts, pyright and the test suite"
	@echo "make docs    the documentation site, strictly, into site/"
	@echo "make bench   the benchmarks, one JSON object each"

setup: $(STAMP)

$(STAMP): constraints.txt pyproject.toml scripts/setup.sh
	@bash scripts/setup.sh $(VENV)
	@touch $@

demo: setup
	$(BIN)/itertl run recipes/demo.yaml

# one process for each of two cores, one thread in each: faster than two threads in one
test: setup
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist worksteal

test-slow: setup
	$(BIN)/python -m pytest -m slow

check: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports --no-logo
	$(BIN)/pyright
	@$(MAKE) test

bench: setup
	@for file in benchmarks/*.py; do $(BIN)/python $$file --json || exit 1; done

# an environment of its own: the site is read from the source, without torch
DOCS := .venv-docs

docs: $(DOCS)/.ready
	NO_MKDOCS_2_WARNING=1 $(DOCS)/bin/mkdocs build --strict --quiet
	@echo "site/index.html"

$(DOCS)/.ready: constraints.txt pyproject.toml
	python3 -m venv $(DOCS)
	$(DOCS)/bin/pip install -q --disable-pip-version-check -c constraints.txt $(ITERTL_PIP_OPTIONS) mkdocs mkdocs-material mkdocstrings-python
	@touch $@

clean:
	rm -rf $(VENV) $(DOCS) site .pytest_cache .ruff_cache .hypothesis
