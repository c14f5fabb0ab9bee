"""Python packages on this machine as sources of statistics: installed ones, or folders given."""

import hashlib
import importlib.metadata
import os
import sysconfig
from collections.abc import Iterator
from pathlib import Path

from code2lora_lsp.errors import ConfigError
from code2lora_lsp.history.secrets import is_secret_path
from code2lora_lsp.runtime.sources import Sources
from code2lora_lsp.text.source_filters import (
    LARGEST_FILE_CHARS,
    is_own_source_path,
    reason_to_drop,
)

MOST_FILES = 200
"""Of one package; of a larger one a hash of their paths chooses."""

PROJECT_MARKS = ("__init__.py", ".git", "pyproject.toml", "setup.py")
"""A folder with one of these is one package; any other is a folder of packages."""

_NOT_PACKAGES = (".dist-info", ".egg-info", ".data")


def installed_packages() -> list[Sources]:
    """Top-level packages of the interpreter that runs this; modules of a single file are not."""
    folders = {Path(sysconfig.get_path(kind)).resolve() for kind in ("purelib", "platlib")}
    versions = _versions()
    return [package for folder in sorted(folders) for package in _packages_below(folder, versions)]


def packages_in(folder: Path) -> list[Sources]:
    """The package or project that a folder is, else every package directly below it.

    Without either, the files in it are one package.

    Raises:
        ConfigError: it is no folder, or holds no Python source worth reading.
    """
    folder = folder.expanduser().resolve()
    if not folder.is_dir():
        raise ConfigError(f"{folder} is no folder; name one that holds Python packages")
    is_one = any((folder / mark).exists() for mark in PROJECT_MARKS)
    found = [] if is_one else list(_packages_below(folder, {}))
    found = found or [_package(folder, {})]
    if not found[0].paths:
        raise ConfigError(f"{folder} holds no hand-written Python source; name another folder")
    return found


def _packages_below(folder: Path, versions: dict[str, str]) -> Iterator[Sources]:
    if not folder.is_dir():
        return
    for child in sorted(folder.iterdir()):
        is_hidden = child.name.startswith((".", "__"))
        if child.is_dir() and not is_hidden and not child.name.endswith(_NOT_PACKAGES):
            package = _package(child, versions)
            if package.paths:
                yield package


def _package(folder: Path, versions: dict[str, str]) -> Sources:
    paths = sorted(_python_files(folder), key=lambda p: hashlib.sha256(p.encode()).digest())
    version = versions.get(folder.name)
    return Sources(folder.name, paths[:MOST_FILES], lambda p: _read(folder.parent / p), version)


def _python_files(folder: Path) -> Iterator[str]:
    """Paths that begin with the folder's name, of files that look written by hand."""
    for place, children, names in os.walk(folder):
        children[:] = [name for name in children if not name.startswith((".", "__"))]
        inside = Path(place).relative_to(folder.parent).as_posix()
        if not is_own_source_path(f"{inside}/x.py"):
            children.clear()
            continue
        paths = (f"{inside}/{name}" for name in names)
        yield from (p for p in paths if is_own_source_path(p) and not is_secret_path(p))


def _read(path: Path) -> str | None:
    """A file's text, unless the rules of the training corpus leave it out."""
    try:
        if path.stat().st_size > 4 * LARGEST_FILE_CHARS:
            return None
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError):
        return None
    return text if reason_to_drop(text) is None else None


def _versions() -> dict[str, str]:
    """Top-level package → version of its distribution."""
    found = importlib.metadata.packages_distributions()
    return {package: importlib.metadata.version(names[0]) for package, names in found.items()}
