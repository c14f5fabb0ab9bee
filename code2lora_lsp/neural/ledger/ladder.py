"""Rungs: the adapters under which blocks are written, so that each writes what others left over.

Errors that are all measured without an adapter count what two blocks have in common twice. So a
tree is written in K parts. A block's part c is drawn by its id, and with parts 0 … c−1 summed

    R_c = η · read_out(sums over parts < c, share c / K),    R_0 = 0

is what errors of part c are measured under. One pass over the tree, as without; on four validation
repositories it gained 3.8 nats per name where one part gained 2.7 (docs/experiments.md).

A ladder is fixed when a tree is first written and stays while commits come and go: under one
ladder a write is a function of its block, so that sums still add and subtract exactly.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from code2lora_lsp.neural.ledger.population import Population
from code2lora_lsp.neural.ledger.readout import ReadoutPlan, read_out
from code2lora_lsp.neural.ledger.statistics import Statistics

N_RUNGS = 8
"""K; 16 were no better."""

_RUNG_DIGIT = 16
"""Of a block id. Its first digits draw shares of large trees, its last what is held out."""


def rung_of(block_id: str) -> int:
    """Which part a block belongs to, 0 to ``N_RUNGS`` - 1."""
    return int(block_id[_RUNG_DIGIT], 16) * N_RUNGS // 16


@dataclass(frozen=True)
class Ladder:
    """R_1, R_2, … as far as it was climbed. Immutable.

    Attributes:
        rungs: [D, F] float16 each, at most ``N_RUNGS`` - 1. Kept as they are used, so that a
            ladder read from disk gives the same bits.
    """

    rungs: tuple[Tensor, ...] = ()

    @property
    def height(self) -> int:
        """Parts below this can be written."""
        return len(self.rungs) + 1

    def under(self, block_id: str) -> Tensor | None:
        """The update that a block's errors are measured under, [D, F] float32.

        Raises:
            ValueError: the ladder does not reach that far yet.
        """
        rung = rung_of(block_id)
        if rung >= self.height:
            raise ValueError(f"a block of part {rung}, the ladder has {self.height} of {N_RUNGS}")
        return self.rungs[rung - 1].float() if rung else None

    def climbed(self, below: Statistics, population: Population, plan: ReadoutPlan) -> "Ladder":
        """With one rung more.

        Args:
            below: sums over all parts below ``height``.
            population: of the same backbone.
            plan: of the read-out.

        Raises:
            ValueError: it has all its rungs.
        """
        if self.height >= N_RUNGS:
            raise ValueError(f"a ladder has {N_RUNGS} parts and this one reaches the last")
        update = plan.step * read_out(below, population, plan, self.height / N_RUNGS)
        return Ladder((*self.rungs, update.to(torch.float16)))
