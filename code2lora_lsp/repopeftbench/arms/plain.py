"""The backbone alone, with the prompt of the item or with the longest one its window holds."""

from code2lora_lsp.repopeftbench.arms.arm import Cost, Prepared, Target
from code2lora_lsp.repopeftbench.arms.known_tree import text_before
from code2lora_lsp.repopeftbench.arms.prepared import PreparedScorer, ScorerArm
from code2lora_lsp.repopeftbench.scoring import Scorer


class BackboneArm(ScorerArm):
    """No adapter, no context: the prefix the item shows."""

    name = "backbone"

    def prepare(self, target: Target) -> Prepared:
        del target  # nothing of the repository is read
        return PreparedScorer(self._scorer, Cost(0.0))


class LongerPromptArm(ScorerArm):
    """The whole file before the cut, as far as the model's window reaches.

    The item's own limit on its prefix is lifted: this arm is the price of more tokens per query.
    """

    name = "longer-prompt"

    def __init__(self, scorer: Scorer) -> None:
        super().__init__(scorer)
        self._wide: Scorer | None = None

    @property
    def recipe_key(self) -> str:
        return "window"

    def prepare(self, target: Target) -> Prepared:
        self._wide = self._wide or self._scorer.widest()
        return PreparedScorer(self._wide, Cost(0.0), prefix=lambda item: text_before(item, target))
