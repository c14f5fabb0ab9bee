# Two commands do everything: `make demo` and `make test`. Both set up what they need, once.
VENV ?= .venv
PYTHON ?= python3
REPO ?= .
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: demo test lint format vsix clean help

help:  ## this list
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/'

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@

demo: $(READY)  ## the main job on a real repository: make demo REPO=path/to/repository
	@$(BIN)/python editors/demo.py "$(REPO)"

test: lint  ## format, lint, types, import contracts and all tests
	$(BIN)/python -m pytest

lint: $(READY)  ## everything `test` checks without running code
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(READY)  ## rewrite the sources as the checks want them
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

vsix:  ## the VS Code extension as a file to install: needs Node 20
	cd editors/vscode && npm ci && npm run package

clean:  ## forget the virtual environment
	rm -rf $(VENV)
