# What each target needs it sets up itself; see scripts/setup-system.sh for the programs around Python.
SHELL := /bin/bash
PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.made-from-pyproject

.PHONY: help setup run demo test bench fuzz lint format clean

help:
	@echo "make run     one provider on loopback with two accounts; prints how to connect"
	@echo "make demo    two providers exchange messages; every evidence is judged"
	@echo "make test    the tests"
	@echo "make bench   signatures against the bare key, messages a second against the signatures, relay of a full queue"
	@echo "make fuzz    every reader of octets from outside against atheris, SECONDS=60 each, READERS=\"cms token\" for some"
	@echo "make lint    style, types and layers"
	@echo "make setup   only what the others need: programs and .venv"

setup: $(STAMP)

# Rebuilt only when the list of packages changes.
$(STAMP): pyproject.toml scripts/setup-system.sh
	PYTHON="$(PYTHON)" scripts/setup-system.sh
	"$(PYTHON)" -m venv .venv
	$(BIN)/python -m pip install --quiet -e '.[dev]'
	touch $@

run: setup
	@$(BIN)/python -m kepgw.app.quickstart run

demo: setup
	@$(BIN)/python scripts/demo.py

test: setup
	$(BIN)/lint-imports
	$(BIN)/python scripts/check_conformance.py
	$(BIN)/python -m pytest -p xdist -n logical --dist loadfile

bench: setup
	@$(BIN)/python -m tests.bench.signatures
	@$(BIN)/python -m tests.bench
	@$(BIN)/python -m tests.bench.relay
	@$(BIN)/python -m tests.bench.beside_postfix

fuzz: setup
	@$(BIN)/python -m pip install --quiet -e '.[fuzz]'
	@$(BIN)/python tests/fuzz --seconds $(or $(SECONDS),60) $(READERS)

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: setup
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf .venv build dist ./*.egg-info .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
