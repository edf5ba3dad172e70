# make pi     sets up and runs the main job on this machine
# make test   sets up and runs all tests but the slow ones
# make lint   ruff, mypy, import-linter
# make docs   builds the documentation into docs/_build/html
# make notebooks  runs the notebooks, and stores them with their outputs
# make bench  measures, writes benchmarks/results/ and the tables of the README; with QUICK=1, for
#             2 minutes and into a scratch folder

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
POINTS ?= 100000000
PYTEST_ARGS ?= -m "not slow"
# Both run on two processors: these test by test, the others by modules, which share what they start.
SINGLE := tests/unit tests/property tests/statistics tests/faithful
MODULES := $(filter-out $(SINGLE) %__pycache__,$(patsubst %/,%,$(wildcard tests/*/)))

.PHONY: pi test lint docs notebooks bench clean

pi: $(VENV)/installed
	$(BIN)/scoopsci run scoopsci/montecarlo.py --points $(POINTS)

test: $(VENV)/installed-test lint
	$(BIN)/python -m pytest $(PYTEST_ARGS) -n 2 $(SINGLE)
	$(BIN)/python -m pytest $(PYTEST_ARGS) -n 2 --dist loadscope $(MODULES)

lint: $(VENV)/installed-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --config setup.cfg

docs: $(VENV)/installed-test
	$(BIN)/python -m sphinx -W --keep-going -n -q -E docs docs/_build/html

notebooks: $(VENV)/installed-test
	$(BIN)/python -m tests.notebooks.execute

bench: $(VENV)/installed-test
	$(BIN)/python -m benchmarks $(if $(QUICK),--quick)

$(BIN)/python:
	@$(PYTHON) -c "import sys; v = sys.version_info; (3, 11) <= v < (3, 14) or sys.exit( \
	    'scoopsci needs Python 3.11 to 3.13, got %d.%d; say make PYTHON=python3.12' % v[:2])"
	$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); exit 1; }

$(VENV)/installed: setup.cfg pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --editable .
	touch $@

$(VENV)/installed-test: setup.cfg pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --editable '.[test]'
	touch $@ $(VENV)/installed

clean:
	rm -rf $(VENV) build dist docs/_build *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
