"""The blocks that a table counts, each by itself, and which of them resemble a text in sight.

Of block b of file f and a text, with the distinct tokens t that they share:

    a(b) = Σ idf_t / √(n_b + 5)    a(f) likewise, over files    score(b) = a(f)² a(b)

n is how many distinct tokens a block (a file) has, and idf_t = ln(1 + (N - N_t + ½) / (N_t + ½))
of N blocks (files), N_t of them with t, as in BM25. Identifiers in place of tokens, and pairs of
tokens, found no better ones (docs/experiments.md).
"""

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from code2lora_lsp.errors import ShapeMismatch

SMALL_BLOCK = 5
SMALL_FILE = 20
"""Distinct tokens added to each, so that the smallest are not all resemblance."""

BETWEEN = -1
"""Stands between texts that are joined; no token has this id."""

Ids = NDArray[np.int32]


@dataclass(frozen=True, eq=False)
class ShelvedBlock:
    """A block as the table counts it.

    Attributes:
        path: of its file.
        texts: token ids of its text, then of each of its views.
        n_times: that it stands in the tree.
    """

    path: str
    texts: tuple[Ids, ...]
    n_times: int = 1

    @cached_property
    def distinct(self) -> Ids:
        """The distinct tokens of its text."""
        return np.unique(self.texts[0])


@dataclass(frozen=True)
class Shelf:
    """A multiset of blocks by their id. Immutable, and as exact as the table.

    Attributes:
        blocks: id → block.
    """

    blocks: Mapping[str, ShelvedBlock]

    def with_changes(
        self,
        added: Iterable[tuple[str, ShelvedBlock]],
        removed: Iterable[tuple[str, ShelvedBlock]] = (),
    ) -> "Shelf":
        """After some blocks came and went, each as often as it is given, with its id.

        Raises:
            ShapeMismatch: a block goes that is not here.
        """
        blocks = dict(self.blocks)
        for signed, sign in ((added, 1), (removed, -1)):
            for block_id, block in signed:
                n_times = (blocks[block_id].n_times if block_id in blocks else 0) + sign
                if n_times < 0:
                    raise ShapeMismatch(f"a block of {block.path} is removed that is not shelved")
                blocks[block_id] = replace(block, n_times=n_times)
        return Shelf({i: block for i, block in blocks.items() if block.n_times})

    def like(self, in_sight: Iterable[int], n_blocks: int) -> list[str]:
        """Ids of the blocks that resemble a text most, the likest first; none without resemblance.

        Args:
            in_sight: token ids of the text; which ones, not how often, counts.
            n_blocks: at most.
        """
        return self._index.like(in_sight, n_blocks) if self.blocks else []

    @cached_property
    def shelf_id(self) -> str:
        """16 hex digits that change with the blocks."""
        content = "\0".join(f"{i} {self.blocks[i].n_times}" for i in sorted(self.blocks))
        return hashlib.sha256(content.encode()).hexdigest()[:16]

    @cached_property
    def size_bytes(self) -> int:
        """Of the token ids, and of what searching needs."""
        if not self.blocks:
            return 0
        each = ((*block.texts, block.distinct) for block in self.blocks.values())
        return self._index.size_bytes + sum(ids.nbytes for parts in each for ids in parts)

    def prepare(self) -> "Shelf":
        """This one, with all that searching needs, so that no key waits for it.

        That takes tens of milliseconds, a few hundred for four million tokens; twice to three
        times as long where all blocks are new.
        """
        _ = self._index, self.size_bytes, self.shelf_id
        return self

    @cached_property
    def _index(self) -> "_Index":
        return _Index.of(self.blocks)


class _Owners(NamedTuple):
    """Which tokens are in which block, or in which file.

    Attributes:
        tokens: [P] the distinct tokens of every owner, one owner after another.
        starts: where those of each owner that has any begin, [M].
        owners: which these are, [M] of N.
        root_sizes: √(n + small) of each, [M].
        idf: of every token below the highest, [top].
        n_owners: N.
    """

    tokens: Ids
    starts: NDArray[np.int64]
    owners: NDArray[np.int64]
    root_sizes: NDArray[np.float64]
    idf: NDArray[np.float64]
    n_owners: int

    @classmethod
    def of(cls, found: Sequence[Ids], small: int) -> "_Owners":
        """Of the distinct tokens of each owner."""
        sizes = np.array([len(tokens) for tokens in found])
        tokens = np.concatenate(found)
        owners = sizes.nonzero()[0]
        starts = (sizes.cumsum() - sizes)[owners]
        n_with = np.bincount(tokens, minlength=1)
        idf = np.log1p((len(found) - n_with + 0.5) / (n_with + 0.5))
        return cls(tokens, starts, owners, np.sqrt(sizes[owners] + small), idf, len(found))

    def shared(self, in_sight: NDArray[np.int64]) -> NDArray[np.float64]:
        """The sum a of each owner, [N]."""
        weights = np.zeros(len(self.idf))
        known = in_sight[(in_sight >= 0) & (in_sight < len(self.idf))]
        weights[known] = self.idf[known]
        sums = np.zeros(self.n_owners)
        if len(self.starts):
            sums[self.owners] = np.add.reduceat(weights[self.tokens], self.starts) / self.root_sizes
        return sums


@dataclass(frozen=True)
class _Index:
    """What searching needs of some blocks, in the order of their ids.

    Attributes:
        file_of: of each block, [B].
    """

    ids: list[str]
    file_of: NDArray[np.int64]
    in_blocks: _Owners
    in_files: _Owners

    @classmethod
    def of(cls, blocks: Mapping[str, ShelvedBlock]) -> "_Index":
        ids = sorted(blocks)
        ordered = [blocks[block_id] for block_id in ids]
        by_file: dict[str, list[Ids]] = defaultdict(list)
        for block in ordered:
            by_file[block.path].append(block.distinct)
        files = {path: at for at, path in enumerate(by_file)}
        file_of = np.array([files[block.path] for block in ordered], np.int64)
        of_files = [np.unique(np.concatenate(parts)) for parts in by_file.values()]
        in_blocks = _Owners.of([block.distinct for block in ordered], SMALL_BLOCK)
        return cls(ids, file_of, in_blocks, _Owners.of(of_files, SMALL_FILE))

    @property
    def size_bytes(self) -> int:
        arrays = (a for part in (self.in_blocks, self.in_files) for a in part[:-1])
        return self.file_of.nbytes + sum(array.nbytes for array in arrays)

    def like(self, in_sight: Iterable[int], n_blocks: int) -> list[str]:
        wanted = np.fromiter(in_sight, np.int64)
        scores = self.in_files.shared(wanted)[self.file_of] ** 2 * self.in_blocks.shared(wanted)
        found = np.flatnonzero(scores)
        if len(found) > n_blocks:  # sorting them all costs as much as scoring them
            least = np.partition(scores[found], -n_blocks)[-n_blocks]
            found = found[scores[found] >= least]
        best = found[np.argsort(-scores[found], kind="stable")][:n_blocks]
        return [self.ids[at] for at in best.tolist()]
