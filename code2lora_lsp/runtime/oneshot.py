"""The backend for one question from the command line: load, follow, ask, close.

The same path as the server's, so that what it shows is what an editor would get.
"""

import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

from typing_extensions import Self

from code2lora_lsp.config import Settings, state_root
from code2lora_lsp.errors import FollowError, SetupError
from code2lora_lsp.history.discovery import locate
from code2lora_lsp.runtime.api import (
    BackendStatus,
    CompletionRequest,
    CompletionResult,
    EngineState,
    Event,
    FollowState,
    Listener,
    NoCompletion,
    Reason,
    RepositoryStatus,
    StatusChanged,
    Trigger,
)
from code2lora_lsp.runtime.backend import LocalBackend
from code2lora_lsp.runtime.commit_records import Followed, followed_path, read_followed
from code2lora_lsp.runtime.file_place import FilePlace
from code2lora_lsp.runtime.following import chosen
from code2lora_lsp.runtime.knowledge import Knowledge
from code2lora_lsp.runtime.tracker import MODELS_NOT_LOADED
from code2lora_lsp.text.document import DocumentSnapshot

CLOSE_TIMEOUT_S = 60.0
"""The interpreter must not end under a thread that is inside native code."""


JOURNAL_TIMEOUT_S = 10.0
"""A commit is written down after it was published; where the disk refuses, it never is."""


class OneShot:
    """A context manager around one backend; every wait has a limit and a clear failure."""

    def __init__(self, settings: Settings, listener: Listener = lambda _: None) -> None:
        self._settings = settings
        self._listener = listener
        self._changed = threading.Condition()
        self.backend = LocalBackend(settings, self._hear)

    def __enter__(self) -> Self:
        self.backend.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.backend.close(CLOSE_TIMEOUT_S)

    def wait_ready(self, timeout_s: float = 600.0) -> BackendStatus:
        """Wait for the engine.

        Raises:
            SetupError: loading failed; the message names the remedy.
        """
        status = self._wait(
            lambda s: s.engine in {EngineState.READY, EngineState.FAILED}, timeout_s
        )
        if status.engine is not EngineState.READY:
            raise SetupError(status.detail or f"the engine is not ready after {timeout_s:g} s")
        return status

    def follow(self, folder: Path, timeout_s: float = 3600.0) -> RepositoryStatus:
        """Open the repository that holds ``folder`` and wait until its knowledge is current.

        Raises:
            NotARepository: there is none; the message says what was seen instead.
            FollowError: it cannot be followed; the message says why.
        """
        root = locate(folder).root
        if chosen(self._settings) is None:
            raise FollowError("model.checkpoint names none, or follow.enabled is off")
        self.backend.open_repository(folder)
        seen = self._wait(lambda s: bool(s.detail) or _is_settled(_of(s, root)), timeout_s)
        status = _of(seen, root)
        if status is None or status.state is not FollowState.CURRENT:
            detail = seen.detail or (status.detail if status else "")
            raise FollowError(f"{root}: {detail or f'no adapter after {timeout_s:g} s'}")
        return status

    def complete(
        self, place: FilePlace, root: Path | None, timeout_s: float = 60.0
    ) -> CompletionResult:
        """Complete at a place, if that is on, with what is known of the repository at ``root``."""
        if not self._settings.completion.enabled:
            return NoCompletion(Reason.OFF, "by the setting completion.enabled")
        request = CompletionRequest(
            document=DocumentSnapshot(place.path.resolve().as_uri(), 0, "python", place.text),
            offset=place.offset,
            trigger=Trigger.INVOKED,
            repository=root,
            path=place.path_in_repository(),
        )
        return self.backend.complete(request).result(timeout=timeout_s)

    def complete_text(self, text: str) -> tuple[CompletionResult, float]:
        """Complete at the end of a text that is in no file; the answer and its seconds."""
        document = DocumentSnapshot("untitled:", 0, "python", text)
        request = CompletionRequest(document, len(text), Trigger.INVOKED)
        started_s = time.perf_counter()
        return self.backend.complete(request).result(timeout=60), time.perf_counter() - started_s

    def followed(self, status: RepositoryStatus, n_commits: int | None) -> Followed:
        """What is written down of the commits of a repository that ``follow`` returned.

        Args:
            status: its HEAD was just followed.
            n_commits: what would be, had that many of the newest ones been followed one by one.

        Raises:
            FollowError: they cannot be followed.
        """
        root = Path(status.root)
        path = followed_path(state_root(self._settings), root)
        if n_commits is not None:
            return self.backend.replay(root, n_commits)
        until_s = time.monotonic() + JOURNAL_TIMEOUT_S
        while not read_followed(path).has(status.adapter_commit) and time.monotonic() < until_s:
            time.sleep(0.05)
        return read_followed(path)

    def knowledge(self, root: Path) -> Knowledge | None:
        """What is now published for ``root``."""
        return self.backend.knowledge(root)

    def _hear(self, event: Event) -> None:
        self._listener(event)
        if isinstance(event, StatusChanged):
            with self._changed:
                self._changed.notify_all()

    def _wait(self, is_done: Callable[[BackendStatus], bool], timeout_s: float) -> BackendStatus:
        until_s = time.monotonic() + timeout_s
        with self._changed:
            while not is_done(status := self.backend.status()):
                if status.engine is EngineState.FAILED or time.monotonic() > until_s:
                    break
                self._changed.wait(timeout=0.2)
        return status


def _is_settled(status: RepositoryStatus | None) -> bool:
    if status is None or status.detail == MODELS_NOT_LOADED:
        return False
    is_waiting = status.state is FollowState.WAITING and bool(status.detail)
    return is_waiting or status.state in {FollowState.CURRENT, FollowState.FAILED}


def _of(status: BackendStatus, root: Path) -> RepositoryStatus | None:
    return next((r for r in status.repositories if r.root == str(root)), None)
