# Everything a person types, and nothing that needs explaining first. Each target makes its own .venv when it must.
# Elsewhere than on a plain index, choose the torch build by TORCH, for instance:
#   make demo TORCH="torch==2.13.0 --index-url https://download.pytorch.org/whl/cpu"

PYTHON ?= python3
TORCH ?= torch==2.13.0
BIN := .venv/bin
STAMP := .venv/.installed

export OMP_WAIT_POLICY := PASSIVE

.PHONY: demo test check proof card bench forecast docs clean

demo: $(STAMP)
	$(BIN)/python -m portraitist.demo

test: $(STAMP)
	$(BIN)/python -m pytest -m "not proof and not gpu" -n logical --maxprocesses=4 --dist loadfile --no-loadscope-reorder

check: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m pytest tests/house

proof: $(STAMP)
	$(BIN)/python -m pytest -m proof -s --durations=10

card: $(STAMP)
	PORTRAITIST_CARD=1 $(BIN)/python -m pytest -m gpu tests/card

bench: $(STAMP)
	$(BIN)/python -m benchmarks.speed

forecast: $(STAMP)
	$(BIN)/python -m portraitist.forecast.counting

docs: $(STAMP)
	$(BIN)/python docs/make_recipe.py
	$(BIN)/python docs/make_presets.py
	$(BIN)/python docs/make_judging.py

clean:
	rm -rf demo build dist .mypy_cache .ruff_cache .pytest_cache .import_linter_cache

$(STAMP): constraints.txt pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14) and "portraitist needs Python 3.11 to 3.13: make PYTHON=python3.12")'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check $(TORCH)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $@
