"""Vectors of texts kept in a file by what the texts say, so that a tree is embedded once.

Another commit, other hidden files or a run that goes on embed only what they have not seen.
"""

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from code2lora_lsp.errors import ModelMismatch
from code2lora_lsp.neural.atomic_file import replacing

KEY_BYTES = 16
Embed = Callable[[Sequence[str]], Tensor]
"""Texts → [n, E] float32."""


def kept_vectors(path: Path, texts: Sequence[str], embed: Embed) -> Tensor:
    """Vectors of ``texts`` in their order, [n, E] float32; ``embed`` is asked for new ones only.

    The file is of one embedder: its name must change when the vectors would.

    Raises:
        ModelMismatch: ``path`` is there but is no file of vectors.
    """
    known = _read(path)
    keys = [_key(text) for text in texts]
    new = {key: text for key, text in zip(keys, texts, strict=True) if key not in known}
    if new:
        known |= dict(zip(new, embed(list(new.values())), strict=True))
        _write(path, known)
    return torch.stack([known[key] for key in keys]) if keys else embed([])


def _key(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()[:KEY_BYTES]


def _read(path: Path) -> dict[bytes, Tensor]:
    if not path.is_file():
        return {}
    try:
        tensors = load_file(path)
        keys, vectors = tensors["keys"], tensors["vectors"]  # uint8 [n, 16], float32 [n, E]
        return {bytes(key.tolist()): vector for key, vector in zip(keys, vectors, strict=True)}
    except (SafetensorError, KeyError, ValueError) as error:
        raise ModelMismatch(f"{path} holds no vectors ({error}); remove it") from error


def _write(path: Path, known: dict[bytes, Tensor]) -> None:
    keys = torch.frombuffer(bytearray(b"".join(known)), dtype=torch.uint8).view(-1, KEY_BYTES)
    with replacing(path) as temporary:
        save_file({"keys": keys, "vectors": torch.stack(list(known.values()))}, temporary)
