"""A tracker over the ledger of a tiny decoder, and every value it published."""

import threading
import time

from code2lora_lsp.config import FollowSettings
from code2lora_lsp.runtime.api import FollowState
from code2lora_lsp.runtime.commit_journal import CommitJournal
from code2lora_lsp.runtime.knowledge_slot import KnowledgeSlot
from code2lora_lsp.runtime.progress import Progress
from code2lora_lsp.runtime.tracker import Tracker
from tests.runtime.ledger_following import tiny_models


class Followed:
    """A tracker, and every value it published."""

    def __init__(self, repo, states, **settings):
        self.slot, self.published = KnowledgeSlot(), []
        self.changed = threading.Condition()
        self.slot.listen(lambda: self.published.append(self.slot.current))
        self.tracker = Tracker(
            repo.root, FollowSettings(**{"poll_s": 0.2, **settings}), self.slot, self._on_change,
            Progress(lambda _: None), CommitJournal(states, repo.root),
        )  # fmt: skip
        self.tracker.start()
        self.tracker.attach(tiny_models(states))

    def _on_change(self):
        with self.changed:
            self.changed.notify_all()

    def wait(self, is_done, timeout_s=30.0):
        until_s = time.monotonic() + timeout_s
        with self.changed:
            while not is_done(self.tracker.status):
                assert time.monotonic() < until_s, self.tracker.status
                self.changed.wait(0.05)
        return self.slot.current

    def wait_current(self, commit_id, edited=0):
        return self.wait(
            lambda s: (
                s.state is FollowState.CURRENT
                and (s.adapter_commit, s.edited_files) == (commit_id, edited)
            )
        )
