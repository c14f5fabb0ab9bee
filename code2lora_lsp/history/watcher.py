"""Notice that HEAD moved: file events for speed, a poll of a few stats for certainty."""

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from pathlib import Path, PurePath

from code2lora_lsp.errors import FollowError, GitReadFailed
from code2lora_lsp.history.file_events import PROBE_NAME, FileEvents
from code2lora_lsp.history.head import Head, HeadUnclear, ref_path
from code2lora_lsp.history.repository import Repository

_log = logging.getLogger(__name__)

_DEBOUNCE_S = 0.05
_LONGEST_DEBOUNCE_S = 0.5


@dataclass(frozen=True)
class HeadMoved:
    """HEAD stands for another commit. Ids are ``None`` on an unborn branch."""

    previous: str | None
    current: str | None
    branch: str | None


class WatchState(Enum):
    """How changes are noticed now. The value is shown to people."""

    STOPPED = "stopped"
    WATCHING = "file events"
    POLLING = "polling"


class HeadWatcher:
    """Calls ``on_head_moved`` whenever the commit id of HEAD differs from the last one seen.

    One thread of its own reads HEAD and makes the calls, one after the other; commits that land
    within the debounce time or during a call are reported as one move. What happened between the
    two ids (commit, amend, rebase, reset, merge, switch) is for the caller to find out.
    """

    def __init__(
        self,
        repository: Repository,
        on_head_moved: Callable[[HeadMoved], None],
        poll_s: float = 1.5,
        on_lost: Callable[[], None] = lambda: None,
    ) -> None:
        """Watch nothing yet. ``on_lost`` is called, on the same thread, when HEAD goes away."""
        self._repository = repository
        self._on_head_moved = on_head_moved
        self._on_lost = on_lost
        self._poll_s = poll_s
        self._events = FileEvents(repository.git_dir, repository.common_dir, self._on_event)
        self._thread: threading.Thread | None = None
        self._wake = threading.Event()
        self._stopping = threading.Event()
        self._probed = threading.Event()
        self._state = WatchState.STOPPED
        self._reported: str | None = None
        self._complained = False

    @property
    def state(self) -> WatchState:
        return self._state

    def start(self) -> Head:
        """Begin to watch. Every move away from the HEAD returned here is reported.

        Raises:
            GitReadFailed: HEAD cannot be read.
        """
        assert self._thread is None, "a watcher is started once"
        head = self._repository.head()
        self._reported = head.commit_id
        self._observe()
        self._thread = threading.Thread(target=self._run, name="code2lora-watcher", daemon=True)
        self._thread.start()
        return head

    def stop(self) -> None:
        """Stop and wait for all threads; no call is made afterwards."""
        self._stopping.set()
        self._wake.set()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join()
        self._events.stop()
        self._state = WatchState.STOPPED

    def probe(self, timeout_s: float = 2.0) -> float:
        """Seconds from a touch in the git directory to its event.

        Raises:
            FollowError: no event came, so HEAD is followed by polling alone.
        """
        if self._state is not WatchState.WATCHING:
            raise FollowError(f"the watcher gets no file events: it is {self._state.value}")
        self._probed.clear()
        probe = self._repository.git_dir / PROBE_NAME
        began_s = time.monotonic()
        try:
            probe.touch()
            seen = self._probed.wait(timeout_s)
            took_s = time.monotonic() - began_s
        except OSError as error:
            raise FollowError(f"{probe} cannot be written: {error}") from error
        finally:
            probe.unlink(missing_ok=True)
        if not seen:
            raise FollowError(
                f"no file event within {timeout_s:g} s of a touch in {self._repository.git_dir}; "
                f"commits are noticed by polling every {self._poll_s:g} s"
            )
        return took_s

    def _on_event(self, path: PurePath) -> None:
        if path.name == PROBE_NAME:
            self._probed.set()
        else:
            self._wake.set()

    def _run(self) -> None:
        # What changed between the first read of HEAD and the first event is found here.
        seen = None
        while not self._stopping.is_set():
            had_event, now = self._wake.is_set(), self._signature()
            if had_event:
                self._settle()
            if had_event or now != seen or self._complained:
                moved = self._report_move()
                if moved and seen is not None and not had_event:
                    self._restart_if_deaf()
            seen = now
            self._keep_alive()
            self._wake.wait(self._poll_s)

    def _settle(self) -> None:
        """Wait until git has been quiet for a moment, but not for long."""
        give_up_s = time.monotonic() + _LONGEST_DEBOUNCE_S
        while self._wake.is_set() and time.monotonic() < give_up_s:
            self._wake.clear()
            self._stopping.wait(_DEBOUNCE_S)
        self._wake.clear()
        if self._stopping.is_set():
            self._wake.set()

    def _report_move(self) -> bool:
        """Compare HEAD with what was reported last; whether it moved."""
        try:
            head = self._repository.head()
        except GitReadFailed as error:
            if not self._complained:
                _log.warning("HEAD cannot be read, will try again: %s", error)
                self._complained = True
                self._on_lost()
            return False
        self._complained = False
        if head.commit_id == self._reported:
            return False
        moved = HeadMoved(self._reported, head.commit_id, head.branch)
        self._reported = head.commit_id
        if not self._stopping.is_set():
            self._call(moved)
        return True

    def _call(self, moved: HeadMoved) -> None:
        try:
            self._on_head_moved(moved)
        except Exception:  # noqa: BLE001 - the listener's failure must not end the watching
            _log.exception("the listener failed on %s", moved)

    def _observe(self) -> None:
        try:
            self._events.start()
        except OSError as error:
            self._state = WatchState.POLLING
            _log.warning(
                "no file events for %s (%s): polling every %g s instead. On Linux, raise "
                "fs.inotify.max_user_watches and fs.inotify.max_user_instances.",
                self._repository.git_dir,
                error,
                self._poll_s,
            )
        else:
            self._state = WatchState.WATCHING

    def _keep_alive(self) -> None:
        if self._state is WatchState.WATCHING and not self._events.is_alive:
            self._restart("its thread died")

    def _restart_if_deaf(self) -> None:
        """A move that only the poll saw means that events no longer arrive."""
        if self._state is WatchState.WATCHING and not self._wake.wait(_DEBOUNCE_S):
            self._restart("it missed a move of HEAD")

    def _restart(self, reason: str) -> None:
        if self._stopping.is_set():
            return
        _log.warning("restarting the observer of %s: %s", self._repository.git_dir, reason)
        self._events.stop()
        self._observe()

    def _signature(self) -> tuple[tuple[int, int, int] | None, ...]:
        """Stats of the few files of which one changes whenever HEAD moves."""
        git_dir, common_dir = self._repository.git_dir, self._repository.common_dir
        try:
            branch = ref_path(git_dir, common_dir)
        except HeadUnclear:
            branch = None
        files = [git_dir / "HEAD", git_dir / "logs" / "HEAD", common_dir / "packed-refs"]
        files += [common_dir / "reftable" / "tables.list", branch or git_dir / "HEAD"]
        return tuple(_stat(file) for file in files)


def _stat(file: Path) -> tuple[int, int, int] | None:
    try:
        facts = file.stat()
    except OSError:
        return None
    return facts.st_mtime_ns, facts.st_size, facts.st_ino
