"""Blocks → what their ledger asks for, at once and without a history: for the benchmark and fits.

The server's way is ``ledger_follower``, which keeps the sums and follows commits.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from code2lora_lsp.neural.ledger.ladder import N_RUNGS, Ladder, rung_of
from code2lora_lsp.neural.ledger.population import Population
from code2lora_lsp.neural.ledger.readout import ReadoutPlan, choose_step, read_out
from code2lora_lsp.neural.ledger.statistics import Statistics, no_statistics, statistics_of
from code2lora_lsp.neural.ledger.writes import Writes, join
from code2lora_lsp.runtime.block_writer import BlockWriter
from code2lora_lsp.text.blocks import Block

TOKENS_AT_ONCE = 8_192


@dataclass(frozen=True)
class TreeReadout:
    """What some blocks' ledger asks for.

    Attributes:
        direction: R / η over every token written, [D, F].
        step: η of this repository, chosen on its last blocks; 0 where any step does harm.
        n_tokens: written.
        ladder: what they were written under.
    """

    direction: Tensor
    step: float
    n_tokens: int
    ladder: Ladder

    @property
    def update(self) -> Tensor | None:
        """ΔW = η R, [D, F]; ``None`` where the step is 0."""
        return self.step * self.direction if self.step else None


class OneShotLedger:
    """Writes blocks part by part of a ladder and reads the sums out. Keeps nothing."""

    def __init__(self, writer: BlockWriter, population: Population, plan: ReadoutPlan) -> None:
        self._writer, self._population, self._plan = writer, population, plan

    def read_out(self, blocks: Sequence[Block], held_out_share: float) -> TreeReadout:
        """The step is chosen without the blocks it is measured on, the direction then uses all.

        Args:
            blocks: in the order they were drawn.
            held_out_share: of them, the last, to choose the step on; at least one block.
        """
        n_held_out = max(1, round(len(blocks) * held_out_share))
        ladder, total = self._climb(blocks[:-n_held_out])
        held_out = self.writes(blocks[-n_held_out:], ladder)
        direction = read_out(total, self._population, self._plan)
        step = choose_step(self._writer.decoder, direction, held_out, self._plan.step)
        total = total + self._summed(held_out)
        direction = read_out(total, self._population, self._plan)
        return TreeReadout(direction, step, total.n_tokens, ladder)

    def writes(self, blocks: Sequence[Block], ladder: Ladder) -> Writes:
        """What every block writes, in their order.

        Raises:
            ValueError: no blocks, or the ladder does not reach one of them.
        """
        return join([self._writer.writes(block, ladder) for block in blocks])

    def direction(self, writes: Writes) -> Tensor:
        """R / η of some writes, [D, F]."""
        return read_out(self._summed(writes), self._population, self._plan)

    def _climb(self, blocks: Sequence[Block]) -> tuple[Ladder, Statistics]:
        """Write part by part, each under what the parts before it ask for."""
        total, ladder = self._nothing(), Ladder()
        for rung in range(N_RUNGS):
            if rung:
                ladder = ladder.climbed(total, self._population, self._plan)
            of_rung = [block for block in blocks if rung_of(block.block_id) == rung]
            if of_rung:
                total = total + self._summed(self.writes(of_rung, ladder))
        return ladder, total

    def _summed(self, writes: Writes) -> Statistics:
        parts = range(0, writes.n_tokens, TOKENS_AT_ONCE)
        grid = self._population.grid
        sums = [statistics_of(writes[start : start + TOKENS_AT_ONCE], grid) for start in parts]
        return sum(sums, start=self._nothing())

    def _nothing(self) -> Statistics:
        site = self._writer.decoder.ledger_site
        return no_statistics(site.width, site.inner_width, self._population.grid)
