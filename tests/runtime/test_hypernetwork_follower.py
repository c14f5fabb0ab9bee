"""What a tracker is told of a fold: when it began at another anchor."""

import torch

from code2lora_lsp.cancellation import Cancellation
from code2lora_lsp.runtime.fold import FoldPlan, FoldPoint
from code2lora_lsp.runtime.hypernetwork_follower import HypernetworkFollower
from tests.fakes import random_adapter


class Fold:
    """Two steps, from an anchor that is set from outside."""

    anchor = "first"

    def plan(self, head, cancellation):
        return FoldPlan(self.anchor, ("one", head))

    def run(self, plan, cancellation, on_snapshot):
        for behind, commit_id in ((1, "one"), (0, plan.steps[-1])):
            yield FoldPoint(commit_id, torch.zeros(1), behind, 2)


def test_another_anchor_than_last_time_is_said_at_the_end_of_the_run():
    fold = Fold()
    follower = HypernetworkFollower(fold, lambda *_: random_adapter(), lambda _: None)

    def anew(head):
        plan = follower.plan(head, Cancellation())
        return [p.is_anew for p in follower.run(plan, Cancellation(), lambda: None)]

    assert anew("a") == [False, False]
    assert anew("b") == [False, False]
    fold.anchor = "second"
    assert anew("c") == [False, True]
    assert anew("d") == [False, False]
