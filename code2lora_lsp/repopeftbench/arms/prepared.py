"""What most arms are: a scorer and, once prepared, perhaps an adapter or snippets per item."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from code2lora_lsp.neural.lora import LoraAdapter
from code2lora_lsp.repopeftbench.arms.arm import Answer, Cost
from code2lora_lsp.repopeftbench.items import Item
from code2lora_lsp.repopeftbench.prompts import Snippet
from code2lora_lsp.repopeftbench.scoring import Scorer


def no_snippets(_: Item) -> Sequence[Snippet]:
    return ()


def own_prefix(_: Item) -> str | None:
    """The item's own prefix, within the item's own budget."""
    return None


class ScorerArm:
    """An arm that needs no more than a scorer: it runs everywhere, its recipe is the scorer's."""

    def __init__(self, scorer: Scorer) -> None:
        self._scorer = scorer

    @property
    def recipe_key(self) -> str:
        return self._scorer.recipe_key

    def why_not(self) -> str | None:
        return None


@dataclass(frozen=True)
class PreparedScorer:
    """Satisfies ``Prepared``.

    Attributes:
        adapter: bound before the items are read; ``None`` is the plain backbone.
        snippets: context of an item, the most relevant last. Its time counts as the item's.
        prefix: text to show instead of an item's own prefix.
    """

    scorer: Scorer
    cost: Cost
    adapter: LoraAdapter | None = None
    snippets: Callable[[Item], Sequence[Snippet]] = no_snippets
    prefix: Callable[[Item], str | None] = own_prefix

    def answer(self, items: Sequence[Item]) -> list[Answer]:
        self.scorer.bind(self.adapter)
        return [self._answer(item) for item in items]

    def _answer(self, item: Item) -> Answer:
        started_s = time.perf_counter()
        prompt = self.scorer.prompts.make(
            item,
            self.snippets(item),
            prefix=self.prefix(item),
            budget_tokens=self.scorer.prompt_budget(item.target),
        )
        text = self.scorer.decode(prompt, stops_at_line="\n" not in item.target)
        return self.scorer.scored(item, prompt, text, time.perf_counter() - started_s)
