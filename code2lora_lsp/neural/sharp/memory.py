"""A repository's table behind its gate: changes the backbone's next token where it knows better."""

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from code2lora_lsp.neural.mixing import Likely, Mixer
from code2lora_lsp.neural.sharp.evidence import Evidence, Reader
from code2lora_lsp.neural.sharp.gate import Gate
from code2lora_lsp.neural.sharp.table import NgramTable


@dataclass(frozen=True)
class SharpMemory:
    """Exact continuations of one tree, mixed in while decoding. Satisfies ``mixing.Mixer``.

    Immutable. It stands beside an adapter as well as without: the gate sees what the bound
    weights say. It adds no prompt tokens.
    """

    table: NgramTable
    gate: Gate

    @cached_property
    def memory_id(self) -> str:
        """16 hex digits that change with what is counted or how far it is believed."""
        both = f"{self.table.memory_id}\0{self.gate.gate_id}"
        return hashlib.sha256(both.encode()).hexdigest()[:16]

    @property
    def size_bytes(self) -> int:
        """Of the table."""
        return self.table.size_bytes

    def mixed(self, log_p: Tensor, context: Sequence[int]) -> Tensor:
        """See ``mixing.Mixer``; ``log_p`` itself where the table says nothing."""
        return mixed_in(log_p, context, self._reader, self.gate)

    def near(self, in_sight: Sequence[int]) -> Mixer:  # noqa: ARG002
        """The same at every place: this one alone does not look near."""
        return self

    def likely(self, context: Sequence[int]) -> Likely | None:
        """See ``mixing.Mixer``; by the longest context that was seen."""
        return self._reader.likely(context)

    @cached_property
    def _reader(self) -> Reader:
        return Reader(self.table)


class Reads(Protocol):
    """What some texts say of the next token."""

    def read(self, log_p: NDArray[np.floating], context: Sequence[int]) -> Evidence | None:
        """See ``evidence.Reader``."""


def mixed_in(log_p: Tensor, context: Sequence[int], reader: Reads, gate: Gate) -> Tensor:
    """Log p with what ``reader`` knows, as far as ``gate`` opens; see ``mixing.Mixer``."""
    before = log_p.detach().cpu().numpy()
    evidence = reader.read(before, context)
    if evidence is None:
        return log_p
    backbone_share, shares = gate.shares(evidence.features)
    token_ids, added = _added(evidence, shares)
    after = before + before.dtype.type(math.log(backbone_share))
    after[token_ids] = np.logaddexp(after[token_ids], np.log(added))
    return torch.from_numpy(after).to(log_p.device)


def _added(
    evidence: Evidence, shares: NDArray[np.float64]
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Σ_n share_n p̂_n(token) of the tokens of order 1, which are those of every order."""
    n_first = int(evidence.starts[1]) if len(evidence.starts) > 1 else len(evidence.token_ids)
    token_ids = evidence.token_ids[:n_first]
    lengths = np.diff(evidence.starts, append=len(evidence.token_ids))
    places = token_ids.searchsorted(evidence.token_ids)
    weights = evidence.shares * shares.repeat(lengths)
    return token_ids, np.bincount(places, weights, minlength=n_first).astype(np.float64, copy=False)
