# `make run` and `make test` need Python 3.11 or newer and nothing else: they set up .venv first.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: run test lint install develop clean

run: install
	$(BIN)/avbench run --strategy avcl --scenario vggsound-stream

test: develop
	$(BIN)/python -m pytest

lint: develop
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/mypy baselines strategies scenarios

install: $(VENV)/installed

# With what tests and checks need beside it.
develop: $(VENV)/developing

$(VENV)/installed: pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "avbench needs Python 3.11 or newer; name one: make PYTHON=python3.12 ...")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --editable '.[jpeg]'
	touch $@

$(VENV)/developing: $(VENV)/installed
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	touch $@

clean:
	rm -rf $(VENV)
