"""What must never be imported from where; the contracts themselves are in pyproject.toml."""

import subprocess
import sys

import pytest


def modules_after(statement):
    code = f"{statement}\nimport sys\nprint(*sorted(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


@pytest.mark.parametrize(
    "module", ["code2lora_lsp.runtime.api", "code2lora_lsp.cli", "code2lora_lsp.app"]
)
def test_the_way_to_the_server_imports_no_torch(module):
    loaded = modules_after(f"import {module}")
    assert module in loaded
    assert not loaded & {"torch", "transformers", "peft"}


def test_the_server_package_imports_no_torch():
    loaded = modules_after("import code2lora_lsp.server.server")
    assert "pygls" in loaded
    assert not loaded & {"torch", "transformers", "peft", "git"}


def test_layers():
    done = subprocess.run(
        [sys.executable, "-c", "from importlinter.cli import lint_imports_command as c; c()"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    assert "0 broken" in done.stdout
