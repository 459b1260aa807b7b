# Each target does its own set-up in .venv; only git, make and python3 are needed beforehand.
PYTHON ?= python3
BIN = .venv/bin
.PHONY: setup demo test check clean

setup: .venv/.ready
.venv/.ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/pip install -q -c constraints.txt torch
	$(BIN)/pip install -q -c constraints.txt -e '.[features,dev]'
	touch $@

demo: setup  ## the main job on the embedded sample
	$(BIN)/augury run -o runs/demo --steps 1000 --set score.limit=120 --set prove.steps=150

test: setup
	$(BIN)/python -m pytest

check: setup  ## lint, types, import rules
	$(BIN)/ruff check src tests scripts
	$(BIN)/ruff format --check src tests scripts
	$(BIN)/mypy
	$(BIN)/lint-imports

clean:
	rm -rf .venv runs build dist .mypy_cache .ruff_cache .import_linter_cache .hypothesis
