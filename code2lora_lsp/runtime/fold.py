"""One commit after another into the hidden state, from an anchor at a bounded distance.

**Which commit the fold starts from is a function of the history alone.** With
``recipe.anchor_interval`` n, the anchor of a commit is the one with the smallest id among its
stepped ancestors at distance n to 2n (the oldest, when there are not that many). The window of a
sliding minimum moves seldom, so the next commit nearly always continues the same fold with one
step; when the anchor does move, at most 2n steps are replayed from stored embeddings. Cold start
is bounded by 2n diffs and one snapshot, whatever the length of the history, and the state after a
commit is the same whether it was reached live, after a rebase, or on another machine.
"""

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from code2lora_lsp.cancellation import Cancellation
from code2lora_lsp.history.diff import CommitDiff
from code2lora_lsp.history.repository import Repository
from code2lora_lsp.recipe import Recipe
from code2lora_lsp.runtime.state_store import StateStore

log = logging.getLogger(__name__)


class Stepper(Protocol):
    """The hypernetwork's recurrent half (``neural.code2lora``)."""

    def initial_state(self, snapshot_embedding: Tensor) -> Tensor:
        """h_0, [1, 1, H], from a snapshot embedding [2E]."""

    def step(self, diff_embedding: Tensor, hidden_state: Tensor) -> Tensor:
        """h_t, [1, 1, H], from d_t [2E] and h_{t-1}."""


class Embedder(Protocol):
    """Text of commits → embeddings, each [2E] float32 (``runtime.embedder``)."""

    def diff(self, diff: CommitDiff, cancellation: Cancellation) -> Tensor:
        """d_t of one commit's filtered diff."""

    def snapshot(self, commit_id: str, cancellation: Cancellation) -> Tensor:
        """e_0 of the tree at a commit."""


@dataclass(frozen=True)
class FoldPoint:
    """The state after ``commit_id``; ``behind`` stepped commits are still to come."""

    commit_id: str
    hidden_state: Tensor
    behind: int
    total: int


@dataclass(frozen=True)
class FoldPlan:
    """``anchor`` starts the fold; ``steps`` (oldest first) follow it up to the newest commit."""

    anchor: str
    steps: tuple[str, ...]


def plan_fold(stepped_ids: Sequence[str], recipe: Recipe) -> FoldPlan | None:
    """The canonical fold ending at the newest of ``stepped_ids`` (oldest first).

    ``stepped_ids`` must reach at least 2n+1 commits back, or to the oldest one. ``None`` when
    there is nothing to step on. The ``kept`` stream steps the anchor's own diff as published
    (code2lora-spec, section 4.7); ``source`` starts after it.
    """
    if not stepped_ids:
        return None
    at = _anchor_index(stepped_ids, recipe.anchor_interval)
    first_step = at if recipe.commits == "kept" else at + 1
    return FoldPlan(stepped_ids[at], tuple(stepped_ids[first_step:]))


def _anchor_index(stepped_ids: Sequence[str], interval: int | None) -> int:
    newest = len(stepped_ids) - 1
    if interval is None or newest <= interval:
        return 0
    window = range(max(0, newest - 2 * interval), newest - interval + 1)
    return min(window, key=lambda index: stepped_ids[index])


def plan_from(
    repository: Repository, recipe: Recipe, head: str, cancellation: Cancellation | None = None
) -> FoldPlan | None:
    """Read the stepped commits below ``head`` and choose the anchor.

    In a shallow clone without a single readable diff, the boundary's tree is the whole fold.

    Raises:
        GitReadFailed: git did not answer.
    """
    interval = recipe.anchor_interval
    limit = None if interval is None else 2 * interval + 1
    plan = plan_fold(repository.source_commit_ids(head, recipe, limit, cancellation), recipe)
    if plan is None:
        boundary = repository.shallow_boundary(head)
        return None if boundary is None else FoldPlan(boundary, ())
    return plan


def count_stored(
    repository: Repository, recipe: Recipe, store: StateStore
) -> tuple[int, int, str | None] | None:
    """(steps done, steps in all, newest stored commit) of HEAD's fold, if there is one."""
    head = repository.head().commit_id
    plan = plan_from(repository, recipe, head) if head else None
    if plan is None:
        return None
    for done in range(len(plan.steps), 0, -1):
        if store.has("state", _state_key(plan.steps[done - 1], plan)):
            return done, len(plan.steps), plan.steps[done - 1]
    return 0, len(plan.steps), None


class CommitFold:
    """Folds one repository's history; owned by its tracker's thread."""

    def __init__(
        self,
        repository: Repository,
        recipe: Recipe,
        stepper: Stepper,
        embedder: Embedder,
        store: StateStore,
    ) -> None:
        self._repository = repository
        self._recipe = recipe
        self._stepper = stepper
        self._embedder = embedder
        self._store = store

    def plan(self, head: str, cancellation: Cancellation | None = None) -> FoldPlan | None:
        """Read the stepped commits below ``head`` and choose the anchor.

        Raises:
            GitReadFailed: git did not answer.
        """
        return plan_from(self._repository, self._recipe, head, cancellation)

    def run(
        self,
        plan: FoldPlan,
        cancellation: Cancellation,
        on_snapshot: Callable[[], None] = lambda: None,
    ) -> Iterator[FoldPoint]:
        """Yield the state after each commit still to be folded, and at least the last one.

        Resumes after the newest commit of the plan whose state is stored. ``on_snapshot`` is
        called before the anchor's tree is embedded, the one long part of a cold start.

        Raises:
            GitReadFailed, EmbeddingFailed: the fold stops; states already stored stay valid.
            Cancelled: ``cancellation`` was set.
        """
        done, hidden_state = self._resume(plan)
        if hidden_state is None:
            on_snapshot()
            hidden_state = self._stepper.initial_state(
                self._embedder.snapshot(plan.anchor, cancellation)
            )
        total = len(plan.steps)
        commit_id = plan.steps[done - 1] if done else plan.anchor
        yield FoldPoint(commit_id, hidden_state, total - done, total)
        for index, (commit_id, embedding) in enumerate(
            self._embeddings(plan.steps[done:], cancellation), start=done + 1
        ):
            cancellation.check()
            hidden_state = self._stepper.step(embedding, hidden_state)
            self._save("state", _state_key(commit_id, plan), "hidden_state", hidden_state)
            yield FoldPoint(commit_id, hidden_state, total - index, total)

    def _resume(self, plan: FoldPlan) -> tuple[int, Tensor | None]:
        for done in range(len(plan.steps), 0, -1):
            found = self._store.load("state", _state_key(plan.steps[done - 1], plan))
            if found:
                return done, found["hidden_state"]
        return 0, None

    def _embeddings(
        self, commit_ids: Sequence[str], cancellation: Cancellation
    ) -> Iterator[tuple[str, Tensor]]:
        """d_t per commit, in order: stored ones read, the rest streamed from one git walk."""
        stored = {c: found for c in commit_ids if (found := self._store.load("diff", c))}
        missing = [c for c in commit_ids if c not in stored]
        diffs = self._repository.commit_diffs(missing, self._recipe, cancellation)
        for commit_id in commit_ids:
            if commit_id in stored:
                yield commit_id, stored[commit_id]["embedding"]
                continue
            embedding = self._embedder.diff(next(diffs), cancellation)
            self._save("diff", commit_id, "embedding", embedding)
            yield commit_id, embedding

    def _save(self, kind: str, key: str, name: str, tensor: Tensor) -> None:
        try:
            self._store.save(kind, key, {name: tensor})
        except OSError as error:
            log.warning("%s %s could not be stored (%s); following goes on", kind, key[:12], error)


def _state_key(commit_id: str, plan: FoldPlan) -> str:
    """A replay from a moved anchor must not overwrite the canonical state of an older commit."""
    return f"{commit_id}.{plan.anchor[:12]}"


class SnapshotFold:
    """Code2LoRA-Static behind the same two verbs: the state is the snapshot embedding itself."""

    def __init__(self, repository: Repository, recipe: Recipe, embedder: Embedder) -> None:
        self._repository = repository
        self._recipe = recipe
        self._embedder = embedder

    def plan(self, head: str, cancellation: Cancellation | None = None) -> FoldPlan | None:
        """The newest stepped commit; no steps.

        Raises:
            GitReadFailed: git did not answer.
        """
        plan = plan_from(self._repository, self._recipe, head, cancellation)
        return plan and FoldPlan((plan.anchor, *plan.steps)[-1], ())

    def run(
        self,
        plan: FoldPlan,
        cancellation: Cancellation,
        on_snapshot: Callable[[], None] = lambda: None,
    ) -> Iterator[FoldPoint]:
        """Yield one point: the embedding of the anchor's tree, [2E]."""
        on_snapshot()
        yield FoldPoint(plan.anchor, self._embedder.snapshot(plan.anchor, cancellation), 0, 0)
