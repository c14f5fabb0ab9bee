# Two commands do everything: `make demo` and `make test`. Both set up what they need, once.
VENV ?= .venv
PYTHON ?= python3
REPO ?= .
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: demo test lint format nano small vscode test-vscode wheel bench clean help

help:  ## this list
	@grep -E '^[a-z -]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/'

$(READY): pyproject.toml constraints.txt hatch_build.py code2lora_lsp/neural/kernel/decode_step.c
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

# Training needs clones of repositories (CLONES=…, each as owner+name) and a folder to work in.
WORK ?= .training
MINUTES ?= 90
DEVICE ?= cpu
PROCESSES ?= $(if $(filter cuda%,$(DEVICE)),1,$(shell nproc))
OUT ?= models/$@
TRAINED := $(BIN)/python -m code2lora_lsp.training

nano small: $(READY)  ## train the embedded model again: make nano CLONES=… [WORK=… MINUTES=… DEVICE=cuda]
	@test -n "$(CLONES)" || { echo "say where the clones are: make $@ CLONES=folder"; exit 2; }
	test -f $(WORK)/corpus/manifest.json || $(TRAINED).corpus "$(CLONES)" $(WORK)/corpus
	test -f $(WORK)/tokenizer/tokenizer.json || $(TRAINED).tokenizer $(WORK)/corpus $(WORK)/tokenizer
	$(TRAINED).pretrain $(WORK)/corpus $(WORK)/tokenizer $(WORK)/$@ \
		--model $@ --minutes $(MINUTES) --processes $(PROCESSES) --device $(DEVICE)
	$(TRAINED).export $(WORK)/$@/checkpoint $(WORK)/corpus $(WORK)/tokenizer $(OUT) \
		--hardware "$(PROCESSES) processes on $(DEVICE)"
	$(TRAINED).evaluate $(WORK)/corpus $(WORK)/$@/evaluation.json --model $@=$(OUT)
	$(TRAINED).examples $(WORK)/corpus $(WORK)/$@/examples.md --folder $(OUT)
	$(TRAINED).model_card $(OUT) $(WORK)/corpus --log $(WORK)/$@/log.jsonl \
		--evaluation $(WORK)/$@/evaluation.json --examples $(WORK)/$@/examples.md

vscode: wheel  ## the VS Code extension as a file to install, with the wheel inside: needs Node 20
	cd editors/vscode && npm ci && npm run package

# A real VS Code is driven where editors/vscode/test/e2e/setup-tools.sh filled TOOLS; CI_FULL=1 fills it.
TOOLS ?= $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/code2lora-lsp-test-editors/code-server
VSIX := $(CURDIR)/editors/vscode/code2lora-lsp.vsix

test-vscode: vscode  ## the extension: unit tests, its package, and a real VS Code where it is set up
	cd editors/vscode && npm test
	VSIX=$(VSIX) $(BIN)/python -m pytest -q tests/editors/test_vscode_manifest.py tests/editors/test_vscode_package.py
	test -z "$(CI_FULL)" || editors/vscode/test/e2e/setup-tools.sh "$(TOOLS)"
	cd editors/vscode && TOOLS="$(TOOLS)" SERVER='["$(abspath $(BIN))/code2lora-lsp"]' node --test test/e2e/e2e.test.mjs

wheel: $(READY)  ## the server with its embedded models as one file to install, in dist/
	rm -f dist/code2lora_lsp-*.whl
	$(BIN)/python -m hatchling build -t wheel -d dist

bench: $(READY)  ## keystroke times beside other engines: make bench REPO=… [LLAMA_CPP=its programs]
	$(BIN)/python benchmarks/keystroke.py "$(REPO)" $(if $(LLAMA_CPP),--llama-cpp "$(LLAMA_CPP)")

clean:  ## forget the virtual environment
	rm -rf $(VENV)
