"""Follows one repository: HEAD moved → run → knowledge → published. One thread per repository."""

import logging
import threading
import time
from collections.abc import Callable
from pathlib import Path

from code2lora_lsp.cancellation import Cancellation, Cancelled
from code2lora_lsp.config import FollowSettings
from code2lora_lsp.errors import Code2LoraError, NotARepository
from code2lora_lsp.history.repository import Repository
from code2lora_lsp.history.watcher import HeadMoved, HeadWatcher
from code2lora_lsp.runtime.api import FollowState, RepositoryStatus
from code2lora_lsp.runtime.commit_journal import Arrival, CommitJournal
from code2lora_lsp.runtime.follower import Follower, Following, FollowPoint
from code2lora_lsp.runtime.journal_keeper import JournalKeeper
from code2lora_lsp.runtime.knowledge_slot import KnowledgeSlot
from code2lora_lsp.runtime.line_scoring import Score
from code2lora_lsp.runtime.polite import Polite
from code2lora_lsp.runtime.progress import Progress
from code2lora_lsp.runtime.publication import Publication
from code2lora_lsp.runtime.working_tree import WorkingTree

log = logging.getLogger(__name__)

PUBLISH_EVERY_S = 2.0
"""While a long run goes on, what is known on the way is published this often."""

MODELS_NOT_LOADED = "the models are not loaded"

FIRST_RETRY_S, LONGEST_RETRY_S = 5.0, 300.0
"""After a failure the same HEAD is tried again, ever more seldom."""

SHOW_PROGRESS_AFTER_S = 0.5
"""Shorter runs are over before a progress bar could be read."""


class Tracker:
    """Owns one repository's follower, what is published of it and its journal.

    Its thread follows and publishes. ``roll_back``, ``refresh``, ``saved`` and ``attach`` may come
    from any thread. ``_asked`` is another object whenever HEAD has to be followed again although
    it did not move.

    Args:
        root: work-tree root.
        slot: where knowledge is published.
        on_change: called after every change of ``status``; it must only hand over.
        progress: where long runs report.
        journal: where every commit that is reached is written down.
    """

    def __init__(
        self,
        root: Path,
        settings: FollowSettings,
        slot: KnowledgeSlot,
        on_change: Callable[[], None],
        progress: Progress,
        journal: CommitJournal,
    ) -> None:
        self.root = root
        self.slot = slot
        self._settings = settings
        self._progress = progress
        self._published = Publication(root, slot, on_change)
        self._wake = threading.Event()
        self._keeper = JournalKeeper(journal, self._wake.set)
        self._models: Following | None = None
        self._follower: tuple[Following, Follower] | None = None
        self._asked = object()
        self._done: tuple[object, str] | None = None
        self._working_tree = WorkingTree(root)
        self._why_none = MODELS_NOT_LOADED
        self._repository: Repository | None = None
        self._watcher: HeadWatcher | None = None
        self._closed = threading.Event()
        self._cancellation = Cancellation()
        self._retry_s: float | None = None
        self._thread = threading.Thread(target=self._run, name=f"tracker {root.name}", daemon=True)

    @property
    def status(self) -> RepositoryStatus:
        return self._published.status

    def start(self) -> None:
        """Begin watching; following begins once ``attach`` was called."""
        self._thread.start()

    def attach(
        self,
        models: Following | None,
        why_none: str = MODELS_NOT_LOADED,
        score: Score | None = None,
    ) -> None:
        """Give the tracker its models, or take them away and say why there are none.

        ``score`` does work for later, on a thread of its own.
        """
        self._why_none, self._keeper.score = why_none, score
        self._models = models
        self._asked = object()
        self._nudge("the models changed")

    def refresh(self) -> None:
        """Unpin, read HEAD again and follow it."""
        self._published.unpin()
        self._asked = object()
        self._nudge("a refresh was asked for")

    def saved(self, path: Path) -> None:
        """A file was saved: if it is tracked, what is in it now becomes known."""
        if self._settings.working_tree and self._working_tree.note(path):
            self._wake.set()

    def roll_back(self) -> str | None:
        """Publish what was known before and stay there; its commit id."""
        knowledge = self._published.roll_back()
        if knowledge is None:
            return None
        self._nudge("rolled back")
        return knowledge.commit_id

    def begin_close(self) -> None:
        """Ask the thread to end; returns at once."""
        self._closed.set()
        self._nudge("closing")

    def close(self, timeout_s: float) -> bool:
        """Stop watching and following; whether the thread has ended. Stored states stay on disk."""
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
                is_told = self._wake.wait(self._wait_s())
                self._wake.clear()
                self._keeper.take_scores()
                is_due = is_told or self._retry_s is not None or self._working_tree.has_moved()
                if is_due and not self._closed.is_set():
                    self._follow_guarded()
        finally:
            self._forget()

    def _wait_s(self) -> float | None:
        """How long to wait for a nudge; edited files are looked at in between."""
        if self._retry_s is None and self._working_tree.is_edited:
            return self._settings.poll_s
        return self._retry_s

    def _follow_guarded(self) -> None:
        """Follow once; whatever fails, what was known last stays published."""
        is_busy = self._models.engine_is_busy if self._models else None
        self._cancellation = Polite(is_busy, self._closed)
        try:
            self._follow(self._opened(), self._cancellation)
        except Cancelled as cancelled:
            log.info("following %s stopped: %s", self.root.name, cancelled)
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
        self._done = None
        self._published.show(state=FollowState.FAILED, detail=detail)

    def _opened(self) -> Repository:
        """The repository, watched from the first time on; found anew where it is another."""
        if self._repository is not None and not self._repository.is_in_place():
            log.info("the git directory of %s is another now", self.root.name)
            self._forget()
        if self._repository is None:
            repository = Repository.discover(self.root, self._settings.exclude)
            if repository.root != self.root.resolve():
                raise NotARepository(
                    f"{self.root} is no work tree any more: its files now lie in "
                    f"{repository.root}'s. Clone it again, or open that folder."
                )
            watcher = HeadWatcher(
                repository, self._on_head_moved, self._settings.poll_s, on_lost=self._wake.set
            )
            watcher.start()
            self._repository, self._watcher = repository, watcher
        return self._repository

    def _forget(self) -> None:
        """Of the repository that was followed; what was published of it stays."""
        if self._watcher is not None:
            self._watcher.stop()
        self._repository = self._watcher = self._follower = self._done = None

    def _on_head_moved(self, moved: HeadMoved) -> None:
        log.info("HEAD moved to %s", moved.current)
        self._nudge("HEAD moved")

    def _follow(self, repository: Repository, cancellation: Cancellation) -> None:
        head = repository.head()
        self._published.show_head(head)
        models = self._models
        if self._published.is_pinned:
            self._published.show_pinned()
        elif head.commit_id is None:
            self._published.show(state=FollowState.WAITING, detail="the branch has no commit yet")
        elif models is None:
            self._published.show(state=FollowState.WAITING, detail=self._why_none)
        else:
            follower = self._follower_of(repository, models)
            if self._follow_head(follower, head.commit_id, cancellation):
                self._follow_edits(follower, head.commit_id, cancellation)
            self._keeper.write_down(repository, models, cancellation)

    def _follower_of(self, repository: Repository, models: Following) -> Follower:
        """The one made of these models; it may remember its last run."""
        if self._follower is None or self._follower[0] is not models:
            self._follower = models, models.follower(repository)
        return self._follower[1]

    def _follow_head(self, follower: Follower, head: str, cancellation: Cancellation) -> bool:
        """Follow HEAD unless that is done; whether it is now."""
        wanted = self._asked, head
        if self._done == wanted:
            return True
        self._done = None
        plan = follower.plan(head, cancellation)
        if plan is None:
            self._published.show(state=FollowState.WAITING, detail="no commit touches source yet")
            return False
        self._run_plan(follower, plan, cancellation)
        self._done = wanted
        return True

    def _follow_edits(self, follower: Follower, head: str, cancellation: Cancellation) -> None:
        """Publish what is known with saved files; once they are as committed, HEAD's again."""
        self._working_tree.settle(cancellation)
        contents = self._working_tree.contents()
        found = follower.edited(head, contents, cancellation) if contents else None
        self._working_tree.keep(found.paths if found else ())
        if found is not None:
            self._published.put(found.knowledge, is_provisional=bool(found.paths))

    def _run_plan(self, follower: Follower, plan: object, cancellation: Cancellation) -> None:
        started_s = published_s = time.monotonic()
        with self._progress.task(f"Adapter for {self.root.name}") as report:
            for point in follower.run(plan, cancellation, lambda: report("reading the tree", None)):
                self._published.show_behind(point)
                now_s = time.monotonic()
                is_due = now_s - published_s >= PUBLISH_EVERY_S
                if point.behind == 0 or is_due or self.slot.current is None:
                    self._publish(point, now_s - started_s)
                    published_s = time.monotonic()
                if point.behind and now_s - started_s >= SHOW_PROGRESS_AFTER_S:
                    done = point.total - point.behind
                    report(point.progress, 100 * done // point.total)

    def _publish(self, point: FollowPoint, seconds: float) -> None:
        knowledge = point.knowledge()
        if point.behind == 0:
            self._keeper.reached(Arrival(point, knowledge, seconds))
        if knowledge.is_empty and point.behind:
            return
        is_there = point.behind == 0
        self._published.put(
            knowledge,
            is_provisional=not is_there,
            state=FollowState.CURRENT if is_there else FollowState.FOLLOWING,
            commits_behind=point.commits_behind, last_step_s=seconds, detail="",
        )  # fmt: skip
