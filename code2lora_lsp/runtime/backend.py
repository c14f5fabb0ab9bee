"""The local backend: one engine, one tracker per repository, in this process."""

import logging
import threading
import time
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path

from code2lora_lsp.config import CompletionSettings, Settings
from code2lora_lsp.errors import Code2LoraError, FollowError, NotARepository, SetupError
from code2lora_lsp.history.discovery import locate
from code2lora_lsp.history.repository import Repository
from code2lora_lsp.runtime.api import (
    BackendStatus,
    CompletionRequest,
    CompletionResult,
    EngineState,
    Exported,
    Incident,
    Listener,
    NoCompletion,
    Reason,
    StatusChanged,
)
from code2lora_lsp.runtime.commit_records import Followed
from code2lora_lsp.runtime.engine import Engine
from code2lora_lsp.runtime.engine_status import EngineListener, EngineStatus
from code2lora_lsp.runtime.export import refuse_file, why_no_adapter, why_no_models, write_peft
from code2lora_lsp.runtime.follower import Following
from code2lora_lsp.runtime.following_loader import FollowingLoader
from code2lora_lsp.runtime.knowledge import Knowledge
from code2lora_lsp.runtime.knowledge_slot import KnowledgeSlot
from code2lora_lsp.runtime.model_folders import backbone_folder
from code2lora_lsp.runtime.progress import LoadingProgress, Progress
from code2lora_lsp.runtime.replay import replay
from code2lora_lsp.runtime.tracker import MODELS_NOT_LOADED
from code2lora_lsp.runtime.trackers import Trackers

log = logging.getLogger(__name__)


class LocalBackend:
    """Satisfies ``runtime.api.Backend``; see there for what each method promises.

    ``_lock`` guards which engine and models are the current ones. ``_token`` names the current
    engine: what an engine reports after it was replaced or unloaded is not ours any more.
    """

    def __init__(self, settings: Settings, listener: Listener) -> None:
        self._settings = settings
        self._listener = listener
        self._progress = Progress(listener)
        self._loading = LoadingProgress(self._progress, "Loading the code model")
        self._lock = threading.RLock()
        self._engine: Engine | None = None
        self._token = object()
        self._loader = FollowingLoader(self._hand_out, self._fail)
        self._trackers = Trackers(settings, self._tell, self._progress, listener, self._release)
        self._failure = ""
        self._own_empty_reason: str | None = None
        self._is_unloaded = False
        self._is_closed = False

    def start(self) -> None:
        with self._lock:
            if self._is_closed or (self._engine and self._engine.status.state in _ALIVE):
                return
            self._is_unloaded, self._failure = False, ""
            try:
                folder = backbone_folder(self._settings)
            except SetupError as error:
                self._fail(error)
                return
            self._token = token = object()
            listener = EngineListener(
                progress=lambda message, part: self._on_progress(token, message, part),
                changed=lambda status: self._on_engine_changed(token, status),
                incident=self._listener,
            )
            self._engine = Engine.load(folder, self._settings, listener)
        self._tell()

    def complete(self, request: CompletionRequest) -> "Future[CompletionResult]":
        engine = self._engine
        if engine is None:
            return self._nothing(_WHY_NO_ENGINE[self._absent_state()])
        self._own_empty_reason = None
        return engine.submit(request, self._slot(request))

    def expect(self, request: CompletionRequest) -> None:
        engine = self._engine
        if engine is not None:
            engine.expect(request, self._slot(request))

    def open_repository(self, folder: Path) -> Path | None:
        try:
            root = locate(folder).root
        except NotARepository as error:
            log.info("%s", error)
            return None
        self._trackers.open(root)
        self._tell()
        return root

    def close_repository(self, root: Path) -> None:
        if self._trackers.close(root):
            self._tell()

    def refresh(self, root: Path) -> None:
        tracker = self._trackers.at(root)
        if tracker is not None:
            tracker.refresh()

    def saved(self, path: Path) -> None:
        tracker = self._trackers.holding(path)
        if tracker is not None:
            tracker.saved(path)

    def roll_back(self, root: Path) -> str | None:
        tracker = self._trackers.at(root)
        return tracker.roll_back() if tracker else None

    def unload(self) -> None:
        with self._lock:
            self._is_unloaded = True
            engine = self._let_go()
        if engine is not None:
            engine.unload()
        self._tell()

    def reconfigure(self, settings: Settings) -> None:
        with self._lock:
            before, self._settings = self._settings, settings
        if before.follow != settings.follow:
            self._trackers.reopen(settings)
        if _engine_part(before) != _engine_part(settings) or self._failure:
            self._restart()
        elif before.follow != settings.follow and self._engine is not None:
            self._loader.begin(settings, self._engine, self._token)
        self._tell()

    def status(self) -> BackendStatus:
        engine = self._engine
        seen = engine.status if engine else EngineStatus(self._absent_state())
        models = self._trackers.models
        return BackendStatus(
            engine=seen.state,
            backbone=seen.backbone,
            device=seen.device,
            dtype=seen.dtype,
            checkpoint=models.checkpoint_id if models else None,
            recipe_id=models.recipe_id if models else None,
            memory_bytes=seen.memory_bytes,
            detail=seen.detail or self._failure,
            last_empty_reason=self._own_empty_reason or seen.last_empty_reason,
            last_timings=seen.last_timings,
            repositories=self._trackers.statuses,
        )

    def close(self, timeout_s: float = 2.0) -> bool:
        with self._lock:
            self._is_closed = True
            trackers, engine = self._trackers.end(), self._let_go()
        if engine is not None:
            engine.unload()
        until_s = time.monotonic() + timeout_s
        has_ended = self._trackers.stop(trackers, timeout_s)
        if engine is not None:
            has_ended &= engine.close(max(0.0, until_s - time.monotonic()))
        has_ended &= self._loader.join(max(0.0, until_s - time.monotonic()))
        return has_ended

    def knowledge(self, root: Path) -> Knowledge | None:
        """What is now published for a repository."""
        tracker = self._trackers.at(root)
        return tracker.slot.current if tracker else None

    def export_adapter(self, root: Path, folder: Path, rank: int) -> Exported:
        tracker, models = self._trackers.at(root), self._trackers.models
        if models is None:
            raise FollowError(f"{root}: {why_no_models(self.status(), self._trackers.why_none)}")
        if tracker is None:
            raise FollowError(f"{root}: no adapter: it is not followed")
        knowledge = tracker.slot.current
        if knowledge is None or knowledge.adapter is None:
            raise FollowError(f"{root}: no adapter: {why_no_adapter(tracker.status, knowledge)}")
        refuse_file(folder)
        adapter, kept = models.exported(knowledge.adapter, rank)
        write_peft(adapter, folder, backbone_folder(self._settings).name)
        return Exported(str(folder), adapter.rank, kept)

    def replay(self, root: Path, n_commits: int) -> Followed:
        """What would be written down of the newest commits, had they been followed one by one.

        Raises:
            FollowError: they cannot be, or nothing is followed.
        """
        models, engine = self._trackers.models, self._engine
        if models is None or engine is None:
            raise FollowError(f"{root}: {self._trackers.why_none}")
        repository = Repository.discover(root, self._settings.follow.exclude)
        with self._progress.task(f"The newest commits of {root.name}") as report:
            return replay(repository, models, engine.when_idle, n_commits, report)

    def _slot(self, request: CompletionRequest) -> KnowledgeSlot | None:
        tracker = self._trackers.at(request.repository) if request.repository else None
        return tracker.slot if tracker else None

    def _let_go(self) -> Engine | None:
        """Make the current engine and models not current; the engine, for whoever ends it."""
        engine, self._engine, self._token = self._engine, None, object()
        self._loading.end()
        self._trackers.attach(None, MODELS_NOT_LOADED, None)
        return engine

    def _restart(self) -> None:
        with self._lock:
            engine = self._let_go()
        if engine is not None:
            engine.close()
        if not self._is_unloaded:
            self.start()

    def _on_progress(self, token: object, message: str, percentage: int | None) -> None:
        with self._lock:
            if self._token is token:
                self._loading.report(message, percentage)

    def _on_engine_changed(self, token: object, status: EngineStatus) -> None:
        """On an engine's thread: hand over."""
        with self._lock:  # ``start`` may not have stored the engine yet
            engine = self._engine if self._token is token else None
            if engine is None:
                return
            if status.state is not EngineState.LOADING:
                self._loading.end()
            if status.state is EngineState.READY and not self._loader.has_begun(token):
                self._loader.begin(self._settings, engine, token)
        self._tell()

    def _hand_out(self, models: Following | None, token: object, why_none: str) -> None:
        """Make ``models`` current for every tracker, unless their engine was let go meanwhile."""
        with self._lock:
            if self._token is not token or self._is_closed:
                return
            score = self._engine.when_idle if self._engine else None
            self._trackers.attach(models, why_none, score)
        self._tell()

    def _release(self, slot: KnowledgeSlot) -> None:
        engine = self._engine
        if engine is not None:
            engine.release(slot)

    def _absent_state(self) -> EngineState:
        if self._is_unloaded:
            return EngineState.UNLOADED
        return EngineState.FAILED if self._failure else EngineState.ABSENT

    def _fail(self, error: Code2LoraError, token: object | None = None) -> None:
        """Completions without an adapter may still work; say once what does not."""
        if token is not None and self._token is not token:
            return
        log.error("%s", error)
        self._failure = str(error)
        self._listener(Incident(str(error), is_error=True))
        self._tell()

    def _nothing(self, reason: Reason) -> "Future[CompletionResult]":
        self._own_empty_reason = reason.value
        future: Future[CompletionResult] = Future()
        future.set_result(NoCompletion(reason, self._failure))
        return future

    def _tell(self) -> None:
        self._listener(StatusChanged(self.status()))


_ALIVE = {EngineState.LOADING, EngineState.READY}


_WHY_NO_ENGINE = {
    EngineState.ABSENT: Reason.NOT_READY,
    EngineState.FAILED: Reason.FAILED,
    EngineState.UNLOADED: Reason.UNLOADED,
}


def _engine_part(settings: Settings) -> tuple[object, ...]:
    """What an engine is built from; a change of the rest needs no reload."""
    same = CompletionSettings()
    completion = replace(
        settings.completion, enabled=same.enabled, fallback=same.fallback, languages=same.languages
    )
    return settings.model, completion, settings.follow.exclude
