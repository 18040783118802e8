# `make verify` runs the main job, `make test` passes the tests, `make gpu` is for a GPU. All set
# themselves up.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
OUT ?= results/verify

.PHONY: verify test coverage docs bench gpu clean
.DELETE_ON_ERROR:

verify: $(VENV)/installed
	$(BIN)/theorylab verify --data breast_cancer --jobs 2 --budget 240 --out $(OUT) \
	    --then figure --data breast_cancer --jobs 2 --out $(OUT)/figures \
	    --then report $(OUT)

test: $(VENV)/installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/mypy --config-file tests/mypy.ini
	$(BIN)/python -m deptry .
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2

# What no test runs, by file; fails below the floor in pyproject.toml.
coverage: $(VENV)/installed-dev
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --cov --cov-report=term:skip-covered

# The documentation site, into site/html: a warning or a broken link fails it.
docs: $(VENV)/installed-docs
	$(BIN)/python -m sphinx -W --keep-going -q -b html docs site/html

# Results are kept by machine under .benchmarks, and shown beside the machine's last ones.
bench: $(VENV)/installed-dev
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[bench]'
	rm -rf theorylab.egg-info
	$(BIN)/python -m pytest benchmarks --benchmark-only --benchmark-autosave --benchmark-compare \
	    -W ignore::pytest_benchmark.logger.PytestBenchmarkWarning -o addopts=""  # the first time
	$(BIN)/python benchmarks/peers.py --page docs/benchmarks.md --readme README.md
	$(BIN)/python benchmarks/optimizers.py --page docs/deep.md

# On a machine with a CUDA device: device checks, throughput, cells of the papers' tables, in 8 minutes.
gpu: $(VENV)/installed
	$(BIN)/python -m deep.gpu --out results/gpu --minutes 8

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/installed: pyproject.toml constraints.txt | $(BIN)/python
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable .
	rm -rf theorylab.egg-info  # left by the build; it would shadow the installed entry points
	touch $@

$(VENV)/installed-dev: $(VENV)/installed
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev,logs,pep]'
	rm -rf theorylab.egg-info
	touch $@

$(VENV)/installed-docs: $(VENV)/installed
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[docs]'
	rm -rf theorylab.egg-info
	touch $@

clean:
	rm -rf $(VENV) results build site docs/generated *.egg-info
