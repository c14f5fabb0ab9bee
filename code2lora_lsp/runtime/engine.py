"""Owns the backbone, its KV cache and the adapter bound to it: one thread, one decode at a time.

The inbox holds at most one request per document and the newest wins. Binding happens between
requests, never inside one. Every future that ``submit`` returns resolves exactly once.
"""

import gc
import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch

from code2lora_lsp.cancellation import Cancellation, Cancelled, Deadline
from code2lora_lsp.config import Settings
from code2lora_lsp.errors import Code2LoraError
from code2lora_lsp.neural.backbone import Backbone
from code2lora_lsp.runtime.api import (
    CompletionRequest,
    CompletionResult,
    EngineState,
    NoCompletion,
    Reason,
)
from code2lora_lsp.runtime.binding import Binding
from code2lora_lsp.runtime.completer import Doorkeeper
from code2lora_lsp.runtime.engine_status import (
    EngineListener,
    EngineStatus,
    StatusBoard,
    translated,
)
from code2lora_lsp.runtime.expected import Expected, NextRequest
from code2lora_lsp.runtime.heard_slots import HeardSlots
from code2lora_lsp.runtime.inbox import Inbox
from code2lora_lsp.runtime.job import Job
from code2lora_lsp.runtime.knowledge_slot import KnowledgeSlot
from code2lora_lsp.runtime.later import Work, WorkForLater
from code2lora_lsp.runtime.model_loading import LoadedModel, ReportProgress
from code2lora_lsp.runtime.pace import Pace
from code2lora_lsp.runtime.tuning import load_tuned

log = logging.getLogger(__name__)

_WHY_NOT = {
    EngineState.ABSENT: Reason.NOT_READY,
    EngineState.LOADING: Reason.NOT_READY,
    EngineState.FAILED: Reason.FAILED,
    EngineState.UNLOADED: Reason.UNLOADED,
}


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
        self._condition = threading.Condition()
        self._board = StatusBoard(listener or EngineListener(), self._condition)
        self._inbox = Inbox()
        self._slots = HeardSlots(self._condition)
        self._later = WorkForLater(self._condition)
        self._stopping = Cancellation()
        self._may_prepare = False
        self._expected = Expected()
        self._pace = Pace()
        self._binding: Binding | None = None
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
        return self._board.status

    @property
    def decoder(self) -> Backbone | None:
        """The backbone once it is ready; for ``hidden_states``, which reads pristine weights."""
        binding = self._binding
        is_ready = self.status.state is EngineState.READY
        return binding.model.backbone if binding and is_ready else None

    @property
    def is_busy(self) -> bool:
        """A completion is being worked on or waiting."""
        return self._inbox.running is not None or self._inbox.is_waited_for

    def submit(
        self, request: CompletionRequest, slot: KnowledgeSlot | None = None
    ) -> "Future[CompletionResult]":
        """Answer ``request`` with the knowledge current in ``slot`` when its turn comes.

        An older request for the same document, waiting or running, resolves as superseded.
        The deadline counts from now; without one in the request, the setting holds.
        """
        seconds = request.deadline_s
        budget_s = self._settings.deadline_s if seconds is None else seconds
        job = Job(request, slot, Deadline(budget_s))
        refused = self._doorkeeper.refusal(request)
        older = None
        with self._condition:
            self._pace.asked(job.submitted_s)
            if refused is None and self.status.state is not EngineState.READY:
                refused = NoCompletion(_WHY_NOT[self.status.state], self.status.detail)
            if refused is None:
                older = self._inbox.put(job)
                self._expected.put(None)
                self._condition.notify_all()
        if older is not None:
            older.resolve(NoCompletion(Reason.SUPERSEDED))
        if refused is not None:
            self._board.note(refused)
            job.resolve(refused)
        return job.future

    def expect(self, request: CompletionRequest, slot: KnowledgeSlot | None = None) -> None:
        """A request for this place is likely: read its prompt while nobody waits.

        The newest one counts, until a request comes.
        """
        is_refused = self._doorkeeper.refusal(request) is not None
        with self._condition:
            is_over = self.status.state not in {EngineState.LOADING, EngineState.READY}
            self._expected.put(None if is_refused or is_over else NextRequest(request, slot))
            self._condition.notify_all()

    def release(self, slot: KnowledgeSlot) -> None:
        """Forget a slot whose repository is no longer followed."""
        with self._condition:
            self._expected.forget(slot)
        self._slots.release(slot)

    def when_idle(self, work: Work) -> None:
        """Do ``work`` once nobody waits. It gives way to any request and is tried again later.

        The newest few are kept; what is left when the engine ends is not done.
        """
        self._later.add(work)

    def unload(self) -> None:
        """Free the backbone's memory; at most one token later. Returns at once."""
        self._stopping.cancel("the engine is stopping")
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
        model = self._loader(self._board.progress)
        binding = Binding(model, self._settings, self._board)
        binding.try_out(self._stopping.check)
        self._binding = binding
        gc.freeze()  # torch's modules live on; walking them took 80 ms, on any thread, now and then
        if not self._stopping.is_cancelled:
            self._board.show(EngineStatus.ready(model))

    def _next(self) -> Callable[[], None] | None:
        """Wait for work; the newest document's request first. ``None`` when stopping."""
        with self._condition:
            while not self._stopping.is_cancelled:
                if self._inbox.is_waited_for:
                    return partial(self._work, self._inbox.take())
                if self._slots.take_news():
                    return self._warm_again
                if self._may_prepare:
                    self._may_prepare = False
                    return self._prepare
                if (expected := self._expected.take()) is not None:
                    return partial(self._read, expected)
                wait_s = self._later.wait_s()
                if wait_s is not None and wait_s <= 0:
                    return self._work_later
                self._condition.wait(wait_s)
        return None

    def _work(self, job: Job) -> None:
        result = self._answer(job)
        with self._condition:
            self._inbox.running = None
            self._may_prepare = True
            self._later.put_off()
        self._board.note(result)
        job.resolve(result)

    def _answer(self, job: Job) -> CompletionResult:
        """One request, with every way it can end. Raises nothing."""
        queue_s = time.perf_counter() - job.submitted_s
        binding = self._loaded()

        def check() -> None:
            self._stopping.check()
            job.check()

        try:
            check()
            if job.deadline.has_passed:
                return NoCompletion(Reason.TIMED_OUT, "while other requests were answered")
            binding.bind(self._slots.use(job.slot))
            result = binding.completer.complete(
                job.request, binding.commit_id, job.deadline, check,
                lambda n_wasted: self._pace.pause(n_wasted, self._condition, check),
            )  # fmt: skip
        except Cancelled as stopped:
            is_stopping = self._stopping.is_cancelled
            return NoCompletion(Reason.UNLOADED) if is_stopping else job.why_stopped(str(stopped))
        except Exception as error:  # noqa: BLE001 - whatever broke, the thread goes on
            return binding.recover(error)
        if isinstance(result, NoCompletion):
            return result
        timings = result.timings
        self._pace.read(timings.prompt_tokens - timings.reused_tokens, timings.prefill_s)
        return replace(result, timings=replace(result.timings, queue_s=queue_s))

    def _warm_again(self) -> None:
        """After something new: bind it and compute the last prompt again."""
        slot = self._slots.active
        if slot is not None:
            self._loaded().warm_again(slot, self._idle_check)

    def _prepare(self) -> None:
        self._loaded().prepare(self._idle_check)

    def _read(self, expected: NextRequest) -> None:
        check = self._expected.reading_check(self._idle_check)
        self._loaded().read(self._slots.use(expected.slot), expected.request, check)

    def _work_later(self) -> None:
        """The oldest work for later, with sessions of its own; cached tokens stay."""
        binding = self._loaded()
        try:
            self._later.do_oldest(binding.model, self._later_check)
        finally:
            binding.session.restore()

    def _later_check(self) -> None:
        self._idle_check()
        if self._slots.has_news or self._expected.is_waiting:
            raise Cancelled("there is something new to bind or to read")

    def _idle_check(self) -> None:
        self._stopping.check()
        if self._inbox.is_waited_for:
            raise Cancelled("a request is waiting")

    def _loaded(self) -> Binding:
        """On the engine's thread, after loading and before the end."""
        assert self._binding is not None
        return self._binding

    def _end(self, state: EngineState, detail: str) -> None:
        """Let go of the model and answer whoever still waits."""
        self._slots.release_all()
        self._binding = None
        self._later.forget()
        if torch.cuda.is_initialized():
            torch.cuda.empty_cache()
        with self._condition:
            reason = self.status.last_empty_reason
            self._board.status = EngineStatus(state, detail, last_empty_reason=reason)
            waiting = self._inbox.drain()
            self._expected.put(None)
        for job in waiting:
            job.resolve(NoCompletion(_WHY_NOT[state], detail))
        self._board.tell()
        if state is EngineState.FAILED:
            self._board.report(detail)
