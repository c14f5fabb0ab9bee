"""The sharp memory over the known tree, mixed into the backbone, alone or beside an adapter.

``sharp`` is the table of the whole tree; ``sharp-near`` looks near as well, as the server does.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from code2lora_lsp.errors import SetupError
from code2lora_lsp.neural.lora import LoraAdapter
from code2lora_lsp.neural.sharp.gate import Gate, load_gate
from code2lora_lsp.neural.sharp.near import sharpened
from code2lora_lsp.neural.sharp.shelf import Shelf
from code2lora_lsp.neural.sharp.table import NgramTable
from code2lora_lsp.repopeftbench.arms.adapter_arm import Adapting
from code2lora_lsp.repopeftbench.arms.arm import Answer, Cost, Prepared, Target
from code2lora_lsp.repopeftbench.arms.known_tree import KnownTree, read_known_tree
from code2lora_lsp.repopeftbench.items import Item
from code2lora_lsp.repopeftbench.scoring import Scorer
from code2lora_lsp.runtime.knowledge import Sharp
from code2lora_lsp.runtime.ledger_reader import BESIDE_TABLE
from code2lora_lsp.runtime.ledger_work import remembered_anew
from code2lora_lsp.runtime.model_folders import backbone_fingerprint
from code2lora_lsp.text.blocks import blocks_of
from code2lora_lsp.text.tokenizer import Tokenizer


def counted_of(tree: KnownTree, tokenizer: Tokenizer) -> tuple[NgramTable, Shelf]:
    """Every block of a tree, counted as serving counts it, and by itself."""
    blocks = (block for file in tree.files for block in blocks_of(file.path, file.text))
    return remembered_anew(blocks, tokenizer)


def _beside_table(adapter: LoraAdapter | None) -> LoraAdapter | None:
    """As the server binds it where there is a table."""
    if adapter is None:
        return None
    return LoraAdapter(adapter.pairs, adapter.scale * BESIDE_TABLE, adapter.commit_id)


@dataclass(frozen=True)
class PreparedSharp:
    """A memory and perhaps an adapter of one target. Satisfies ``Prepared``."""

    scorer: Scorer
    cost: Cost
    memory: Sharp
    adapter: LoraAdapter | None

    def answer(self, items: Sequence[Item]) -> list[Answer]:
        self.scorer.bind(self.adapter)
        return [self._answer(item) for item in items]

    def _answer(self, item: Item) -> Answer:
        budget = self.scorer.prompt_budget(item.target)
        prompt = self.scorer.prompts.make(item, budget_tokens=budget)
        return self.scorer.answer(item, prompt, self.memory.near(prompt.token_ids))


class SharpArm:
    """``sharp``: backbone and memory. ``X-sharp``: the same with X's adapter bound."""

    def __init__(
        self,
        scorer: Scorer,
        model_folder: Path,
        gates: Sequence[Path],
        adapting: Adapting | None = None,
    ) -> None:
        """``gates``: one file, of the backbone in the folder; with a second it is ``-near``."""
        self._scorer, self._folder, self._paths = scorer, model_folder, gates
        self._adapting = adapting
        kind = "sharp-near" if len(gates) > 1 else "sharp"
        self.name = kind if adapting is None else f"{adapting.name}-{kind}"

    @property
    def recipe_key(self) -> str:
        gates = "+".join(gate.gate_id for gate in self._gates)
        own = f"{self._scorer.recipe_key}|gate={gates}"
        if self._adapting is None:
            return own
        return f"{own}|{self._adapting.recipe_key}|beside={BESIDE_TABLE}"

    def why_not(self) -> str | None:
        try:
            _ = self._gates
        except SetupError as error:
            return str(error)
        return None if self._adapting is None else self._adapting.why_not()

    def prepare(self, target: Target) -> Prepared:
        adapter, other = None, Cost(0.0)
        if self._adapting is not None:
            made = self._adapting.made(target)
            adapter, other = _beside_table(made.adapter), made.cost
        tree = read_known_tree(target)
        started_s = time.perf_counter()
        memory = self._memory(tree)
        cost = Cost(
            time.perf_counter() - started_s + other.seconds,
            other.n_commits,
            memory.size_bytes + other.stored_bytes,
        )
        return PreparedSharp(self._scorer, cost, memory, adapter)

    def _memory(self, tree: KnownTree) -> Sharp:
        table, shelf = counted_of(tree, self._scorer.model.tokenizer)
        return sharpened(table, shelf, self._gates)

    @cached_property
    def _gates(self) -> list[Gate]:
        fingerprint = backbone_fingerprint(self._folder)
        return [load_gate(path, fingerprint) for path in self._paths]
