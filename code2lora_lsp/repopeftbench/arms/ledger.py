"""The ledger over the known tree, at once: its adapter, a low-rank one, and a shuffled control."""

import hashlib
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor

from code2lora_lsp.errors import ModelMismatch, SetupError
from code2lora_lsp.neural.ledger.ladder import Ladder
from code2lora_lsp.neural.ledger.population import Population, load_population
from code2lora_lsp.neural.ledger.readout import ReadoutPlan, truncated
from code2lora_lsp.neural.ledger.site import LedgerBackbone
from code2lora_lsp.neural.ledger.writes import Writes, join, written_projection
from code2lora_lsp.neural.lora import LoraAdapter
from code2lora_lsp.repopeftbench.arms.arm import CannotPrepare, Target
from code2lora_lsp.repopeftbench.arms.known_tree import read_known_tree
from code2lora_lsp.runtime.block_writer import BlockWriter
from code2lora_lsp.runtime.model_folders import backbone_fingerprint
from code2lora_lsp.runtime.model_loading import LoadedModel
from code2lora_lsp.runtime.one_shot_ledger import OneShotLedger, TreeReadout
from code2lora_lsp.text.blocks import Block, blocks_of

MOST_TOKENS = 80_000
"""Written per repository; of a larger one files are drawn until it is reached."""

HELD_OUT_SHARE = 0.1
LEAST_TOKENS = 20
"""Fewer written tokens leave nothing to choose a step with."""


@dataclass(frozen=True)
class LedgerPlan:
    """How a tree is written and read out."""

    readout: ReadoutPlan = field(default_factory=ReadoutPlan)
    most_tokens: int = MOST_TOKENS
    held_out_share: float = HELD_OUT_SHARE


class TreeLedger:
    """Writes known trees for the arms that read them out.

    Read-outs are remembered, so that of two arms only the first one asked pays for writing.
    """

    def __init__(
        self, model: LoadedModel, model_folder: Path, population: Path | None, plan: LedgerPlan
    ) -> None:
        """``population`` is a file made by ``training.population``."""
        self._model, self._folder, self._path = model, model_folder, population
        self.plan = plan
        self._readouts: dict[Target, TreeReadout] = {}

    def why_not(self) -> str | None:
        try:
            _ = self.decoder.ledger_site
        except ModelMismatch as error:
            return str(error)
        if self._path is None:
            return (
                "no population statistics were given (--population); make them with "
                "`code2lora-lsp calibrate`"
            )
        try:
            _ = self.population
        except SetupError as error:
            return str(error)
        return None

    @cached_property
    def population(self) -> Population:
        assert self._path is not None, "why_not was not asked"
        return load_population(self._path, backbone_fingerprint(self._folder))

    @property
    def decoder(self) -> LedgerBackbone:
        return self._model.backbone

    @property
    def recipe_key(self) -> str:
        return f"{self.population.fingerprint}|{self.plan}"

    def readout(self, target: Target) -> TreeReadout:
        """Direction, step and ladder of a target.

        Raises:
            CannotPrepare: there is too little source outside the hidden paths.
            LeakFound: as ``read_known_tree``.
        """
        if target not in self._readouts:
            blocks, share = self._blocks(target), self.plan.held_out_share
            self._readouts[target] = self._one_shot.read_out(blocks, share)
        return self._readouts[target]

    def writes(self, target: Target) -> Writes:
        """What every block wrote, in the order they were drawn.

        Raises:
            CannotPrepare, LeakFound: as ``readout``.
        """
        return self._write(self._blocks(target), self.readout(target).ladder)

    def direction(self, writes: Writes) -> Tensor:
        """R / η of some writes, [D, F]."""
        return self._one_shot.direction(writes)

    @cached_property
    def _one_shot(self) -> OneShotLedger:
        return OneShotLedger(self.decoder, self._write, self.population, self.plan.readout)

    @cached_property
    def _writer(self) -> BlockWriter:
        return BlockWriter(self.decoder, self._model.tokenizer)

    def _write(self, blocks: Sequence[Block], ladder: Ladder) -> Writes:
        return join([self._writer.writes(block, ladder) for block in blocks])

    def written_texts(self, target: Target) -> dict[str, str]:
        """By path, the text of the blocks that are written: what a rival may learn from.

        Raises:
            CannotPrepare, LeakFound: as ``readout``.
        """
        texts: dict[str, list[str]] = defaultdict(list)
        for path, block in self._drawn(target):
            texts[path].append(block.text)
        return {path: "\n".join(parts) for path, parts in texts.items()}

    def _blocks(self, target: Target) -> list[Block]:
        return [block for _, block in self._drawn(target)]

    def _drawn(self, target: Target) -> list[tuple[str, Block]]:
        """Path and block, of files in an order that path and seed decide, until there is enough."""

        def place(path: str) -> bytes:
            return hashlib.sha256(f"{target.seed} {path}".encode()).digest()

        files = sorted(read_known_tree(target).files, key=lambda file: place(file.path))
        found: list[tuple[str, Block]] = []
        n_tokens = 0
        for file, block in ((f, b) for f in files for b in blocks_of(f.path, f.text)):
            if n_tokens >= self.plan.most_tokens:
                break
            found.append((file.path, block))
            n_tokens += len(self._model.tokenizer.encode(block.text))
        if n_tokens < LEAST_TOKENS:
            raise CannotPrepare(
                f"{target.repository} at {target.known_commit_id[:12]} has {n_tokens} "
                f"tokens to write outside its hidden paths; {LEAST_TOKENS} are needed"
            )
        return found


class LedgerArm:
    """``ledger``: prediction errors regressed on keys over the known tree; nothing is trained.

    ``ledger-64`` keeps rank 64 of it. ``ledger-shuffled`` gives each key another token's error, at
    the same step: what it still gains, a bag of the repository's tokens would gain.
    """

    def __init__(
        self, ledger: TreeLedger, rank: int | None = None, *, is_shuffled: bool = False
    ) -> None:
        """``rank`` ``None`` keeps the whole update, as does a rank above the whole one's."""
        self._ledger, self._rank, self._is_shuffled = ledger, rank, is_shuffled
        kind = "-shuffled" if is_shuffled else ""
        self.name = f"ledger{kind}" if rank is None else f"ledger{kind}-{rank}"

    @property
    def recipe_key(self) -> str:
        return f"{self._ledger.recipe_key}|{self._rank}|{self._is_shuffled}"

    def why_not(self) -> str | None:
        return self._ledger.why_not()

    def ready(self) -> None:
        _ = self._ledger.population

    def adapter(self, target: Target) -> LoraAdapter | None:
        """``None`` where every step does harm on the tokens held out."""
        readout = self._ledger.readout(target)
        if readout.step == 0.0:
            return None
        update = readout.step * (self._shuffled(target) if self._is_shuffled else readout.direction)
        rank = None if self._rank is None else min(self._rank, *update.shape)
        pair = truncated(update, self._ledger.population, self._ledger.plan.readout, rank)
        projection = written_projection(self._ledger.decoder)
        return LoraAdapter({projection: pair}, 1.0, target.known_commit_id)

    def _shuffled(self, target: Target) -> Tensor:
        writes = _shuffled(self._ledger.writes(target), target.seed)
        return self._ledger.direction(writes)

    def n_commits(self, target: Target) -> int:
        del target
        return 0


def _shuffled(writes: Writes, seed: int) -> Writes:
    order = torch.randperm(writes.n_tokens, generator=torch.Generator().manual_seed(seed))
    return Writes(writes.keys, writes.errors[order], writes.outputs, writes.next_ids)
