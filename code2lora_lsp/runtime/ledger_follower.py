"""Follows a repository with the ledger: from the nearest stored tree to HEAD by one diff.

    Evo(t) = Static(tree at t | ladder), bit for bit, whatever the path to it

A state is the sums over the blocks of one tree (``ledger.statistics``), so what lies between two
commits does not matter: edits, merges, renames, a branch switch, an amend or a rebase are all the
blocks that one tree has and the other has not. The ladder (``neural.ledger.ladder``) is made when
a tree is first written and stays. Sums are exact, so there is no drift to look for; what could make
a removed block write other bits than it was added with is in the writer's fingerprint, which keys
every stored state.

A tree is written anew, with a new ladder, only where nothing is stored, where 40 % of the ledger
came or went since the ladder was made (then it also costs about the same), where the tree's size
crosses a power of two times the budget (other blocks are drawn), or where the stored blocks
contradict the tree.
"""

import itertools
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from functools import cache

from code2lora_lsp.cancellation import Cancellation
from code2lora_lsp.errors import GitReadFailed, ShapeMismatch, StateUnreadable
from code2lora_lsp.neural.ledger.ladder import N_RUNGS, rung_of
from code2lora_lsp.neural.ledger.statistics import Statistics
from code2lora_lsp.runtime.block_tally import BlockTally, Piece, pieces_of, tokens_of
from code2lora_lsp.runtime.follower import Edited, FollowPoint
from code2lora_lsp.runtime.knowledge import Knowledge
from code2lora_lsp.runtime.ledger_reader import LedgerReader
from code2lora_lsp.runtime.ledger_state import (
    LedgerShape,
    LedgerState,
    LedgerStates,
    check_sums,
)
from code2lora_lsp.runtime.ledger_work import Work, WorkPlanner, remembered
from code2lora_lsp.runtime.ledger_writer import LedgerWriter
from code2lora_lsp.runtime.tree_texts import TreeTexts
from code2lora_lsp.text.blocks import changed_blocks
from code2lora_lsp.text.tokenizer import Tokenizer

log = logging.getLogger(__name__)

NEAR_FILES = 32
"""A last state this near is taken without a look at the stored ones."""


class LedgerFollower:
    """Satisfies ``Follower``; remembers the state of its last run, half done ones too.

    At any moment what is written is of blocks of ``_state``'s tree, so that an interrupted run
    goes on from there, also to another commit.
    """

    def __init__(
        self,
        texts: TreeTexts,
        tokenizer: Tokenizer,
        writer: LedgerWriter,
        reader: LedgerReader,
        states: LedgerStates,
        shape: LedgerShape,
    ) -> None:
        self._texts, self._tokenizer = texts, tokenizer
        self._writer, self._reader = writer, reader
        self._states, self._shape = states, shape
        self._planner = WorkPlanner(texts, tokenizer, shape)
        self._state: LedgerState | None = None
        self._moved: tuple[int | None, bool] = (None, False)

    def plan(self, head: str, cancellation: Cancellation) -> str:
        """The commit itself: the way to it does not matter."""
        del cancellation
        return head

    def run(
        self, plan: str, cancellation: Cancellation, on_snapshot: Callable[[], None]
    ) -> Iterator[FollowPoint]:
        state, self._moved = self._at(plan), (None, False)
        is_new = state is None
        if state is None:
            yield from self._reach(plan, cancellation, on_snapshot)
            state = self._at(plan)
            assert state is not None
        done, (n_changed, is_anew) = state, self._moved
        yield FollowPoint(
            plan, 0, 0, "token", lambda: self._reader.knowledge(done), n_changed, is_anew
        )
        if is_new:
            self._states.save(state)

    def edited(
        self, head: str, texts: Mapping[str, bytes | None], cancellation: Cancellation
    ) -> Edited | None:
        state = self._at(head)
        if state is None:
            return None
        before = self._texts.on_disk(head, sorted(texts))
        after = self._texts.given({path: texts[path] for path in before})
        paths = frozenset(path for path in before if before[path] != after.get(path))
        if not paths:
            return Edited(self._reader.knowledge(state), paths)
        change = changed_blocks(before, after)
        added = pieces_of(change.added, self._tokenizer)
        removed = pieces_of(change.removed, self._tokenizer)
        state = self._with_pieces(state, added, removed, cancellation)
        return Edited(self._reader.knowledge(state, paths), paths)

    def _with_pieces(
        self,
        state: LedgerState,
        added: list[Piece],
        removed: list[Piece],
        cancellation: Cancellation,
    ) -> LedgerState:
        """As if a commit had made the change; which blocks are drawn stays as it is."""
        share, table_share = self._shape.shares(state.blocks)
        statistics = state.statistics
        for _, sums in self._writer.sums(share.among(removed), state.ladder, cancellation):
            statistics = statistics - sums
        for _, sums in self._writer.sums(share.among(added), state.ladder, cancellation):
            statistics = statistics + sums
        return remembered(replace(state, statistics=statistics), table_share, added, removed)

    def _at(self, commit_id: str) -> LedgerState | None:
        """The last state, if it is whole and of this commit."""
        state = self._state
        is_it = state is not None and state.is_complete and state.commit_id == commit_id
        return state if is_it else None

    def _reach(
        self, head: str, cancellation: Cancellation, on_snapshot: Callable[[], None]
    ) -> Iterator[FollowPoint]:
        """Make the state of ``head``; on the way, points with what is known by then."""
        start = self._start(head)
        if start is not None and start.commit_id == head and start.is_complete:
            self._state = start
            return
        try:
            work = self._planner.change(start, head, cancellation) if start is not None else None
            if work is not None:
                yield from self._carry_out(work, cancellation)
                return
        # the two others are what exact sums and tables say when more is removed than was added
        except (StateUnreadable, ShapeMismatch, OverflowError) as error:
            log.warning("%s: the tree of %s is read anew", error, head[:12])
            assert start is not None
            self._states.drop(start.commit_id)
        self._state = None
        on_snapshot()
        yield from self._carry_out(self._planner.anew(head, cancellation), cancellation)

    def _start(self, head: str) -> LedgerState | None:
        """HEAD's own state, else the one whose tree is nearest."""
        stored = self._states.at(head)
        if stored is not None:
            return stored

        @cache
        def n_changed(commit_id: str) -> int | None:
            try:
                return len(self._texts.changes(commit_id, head))
            except GitReadFailed as error:  # collected since, or never here
                log.info("the state of %s is of no use: %s", commit_id[:12], error)
                return None

        last = self._state
        far = n_changed(last.commit_id) if last is not None else None
        if far is not None and far <= NEAR_FILES:
            return last
        nearest = self._states.nearest(n_changed)
        near = n_changed(nearest.commit_id) if nearest is not None else None
        return last if far is not None and (near is None or far <= near) else nearest

    def _carry_out(self, work: Work, cancellation: Cancellation) -> Iterator[FollowPoint]:
        is_anew = work.start.ladder.height < N_RUNGS
        self._moved = _n_moved(work.start.blocks, work.goal.blocks), is_anew
        state = replace(work.start, is_complete=False)
        for pieces, sums in self._writer.sums(work.removals, state.ladder, cancellation):
            state = _after(state, state.written.with_changes((), pieces), state.statistics - sums)
            self._state = state
        state = replace(
            work.goal, written=state.written, statistics=state.statistics, n_moved=state.n_moved,
            n_since_ladder=state.n_since_ladder, is_complete=False,
        )  # fmt: skip
        self._state = state
        total = left = tokens_of(work.additions)
        if left:
            yield self._point(state, left, total, cancellation)
        for part, additions in _by_rung(work.additions):
            state = self._climbed_to(state, part)
            for pieces, sums in self._writer.sums(additions, state.ladder, cancellation):
                state = _after(state, state.written.with_changes(pieces), state.statistics + sums)
                self._state = state
                left -= tokens_of(pieces)
                if left:
                    yield self._point(state, left, total, cancellation)
        check_sums(state)
        state = self._climbed_to(state, N_RUNGS - 1)
        self._state = replace(self._reader.settled(state, cancellation), is_complete=True)

    def _climbed_to(self, state: LedgerState, part: int) -> LedgerState:
        """With a ladder that reaches a part."""
        while state.ladder.height <= part:
            ladder = self._reader.climbed(state.ladder, state.statistics)
            state = replace(state, ladder=ladder, n_since_ladder=0)
        return state

    def _point(
        self, state: LedgerState, left: int, total: int, cancellation: Cancellation
    ) -> FollowPoint:
        def knowledge() -> Knowledge:
            return self._reader.provisional(state, cancellation)

        return FollowPoint(state.commit_id, left, total, "token", knowledge)


def _after(state: LedgerState, written: BlockTally, statistics: Statistics) -> LedgerState:
    """A state with some blocks more or less, and their tokens counted as moved."""
    n_more = abs(statistics.n_tokens - state.statistics.n_tokens)
    return replace(
        state, written=written, statistics=statistics,
        n_moved=state.n_moved + n_more, n_since_ladder=state.n_since_ladder + n_more,
    )  # fmt: skip


def _n_moved(before: BlockTally, after: BlockTally) -> int:
    """Tokens of the blocks that only one of two trees has."""
    came, went = after.missing_from(before), before.missing_from(after)
    return sum(n * after.known[block_id].n_tokens for block_id, n in came.items()) + sum(
        n * before.known[block_id].n_tokens for block_id, n in went.items()
    )


def _by_rung(pieces: Iterable[Piece]) -> Iterator[tuple[int, list[Piece]]]:
    """Pieces in writing order, those of a part together."""
    for rung, part in itertools.groupby(pieces, key=lambda piece: rung_of(piece.block_id)):
        yield rung, list(part)
