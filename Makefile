# `make test` needs nothing but Python >= 3.11: it makes its own environment in .venv.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: test test-all lint clean

$(VENV)/installed: setup.py
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --upgrade pip
	$(BIN)/pip install --quiet --editable ".[test]"
	touch $@

lint: $(VENV)/installed
	$(BIN)/ruff check .

test: lint
	$(BIN)/python -m pytest -q -n 2 -m "not slow" --durations=10

test-all: lint
	$(BIN)/python -m pytest -q -n 2 --durations=20

clean:
	rm -rf $(VENV) build *.egg-info
