"""The demand test: do the items ask for the repository at all?

Before any arm is compared, a snippet that holds the answer must help much, and one of another
repository must not. If the first gains under half a nat, the filter that chose the items is wrong.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from code2lora_lsp.repopeftbench.arms.arm import Answer, Arm, Target
from code2lora_lsp.repopeftbench.arms.oracle import NearestSnippetArm, WrongRepositorySnippetArm
from code2lora_lsp.repopeftbench.arms.plain import BackboneArm
from code2lora_lsp.repopeftbench.items import Item
from code2lora_lsp.repopeftbench.scoring import Scorer

LEAST_GAIN_NATS = 0.5


@dataclass(frozen=True)
class Demand:
    """Mean nats per item of the identifier, or of the target where an item has none.

    Attributes:
        backbone, oracle, wrong: one item's mean under each of the three prompts.
    """

    n_items: int
    backbone: float
    oracle: float
    wrong: float

    @property
    def gain(self) -> float:
        """Nats the oracle snippet saves per item."""
        return self.backbone - self.oracle

    @property
    def wrong_gain(self) -> float:
        """Nats the other repository's snippet saves per item; what any code would."""
        return self.backbone - self.wrong

    @property
    def holds(self) -> bool:
        """Whether these items need the repository enough to measure anything with them."""
        return self.gain >= LEAST_GAIN_NATS


def demand_test(scorer: Scorer, work: Mapping[Target, Sequence[Item]]) -> Demand:
    """Backbone, oracle snippet and wrong repository's snippet on the same filtered items.

    Raises:
        ValueError: no items, or fewer than two repositories.
    """
    targets = list(work)
    items = [item for target in targets for item in work[target]]
    wrong = WrongRepositorySnippetArm(scorer, targets)
    reason = wrong.why_not()
    if reason is not None or not items:
        raise ValueError(f"the demand test cannot run: {reason or 'no items were given'}")
    return Demand(
        len(items),
        _mean(BackboneArm(scorer), work),
        _mean(NearestSnippetArm(scorer), work),
        _mean(wrong, work),
    )


def _mean(arm: Arm, work: Mapping[Target, Sequence[Item]]) -> float:
    nats = [
        _nats(answer)
        for target, items in work.items()
        for answer in arm.prepare(target).answer(items)
    ]
    return sum(nats) / len(nats)


def _nats(answer: Answer) -> float:
    return answer.target_nats if answer.identifier_nats is None else answer.identifier_nats
