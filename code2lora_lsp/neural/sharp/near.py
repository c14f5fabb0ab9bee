"""A second memory, of the few blocks that resemble the text in sight, behind its own gate.

The whole tree's counts say what is common in the repository; what is likely here is what stands in
places like this one. Which blocks are near is asked anew of every text in sight. They are mixed
into what the whole table left, so their gate is fitted with that mixture in the backbone's place.
"""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from code2lora_lsp.neural.mixing import Likely, Mixer
from code2lora_lsp.neural.sharp.evidence import Counts, Evidence, added_up, evidence_of
from code2lora_lsp.neural.sharp.gate import Gate
from code2lora_lsp.neural.sharp.memory import SharpMemory, mixed_in
from code2lora_lsp.neural.sharp.shelf import BETWEEN, Ids, Shelf
from code2lora_lsp.neural.sharp.table import NgramTable

N_BLOCKS = 32
"""Of 64, 128 and 256, each was a little worse (docs/experiments.md)."""


@dataclass(frozen=True)
class NearText:
    """Some texts, searched from end to end: what a table of them would say, without sorting one.

    Attributes:
        ids: [T] int32, ``longest`` times ``BETWEEN``, then of each text, ``BETWEEN`` behind it.
        longest: tokens of context that are looked at.
    """

    ids: Ids
    longest: int

    @classmethod
    def of(cls, texts: Iterable[Ids], longest: int) -> "NearText":
        """Of token ids of each text."""
        between = np.array([BETWEEN], np.int32)
        parts = [part for text in texts for part in (text, between)]
        return cls(np.concatenate([between.repeat(longest), *parts]), longest)

    def read(self, log_p: NDArray[np.floating], context: Sequence[int]) -> Evidence | None:
        """As ``evidence.Reader`` reads a table of these texts."""
        return evidence_of(self._orders(context), log_p)

    def _orders(self, context: Sequence[int]) -> list[Counts]:
        """What followed the last token, the last two, and so on."""
        orders: list[Counts] = []
        recent = list(reversed(context[-self.longest :]))
        at = (self.ids[:-1] == recent[0]).nonzero()[0] + 1 if recent else np.empty(0, np.int64)
        at = at[self.ids[at] != BETWEEN]
        for back, token in enumerate(recent, 1):
            at = at[self.ids[at - back] == token]
            if token == BETWEEN or not len(at):
                break
            orders.append(added_up(self.ids[at], np.ones(len(at), np.int32)))
        return orders


@dataclass(frozen=True)
class Layered:
    """What is near, mixed into what the whole tree's memory made. Satisfies ``mixing.Mixer``."""

    whole: SharpMemory
    near: NearText
    gate: Gate

    def mixed(self, log_p: Tensor, context: Sequence[int]) -> Tensor:
        """See ``mixing.Mixer``."""
        return mixed_in(self.whole.mixed(log_p, context), context, self.near, self.gate)

    def likely(self, context: Sequence[int]) -> Likely | None:
        """See ``mixing.Mixer``; of the whole tree."""
        return self.whole.likely(context)


@dataclass(frozen=True)
class NearMemory:
    """The sharp memory of a tree that also looks near. Satisfies ``runtime.knowledge.Sharp``.

    Immutable: what it remembers of the last place changes no answer.

    Attributes:
        whole: of the whole tree.
        shelf: the blocks that ``whole`` counts.
        gate: how far what is near is believed against what ``whole`` leaves.
    """

    whole: SharpMemory
    shelf: Shelf
    gate: Gate
    _last: dict[tuple[str, ...], Mixer] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    def near(self, in_sight: Sequence[int]) -> Mixer:
        """What to mix in at a place; a few milliseconds, five for a shelf of four million tokens.

        Args:
            in_sight: token ids of the prompt. What the tree holds of its document is near too:
                mostly it is out of sight (docs/experiments.md).
        """
        chosen = tuple(self.shelf.like(in_sight, N_BLOCKS))
        if not chosen:
            return self.whole
        mixer = self._last.get(chosen)
        if mixer is None:
            text = near_text(self.whole.table, self.shelf, chosen)
            mixer = Layered(self.whole, text, self.gate)
            self._last.clear()
            self._last[chosen] = mixer
        return mixer

    @cached_property
    def memory_id(self) -> str:
        """16 hex digits that change with what is counted or how far it is believed."""
        parts = (self.whole.memory_id, self.shelf.shelf_id, self.gate.gate_id)
        return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]

    @property
    def size_bytes(self) -> int:
        """Of the table and the blocks."""
        return self.whole.size_bytes + self.shelf.size_bytes


def sharpened(table: NgramTable, shelf: Shelf, gates: Sequence[Gate]) -> SharpMemory | NearMemory:
    """The memory that the gates open: of the whole table, and with a second one also near.

    Raises:
        ValueError: there is no gate.
    """
    whole, *others = gates
    memory = SharpMemory(table, whole)
    return NearMemory(memory, shelf.prepare(), others[0]) if others else memory


def near_text(whole: NgramTable, shelf: Shelf, chosen: Sequence[str]) -> NearText:
    """Some of the shelf's blocks, each once, with their views; as long contexts as the table's."""
    texts = (ids for block_id in chosen for ids in shelf.blocks[block_id].texts)
    return NearText.of(texts, whole.packing.longest)
