"""Owns the backbone, its KV cache and the adapter bound to it: one thread, one decode at a time.

The inbox holds at most one request per document and the newest wins. Binding happens between
requests, never inside one. Every future that ``submit`` returns resolves exactly once.
"""

import gc
import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, InvalidStateError
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch

from code2lora_lsp.cancellation import Cancellation, Cancelled, Deadline
from code2lora_lsp.config import Settings
from code2lora_lsp.errors import AdapterRejected, Code2LoraError
from code2lora_lsp.neural.backbone import Backbone
from code2lora_lsp.neural.session import DecodeSession
from code2lora_lsp.runtime.api import (
    CompletionRequest,
    CompletionResult,
    EngineState,
    Incident,
    NoCompletion,
    Reason,
)
from code2lora_lsp.runtime.completer import Completer, Doorkeeper
from code2lora_lsp.runtime.engine_status import EngineListener, EngineStatus, translated
from code2lora_lsp.runtime.knowledge import Knowledge
from code2lora_lsp.runtime.knowledge_slot import KnowledgeSlot
from code2lora_lsp.runtime.model_loading import LoadedModel, ReportProgress
from code2lora_lsp.runtime.pace import Pace
from code2lora_lsp.runtime.tuning import load_tuned

log = logging.getLogger(__name__)

IdleWork = Callable[[LoadedModel, Callable[[], None]], None]
"""Takes the model and a check that raises ``Cancelled``; may then be called again."""

IDLE_AFTER_S = 2.0
"""After an answer the next key stroke is near; work for later waits this long."""

MOST_IDLE_WORK = 4

_LOOK_AGAIN_S = 0.01
"""While pausing: a request that the editor cancels wakes nobody."""

_WHY_NOT = {
    EngineState.ABSENT: Reason.NOT_READY,
    EngineState.LOADING: Reason.NOT_READY,
    EngineState.FAILED: Reason.FAILED,
    EngineState.UNLOADED: Reason.UNLOADED,
}


@dataclass(eq=False)
class _Job:
    request: CompletionRequest
    slot: KnowledgeSlot | None
    deadline: Deadline
    future: "Future[CompletionResult]" = field(default_factory=Future)
    superseded: Cancellation = field(default_factory=Cancellation)
    submitted_s: float = field(default_factory=time.perf_counter)

    @property
    def uri(self) -> str:
        return self.request.document.uri

    def resolve(self, result: CompletionResult) -> None:
        try:
            self.future.set_result(result)
        except InvalidStateError:  # the asker cancelled the future itself
            log.debug("an answer came after its future was cancelled")


class Engine:
    """A backbone behind an inbox.

    Args:
        loader: makes the model, on the engine's thread.
        settings: ``completion``, and of ``follow`` what is excluded from prompts.
    """

    def __init__(
        self,
        loader: Callable[[ReportProgress], LoadedModel],
        settings: Settings,
        listener: EngineListener | None = None,
    ) -> None:
        self._loader = loader
        self._settings = settings.completion
        self._doorkeeper = Doorkeeper(settings)
        self._listener = listener or EngineListener()
        self._condition = threading.Condition()
        self._inbox: dict[str, _Job] = {}
        self._running: _Job | None = None
        self._stopping = threading.Event()
        self._knowledge_changed = False
        self._may_prepare = False
        self._pace = Pace()
        self._status = EngineStatus()
        self._model: LoadedModel | None = None
        self._idle_work: tuple[IdleWork, ...] = ()
        self._idle_from_s = 0.0
        self._session: DecodeSession | None = None
        self._completer: Completer | None = None
        self._active_slot: KnowledgeSlot | None = None
        self._slots: list[KnowledgeSlot] = []
        self._bound: Knowledge | None = None
        self._unfit: set[str] = set()
        self._reported: set[str] = set()
        self._thread = threading.Thread(target=self._run, name="code2lora-engine", daemon=True)
        self._thread.start()

    @classmethod
    def load(
        cls, folder: Path, settings: Settings, listener: EngineListener | None = None
    ) -> "Engine":
        """Return at once; the model folder is read on the engine's thread."""
        return cls(lambda report: load_tuned(folder, settings, report), settings, listener)

    @property
    def status(self) -> EngineStatus:
        return self._status

    @property
    def decoder(self) -> Backbone | None:
        """The backbone once it is ready; for ``hidden_states``, which reads pristine weights."""
        session = self._session
        return session.backbone if session and self._status.state is EngineState.READY else None

    @property
    def is_busy(self) -> bool:
        """A completion is being worked on or waiting."""
        return self._running is not None or bool(self._inbox)

    def submit(
        self, request: CompletionRequest, slot: KnowledgeSlot | None = None
    ) -> "Future[CompletionResult]":
        """Answer ``request`` with the knowledge current in ``slot`` when its turn comes.

        An older request for the same document, waiting or running, resolves as superseded.
        The deadline counts from now; without one in the request, the setting holds.
        """
        seconds = request.deadline_s
        budget_s = self._settings.deadline_s if seconds is None else seconds
        job = _Job(request, slot, Deadline(budget_s))
        refused = self._doorkeeper.refusal(request)
        older = None
        with self._condition:
            self._pace.asked(job.submitted_s)
            if refused is None and self._status.state is not EngineState.READY:
                refused = NoCompletion(_WHY_NOT[self._status.state], self._status.detail)
            if refused is None:
                older = self._inbox.pop(job.uri, None)
                self._inbox[job.uri] = job
                if self._running is not None and self._running.uri == job.uri:
                    self._running.superseded.cancel("a newer request came")
                self._condition.notify_all()
        if older is not None:
            older.resolve(NoCompletion(Reason.SUPERSEDED))
        if refused is not None:
            self._note(refused)
            job.resolve(refused)
        return job.future

    def release(self, slot: KnowledgeSlot) -> None:
        """Forget a slot whose repository is no longer followed."""
        slot.forget(self._on_knowledge_changed)
        with self._condition:
            self._slots = [kept for kept in self._slots if kept is not slot]
            if self._active_slot is slot:
                self._active_slot = None

    def when_idle(self, work: IdleWork) -> None:
        """Do ``work`` once nobody waits. It gives way to any request and is tried again later.

        The newest few are kept; what is left when the engine ends is not done.
        """
        with self._condition:
            self._idle_work = (*self._idle_work, work)[-MOST_IDLE_WORK:]
            self._condition.notify_all()

    def unload(self) -> None:
        """Free the backbone's memory; at most one token later. Returns at once."""
        self._stopping.set()
        with self._condition:
            self._condition.notify_all()

    def close(self, timeout_s: float = 2.0) -> bool:
        """``unload`` and wait for the thread; whether it ended in time."""
        self.unload()
        if threading.current_thread() is not self._thread:
            self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _run(self) -> None:
        """The engine's thread, from loading to unloading."""
        state, detail = EngineState.UNLOADED, ""
        try:
            self._load()
            while (work := self._next()) is not None:
                work()
        except Cancelled:
            log.debug("unloaded while loading")
        except Code2LoraError as error:
            state, detail = EngineState.FAILED, str(error)
        except Exception as error:
            log.exception("the engine stopped")
            state, detail = EngineState.FAILED, str(translated(error))
        finally:
            self._end(state, detail)

    def _load(self) -> None:
        model = self._loader(self._listener.progress)
        completion = self._settings
        capacity = completion.prompt_tokens + completion.max_tokens
        session = DecodeSession(model.backbone, capacity)
        self._completer = Completer(
            session, model.tokenizer, model.order, completion, model.confidence
        )
        session.feed([model.tokenizer.fim_tokens().end_of_text] * 8, self._stop_check)
        session.reset()
        self._session, self._model = session, model
        gc.freeze()  # torch's modules live on; walking them took 80 ms, on any thread, now and then
        if not self._stopping.is_set():
            self._set_status(
                EngineStatus(
                    EngineState.READY,
                    backbone=model.name,
                    device=str(model.backbone.device),
                    dtype=str(model.backbone.dtype).removeprefix("torch."),
                    memory_bytes=model.backbone.memory_bytes,
                )
            )

    def _next(self) -> Callable[[], None] | None:
        """Wait for work; the newest document's request first. ``None`` when stopping."""
        with self._condition:
            while not self._stopping.is_set():
                if self._inbox:
                    _, job = self._inbox.popitem()
                    self._running = job
                    return lambda: self._work(job)
                if self._knowledge_changed:
                    self._knowledge_changed = False
                    return self._warm_again
                if self._may_prepare:
                    self._may_prepare = False
                    return self._prepare
                wait_s = self._idle_from_s - time.monotonic() if self._idle_work else None
                if wait_s is not None and wait_s <= 0:
                    return self._work_idle
                self._condition.wait(wait_s)
        return None

    def _work(self, job: _Job) -> None:
        result = self._answer(job)
        with self._condition:
            self._running = None
            self._may_prepare = True
            self._idle_from_s = time.monotonic() + IDLE_AFTER_S
        self._note(result)
        job.resolve(result)

    def _answer(self, job: _Job) -> CompletionResult:
        """One request, with every way it can end. Raises nothing."""
        queue_s = time.perf_counter() - job.submitted_s
        assert self._completer is not None
        try:
            self._check(job)
            if job.deadline.has_passed:
                return NoCompletion(Reason.TIMED_OUT, "while other requests were answered")
            self._follow(job.slot)
            self._bind(job.slot.current if job.slot else None)
            commit = self._bound.commit_id if self._bound else None
            result = self._completer.complete(
                job.request, commit, job.deadline, lambda: self._check(job),
                lambda n_wasted: self._pause(job, self._pace.pause_s(n_wasted)),
            )  # fmt: skip
        except Cancelled as stopped:
            return self._why_stopped(job, str(stopped))
        except Exception as error:  # noqa: BLE001 - whatever broke, the thread goes on
            return self._recover(error)
        if isinstance(result, NoCompletion):
            return result
        timings = result.timings
        self._pace.read(timings.prompt_tokens - timings.reused_tokens, timings.prefill_s)
        return replace(result, timings=replace(result.timings, queue_s=queue_s))

    def _pause(self, job: _Job, seconds: float) -> None:
        """Wait, unless the request ends meanwhile."""
        until_s = time.monotonic() + seconds
        while (left_s := until_s - time.monotonic()) > 0:
            self._check(job)
            with self._condition:
                self._condition.wait(min(left_s, _LOOK_AGAIN_S))

    def _check(self, job: _Job) -> None:
        self._stop_check()
        job.superseded.check()
        job.request.cancellation.check()
        if job.future.cancelled():
            raise Cancelled("the answer is no longer awaited")

    def _stop_check(self) -> None:
        if self._stopping.is_set():
            raise Cancelled("the engine is stopping")

    def _why_stopped(self, job: _Job, detail: str) -> NoCompletion:
        if self._stopping.is_set():
            return NoCompletion(Reason.UNLOADED)
        if job.superseded.is_cancelled:
            return NoCompletion(Reason.SUPERSEDED)
        return NoCompletion(Reason.CANCELLED, detail)

    def _follow(self, slot: KnowledgeSlot | None) -> None:
        """Be told when this slot's knowledge changes, to warm up while idle."""
        with self._condition:
            self._active_slot = slot
            if slot is None or slot in self._slots:
                return
            self._slots = [*self._slots, slot]
        slot.listen(self._on_knowledge_changed)

    def _on_knowledge_changed(self) -> None:
        with self._condition:
            self._knowledge_changed = True
            self._condition.notify_all()

    def _bind(self, knowledge: Knowledge | None) -> None:
        """Bind both parts of ``knowledge``; without its adapter if that is unfit.

        Drops what was cached and is not true any more.
        """
        assert self._session is not None
        assert self._completer is not None
        adapter = knowledge.adapter if knowledge else None
        if adapter is not None and adapter.adapter_id in self._unfit:
            adapter = None
        try:
            changed = self._session.bind(adapter)
        except (AdapterRejected, MemoryError, RuntimeError) as error:
            assert adapter is not None
            self._unfit.add(adapter.adapter_id)
            cause = error if isinstance(error, AdapterRejected) else translated(error)
            self._report(f"adapter {adapter.adapter_id} cannot be used: {cause}")
            changed = True
            self._session.bind(None)
        self._completer.bind(knowledge.sharp if knowledge else None)
        self._bound = knowledge
        if changed:
            self._completer.forget()
            memory_bytes = self._session.backbone.memory_bytes
            self._set_status(
                replace(
                    self._status, adapter_id=self._session.adapter_id, memory_bytes=memory_bytes
                )
            )

    def _warm_again(self) -> None:
        """After something new, while nobody waits: bind it and compute the last prompt again."""
        slot = self._active_slot
        if slot is None:
            return
        completer = self._completer
        assert completer is not None

        def warm_up() -> None:
            self._bind(slot.current)
            completer.warm_again(self._idle_check)

        self._while_idle(warm_up)

    def _prepare(self) -> None:
        """After an answer, while nobody waits: be ready for the next request."""
        completer = self._completer
        assert completer is not None
        self._while_idle(lambda: completer.prepare(self._idle_check))

    def _while_idle(self, work: Callable[[], None]) -> None:
        try:
            work()
        except Cancelled:
            log.debug("getting ready gave way to a request")
        except Exception as error:  # noqa: BLE001 - whatever broke, the thread goes on
            self._recover(error)

    def _work_idle(self) -> None:
        """The oldest work for later, with sessions of its own; cached tokens stay."""
        assert self._model is not None
        assert self._session is not None
        work = self._idle_work[0]
        try:
            work(self._model, self._later_check)
        except Cancelled:
            log.debug("work for later gave way to a request")
            return
        except Exception:
            log.exception("work for later failed and is not tried again")
        finally:
            self._session.restore()
        with self._condition:
            self._idle_work = tuple(left for left in self._idle_work if left is not work)

    def _later_check(self) -> None:
        self._idle_check()
        if self._knowledge_changed:
            raise Cancelled("there is something new to bind")

    def _idle_check(self) -> None:
        self._stop_check()
        if self._inbox:
            raise Cancelled("a request is waiting")

    def _recover(self, error: Exception) -> NoCompletion:
        """Tell of ``error`` once and go on with nothing cached."""
        failure = translated(error)
        log.error("a completion failed", exc_info=error)
        assert self._session is not None
        assert self._completer is not None
        self._session.reset()
        self._completer.forget()
        self._report(str(failure))
        return NoCompletion(Reason.FAILED, str(failure))

    def _report(self, message: str) -> None:
        if message not in self._reported:
            self._reported.add(message)
            self._listener.incident(Incident(message, is_error=True))

    def _note(self, result: CompletionResult) -> None:
        """Remember the last timings, or why there was nothing."""
        with self._condition:
            if isinstance(result, NoCompletion):
                reason = result.reason.value
                self._status = replace(self._status, last_empty_reason=reason)
            else:
                self._status = replace(self._status, last_timings=result.timings)

    def _set_status(self, status: EngineStatus) -> None:
        with self._condition:
            self._status = status
        self._listener.changed(status)

    def _end(self, state: EngineState, detail: str) -> None:
        """Let go of the model and answer whoever still waits."""
        for slot in self._slots:
            slot.forget(self._on_knowledge_changed)
        self._session = self._completer = self._bound = self._model = None
        self._idle_work = ()
        if torch.cuda.is_initialized():
            torch.cuda.empty_cache()
        with self._condition:
            self._status = EngineStatus(
                state, detail, last_empty_reason=self._status.last_empty_reason
            )
            waiting = [*self._inbox.values(), *([self._running] if self._running else [])]
            self._inbox.clear()
            self._running = None
        for job in waiting:
            job.resolve(NoCompletion(_WHY_NOT[state], detail))
        self._listener.changed(self._status)
        if state is EngineState.FAILED:
            self._report(detail)
