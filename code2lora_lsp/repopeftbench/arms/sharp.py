"""The sharp memory over the known tree, mixed into the backbone, alone or beside an adapter."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from code2lora_lsp.errors import SetupError
from code2lora_lsp.neural.lora import LoraAdapter
from code2lora_lsp.neural.sharp.gate import Gate, load_gate
from code2lora_lsp.neural.sharp.memory import SharpMemory
from code2lora_lsp.neural.sharp.table import NgramTable
from code2lora_lsp.repopeftbench.arms.adapter_arm import Adapting
from code2lora_lsp.repopeftbench.arms.arm import Answer, Cost, Prepared, Target
from code2lora_lsp.repopeftbench.arms.known_tree import KnownTree, read_known_tree
from code2lora_lsp.repopeftbench.items import Item
from code2lora_lsp.repopeftbench.scoring import Scorer
from code2lora_lsp.runtime.ledger_reader import BESIDE_TABLE
from code2lora_lsp.runtime.models import backbone_fingerprint
from code2lora_lsp.text.blocks import blocks_of
from code2lora_lsp.text.tokenizer import Tokenizer
from code2lora_lsp.text.views import counted_texts


def table_of(tree: KnownTree, tokenizer: Tokenizer) -> NgramTable:
    """Every block of a tree, counted as serving counts it."""
    return NgramTable.empty(tokenizer.vocabulary_size, tokenizer.name).with_changes(
        _counted_ids(tree, tokenizer)
    )


def _counted_ids(tree: KnownTree, tokenizer: Tokenizer) -> Iterator[list[int]]:
    for file in tree.files:
        for block in blocks_of(file.path, file.text):
            for text in counted_texts(block):
                yield tokenizer.encode(text)


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
    memory: SharpMemory
    adapter: LoraAdapter | None

    def answer(self, items: Sequence[Item]) -> list[Answer]:
        self.scorer.bind(self.adapter)
        return [self._answer(item) for item in items]

    def _answer(self, item: Item) -> Answer:
        budget = self.scorer.prompt_budget(item.target)
        prompt = self.scorer.prompts.make(item, budget_tokens=budget)
        return self.scorer.answer(item, prompt, self.memory)


class SharpArm:
    """``sharp``: backbone and memory. ``X-sharp``: the same with X's adapter bound."""

    def __init__(
        self, scorer: Scorer, model_folder: Path, gate: Path, adapting: Adapting | None = None
    ) -> None:
        """``gate`` is a file made by ``training.gate`` for the backbone in ``model_folder``."""
        self._scorer, self._folder, self._path = scorer, model_folder, gate
        self._adapting = adapting
        self.name = "sharp" if adapting is None else f"{adapting.name}-sharp"

    @property
    def recipe_key(self) -> str:
        own = f"{self._scorer.recipe_key}|gate={self._gate.gate_id}"
        if self._adapting is None:
            return own
        return f"{own}|{self._adapting.recipe_key}|beside={BESIDE_TABLE}"

    def why_not(self) -> str | None:
        try:
            _ = self._gate
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
        memory = SharpMemory(table_of(tree, self._scorer.model.tokenizer), self._gate)
        cost = Cost(
            time.perf_counter() - started_s + other.seconds,
            other.n_commits,
            memory.table.size_bytes + other.stored_bytes,
        )
        return PreparedSharp(self._scorer, cost, memory, adapter)

    @cached_property
    def _gate(self) -> Gate:
        return load_gate(self._path, backbone_fingerprint(self._folder))
