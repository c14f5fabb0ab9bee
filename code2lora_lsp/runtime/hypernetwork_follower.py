"""The hypernetwork behind a tracker: a fold over commits, or the embedding of one tree."""

from collections.abc import Callable, Iterator, Mapping

from torch import Tensor

from code2lora_lsp.cancellation import Cancellation
from code2lora_lsp.neural.lora import LoraAdapter
from code2lora_lsp.runtime.fold import CommitFold, FoldPlan, FoldPoint, SnapshotFold
from code2lora_lsp.runtime.follower import Edited, FollowPoint
from code2lora_lsp.runtime.knowledge import Knowledge


class HypernetworkFollower:
    """Satisfies ``Follower``; it knows no more between commits than its anchor."""

    def __init__(
        self,
        fold: CommitFold | SnapshotFold,
        head: Callable[[Tensor, str], LoraAdapter],
        check_fits: Callable[[LoraAdapter], None],
    ) -> None:
        """Follow with a fold.

        Args:
            fold: the hypernetwork's recurrent half, over commits.
            head: its other half: a state and its commit → the adapter.
            check_fits: raises AdapterRejected unless the backbone can bind an adapter.
        """
        self._fold, self._head, self._check_fits = fold, head, check_fits
        self._anchor: str | None = None

    def plan(self, head: str, cancellation: Cancellation) -> FoldPlan | None:
        return self._fold.plan(head, cancellation)

    def run(
        self, plan: FoldPlan, cancellation: Cancellation, on_snapshot: Callable[[], None]
    ) -> Iterator[FollowPoint]:
        is_anew = self._anchor not in {None, plan.anchor}
        for point in self._fold.run(plan, cancellation, on_snapshot):
            yield FollowPoint(
                point.commit_id, point.behind, point.total, "commit", self._reader(point),
                is_anew=is_anew and point.behind == 0,
            )  # fmt: skip
        self._anchor = plan.anchor

    def edited(
        self, head: str, texts: Mapping[str, bytes | None], cancellation: Cancellation
    ) -> Edited | None:
        del head, texts, cancellation
        return None

    def _reader(self, point: FoldPoint) -> Callable[[], Knowledge]:
        def knowledge() -> Knowledge:
            adapter = self._head(point.hidden_state, point.commit_id)
            self._check_fits(adapter)
            return Knowledge(point.commit_id, adapter)

        return knowledge
