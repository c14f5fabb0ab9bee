"""Follows one repository: HEAD moved → fold → adapter → published. One thread per repository."""

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from code2lora_lsp.cancellation import Cancellation, Cancelled
from code2lora_lsp.config import FollowSettings
from code2lora_lsp.errors import Code2LoraError
from code2lora_lsp.history.head import Head
from code2lora_lsp.history.repository import Repository
from code2lora_lsp.history.watcher import HeadMoved, HeadWatcher
from code2lora_lsp.neural.code2lora.hypernetwork import Code2LoraStatic
from code2lora_lsp.neural.lora import delta_cosine
from code2lora_lsp.runtime.adapter_slot import AdapterSlot
from code2lora_lsp.runtime.api import FollowState, RepositoryStatus
from code2lora_lsp.runtime.embedder import HistoryEmbedder
from code2lora_lsp.runtime.fold import CommitFold, FoldPlan, FoldPoint, SnapshotFold
from code2lora_lsp.runtime.models import FollowModels
from code2lora_lsp.runtime.progress import Progress

log = logging.getLogger(__name__)

PUBLISH_EVERY_S = 2.0
"""While a long fold runs, an adapter on the way is published this often."""

MODELS_NOT_LOADED = "the models are not loaded"
NO_CHECKPOINT = "no checkpoint is set, so completions carry no adapter"

FIRST_RETRY_S, LONGEST_RETRY_S = 5.0, 300.0
"""After a failure the same HEAD is tried again, ever more seldom."""

SHOW_PROGRESS_STEPS = 4
"""Shorter folds are over before a progress bar could be read."""


class Tracker:
    """Owns one repository's fold and is the only writer of its slot.

    Its thread folds and publishes. ``roll_back``, ``refresh`` and ``attach`` may come from any
    thread; ``_lock`` makes them and a publication exclude each other.

    Args:
        root: work-tree root.
        slot: where adapters are published.
        on_change: called after every change of ``status``; it must only hand over.
        progress: where long folds report.
    """

    def __init__(
        self,
        root: Path,
        settings: FollowSettings,
        slot: AdapterSlot,
        on_change: Callable[[], None],
        progress: Progress,
    ) -> None:
        self.root = root
        self.slot = slot
        self.status = RepositoryStatus(root=str(root), state=FollowState.WAITING)
        self._settings = settings
        self._on_change = on_change
        self._progress = progress
        self._models: FollowModels | None = None
        self._why_none = MODELS_NOT_LOADED
        self._repository: Repository | None = None
        self._watcher: HeadWatcher | None = None
        self._lock = threading.RLock()
        self._wake = threading.Event()
        self._closed = threading.Event()
        self._cancellation = Cancellation()
        self._retry_s: float | None = None
        self._is_pinned = False
        self._thread = threading.Thread(target=self._run, name=f"tracker {root.name}", daemon=True)

    def start(self) -> None:
        """Begin watching; folding begins once ``attach`` was called."""
        self._thread.start()

    def attach(self, models: FollowModels | None, why_none: str = MODELS_NOT_LOADED) -> None:
        """Give the tracker its models, or take them away and say why there are none."""
        self._why_none = why_none
        self._models = models
        self._nudge("the models changed")

    def refresh(self) -> None:
        """Unpin, read HEAD again and follow it."""
        with self._lock:
            self._is_pinned = False
        self._nudge("a refresh was asked for")

    def roll_back(self) -> str | None:
        """Publish the adapter before the current one and stay there; its commit id."""
        with self._lock:
            adapter = self.slot.roll_back()
            if adapter is None:
                return None
            self._is_pinned = True
            self._set_status(adapter_id=adapter.adapter_id, adapter_commit=adapter.commit_id)
            self._show_pinned()
        self._nudge("rolled back")
        return adapter.commit_id

    def begin_close(self) -> None:
        """Ask the thread to end; returns at once."""
        self._closed.set()
        self._nudge("closing")

    def close(self, timeout_s: float) -> bool:
        """Stop watching and folding; whether the thread has ended. Stored states stay on disk."""
        self.begin_close()
        if self._thread.ident is not None:
            self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _nudge(self, reason: str) -> None:
        self._cancellation.cancel(reason)
        self._wake.set()

    def _run(self) -> None:
        try:
            self._wake.set()
            while not self._closed.is_set():
                self._wake.wait(self._retry_s)
                self._wake.clear()
                if not self._closed.is_set():
                    self._follow_guarded()
        finally:
            if self._watcher is not None:
                self._watcher.stop()

    def _follow_guarded(self) -> None:
        """Follow once; whatever fails, the last good adapter stays published."""
        is_busy = self._models.engine_is_busy if self._models else _never
        self._cancellation = _Polite(is_busy, self._closed)
        try:
            self._follow(self._opened(), self._cancellation)
        except Cancelled as cancelled:
            log.info("fold of %s stopped: %s", self.root.name, cancelled)
        except (Code2LoraError, OSError) as error:
            log.warning("%s: %s", self.root.name, error)
            self._fail(str(error))
        except Exception as error:
            log.exception("following %s failed", self.root.name)
            self._fail(f"unexpected: {error!r}")
        else:
            self._retry_s = None

    def _fail(self, detail: str) -> None:
        retry_s = FIRST_RETRY_S if self._retry_s is None else 2 * self._retry_s
        self._retry_s = min(retry_s, LONGEST_RETRY_S)
        self._set_status(state=FollowState.FAILED, detail=detail)

    def _opened(self) -> Repository:
        """The repository, watched from the first time on."""
        if self._repository is None:
            repository = Repository.discover(self.root, self._settings.exclude)
            watcher = HeadWatcher(repository, self._on_head_moved, poll_s=self._settings.poll_s)
            watcher.start()
            self._repository, self._watcher = repository, watcher
        return self._repository

    def _on_head_moved(self, moved: HeadMoved) -> None:
        log.info("HEAD moved to %s", moved.current)
        self._nudge("HEAD moved")

    def _follow(self, repository: Repository, cancellation: Cancellation) -> None:
        head = repository.head()
        self._note_head(head)
        models = self._models
        if self._is_pinned:
            self._show_pinned()
        elif head.commit_id is None:
            self._set_status(state=FollowState.WAITING, detail="the branch has no commit yet")
        elif models is None:
            self._set_status(state=FollowState.WAITING, detail=self._why_none)
        else:
            fold = self._fold(repository, models)
            plan = fold.plan(head.commit_id, cancellation)
            if plan is None:
                self._set_status(state=FollowState.WAITING, detail="no commit touches source yet")
            else:
                self._run_fold(fold, plan, models, cancellation)

    def _note_head(self, head: Head) -> None:
        """A new HEAD is not current before its fold has said so."""
        with self._lock:
            has_moved = head.commit_id != self.status.head
            if has_moved and self.status.state is FollowState.CURRENT:
                self._set_status(state=FollowState.FOLLOWING, commits_behind=None)
            self._set_status(head=head.commit_id, branch=head.branch)

    def _show_pinned(self) -> None:
        """Rolled back by hand: how far behind is not counted, and nothing is folded."""
        detail = "rolled back by hand; refresh to follow HEAD again"
        self._set_status(state=FollowState.PINNED, commits_behind=None, detail=detail)

    def _fold(self, repository: Repository, models: FollowModels) -> CommitFold | SnapshotFold:
        store = models.store(self._settings.exclude)
        embedder = HistoryEmbedder(repository, models.recipe, models.encoder, store)
        if isinstance(models.hypernetwork, Code2LoraStatic):
            return SnapshotFold(repository, models.recipe, embedder)
        return CommitFold(repository, models.recipe, models.hypernetwork, embedder, store)

    def _run_fold(
        self,
        fold: CommitFold | SnapshotFold,
        plan: FoldPlan,
        models: FollowModels,
        cancellation: Cancellation,
    ) -> None:
        started_s = published_s = time.monotonic()
        with self._progress.task(f"Adapter for {self.root.name}") as report:
            for point in fold.run(plan, cancellation, lambda: report("reading the tree", None)):
                self._show_progress(point)
                is_due = time.monotonic() - published_s >= PUBLISH_EVERY_S
                if point.behind == 0 or is_due or self.slot.current is None:
                    self._publish(point, models, time.monotonic() - started_s)
                    published_s = time.monotonic()
                if point.total > SHOW_PROGRESS_STEPS and point.behind:
                    done = point.total - point.behind
                    report(f"commit {done} of {point.total}", 100 * done // point.total)

    def _show_progress(self, point: FoldPoint) -> None:
        with self._lock:
            if point.behind and not self._is_pinned:
                self._set_status(state=FollowState.FOLLOWING, commits_behind=point.behind)

    def _publish(self, point: FoldPoint, models: FollowModels, seconds: float) -> None:
        adapter = models.hypernetwork.adapter(point.hidden_state, point.commit_id)
        models.check_fits(adapter)
        with self._lock:
            if self._is_pinned:
                return
            previous = self.slot.current
            self.slot.publish(adapter, provisional=point.behind > 0)
            drift = self.status.drift
            if previous is not None and previous.adapter_id != adapter.adapter_id:
                drift = 1.0 - delta_cosine(previous, adapter)
            self._set_status(
                state=FollowState.FOLLOWING if point.behind else FollowState.CURRENT,
                adapter_id=adapter.adapter_id, adapter_commit=adapter.commit_id,
                commits_behind=point.behind, drift=drift, last_step_s=seconds, detail="",
            )  # fmt: skip

    def _set_status(self, **changes: object) -> None:
        with self._lock:
            self.status = replace(self.status, **changes)  # type: ignore[arg-type]  # names checked by replace
        self._on_change()


class _Polite(Cancellation):
    """Steps aside at every check point while a completion is being decoded."""

    LONGEST_WAIT_S = 1.0

    def __init__(self, is_busy: Callable[[], bool], closed: threading.Event) -> None:
        super().__init__()
        self._is_busy = is_busy
        self._closed = closed

    def check(self) -> None:
        """Wait for the engine, but not for ever, then raise ``Cancelled`` if asked to."""
        until_s = time.monotonic() + self.LONGEST_WAIT_S
        while self._is_busy() and time.monotonic() < until_s and not self.is_cancelled:
            time.sleep(0.005)
        if self._closed.is_set():
            self.cancel("closing")
        super().check()


def _never() -> bool:
    return False
