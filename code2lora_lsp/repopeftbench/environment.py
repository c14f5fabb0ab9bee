"""What a run was made with: model, code, machine. Read once, written beside the answers."""

import importlib.metadata
import json
import os
import platform
import subprocess
from collections.abc import Mapping
from pathlib import Path

from code2lora_lsp.neural.atomic_file import write_text

PACKAGES = ("code2lora-lsp", "torch", "transformers", "peft", "numpy", "bm25s", "accelerate")
FILE_NAME = "environment.json"


def describe(model_name: str, fingerprint: str, device: str) -> dict[str, str]:
    """Facts in the order of the report; packages that are not installed say so."""
    return {
        "model": f"{model_name} ({fingerprint})",
        "device": device,
        "processor": f"{_processor()}, {os.cpu_count()} logical cores",
        "system": f"{platform.system()} {platform.machine()}, Python {platform.python_version()}",
        "code": _code(),
        "packages": ", ".join(f"{name} {_version(name)}" for name in PACKAGES),
    }


def write_environment(folder: Path, facts: Mapping[str, str]) -> None:
    """Replace the run's facts."""
    write_text(folder / FILE_NAME, json.dumps(dict(facts), indent=1) + "\n")


def read_environment(folder: Path) -> dict[str, str]:
    """The run's facts; empty where answers came without them."""
    path = folder / FILE_NAME
    return dict(json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else {}


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def _processor() -> str:
    """The model's name where Linux tells it, else what Python knows."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def _code() -> str:
    """The checkout's commit and whether it was changed; an installed package has none."""
    where = ["git", "-C", str(Path(__file__).parent)]
    try:
        head = subprocess.run([*where, "rev-parse", "HEAD"], capture_output=True, check=True)
        changed = subprocess.run(
            [*where, "status", "--porcelain", "--untracked-files=no"],
            capture_output=True, check=True,
        )  # fmt: skip
    except (OSError, subprocess.CalledProcessError):
        return "installed package"
    return head.stdout.decode().strip() + (", changed since" if changed.stdout.strip() else "")
