"""The wheel, built as ``make wheel`` does: it holds the models and completes with nothing else."""

import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def installed(tmp_path_factory) -> Path:
    """The wheel's content alone in a folder."""
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as packed:
        packed.extractall(folder / "site")
    return folder / "site"


def run(installed: Path, *arguments: str) -> str:
    """One command of the package in that folder; its dependencies are this interpreter's."""
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=installed.parent,
        env={**os.environ, "PYTHONPATH": str(installed), "HOME": str(installed.parent)},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_wheel_holds_every_embedded_model_as_the_checkout_has_it(installed):
    kept = {path.name for path in (ROOT / "models").rglob("*.safetensors")}
    assert kept == {"model.safetensors", "population.safetensors"}
    for path in (ROOT / "models").rglob("*"):
        packed = installed / "code2lora_lsp" / "_models" / path.relative_to(ROOT / "models")
        assert packed.is_dir() if path.is_dir() else packed.read_bytes() == path.read_bytes()


@pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler")
def test_the_wheel_holds_the_kernel_of_this_system_and_uses_it(installed):
    kernels = list((installed / "code2lora_lsp/neural/kernel").glob("*.so"))
    assert kernels
    assert all(path.name.startswith(f"decode_step.{sys.platform}.") for path in kernels)
    where = (
        "from code2lora_lsp.neural.kernel.library import kernel_library;"
        "print(getattr(kernel_library(), '_name', 'none'))"
    )
    found = Path(run(installed, "-c", where).strip())
    assert found in kernels or torch.backends.cpu.get_cpu_capability() == "DEFAULT"


def test_an_installed_package_finds_the_models_inside_itself(installed):
    where = "from code2lora_lsp.config import models_root; print(models_root())"
    assert Path(run(installed, "-c", where).strip()) == installed / "code2lora_lsp" / "_models"


def test_a_checkout_finds_the_models_beside_the_package():
    from code2lora_lsp.config import models_root

    assert models_root() == ROOT / "models"


def test_an_installed_package_completes(installed):
    file = installed.parent / "script.py"
    file.write_text("import argparse\n\nparser = argparse.\n")
    answer = json.loads(
        run(installed, "-m", "code2lora_lsp", "complete", f"{file}:3:19", "--format", "json")
    )
    assert answer["kind"] == "completion"
    assert answer["text"]
