"""Which blocks a tree holds, how often, and which of them are written where they are too many."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from code2lora_lsp.errors import StateUnreadable
from code2lora_lsp.history.diff import is_test_path
from code2lora_lsp.text.blocks import Block
from code2lora_lsp.text.tokenizer import Tokenizer
from code2lora_lsp.text.views import counted_texts

HASH_BITS = 32
"""Of a block id, those that decide whether a share takes it."""


@dataclass(frozen=True)
class Piece:
    """A block with the token ids of its text, and those of its views."""

    block: Block
    token_ids: tuple[int, ...]
    view_ids: tuple[tuple[int, ...], ...] = ()

    @property
    def block_id(self) -> str:
        return self.block.block_id

    @property
    def n_tokens(self) -> int:
        """Of its text."""
        return len(self.token_ids)

    @property
    def counted_ids(self) -> tuple[tuple[int, ...], ...]:
        """What the table counts."""
        return (self.token_ids, *self.view_ids)

    @property
    def path(self) -> str:
        """Of its file; the header's first line is ``# path``."""
        return self.block.header.partition("\n")[0].removeprefix("# ")


def pieces_of(blocks: Iterable[Block], tokenizer: Tokenizer) -> list[Piece]:
    return [_piece(block, tokenizer) for block in blocks]


def _piece(block: Block, tokenizer: Tokenizer) -> Piece:
    text_ids, *view_ids = (tuple(tokenizer.encode(text)) for text in counted_texts(block))
    return Piece(block, text_ids, tuple(view_ids))


def tokens_of(pieces: Iterable[Piece]) -> int:
    return sum(piece.n_tokens for piece in pieces)


class KnownBlock(NamedTuple):
    """How often a block stands in a tree, the tokens of one of them, and where."""

    n_times: int
    n_tokens: int
    path: str


@dataclass(frozen=True)
class BlockTally:
    """A multiset of blocks by their id. Immutable."""

    known: Mapping[str, KnownBlock]

    @cached_property
    def n_tokens(self) -> int:
        return sum(block.n_times * block.n_tokens for block in self.known.values())

    def with_changes(self, added: Iterable[Piece], removed: Iterable[Piece] = ()) -> "BlockTally":
        """After some blocks came and went, each as often as it is given.

        Raises:
            StateUnreadable: a block goes that is not here, or had another number of tokens.
        """
        known = dict(self.known)
        for piece in added:
            _count(known, piece, 1)
        for piece in removed:
            _count(known, piece, -1)
        return BlockTally(known)

    def taken_by(self, share: "Share") -> "BlockTally":
        """Those of the blocks that are in a share."""
        if not share.halvings:
            return self
        return BlockTally({i: block for i, block in self.known.items() if share.takes(i)})

    def missing_from(self, other: "BlockTally") -> Counter[str]:
        """How many more times blocks stand here than in ``other``."""
        none = KnownBlock(0, 0, "")
        more = {i: b.n_times - other.known.get(i, none).n_times for i, b in self.known.items()}
        return Counter({block_id: n for block_id, n in more.items() if n > 0})


def _count(known: dict[str, KnownBlock], piece: Piece, sign: int) -> None:
    here = known.get(piece.block_id)
    n_times = (here.n_times if here else 0) + sign
    if n_times < 0 or (here is not None and here.n_tokens != piece.n_tokens):
        raise StateUnreadable(
            f"a block of {piece.path} with {piece.n_tokens} tokens changes, but the stored tree "
            f"has {here or 'none like it'}; the tree is read anew"
        )
    if n_times:
        known[piece.block_id] = KnownBlock(n_times, piece.n_tokens, piece.path)
    else:
        known.pop(piece.block_id, None)


@dataclass(frozen=True)
class Share:
    """1 / 2^halvings of all blocks: the same ones in every tree that has them.

    A function of the tree alone, and of its size only where that crosses a power of two times the
    budget, so that a commit moves no block in or out but its own.
    """

    halvings: int

    @classmethod
    def of(cls, n_tokens: int, budget: int) -> "Share":
        """The largest power of two of ``n_tokens`` that is within ``budget``."""
        halvings = 0
        while n_tokens > budget << halvings:
            halvings += 1
        return cls(halvings)

    def among(self, pieces: Iterable[Piece]) -> list[Piece]:
        return [piece for piece in pieces if self.takes(piece.block_id)]

    def takes(self, block_id: str) -> bool:
        return int(block_id[: HASH_BITS // 4], 16) >> (HASH_BITS - self.halvings) == 0


def held_out(tally: BlockTally, most_tokens: int) -> list[str]:
    """Blocks to choose a step on: about a tenth, of test files if these have twice as many tokens.

    A function of the tree. Taken by the end of the id, as shares go by its beginning.
    """
    budget = min(most_tokens, tally.n_tokens // 10)
    tests = BlockTally({i: b for i, b in tally.known.items() if is_test_path(b.path)})
    pool = tests if tests.n_tokens >= 2 * budget else tally
    held: list[str] = []
    n_tokens = 0
    for block_id in sorted(pool.known, key=lambda i: i[::-1]):
        if n_tokens >= budget:
            break
        block = pool.known[block_id]
        held.append(block_id)
        n_tokens += block.n_times * block.n_tokens
    return held
