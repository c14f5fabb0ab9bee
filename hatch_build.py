"""Compiles the kernel when the project is installed from source or packed, if there is a compiler.

Without a C compiler, or where it refuses (levels of x86-64 are known to GCC 11 and clang 12),
nothing is lost but speed: the package stays whole and single tokens run through numpy.
``CODE2LORA_KERNEL=none`` leaves the kernel out. The libraries are no Python extensions, are named
after the system they run on and are found by ``neural/kernel/library.py``; so a wheel that holds
them still installs everywhere.
"""

import os
import platform
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

FOLDER = "code2lora_lsp/neural/kernel"
# -ffast-math without what would change the floating-point mode of the whole process
FLAGS = (
    "-std=c11 -O3 -fPIC -shared -fvisibility=hidden -fno-math-errno -fno-trapping-math "
    "-fno-signed-zeros -fassociative-math -ffp-contract=fast"
)


class KernelBuildHook(BuildHookInterface):  # type: ignore[type-arg]
    """Adds ``decode_step.<system>.<level>.so`` for every level of this processor family.

    An editable installation has them in the checkout, a wheel only in itself.
    """

    _scratch: Path | None = None

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile before the files are gathered."""
        if self.target_name != "wheel":
            return
        source = Path(self.root) / FOLDER / "decode_step.c"
        into = source.parent
        if version == "editable":
            for older in into.glob(f"decode_step.{sys.platform}.*.so"):
                older.unlink()  # of another source, perhaps
        else:
            into = self._scratch = Path(tempfile.mkdtemp(prefix="code2lora-kernel-"))
        if os.environ.get("CODE2LORA_KERNEL") == "none":
            return
        for level, options in _levels().items():
            library = into / f"decode_step.{sys.platform}.{level}.so"
            trouble = _compile(source, library, options)
            if trouble:
                self.app.display_warning(f"without the kernel for {level}: {trouble}")
            elif version != "editable":
                build_data["force_include"][str(library)] = f"{FOLDER}/{library.name}"

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """Leave nothing behind."""
        del version, build_data, artifact_path
        if self._scratch is not None:
            shutil.rmtree(self._scratch, ignore_errors=True)


def _levels() -> dict[str, list[str]]:
    """Processor level → compiler options."""
    family = platform.machine().lower()
    if family in ("x86_64", "amd64"):
        return {level: [f"-march={level}"] for level in ("x86-64-v3", "x86-64-v4")}
    return {family: []}


def _compile(source: Path, library: Path, options: list[str]) -> str:
    """The last line of what the compiler complained of; empty if it did its work."""
    compiler = shlex.split(os.environ.get("CC", "cc"))
    command = [*compiler, *shlex.split(FLAGS), *options, str(source), "-o", str(library), "-lm"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    return (done.stderr.strip() or "?").splitlines()[-1] if done.returncode else ""
