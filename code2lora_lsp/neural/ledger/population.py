"""What an average token of the backbone's training repositories writes: the ledger's metric."""

import hashlib
import math
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from code2lora_lsp.errors import ModelMismatch, ModelMissing
from code2lora_lsp.neural.atomic_file import replacing
from code2lora_lsp.neural.ledger.statistics import Grid
from code2lora_lsp.neural.ledger.writes import Writes

FORMAT = "code2lora-population-2"

STEPS_PER_RMS = 1024
"""Grains in the root mean square of keys and of errors: a token is rounded by 0.03 % of it."""


@dataclass(frozen=True)
class Population:
    """Means per token over a population of repositories.

    Attributes:
        keys: C_pop = mean x xᵀ, [F, F] float32.
        errors: G_pop = mean e eᵀ, [D, D] float32.
        n_tokens: how many were averaged.
        backbone: fingerprint of the backbone that read them.
    """

    keys: Tensor
    errors: Tensor
    n_tokens: int
    backbone: str

    @property
    def grid(self) -> Grid:
        """Grains that suit this backbone's keys and errors."""
        return Grid(_grain(self.keys), _grain(self.errors))

    @cached_property
    def fingerprint(self) -> str:
        """16 hex digits that change with the numbers and the backbone; asked for often."""
        digest = hashlib.sha256(f"{FORMAT}\0{self.backbone}\0{self.n_tokens}".encode())
        for tensor in (self.keys, self.errors):
            digest.update(tensor.contiguous().cpu().numpy().tobytes())
        return digest.hexdigest()[:16]


class PopulationSum:
    """Adds up writes in float64; order matters to the last bits, as for any mean."""

    def __init__(self, width: int, inner_width: int) -> None:
        """``width`` is D, ``inner_width`` F."""
        self._keys = torch.zeros(inner_width, inner_width, dtype=torch.float64)
        self._errors = torch.zeros(width, width, dtype=torch.float64)
        self.n_tokens = 0

    def add(self, writes: Writes) -> None:
        keys, errors = writes.keys.double().cpu(), writes.errors.double().cpu()
        self._keys.addmm_(keys.T, keys)
        self._errors.addmm_(errors.T, errors)
        self.n_tokens += writes.n_tokens

    def population(self, backbone: str) -> Population:
        """The means so far.

        Raises:
            ValueError: nothing was added, or what was holds non-finite numbers.
        """
        if self.n_tokens == 0:
            raise ValueError("no token was written; a population needs source to read")
        sums = (self._keys, self._errors)
        if not all(bool(torch.isfinite(one).all()) for one in sums):
            raise ValueError("the population's sums hold non-finite numbers")
        keys, errors = ((one / self.n_tokens).float() for one in sums)
        return Population(keys, errors, self.n_tokens, backbone)


def save_population(population: Population, path: Path) -> None:
    """Write one safetensors file, atomically.

    Raises:
        OSError: it cannot be written.
    """
    tensors = {name: getattr(population, name).contiguous() for name in ("keys", "errors")}
    header = {
        "format": FORMAT, "backbone": population.backbone, "n_tokens": str(population.n_tokens)
    }  # fmt: skip
    with replacing(path) as temporary:
        save_file(tensors, temporary, metadata=header)


def load_population(path: Path, backbone: str) -> Population:
    """Read a population and check that it is of this backbone.

    Raises:
        ModelMissing: there is no such file.
        ModelMismatch: it is damaged, of another format, or of another backbone.
    """
    if not path.is_file():
        raise ModelMissing(f"{path} does not exist; make one with `code2lora-lsp calibrate`")
    try:
        with safe_open(path, framework="pt") as file:
            header = file.metadata() or {}
            if header.get("format") != FORMAT:
                raise ModelMismatch(f"{path}: format {header.get('format')!r} is not {FORMAT!r}")
            keys, errors = (file.get_tensor(name) for name in ("keys", "errors"))
            n_tokens = int(header["n_tokens"])
    except (SafetensorError, KeyError, ValueError) as error:
        raise ModelMismatch(f"{path} is damaged: {error!r}; make it again") from error
    if header.get("backbone") != backbone:
        raise ModelMismatch(
            f"{path} is of backbone {header.get('backbone')}, this one is {backbone}; make one "
            "for it with `code2lora-lsp calibrate`"
        )
    return Population(keys, errors, n_tokens, backbone)


def _grain(second_moment: Tensor) -> float:
    """The power of two at or below rms / STEPS_PER_RMS; the mean square is on the diagonal."""
    rms = math.sqrt(float(second_moment.double().diagonal().mean()))
    if not rms > 0:
        raise ModelMismatch("the population has keys or errors that are all zero")
    return 2.0 ** math.floor(math.log2(rms / STEPS_PER_RMS))
