"""Hidden states and embeddings on disk, keyed so that every reader of a key wants the same bytes.

Layout: ``<root>/<checkpoint id>/<recipe id>/<kind>/<first two hex>/<key>.safetensors``.
A state depends only on its commit's history, the checkpoint and the recipe, so the commit id is
the whole key: clones, worktrees and two servers share states, and no lock is needed. Each file is
written under a temporary name and renamed; a reader sees the old file, the new one, or none.
"""

import hashlib
import json
import logging
import os
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from code2lora_lsp.errors import StateUnreadable

log = logging.getLogger(__name__)

KINDS = ("state", "diff", "file", "ledger")


class StateStore:
    """One checkpoint's states under one recipe.

    Args:
        root: folder shared by all checkpoints and recipes.
        checkpoint_id: hash of the hypernetwork's weights.
        recipe_id: see ``recipe.Recipe``; user excludes are part of it.
    """

    def __init__(self, root: Path, checkpoint_id: str, recipe_id: str) -> None:
        self.folder = root / checkpoint_id / recipe_id

    def save(self, kind: str, key: str, tensors: Mapping[str, Tensor]) -> None:
        """Write ``tensors`` under ``key``, with a digest that ``load`` checks.

        Raises:
            OSError: the disk refuses. The caller decides whether that matters.
        """
        content = {name: t.detach().to("cpu").contiguous() for name, t in tensors.items()}
        metadata = {"key": key, "digest": _digest(key, content)}
        _write_atomically(self._path(kind, key), save(content, metadata))

    def load(self, kind: str, key: str) -> dict[str, Tensor] | None:
        """Tensors under ``key``; ``None`` if absent or damaged.

        A damaged file is removed and reported once in the log: its content is recomputed.
        """
        path = self._path(kind, key)
        try:
            return _read_verified(path, key)
        except FileNotFoundError:
            return None
        except StateUnreadable as error:
            log.warning("%s; it will be recomputed", error)
            with suppress(OSError):
                path.unlink()
            return None

    def has(self, kind: str, key: str) -> bool:
        return self._path(kind, key).exists()

    def keys(self, kind: str) -> list[str]:
        """What is stored, the newest first; stale after another process wrote or removed."""
        found: list[tuple[float, str]] = []
        for path in (self.folder / kind).glob("*/*.safetensors"):
            with suppress(OSError):  # another server removed it
                found.append((path.stat().st_mtime, path.stem))
        return [key for _, key in sorted(found, reverse=True)]

    def remove(self, kind: str, key: str) -> None:
        """Forget ``key``, if it is there and the disk lets us."""
        with suppress(OSError):
            self._path(kind, key).unlink()

    def probe(self) -> None:
        """Write, read and remove one file; raises OSError or StateUnreadable when that fails."""
        key = f"probe{os.getpid()}"
        path = self._path("state", key)
        self.save("state", key, {"probe": torch.zeros(1)})
        try:
            _read_verified(path, key)
        finally:
            path.unlink(missing_ok=True)

    def _path(self, kind: str, key: str) -> Path:
        assert kind in KINDS, kind
        return self.folder / kind / key[:2] / f"{key}.safetensors"


def _digest(key: str, tensors: Mapping[str, Tensor]) -> str:
    digest = hashlib.sha256(key.encode())
    for name in sorted(tensors):
        digest.update(f"{name}\0{tensors[name].dtype}\0{list(tensors[name].shape)}\0".encode())
        digest.update(tensors[name].numpy().tobytes())
    return digest.hexdigest()


def _read_verified(path: Path, key: str) -> dict[str, Tensor]:
    try:
        content = (
            path.read_bytes()
        )  # once: ``safe_open`` opens the name again, after a rename maybe
        tensors = load(content)
        metadata = _metadata(content)
    except FileNotFoundError:
        raise
    except (SafetensorError, OSError, ValueError, KeyError) as error:
        raise StateUnreadable(f"stored {path.name} cannot be read ({error})") from error
    if metadata.get("key") != key or metadata.get("digest") != _digest(key, tensors):
        raise StateUnreadable(f"stored {path.name} does not match its own digest")
    return tensors


def _metadata(content: bytes) -> dict[str, str]:
    """The strings in a safetensors header, which ``load`` passes over."""
    end = 8 + int.from_bytes(content[:8], "little")
    return dict(json.loads(content[8:end])["__metadata__"])


def _write_atomically(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".", suffix=".tmp")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
