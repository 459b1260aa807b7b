# Each target does its own set-up in .venv; only git, make and python3 are needed beforehand.
PYTHON ?= python3
BIN = .venv/bin
.PHONY: setup demo test test-scale coverage check check-dist bench soak fuzz audit docs clean

setup: .venv/.ready
.venv/.ready: pyproject.toml constraints.txt requirements-demo.txt
	$(PYTHON) -m venv .venv
	$(if $(filter no,$(HASHES)),,$(BIN)/pip install -q --no-deps --require-hashes -r requirements-demo.txt)
	$(BIN)/pip install -q -c constraints.txt torch hatchling editables
	$(BIN)/pip install -q -c constraints.txt --no-build-isolation -e '.[features,dev]'
	touch $@

demo: setup  ## the main job on the embedded samples: a long tail, and an empty cell of class x attribute
	$(BIN)/augury run -o runs/demo --steps 1500 --set score.limit=200 --set prove.steps=120 --set prove.ratios=[0.5]
	$(BIN)/augury run sample:striped -o runs/demo-hole --recipe translator --condition fabric --steps 500 --set score.limit=100 --set prove.steps=200 --set prove.arms=randaugment,drop_cells,histogram_symmetric,fourier_symmetric,half_real,symmetric

test: setup
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto

SCALE_TESTS = tests/training/test_distributed.py tests/training/test_failure_watch.py tests/whole/test_torchrun.py tests/shards \
	tests/tracking tests/tuning tests/faults tests/generation/test_vector_index.py tests/generation/test_pixel_neighbours.py

test-scale: setup  ## the tests of several processes, Ray, trackers, tuning, faults and the index, with their packages; one that lacks fails
	$(BIN)/pip install -q -c constraints.txt --no-build-isolation -e '.[scale,track,tune,index]'
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --require-packages $(SCALE_TESTS)

coverage: setup  ## the tests, and the lines of src/augury that they do not run; a report without a limit
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --cov=augury --cov-report=term-missing:skip-covered

check: setup docs  ## lint, types, import rules, tables that match their measurements, pages without warnings
	$(BIN)/ruff check src tests scripts bench examples
	$(BIN)/ruff format --check src tests scripts bench examples
	$(BIN)/codespell src docs tests bench examples README.md CHANGELOG.md CONTRIBUTING.md
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python bench/tables.py --check

check-dist: setup  ## sdist and wheel: contents, and the main job in a fresh environment; KEEP=dist keeps the two files
	$(BIN)/python scripts/check_dist.py $(if $(KEEP),--keep $(KEEP))

bench: bench-startup bench-training bench-demo

bench-%: setup  ## one benchmark: writes bench/results/NAME.json and the tables made from it
	$(BIN)/python bench/$*.py
	$(BIN)/python bench/tables.py

soak: setup  ## kill runs at random moments, damage checkpoints, send signals: all must end in the same bytes (20 minutes)
	OMP_NUM_THREADS=1 $(BIN)/python scripts/soak.py

fuzz: setup  ## damaged files for every parser: each must be read or refused in words
	PYTHONPATH=. $(BIN)/python scripts/fuzz.py

audit: setup  ## known vulnerabilities of the pinned packages; asks a database over the network
	$(BIN)/pip install -q pip-audit
	$(BIN)/pip-audit --requirement constraints.txt --requirement requirements-demo.txt --no-deps --disable-pip

docs: setup  ## the pages in docs/, as docs/_build/index.html
	$(BIN)/pip install -q -c constraints.txt -e '.[docs]'
	$(BIN)/sphinx-build -q -W -b html docs docs/_build

clean:
	rm -rf .venv .coverage runs build dist docs/_build docs/jupyter_execute .mypy_cache .ruff_cache .import_linter_cache .hypothesis
