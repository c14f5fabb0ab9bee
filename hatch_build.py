"""Compiles the kernel when the project is installed from source or packed, if there is a compiler.

Without a C compiler, or where it refuses, nothing is lost but speed: the package stays whole and
single tokens run through numpy. ``CODE2LORA_KERNEL=none`` leaves the kernel out. The libraries
are no Python extensions, are named after the system they run on and are found by
``neural/kernel/library.py``; so a wheel that holds them still installs everywhere.
"""

import os
import platform
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

FOLDER = Path("code2lora_lsp/neural/kernel")
# -ffast-math without what would change the floating-point mode of the whole process
FLAGS = (
    "-std=c11 -O3 -fPIC -shared -fvisibility=hidden -fno-math-errno -fno-trapping-math "
    "-fno-signed-zeros -fassociative-math -ffp-contract=fast"
)  # fmt: skip


class KernelBuildHook(BuildHookInterface):  # type: ignore[type-arg]
    """Adds ``decode_step.<system>.<level>.so`` for every level of this processor family."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile before the files are gathered."""
        del version
        if self.target_name != "wheel" or os.environ.get("CODE2LORA_KERNEL") == "none":
            return
        folder = Path(self.root) / FOLDER
        for level, options in _levels().items():
            library = folder / f"decode_step.{sys.platform}.{level}.so"
            command = [
                *shlex.split(os.environ.get("CC", "cc")), *shlex.split(FLAGS), *options,
                str(folder / "decode_step.c"), "-o", str(library), "-lm",
            ]  # fmt: skip
            trouble = _trouble(command)
            if trouble:
                self.app.display_warning(f"without the kernel for {level}: {trouble}")
            else:
                build_data["artifacts"].append(f"/{FOLDER.as_posix()}/{library.name}")


def _levels() -> dict[str, list[str]]:
    """Processor level → compiler options."""
    family = platform.machine().lower()
    if family in ("x86_64", "amd64"):
        return {level: [f"-march={level}"] for level in ("x86-64-v3", "x86-64-v4")}
    return {family: []}


def _trouble(command: list[str]) -> str:
    """The last line of what the compiler said; empty if it did its work."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    return (done.stderr.strip() or "?").splitlines()[-1] if done.returncode else ""
