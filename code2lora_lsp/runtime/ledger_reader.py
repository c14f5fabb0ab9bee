"""A ledger's state → knowledge: how far a repository's step goes, and the adapter of that step."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from code2lora_lsp.cancellation import Cancellation
from code2lora_lsp.neural.ledger.ladder import Ladder, rung_of
from code2lora_lsp.neural.ledger.population import Population
from code2lora_lsp.neural.ledger.readout import ReadoutPlan, choose_step, read_out
from code2lora_lsp.neural.ledger.site import LedgerBackbone
from code2lora_lsp.neural.ledger.statistics import Statistics
from code2lora_lsp.neural.ledger.writes import written_projection
from code2lora_lsp.neural.lora import LoraAdapter, LoraPair
from code2lora_lsp.neural.sharp.shelf import Shelf
from code2lora_lsp.neural.sharp.table import NgramTable
from code2lora_lsp.runtime.block_tally import BlockTally, Piece, held_out, pieces_of
from code2lora_lsp.runtime.knowledge import STILL_READING, Knowledge, Sharp
from code2lora_lsp.runtime.ledger_state import LedgerState
from code2lora_lsp.runtime.ledger_writer import LedgerWriter
from code2lora_lsp.runtime.tree_texts import TreeTexts
from code2lora_lsp.text.blocks import blocks_of
from code2lora_lsp.text.tokenizer import Tokenizer

MOST_HELD_OUT = 2_048
"""Tokens a step is chosen on; about a second of one core."""

LEAST_HELD_OUT = 32
"""With fewer there is nothing to choose on, and no step is taken."""

CHOOSE_AFTER = 0.05
"""A step stands until this part of the ledger's tokens came or went."""

BESIDE_TABLE = 0.6
"""Of a step that was chosen alone, what is best beside the table, which says much of the same: on
four validation repositories ordinary tokens lose least at 0.5, names gain up to 1.0
(docs/experiments.md)."""

LEAST_PROVISIONAL = 4_096
"""Of a tree that is still being read, fewer tokens are not read out."""

# why there is no adapter, as the user is told
NO_SOURCE = "the tree holds no Python to learn from"
NO_STEP = "no step of the ledger predicts held-out blocks better"


@dataclass(frozen=True)
class Readable:
    """What a state is read out with; all of it immutable and shared.

    Attributes:
        sharpen: a table and its blocks → the sharp memory of them, or ``None`` where no gate ships.
        check_fits: raises AdapterRejected unless the backbone can bind an adapter.
    """

    decoder: LedgerBackbone
    population: Population
    plan: ReadoutPlan
    sharpen: Callable[[NgramTable, Shelf], Sharp | None]
    check_fits: Callable[[LoraAdapter], None]


class LedgerReader:
    """Reads out one repository's states; owned by its tracker's thread."""

    def __init__(
        self, readable: Readable, writer: LedgerWriter, texts: TreeTexts, tokenizer: Tokenizer
    ) -> None:
        self._readable = readable
        self._writer, self._texts, self._tokenizer = writer, texts, tokenizer
        self._provisional = (0, 0.0)

    def climbed(self, ladder: Ladder, statistics: Statistics) -> Ladder:
        """With the rung that all the parts below it ask for."""
        return ladder.climbed(statistics, self._readable.population, self._readable.plan)

    def settled(self, state: LedgerState, cancellation: Cancellation) -> LedgerState:
        """With a step that was chosen on no other tree than this, a twentieth apart."""
        is_fresh = state.n_moved <= CHOOSE_AFTER * state.statistics.n_tokens
        if state.step is not None and is_fresh:
            return state
        return replace(state, step=self._choose(state, cancellation), n_moved=0)

    def knowledge(self, state: LedgerState, edited: frozenset[str] = frozenset()) -> Knowledge:
        """With the state's own step; without an adapter where that is zero."""
        return self._knowledge(state, state.step or 0.0, edited)

    def provisional(self, state: LedgerState, cancellation: Cancellation) -> Knowledge:
        """Of a state on the way; its step is chosen anew each time there is twice as much."""
        n_tokens = state.statistics.n_tokens
        if state.step is not None:
            return self.knowledge(state)
        if n_tokens < LEAST_PROVISIONAL:
            return self._knowledge(state, 0.0)
        if n_tokens >= 2 * self._provisional[0] or n_tokens < self._provisional[0]:
            self._provisional = n_tokens, self._choose(state, cancellation)
        return self._knowledge(state, self._provisional[1])

    def _knowledge(
        self, state: LedgerState, step: float, edited: frozenset[str] = frozenset()
    ) -> Knowledge:
        sharp = self._readable.sharpen(state.table, state.shelf) if len(state.table.rows) else None
        scale = BESIDE_TABLE if sharp else 1.0
        adapter = self._adapter(state, step, scale) if step > 0 else None
        return Knowledge(state.commit_id, adapter, sharp, edited, _why_none(state, adapter))

    def _adapter(self, state: LedgerState, step: float, scale: float) -> LoraAdapter:
        """The whole update as one pair: A is η R, [D, F], and B the identity, [D, D]."""
        update = step * self._direction(state.statistics)
        pair = LoraPair(a=update, b=torch.eye(len(update)))
        projection = written_projection(self._readable.decoder)
        adapter = LoraAdapter({projection: pair}, scale, state.commit_id)
        self._readable.check_fits(adapter)
        return adapter

    def _direction(self, statistics: Statistics) -> Tensor:
        return read_out(statistics, self._readable.population, self._readable.plan)

    def _choose(self, state: LedgerState, cancellation: Cancellation) -> float:
        """η: what predicts held-out blocks best after all the others."""
        decoder, plan = self._readable.decoder, self._readable.plan
        pieces = self._held_out(state)
        writes = self._writer.writes(pieces, state.ladder, cancellation)
        if writes is None or writes.n_tokens < LEAST_HELD_OUT:
            return 0.0
        direction = self._direction(state.statistics - self._writer.sum_of(writes))
        return choose_step(decoder, direction.to(decoder.device), writes, plan.step)

    def _held_out(self, state: LedgerState) -> list[Piece]:
        """The text of held-out blocks, as often as they are written."""
        wanted = Counter(
            {i: state.written.known[i].n_times for i in held_out(state.written, MOST_HELD_OUT)}
        )
        paths = sorted({state.written.known[block_id].path for block_id in wanted})
        pieces: list[Piece] = []
        for path, text in self._texts.at(state.commit_id, paths).items():
            here = [block for block in blocks_of(path, text) if wanted[block.block_id]]
            for piece in pieces_of(here, self._tokenizer):
                if wanted[piece.block_id]:
                    wanted[piece.block_id] -= 1
                    pieces.append(piece)
        return pieces


def _why_none(state: LedgerState, adapter: LoraAdapter | None) -> str:
    if adapter is not None:
        return ""
    if not state.is_complete:
        return STILL_READING
    return NO_STEP if state.statistics.n_tokens else NO_SOURCE


def in_writing_order(pieces: list[Piece], tally: BlockTally) -> list[Piece]:
    """Part by part of the ladder, held-out blocks first, the others by their id.

    What is written at any time is then a sample of the tree, with something held out.
    """
    first = set(held_out(tally, MOST_HELD_OUT))

    def place(piece: Piece) -> tuple[int, bool, str]:
        return rung_of(piece.block_id), piece.block_id not in first, piece.block_id

    return sorted(pieces, key=place)
