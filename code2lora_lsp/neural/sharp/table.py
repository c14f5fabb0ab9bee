"""What followed what in a repository, exactly: counts of next tokens after up to eight others.

A table is a sum over the blocks of a tree, as a ledger is, and as exact: adding a block and taking
it away again leaves the same bytes, and equal trees have equal tables whatever the commits between
them. It costs no training, 24 bytes per distinct row and two binary searches per lookup.

Callers give token ids of text whose secrets are redacted (``history.secrets``): what is in here
can be proposed word for word.
"""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from code2lora_lsp.neural.sharp.rows import Packing, Rows, TokenIds, merged, no_rows, rows_of

FORMAT = "code2lora-ngrams-1"
ARRAYS = ("near", "far", "next_ids", "counts")


class Found(NamedTuple):
    """The rows that share their last ``order`` tokens with a context: ``start`` to ``stop``."""

    order: int
    start: int
    stop: int


@dataclass(frozen=True)
class NgramTable:
    """Counts of (context, next token) over blocks of token ids. Immutable.

    A context ends at its block's start: the first token of a block is counted after nothing.

    Attributes:
        vocabulary_size: ids are below it.
        tokenizer_id: of what made the ids; tables of different tokenizers do not mix.
        rows: see ``rows``.
    """

    vocabulary_size: int
    tokenizer_id: str
    rows: Rows

    @classmethod
    def empty(cls, vocabulary_size: int, tokenizer_id: str) -> "NgramTable":
        """The table of no blocks.

        Raises:
            ShapeMismatch: the vocabulary is empty, or too large to be packed.
        """
        return cls(Packing(vocabulary_size).vocabulary_size, tokenizer_id, no_rows())

    def with_changes(
        self, added: Iterable[TokenIds], removed: Iterable[TokenIds] = ()
    ) -> "NgramTable":
        """The table after a commit; this one stays. Costs the changed tokens and one pass.

        Args:
            added: token ids of each block that comes, as often as it comes; ids in text order.
            removed: of each block that goes, the same ids it was added with.

        Raises:
            ShapeMismatch: more of a block is removed than was added, or an id is no token.
        """
        changes = rows_of(added, removed, self.packing)
        if not len(changes):
            return self
        rows = merged(self.rows, changes)
        return NgramTable(self.vocabulary_size, self.tokenizer_id, rows)

    def find(self, context: Sequence[int]) -> list[Found]:
        """Where the continuations of a context stand, for every order that has any.

        Args:
            context: token ids, oldest first; its end counts. Ids that are no tokens of the
                vocabulary match nothing.

        Returns:
            The shortest order first; each one's rows lie within those of the order before.
        """
        recent = self._recent(context)
        per_word = self.packing.per_word
        found = self._narrow(self.rows.near, recent[:per_word], Found(0, 0, len(self.rows)))
        if len(found) == per_word:
            found += self._narrow(self.rows.far, recent[per_word:], found[-1])
        return found

    @cached_property
    def packing(self) -> Packing:
        return Packing(self.vocabulary_size)

    @cached_property
    def memory_id(self) -> str:
        """16 hex digits: equal for equal counts of one tokenizer, and for no others."""
        head = f"{FORMAT}\0{self.tokenizer_id}\0{self.vocabulary_size}\0{len(self.rows)}\0"
        digest = hashlib.sha256(head.encode())
        for name in ARRAYS:
            digest.update(np.ascontiguousarray(getattr(self.rows, name)).data)
        return digest.hexdigest()[:16]

    @property
    def n_tokens(self) -> int:
        """Tokens counted."""
        return int(self.rows.counts.sum(dtype=np.int64))

    @property
    def size_bytes(self) -> int:
        return sum(getattr(self.rows, name).nbytes for name in ARRAYS)

    def _recent(self, context: Sequence[int]) -> list[int]:
        """The most recent first, up to the first that is no token."""
        recent: list[int] = []
        for token in reversed(context[-self.packing.longest :]):
            if not 0 <= token < self.vocabulary_size:
                break
            recent.append(int(token))
        return recent

    def _narrow(
        self, words: NDArray[np.uint64], recent: Sequence[int], within: Found
    ) -> list[Found]:
        """One more token at a time, as long as any row has it."""
        firsts, afters = self.packing.bounds(recent)
        wanted = np.array([*firsts, *afters], np.uint64)
        places = np.searchsorted(words[within.start : within.stop], wanted).tolist()
        found: list[Found] = []
        for index, (start, stop) in enumerate(
            zip(places[: len(firsts)], places[len(firsts) :], strict=True)
        ):
            if start == stop:
                break
            order = within.order + index + 1
            found.append(Found(order, within.start + start, within.start + stop))
        return found
