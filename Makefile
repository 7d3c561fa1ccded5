# `make demo` and `make test` need nothing but Python >= 3.11: each makes its own environment, in
# .venv-demo and .venv. The demo writes into DEMO_DIR and goes on there where it was interrupted.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

DEMO_VENV := .venv-demo
DEMO_DIR ?= demo
DEMO := $(DEMO_VENV)/bin/python -m slowfast_jax.main --config configs/ava.py:mini \
	--workdir $(DEMO_DIR)

.PHONY: demo test test-all lint clean

demo: $(DEMO_VENV)/installed
	$(DEMO)
	$(DEMO) --mode report
	@echo "The page to look at: $(DEMO_DIR)/report.html"

$(DEMO_VENV)/installed: setup.py
	test -x $(DEMO_VENV)/bin/python || $(PYTHON) -m venv $(DEMO_VENV)
	@echo "installing into $(DEMO_VENV)"
	$(DEMO_VENV)/bin/pip install --quiet .
	touch $@

$(VENV)/installed: setup.py
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --upgrade pip
	$(BIN)/pip install --quiet --editable ".[test]"
	touch $@

lint: $(VENV)/installed
	$(BIN)/ruff check .

test: lint
	$(BIN)/python -m pytest -q -n 2 --dist worksteal -m "not slow" --durations=10

$(VENV)/installed-ray: $(VENV)/installed
	$(BIN)/pip install --quiet --editable ".[ray]"
	touch $@

test-all: lint $(VENV)/installed-ray
	$(BIN)/python -m pytest -q -n 2 --dist worksteal --durations=20

clean:
	rm -rf $(VENV) $(DEMO_VENV) demo build *.egg-info
