"""What has to be written to get a ledger from one tree to another."""

import logging
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np

from code2lora_lsp.cancellation import Cancellation
from code2lora_lsp.errors import GitReadFailed, StateUnreadable
from code2lora_lsp.neural.ledger.ladder import Ladder
from code2lora_lsp.neural.sharp.shelf import Shelf, ShelvedBlock
from code2lora_lsp.neural.sharp.table import NgramTable
from code2lora_lsp.runtime.block_tally import BlockTally, Piece, Share, pieces_of, tokens_of
from code2lora_lsp.runtime.ledger_reader import in_writing_order
from code2lora_lsp.runtime.ledger_state import LedgerShape, LedgerState
from code2lora_lsp.runtime.tree_texts import TreeTexts
from code2lora_lsp.text.blocks import Block, blocks_of, changed_blocks
from code2lora_lsp.text.tokenizer import Tokenizer

log = logging.getLogger(__name__)

OLD_LADDER = 0.4
"""A ladder is made anew once this part of the ledger's tokens came or went since."""


@dataclass(frozen=True)
class Work:
    """What turns one state into the next.

    Attributes:
        start: holds all of ``removals``.
        goal: the state wanted, but for its sums: ``written`` and ``statistics`` are to come.
        removals: while they go, the state is still of the start's tree.
        additions: blocks of the goal's tree.
    """

    start: LedgerState
    goal: LedgerState
    removals: list[Piece]
    additions: list[Piece]


class WorkPlanner:
    """Reads one repository's trees to find out; writes nothing. Owned by its tracker's thread.

    Attributes:
        first_ladder: what a tree is written under that is written anew; the one that is there by
            default has no rung yet, so it is climbed on the way.
    """

    def __init__(self, texts: TreeTexts, tokenizer: Tokenizer, shape: LedgerShape) -> None:
        self._texts, self._tokenizer, self._shape = texts, tokenizer, shape
        self.first_ladder = Ladder()

    def change(self, start: LedgerState, head: str, cancellation: Cancellation) -> Work | None:
        """The way from one tree to another; ``None`` where writing anew costs less, or must be.

        Raises:
            StateUnreadable, ShapeMismatch: the stored blocks, or the table, contradict their tree.
        """
        changes = self._texts.changes(start.commit_id, head)
        after = self._texts.after(changes)
        try:
            before = self._texts.before(changes)
        except GitReadFailed as error:
            log.info("the old text is gone, the tree is read anew: %s", error)
            return None
        change = changed_blocks(before, after)
        added = pieces_of(change.added, self._tokenizer)
        removed = pieces_of(change.removed, self._tokenizer)
        blocks = start.blocks.with_changes(added, removed)
        share, table_share = self._shape.shares(blocks)
        if (share, table_share) != self._shape.shares(start.blocks):
            return None
        goal = remembered(
            replace(start, commit_id=head, blocks=blocks), table_share, added, removed
        )
        if not start.is_complete:
            return self._resumed(start, goal, removed, cancellation)
        additions = in_writing_order(share.among(added), blocks)
        work = Work(start, goal, share.among(removed), additions)
        n_moves = tokens_of(work.removals) + tokens_of(work.additions)
        n_anew = blocks.taken_by(share).n_tokens
        is_old = start.n_since_ladder + n_moves > OLD_LADDER * n_anew
        return None if is_old else work

    def anew(self, head: str, cancellation: Cancellation) -> Work:
        """A whole tree, from nothing."""
        pieces = list(self._pieces_at(head, cancellation))
        blocks = BlockTally({}).with_changes(pieces)
        share, table_share = self._shape.shares(blocks)
        start = replace(self._shape.empty(head), ladder=self.first_ladder)
        goal = remembered(replace(start, blocks=blocks), table_share, pieces)
        wanted = blocks.taken_by(share)
        return Work(start, goal, [], in_writing_order(share.among(pieces), wanted))

    def _resumed(
        self,
        start: LedgerState,
        goal: LedgerState,
        removed: list[Piece],
        cancellation: Cancellation,
    ) -> Work:
        """Go on where a run was interrupted: what is missing is read from the whole tree."""
        wanted = goal.blocks.taken_by(self._shape.share(goal.blocks))
        whole = self._pieces_at(goal.commit_id, cancellation)
        additions = _take(whole, wanted.missing_from(start.written))
        removals = _take(removed, start.written.missing_from(wanted))
        return Work(start, goal, removals, in_writing_order(additions, wanted))

    def _pieces_at(self, head: str, cancellation: Cancellation) -> Iterator[Piece]:
        """Every block of a tree, file by file."""
        for path, text in self._texts.after(self._texts.changes(None, head)).items():
            cancellation.check()
            yield from pieces_of(blocks_of(path, text), self._tokenizer)


def remembered(
    state: LedgerState, share: Share, added: Iterable[Piece], removed: Iterable[Piece] = ()
) -> LedgerState:
    """With table and shelf after the blocks of their share came and went."""
    came, went = share.among(added), share.among(removed)
    return replace(
        state,
        table=state.table.with_changes(_counted_ids(came), _counted_ids(went)),
        shelf=state.shelf.with_changes(_shelved(came), _shelved(went)),
    )


def remembered_anew(blocks: Iterable[Block], tokenizer: Tokenizer) -> tuple[NgramTable, Shelf]:
    """Table and shelf of all these blocks, for who has no state."""
    pieces = pieces_of(blocks, tokenizer)
    empty = NgramTable.empty(tokenizer.vocabulary_size, tokenizer.name)
    return empty.with_changes(_counted_ids(pieces)), Shelf({}).with_changes(_shelved(pieces))


def _shelved(pieces: Iterable[Piece]) -> Iterator[tuple[str, ShelvedBlock]]:
    for piece in pieces:
        texts = tuple(np.array(ids, np.int32) for ids in piece.counted_ids)
        yield piece.block_id, ShelvedBlock(piece.path, texts)


def _counted_ids(pieces: Iterable[Piece]) -> list[tuple[int, ...]]:
    return [ids for piece in pieces for ids in piece.counted_ids]


def _take(pieces: Iterable[Piece], wanted: Counter[str]) -> list[Piece]:
    """As many of each block as wanted.

    Raises:
        StateUnreadable: there are fewer.
    """
    left, taken = Counter(wanted), list[Piece]()
    for piece in pieces:
        if left[piece.block_id] > 0:
            left[piece.block_id] -= 1
            taken.append(piece)
    if missing := sum(left.values()):
        raise StateUnreadable(f"{missing} blocks of an interrupted run are not in its tree")
    return taken
