"""Rows of an n-gram table: what stood before a token, packed so that sorting groups equal contexts.

A context is packed into two words, the most recent token in the highest bits:

    near = t₋₁ t₋₂ t₋₃ t₋₄        far = t₋₅ t₋₆ t₋₇ t₋₈

with as many tokens to a word as its 64 bits hold (four of an 8 k vocabulary, three of a 150 k one).
Sorted by (near, far, next token), the rows that share their last n tokens stand together, for
every n. Where a block begins, what is absent has a code that no token has.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from code2lora_lsp.errors import ShapeMismatch

MOST_PER_WORD = 4
"""Eight tokens in all; four were 0.046 nats per token worse, six 0.013, more were not tried."""


TokenIds = Sequence[int] | NDArray[np.int32]


@dataclass(frozen=True)
class Packing:
    """How the tokens of one vocabulary are packed."""

    vocabulary_size: int

    def __post_init__(self) -> None:
        if not 0 < self.vocabulary_size < 1 << 31:
            raise ShapeMismatch(f"a vocabulary of {self.vocabulary_size}; want 1 to 2^31 - 1")

    @property
    def absent(self) -> int:
        """The code of a place before a block's start."""
        return self.vocabulary_size

    @property
    def bits(self) -> int:
        """Of one token's code."""
        return self.absent.bit_length()

    @property
    def per_word(self) -> int:
        return min(MOST_PER_WORD, 64 // self.bits)

    @property
    def longest(self) -> int:
        """Tokens of context that a row remembers."""
        return 2 * self.per_word

    def bounds(self, recent: Sequence[int]) -> tuple[list[int], list[int]]:
        """Which words begin with the first n tokens of ``recent``, for n from 1 to all of them.

        Args:
            recent: token ids, the most recent first; at most ``per_word``.

        Returns:
            The first such word, and the one after the last, per n.
        """
        firsts: list[int] = []
        afters: list[int] = []
        word, place = 0, self.bits * self.per_word
        for token in recent:
            place -= self.bits
            word |= token << place
            firsts.append(word)
            afters.append(word + (1 << place))
        return firsts, afters


@dataclass(frozen=True)
class Rows:
    """Counted (context, next token), sorted by near, far, next id; no two are the same.

    Attributes:
        near, far: [N] uint64, see the module.
        next_ids: [N] int32.
        counts: [N] int32, never zero.
    """

    near: NDArray[np.uint64]
    far: NDArray[np.uint64]
    next_ids: NDArray[np.int32]
    counts: NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.next_ids)

    def where(self, kept: NDArray[np.bool_]) -> "Rows":
        return Rows(self.near[kept], self.far[kept], self.next_ids[kept], self.counts[kept])


def no_rows() -> Rows:
    words = np.empty(0, np.uint64)
    small = np.empty(0, np.int32)
    return Rows(words, words, small, small)


def rows_of(added: Iterable[TokenIds], removed: Iterable[TokenIds], packing: Packing) -> Rows:
    """Rows of blocks of token ids: counts of ``added`` less those of ``removed``, below zero too.

    Raises:
        ShapeMismatch: an id is not of the vocabulary.
    """
    blocks = [(np.asarray(block, np.int64), 1) for block in added]
    blocks += [(np.asarray(block, np.int64), -1) for block in removed]
    blocks = [(ids, sign) for ids, sign in blocks if len(ids)]
    if not blocks:
        return no_rows()
    padding = np.full(packing.longest, packing.absent, np.int64)
    codes = np.concatenate([part for ids, _ in blocks for part in (padding, ids)])
    signs = np.concatenate([np.full(packing.longest + len(ids), sign) for ids, sign in blocks])
    at = np.flatnonzero(codes != packing.absent)  # before each stand at least ``longest`` codes
    next_ids = codes[at]
    if len(at) != sum(len(ids) for ids, _ in blocks) or next_ids.min() < 0:
        raise ShapeMismatch(f"token ids outside 0 to {packing.vocabulary_size - 1}")
    if next_ids.max() >= packing.vocabulary_size:
        raise ShapeMismatch(f"token id {next_ids.max()} of a vocabulary {packing.vocabulary_size}")
    near = _packed(codes, at - 1, packing)
    far = _packed(codes, at - 1 - packing.per_word, packing)
    return _counted(near, far, next_ids.astype(np.int32), signs[at])


def merged(kept: Rows, changes: Rows) -> Rows:
    """Both together; rows whose counts add up to zero are gone.

    Raises:
        ShapeMismatch: a count falls below zero: more was removed than was there.
    """
    at, is_there = _places(kept, changes)
    counts = kept.counts.copy()
    counts[at[is_there]] += changes.counts[is_there]
    new = changes.where(~is_there)
    if (len(counts) and counts.min() < 0) or (len(new) and new.counts.min() < 0):
        raise ShapeMismatch("a block is removed that the table does not hold")
    left = Rows(kept.near, kept.far, kept.next_ids, counts)
    at = at[~is_there]
    together = Rows(
        np.insert(left.near, at, new.near),
        np.insert(left.far, at, new.far),
        np.insert(left.next_ids, at, new.next_ids),
        np.insert(left.counts, at, new.counts),
    )
    return together if counts.all() else together.where(together.counts > 0)


def _packed(
    codes: NDArray[np.int64], newest: NDArray[np.int64], packing: Packing
) -> NDArray[np.uint64]:
    """The word of every place whose most recent token is at ``newest``."""
    word = np.zeros(len(newest), np.uint64)
    for back in range(packing.per_word):
        word = (word << np.uint64(packing.bits)) | codes[newest - back].astype(np.uint64)
    return word


def _counted(
    near: NDArray[np.uint64],
    far: NDArray[np.uint64],
    next_ids: NDArray[np.int32],
    signs: NDArray[np.int64],
) -> Rows:
    """Sorted, equal rows added up, those that add up to nothing left out."""
    order = np.lexsort((next_ids, far, near))
    near, far, next_ids = near[order], far[order], next_ids[order]
    is_first = np.ones(len(order), bool)
    is_first[1:] = (np.diff(near) != 0) | (np.diff(far) != 0) | (np.diff(next_ids) != 0)
    counts = np.add.reduceat(signs[order], np.flatnonzero(is_first)).astype(np.int32)
    rows = Rows(near[is_first], far[is_first], next_ids[is_first], counts)
    return rows.where(counts != 0)


def _places(rows: Rows, wanted: Rows) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Where each wanted row is or belongs, and whether it is there; by halving, all at once."""
    low = np.searchsorted(rows.near, wanted.near, "left")
    high = np.searchsorted(rows.near, wanted.near, "right")
    while (low < high).any():
        is_open = low < high
        middle = np.where(is_open, (low + high) // 2, 0)
        far = rows.far[middle]
        is_before = (far < wanted.far) | (
            (far == wanted.far) & (rows.next_ids[middle] < wanted.next_ids)
        )
        low = np.where(is_open & is_before, middle + 1, low)
        high = np.where(is_open & ~is_before, middle, high)
    is_inside = low < len(rows)
    at = np.where(is_inside, low, 0)
    if not len(rows):
        return low, is_inside
    is_same = (
        (rows.near[at] == wanted.near)
        & (rows.far[at] == wanted.far)
        & (rows.next_ids[at] == wanted.next_ids)
    )
    return low, is_inside & is_same
