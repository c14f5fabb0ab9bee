"""Arms that answer with an adapter: what makes one, how it is kept, and how it becomes an arm."""

import hashlib
import json
import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from code2lora_lsp.neural.atomic_file import write_text
from code2lora_lsp.neural.lora import LoraAdapter
from code2lora_lsp.neural.peft_format import load_peft, save_peft
from code2lora_lsp.repopeftbench.arms.arm import Cost, Prepared, Target
from code2lora_lsp.repopeftbench.arms.prepared import PreparedScorer
from code2lora_lsp.repopeftbench.scoring import Scorer

COST_NAME = "cost.json"


class AdapterArm(Protocol):
    """Makes one adapter per target. Everything else about such an arm is ``Adapting``'s."""

    @property
    def name(self) -> str:
        """Name in tables."""

    @property
    def recipe_key(self) -> str:
        """Changes whenever the adapter of the same target may: weights, hyper-parameters."""

    def why_not(self) -> str | None:
        """As ``Arm.why_not``."""

    def ready(self) -> None:
        """Load or train what all targets share; it counts for no target's cost."""

    def adapter(self, target: Target) -> LoraAdapter | None:
        """The adapter written from what a target may know; ``None`` is the plain backbone.

        Raises:
            LeakFound, CannotPrepare: as ``Arm.prepare``.
        """

    def n_commits(self, target: Target) -> int:
        """Commits stepped through for that adapter; 0 for arms that follow no history.

        Asked first, and outside the time that counts as the adapter's cost.
        """


@dataclass(frozen=True)
class Made:
    """An adapter and what it took, also when it is only remembered now."""

    adapter: LoraAdapter | None
    cost: Cost


class Adapting:
    """An ``AdapterArm`` as an ``Arm``: each target's adapter is made once and remembered.

    With a ``folder``, adapters are kept there as PEFT folders, so that a run that was killed, or
    another process of it, does not make them again.
    """

    def __init__(self, arm: AdapterArm, scorer: Scorer, folder: Path | None = None) -> None:
        self._arm, self._scorer, self._folder = arm, scorer, folder
        self._made: dict[Target, Made] = {}

    @property
    def name(self) -> str:
        return self._arm.name

    @property
    def recipe_key(self) -> str:
        return f"{self._arm.recipe_key}|{self._scorer.recipe_key}"

    def why_not(self) -> str | None:
        return self._arm.why_not()

    def ready(self) -> None:
        self._arm.ready()

    def adapter(self, target: Target) -> LoraAdapter | None:
        return self.made(target).adapter

    def n_commits(self, target: Target) -> int:
        return self._arm.n_commits(target)

    def prepare(self, target: Target) -> Prepared:
        made = self.made(target)
        return PreparedScorer(self._scorer, made.cost, made.adapter)

    def made(self, target: Target) -> Made:
        """The target's adapter with the cost of making it."""
        if target not in self._made:
            self._made[target] = self._kept(target) or self._make(target)
        return self._made[target]

    def _make(self, target: Target) -> Made:
        self._arm.ready()
        n_commits = self._arm.n_commits(target)  # finds leaks too, which is no cost of the arm
        started_s = time.perf_counter()
        adapter = self._arm.adapter(target)
        seconds = time.perf_counter() - started_s
        made = Made(adapter, Cost(seconds, n_commits, adapter.size_bytes if adapter else 0))
        self._keep(target, made)
        return made

    def _place(self, target: Target) -> Path | None:
        if self._folder is None:
            return None
        facts = (
            self._arm.name, self._arm.recipe_key, target.repository, target.known_commit_id,
            str(target.seed), *sorted(target.hidden_paths),
        )  # fmt: skip
        return self._folder / hashlib.sha256("\0".join(facts).encode()).hexdigest()[:24]

    def _kept(self, target: Target) -> Made | None:
        place = self._place(target)
        if place is None or not (place / COST_NAME).is_file():
            return None
        cost = json.loads((place / COST_NAME).read_text(encoding="utf-8"))
        return Made(load_peft(place), Cost(**cost))

    def _keep(self, target: Target, made: Made) -> None:
        """The cost goes last: a folder without it is not finished and is made again."""
        place = self._place(target)
        if place is None or made.adapter is None:
            return
        shutil.rmtree(place, ignore_errors=True)
        save_peft(made.adapter, place, self._scorer.model.name)
        write_text(place / COST_NAME, json.dumps(vars(made.cost)) + "\n")
