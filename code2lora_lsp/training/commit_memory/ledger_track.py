"""The exact ledger along a stretch of history: the baseline, and what a commit memory stands on."""

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from code2lora_lsp.neural.ledger.ladder import Ladder
from code2lora_lsp.neural.ledger.population import Population
from code2lora_lsp.neural.ledger.readout import ReadoutPlan, read_out
from code2lora_lsp.neural.ledger.site import LedgerBackbone
from code2lora_lsp.neural.ledger.writes import Writes, errors_at, join
from code2lora_lsp.runtime.block_tally import Share
from code2lora_lsp.runtime.one_shot_ledger import OneShotLedger
from code2lora_lsp.text.blocks import Block
from code2lora_lsp.training.commit_memory.reading import BlockReader, BlockStates

ROWS_AT_ONCE = 2_048
HELD_OUT_SHARE = 0.1


@dataclass(frozen=True)
class TrackPlan:
    """How much of a tree is written, and how it is read out."""

    tree_tokens: int = 32_768
    readout: ReadoutPlan = field(default_factory=ReadoutPlan)


class LedgerTrack:
    """One repository's ledger; call ``start`` once, then ``change`` for each commit.

    Of a tree above its budget a share of the blocks is written, as in serving; of commits every
    block it is given is. Blocks that come and go are read in batches, so that sums are exact to
    the rounding of the backbone, not to the bit.
    """

    def __init__(
        self,
        decoder: LedgerBackbone,
        reader: BlockReader,
        population: Population,
        plan: TrackPlan,
    ) -> None:
        self._decoder, self._reader = decoder, reader
        self._population, self._plan = population, plan
        site = decoder.ledger_site
        self._one_shot = OneShotLedger(decoder, self._write_all, population, plan.readout)
        self._sums = self._one_shot.nothing()
        self._ladder = Ladder()
        self._written: Counter[str] = Counter()
        self.step = 0.0
        self.update = torch.zeros(site.width, site.inner_width)

    @property
    def n_tokens(self) -> int:
        return self._sums.n_tokens

    def held(self, blocks: Sequence[Block]) -> list[Block]:
        """Those of some blocks that are written, each at most as often as it is."""
        left = Counter(self._written)
        found = []
        for block in blocks:
            if left[block.block_id] > 0:
                left[block.block_id] -= 1
                found.append(block)
        return found

    def start(self, blocks: Counter[Block]) -> None:
        """Write a tree: climb its ladder, choose the step on blocks held out, then add those."""
        chosen = self._share(blocks)
        readout = self._one_shot.read_out(chosen, HELD_OUT_SHARE)
        self._ladder, self._sums, self.step = readout.ladder, readout.statistics, readout.step
        self._written.update(block.block_id for block in chosen)
        self._publish()

    def change(
        self,
        removed: Sequence[tuple[Block, BlockStates]],
        added: Sequence[tuple[Block, BlockStates]],
    ) -> tuple[Tensor, Tensor]:
        """Take a commit in; the mean errors of what goes and of what comes, [D] each.

        ``removed`` are ``held``.
        """
        means = []
        for pairs, sign in ((removed, -1), (added, 1)):
            written = [self._write(*pair, self._ladder) for pair in pairs]
            writes = join(written) if written else None
            sums = None if writes is None else self._one_shot.summed(writes)
            if sums is not None:
                self._sums = self._sums + sums if sign > 0 else self._sums - sums
            for block, _ in pairs:
                self._written[block.block_id] += sign
            means.append(torch.zeros(len(self.update)) if writes is None else writes.errors.mean(0))
        self._publish()
        return means[0], means[1]

    def _publish(self) -> None:
        direction = read_out(self._sums, self._population, self._plan.readout)
        self.update = self.step * direction

    def _share(self, blocks: Counter[Block]) -> list[Block]:
        """In an order that the end of a block's id decides."""
        n_of = {block: len(self._reader.text_ids(block)) for block in blocks}
        n_tokens = sum(n_of[block] * times for block, times in blocks.items())
        share = Share.of(n_tokens, self._plan.tree_tokens)
        taken = [block for block in blocks.elements() if share.takes(block.block_id)]
        return sorted(taken, key=lambda block: block.block_id[::-1])

    def _write_all(self, blocks: Sequence[Block], ladder: Ladder) -> Writes:
        states = self._reader.read(blocks)
        pairs = zip(blocks, states, strict=True)
        return join([self._write(block, of_it, ladder) for block, of_it in pairs])

    def _write(self, block: Block, states: BlockStates, ladder: Ladder) -> Writes:
        reference = ladder.under(block.block_id)
        outputs = states.outputs
        moved = outputs if reference is None else outputs + states.keys @ reference.T
        errors = errors_at(self._decoder, moved, states.next_ids)
        return Writes(states.keys, errors, outputs, states.next_ids)


def surprise(decoder: LedgerBackbone, outputs: Tensor, next_ids: Tensor) -> Tensor:
    """−log p of each next token, nats, [N]."""
    parts: Iterable[int] = range(0, len(next_ids), ROWS_AT_ONCE)
    nats = [
        torch.nn.functional.cross_entropy(
            decoder.logits(outputs[at : at + ROWS_AT_ONCE]),
            next_ids[at : at + ROWS_AT_ONCE],
            reduction="none",
        )
        for at in parts
    ]
    return torch.cat(nats) if nats else torch.zeros(0)


def bounded(value: float) -> float:
    """log(1 + value): counts as a gru reads them."""
    return math.log1p(value)
