"""What the server may ask and what it hears back: plain values, no torch, no LSP.

Everything here can cross a thread or, later, a process boundary unchanged.
"""

from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Protocol

from code2lora_lsp.cancellation import Cancellation
from code2lora_lsp.config import Settings
from code2lora_lsp.text.document import DocumentSnapshot


class Trigger(Enum):
    """Why a completion was asked for."""

    AUTOMATIC = "automatic"
    INVOKED = "invoked"


class Reason(Enum):
    """Why nothing is offered. The value is the word shown to people."""

    OFF = "completions are switched off"
    NOT_READY = "the model is still loading"
    UNLOADED = "the model was unloaded"
    FAILED = "the model could not be loaded"
    BROKEN = "an error kept the model from answering"
    SUPERSEDED = "a newer request took its place"
    CANCELLED = "the editor cancelled the request"
    TIMED_OUT = "the time budget ran out"
    EMPTY = "the model proposed nothing"
    FILTERED = "the proposal was not worth showing"
    LOW_CONFIDENCE = "the model was not sure enough"
    TOO_LARGE = "the document is too large"
    SECRET = "this file may hold secrets and is never read"  # noqa: S105 - a sentence, not a password
    EXCLUDED = "this file is excluded by follow.exclude"


@dataclass(frozen=True)
class CompletionRequest:
    """One question at one cursor.

    Attributes:
        document: the text the answer must be valid for.
        offset: cursor, in code points of ``document.text``.
        trigger: typing, or an explicit wish.
        repository: root of the work tree whose adapter is wanted, or ``None`` for no adapter.
        path: path of the document inside that work tree, with forward slashes, if known.
        selected_text: text of the item highlighted in the editor's menu that replaces
            ``document.text[selected_start:selected_end]``; the completion must extend it.
        selected_start, selected_end: offsets; the cursor where they are ``None``.
        deadline_s: seconds the answer may take, or ``None``.
        cancellation: set by the asker when the answer is no longer wanted.
    """

    document: DocumentSnapshot
    offset: int
    trigger: Trigger = Trigger.AUTOMATIC
    repository: Path | None = None
    path: str | None = None
    selected_text: str | None = None
    selected_start: int | None = None
    selected_end: int | None = None
    deadline_s: float | None = None
    cancellation: Cancellation = field(default_factory=Cancellation, compare=False)


@dataclass(frozen=True)
class Timings:
    """Where the time of one completion went. Seconds and token counts."""

    queue_s: float = 0.0
    prompt_s: float = 0.0
    prefill_s: float = 0.0
    decode_s: float = 0.0
    prompt_tokens: int = 0
    reused_tokens: int = 0
    new_tokens: int = 0


@dataclass(frozen=True)
class Completion:
    """Text to put in place of ``document.text[start:end]`` (code points).

    Attributes:
        log_probability: mean log-probability (nats per token) of the proposed tokens.
        adapter_id: the adapter bound while decoding; ``None`` is the plain backbone.
        adapter_commit: the commit that adapter stands for.
        confidence: how likely it is right as far as it goes, 0 to 1.
        alternatives: other texts for the same place, only when asked for by hand.
    """

    text: str
    start: int
    end: int
    log_probability: float
    adapter_id: str | None
    adapter_commit: str | None
    timings: Timings
    confidence: float = 1.0
    alternatives: tuple[str, ...] = ()


@dataclass(frozen=True)
class NoCompletion:
    """Nothing to offer, and why. Not an error."""

    reason: Reason
    detail: str = ""


CompletionResult = Completion | NoCompletion


class EngineState(Enum):
    """Where the backbone is in its life."""

    ABSENT = "absent"
    LOADING = "loading"
    READY = "ready"
    UNLOADED = "unloaded"
    FAILED = "failed"


class FollowState(Enum):
    """Where what is known of a repository is in its life."""

    WAITING = "waiting"
    FOLLOWING = "following"
    CURRENT = "current"
    PINNED = "pinned"
    FAILED = "failed"


@dataclass(frozen=True)
class RepositoryStatus:
    """One followed repository.

    Attributes:
        head: commit id of HEAD, ``None`` on an unborn branch.
        adapter_id: ``None`` before the first, and where no step of the ledger helps.
        memory_id: of the sharp memory, the names of the tree; ``None`` where there is none.
        adapter_commit: commit the published knowledge stands for, ``None`` before the first.
        knowledge_id: changes with the adapter and with the sharp memory published with it.
        edited_files: tracked files whose saved text is in it although it is not committed.
        commits_behind: stepped commits from ``adapter_commit`` to ``head``; ``None`` if unknown.
        drift: 1 − cosine between this adapter's ΔW and the one published before it.
        detail: the last error or remark, in one sentence; empty when all is well.
    """

    root: str
    state: FollowState
    head: str | None = None
    branch: str | None = None
    adapter_id: str | None = None
    adapter_commit: str | None = None
    commits_behind: int | None = None
    drift: float | None = None
    last_step_s: float | None = None
    detail: str = ""
    knowledge_id: str | None = None
    edited_files: int = 0
    memory_id: str | None = None


@dataclass(frozen=True)
class BackendStatus:
    """Everything ``code2lora/status`` shows."""

    engine: EngineState
    backbone: str | None = None
    device: str | None = None
    dtype: str | None = None
    checkpoint: str | None = None
    recipe_id: str | None = None
    memory_bytes: int | None = None
    detail: str = ""
    last_empty_reason: str | None = None
    last_timings: Timings | None = None
    repositories: tuple[RepositoryStatus, ...] = ()


@dataclass(frozen=True)
class ProgressBegan:
    token: str
    title: str


@dataclass(frozen=True)
class ProgressMoved:
    """``percentage`` is 0–100, or ``None`` when the length is unknown."""

    token: str
    message: str
    percentage: int | None = None


@dataclass(frozen=True)
class ProgressEnded:
    token: str
    message: str


@dataclass(frozen=True)
class StatusChanged:
    status: BackendStatus


@dataclass(frozen=True)
class HistoryChanged:
    """A commit was written down, or its lines were scored; what is on disk says so now."""

    root: str
    commit: str


@dataclass(frozen=True)
class Incident:
    """Something the user should hear once: ``message`` names the remedy."""

    message: str
    is_error: bool


Event = ProgressBegan | ProgressMoved | ProgressEnded | StatusChanged | HistoryChanged | Incident
Listener = Callable[[Event], None]


EXPORT_RANK = 64
"""Of an adapter that is written for other tools, unless another one is asked for."""


@dataclass(frozen=True)
class Exported:
    """A PEFT folder that was written; ``kept`` is the part of the whole update, 0 to 1."""

    folder: str
    rank: int
    kept: float


class Backend(Protocol):
    """Models and repositories behind the server. Every method but the export returns at once.

    Methods may be called from any thread. Events reach the listener on a thread of the
    backend's own; the listener must hand them over, not work on them.
    """

    def start(self) -> None:
        """Begin loading the backbone and the checkpoint in the background."""

    def complete(self, request: CompletionRequest) -> "Future[CompletionResult]":
        """Answer one request. The future always resolves, never with an exception of ours.

        Also where ``completion.enabled`` is off: whoever asks knows the switches that outrank it.
        """

    def expect(self, request: CompletionRequest) -> None:
        """A request for this place is likely to come: be ready for it, where nobody waits."""

    def open_repository(self, folder: Path) -> Path | None:
        """Follow the repository that holds ``folder``; returns its work-tree root, if any."""

    def close_repository(self, root: Path) -> None:
        """Stop following. Its stored states stay on disk."""

    def refresh(self, root: Path) -> None:
        """Read HEAD again now and follow it; also undoes ``roll_back``."""

    def saved(self, path: Path) -> None:
        """A file was saved; if a followed repository tracks it, its text becomes known."""

    def roll_back(self, root: Path) -> str | None:
        """Publish what was known before and pin it; its commit id, or ``None``."""

    def export_adapter(self, root: Path, folder: Path, rank: int) -> Exported:
        """Write the adapter in force as a PEFT folder of at most a rank, which takes seconds.

        Raises:
            FollowError: there is none, or no model is loaded; the message says why.
            ConfigError: the folder cannot be written.
        """

    def unload(self) -> None:
        """Free the backbone's memory. The next ``start`` loads it again."""

    def reconfigure(self, settings: Settings) -> None:
        """Take new settings; reload only what they change."""

    def status(self) -> BackendStatus:
        """A value, cheap enough to be asked on the event loop."""

    def close(self, timeout_s: float = 2.0) -> bool:
        """Stop every thread; whether all have ended. Nothing on disk is left half written.

        One that has not ended is inside native code: the interpreter must not be finalised
        under it.
        """


BackendFactory = Callable[[Settings, Listener], Backend]
