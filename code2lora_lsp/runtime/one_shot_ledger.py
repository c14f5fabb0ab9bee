"""Blocks → what their ledger asks for, at once and without a history: for benchmark and training.

The server's way is ``ledger_follower``, which keeps the sums and follows commits.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from torch import Tensor

from code2lora_lsp.neural.ledger.ladder import N_RUNGS, Ladder, rung_of
from code2lora_lsp.neural.ledger.population import Population
from code2lora_lsp.neural.ledger.readout import ReadoutPlan, choose_step, read_out
from code2lora_lsp.neural.ledger.site import LedgerBackbone
from code2lora_lsp.neural.ledger.statistics import Statistics, no_statistics, statistics_of
from code2lora_lsp.neural.ledger.writes import Writes
from code2lora_lsp.text.blocks import Block

TOKENS_AT_ONCE = 8_192

WriteBlocks = Callable[[Sequence[Block], Ladder], Writes]
"""What blocks write under a ladder, in their order; the ladder reaches all of them."""


@dataclass(frozen=True)
class TreeReadout:
    """What some blocks' ledger asks for.

    Attributes:
        direction: R / η over every token written, [D, F].
        step: η of this repository, chosen on its last blocks; 0 where any step does harm.
        statistics: sums over every token written.
        ladder: what they were written under.
    """

    direction: Tensor
    step: float
    statistics: Statistics
    ladder: Ladder


class OneShotLedger:
    """Writes blocks part by part of a ladder and reads the sums out. Keeps nothing."""

    def __init__(
        self,
        decoder: LedgerBackbone,
        write: WriteBlocks,
        population: Population,
        plan: ReadoutPlan,
    ) -> None:
        self._decoder, self._write = decoder, write
        self._population, self._plan = population, plan

    def read_out(self, blocks: Sequence[Block], held_out_share: float) -> TreeReadout:
        """The step is chosen without the blocks it is measured on, the direction then uses all.

        Args:
            blocks: in the order they were drawn.
            held_out_share: of them, the last, to choose the step on; at least one block.
        """
        n_held_out = max(1, round(len(blocks) * held_out_share))
        ladder, total = self._climb(blocks[:-n_held_out])
        held_out = self._write(blocks[-n_held_out:], ladder)
        direction = read_out(total, self._population, self._plan)
        step = choose_step(self._decoder, direction, held_out, self._plan.step)
        total = total + self.summed(held_out)
        return TreeReadout(read_out(total, self._population, self._plan), step, total, ladder)

    def direction(self, writes: Writes) -> Tensor:
        """R / η of some writes, [D, F]."""
        return read_out(self.summed(writes), self._population, self._plan)

    def _climb(self, blocks: Sequence[Block]) -> tuple[Ladder, Statistics]:
        """Write part by part, each under what the parts before it ask for."""
        total, ladder = self.nothing(), Ladder()
        for rung in range(N_RUNGS):
            if rung:
                ladder = ladder.climbed(total, self._population, self._plan)
            of_rung = [block for block in blocks if rung_of(block.block_id) == rung]
            if of_rung:
                total = total + self.summed(self._write(of_rung, ladder))
        return ladder, total

    def summed(self, writes: Writes) -> Statistics:
        """Their exact sums."""
        parts = range(0, writes.n_tokens, TOKENS_AT_ONCE)
        grid = self._population.grid
        sums = [statistics_of(writes[start : start + TOKENS_AT_ONCE], grid) for start in parts]
        return sum(sums, start=self.nothing())

    def nothing(self) -> Statistics:
        """Sums over no tokens."""
        site = self._decoder.ledger_site
        return no_statistics(site.width, site.inner_width, self._population.grid)
