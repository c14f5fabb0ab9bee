"""Request → prompt → tokens → completion, and answers without the model while typing through one.

Everything here runs on the engine's thread.
"""

import math
import time
import urllib.parse
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from pathspec import GitIgnoreSpec

from code2lora_lsp.cancellation import Deadline
from code2lora_lsp.config import CompletionSettings, Settings
from code2lora_lsp.errors import ModelMismatch
from code2lora_lsp.history.secrets import is_secret_path
from code2lora_lsp.neural.mixing import Mixer
from code2lora_lsp.neural.session import DecodeSession
from code2lora_lsp.runtime.api import (
    Completion,
    CompletionRequest,
    CompletionResult,
    NoCompletion,
    Reason,
    Timings,
    Trigger,
)
from code2lora_lsp.runtime.decoding import Decoding, Written
from code2lora_lsp.text.extent import is_finished, is_left_open
from code2lora_lsp.text.fim import Order, PromptBuilder, common_newline, with_lf
from code2lora_lsp.text.gap import Gap
from code2lora_lsp.text.loops import loop_start
from code2lora_lsp.text.tokenizer import Tokenizer
from code2lora_lsp.text.trim import trim, with_newline

N_SHOWN = 32
"""Documents whose last completion is remembered."""


class TimeUp(Exception):
    """The deadline passed before there was anything to offer."""


@dataclass(frozen=True)
class Question:
    """A request in the form the model sees it: LF line breaks, the selected item filled in.

    Attributes:
        start: offset in the document where the answer's replacement begins.
        typed: text put in front of what the model writes: the selected item, or nothing.
    """

    request: CompletionRequest
    gap: Gap
    start: int
    typed: str


@dataclass(frozen=True)
class _Shown:
    """The last completion of a document; it stays true until the user departs from it."""

    adapter_id: str | None
    before: str
    after: str
    text: str
    log_probability: float
    is_multi_line: bool


@dataclass(frozen=True)
class _Decoded:
    text: str
    log_probability: float
    n_tokens: int


class Doorkeeper:
    """Turns away documents that are never shown to a model. Cheap; any thread."""

    def __init__(self, settings: Settings) -> None:
        self._max_document_chars = settings.completion.max_document_chars
        self._excluded = GitIgnoreSpec.from_lines(settings.follow.exclude)

    def refusal(self, request: CompletionRequest) -> NoCompletion | None:
        """Why this document is turned away, if it is."""
        n_chars, limit = len(request.document.text), self._max_document_chars
        if n_chars > limit:
            return NoCompletion(Reason.TOO_LARGE, f"{n_chars} characters, the limit is {limit}")
        path = urllib.parse.unquote(urllib.parse.urlsplit(request.document.uri).path)
        if is_secret_path(request.path or "") or is_secret_path(path):
            return NoCompletion(Reason.SECRET)
        if request.path is not None and self._excluded.match_file(request.path):
            return NoCompletion(Reason.EXCLUDED)
        return None


class Completer:
    """Answers requests with one session's backbone."""

    def __init__(
        self,
        session: DecodeSession,
        tokenizer: Tokenizer,
        order: Order,
        settings: CompletionSettings,
    ) -> None:
        """Prepare prompts and sampling.

        Raises:
            ModelMismatch: no fill-in-the-middle tokens, or fewer embeddings than token ids.
        """
        n_ids, n_logits = tokenizer.vocabulary_size, session.backbone.vocabulary_size
        if n_ids > n_logits:
            raise ModelMismatch(f"the tokenizer has {n_ids} ids, but the model only {n_logits}")
        prompt_tokens = min(settings.prompt_tokens, session.capacity_tokens - settings.max_tokens)
        if prompt_tokens < 16:
            raise ModelMismatch(
                f"{session.capacity_tokens} positions leave no room for a prompt beside "
                f"maxTokens {settings.max_tokens}"
            )
        self._session = session
        self._tokenizer = tokenizer
        self._settings = settings
        self._prompts = PromptBuilder(tokenizer, order, prompt_tokens, settings.suffix_tokens)
        self._decoding = Decoding(tokenizer, n_logits)
        self._mixer: Mixer | None = None
        self._shown: dict[str, _Shown] = {}
        self._last_prompt: tuple[int, ...] = ()

    def bind(self, mixer: Mixer | None) -> None:
        """Mix what ``mixer`` knows into every completion from here on; forgets if it is another."""
        if mixer is not self._mixer:
            self._mixer = mixer
            self.forget()

    def forget(self) -> None:
        """Drop the completions shown: another adapter is bound now."""
        self._shown.clear()

    def warm_again(self, check: Callable[[], None]) -> None:
        """Compute the last prompt with what is bound now; ``check`` may stop it."""
        if self._last_prompt:
            self._session.feed(self._last_prompt, check)

    def complete(
        self,
        request: CompletionRequest,
        adapter_commit: str | None,
        deadline: Deadline,
        check: Callable[[], None],
    ) -> CompletionResult:
        """Answer one request.

        Args:
            request: its deadline and cancellation are what the next two say.
            adapter_commit: the commit the bound adapter stands for.
            deadline: when it passes while decoding, what is there is offered.
            check: called before every prefill chunk and every token; may raise to stop.
        """
        question = _ask(request, self._settings.max_lines)
        typed_through = self._typed_through(question)
        if typed_through is not None:
            return self._offer(question, typed_through, adapter_commit, Timings())
        started_s = time.perf_counter()
        kept, typed = self._decoding.healer.split(question.gap.before)
        prompt = self._prompts.build(request.document.uri, kept, question.gap.after, request.path)
        self._last_prompt = prompt.token_ids
        built_s = time.perf_counter()
        try:
            fed = self._session.feed(prompt.token_ids, lambda: _check_both(check, deadline))
        except TimeUp:
            return NoCompletion(Reason.TIMED_OUT, "while reading the prompt")
        fed_s = time.perf_counter()
        writing = self._decoding.write(
            prompt.token_ids, typed, fed.logits, self._session.advance, self._mixer
        )
        decoded = self._collect(writing, typed, question.gap, deadline, check)
        timings = Timings(
            prompt_s=built_s - started_s,
            prefill_s=fed_s - built_s,
            decode_s=time.perf_counter() - fed_s,
            prompt_tokens=len(prompt.token_ids),
            reused_tokens=fed.reused_tokens,
            new_tokens=decoded.n_tokens,
        )
        return self._judge(question, decoded, adapter_commit, timings, deadline)

    def _collect(
        self,
        writing: Iterator[Written],
        typed: str,
        gap: Gap,
        deadline: Deadline,
        check: Callable[[], None],
    ) -> _Decoded:
        """What is written until it is finished, goes in circles, or a budget ends."""
        token_ids: list[int] = []
        log_probability, n_new, text = 0.0, 0, ""
        while not deadline.has_passed:
            check()
            written = next(writing, None)
            if written is None:
                break
            token_ids.append(written.token_id)
            if written.is_new:  # what only repeats the typed text says nothing
                log_probability, n_new = log_probability + written.log_probability, n_new + 1
            second_round = loop_start(token_ids)
            if second_round is not None:
                text = self._tokenizer.decode(token_ids[:second_round])[len(typed) :]
                text = "" if is_left_open(text, gap) else text
                break
            text = written.text
            is_last = len(token_ids) >= self._settings.max_tokens or self._session.room == 0
            if is_last or is_finished(text, gap):
                break
        return _Decoded(text, log_probability / max(n_new, 1), len(token_ids))

    def _judge(
        self,
        question: Question,
        decoded: _Decoded,
        adapter_commit: str | None,
        timings: Timings,
        deadline: Deadline,
    ) -> CompletionResult:
        """Whether what was decoded is worth showing."""
        if not decoded.text.strip():
            is_late = decoded.n_tokens == 0 and deadline.has_passed
            return NoCompletion(Reason.TIMED_OUT if is_late else Reason.EMPTY)
        text = trim(decoded.text, question.gap)
        if not text:
            return NoCompletion(Reason.EMPTY if decoded.text.startswith("\n") else Reason.FILTERED)
        confidence = math.exp(decoded.log_probability)
        if confidence < self._settings.min_confidence:
            return NoCompletion(
                Reason.LOW_CONFIDENCE,
                f"{confidence:.2f} per token, {self._settings.min_confidence:.2f} is asked for",
            )
        gap = question.gap
        shown = _Shown(
            self._session.adapter_id, gap.before, gap.after, text, decoded.log_probability,
            is_multi_line=gap.max_lines > 1,
        )  # fmt: skip
        self._remember(question.request.document.uri, shown)
        return self._offer(question, shown, adapter_commit, timings)

    def _typed_through(self, question: Question) -> _Shown | None:
        """What is left of the completion shown last, if the user is typing just that."""
        shown, gap = self._shown.get(question.request.document.uri), question.gap
        if shown is None or shown.adapter_id != self._session.adapter_id:
            return None
        if gap.max_lines > 1 and not shown.is_multi_line:
            return None  # more was asked for than was shown
        if gap.after != shown.after or not gap.before.startswith(shown.before):
            return None
        typed = gap.before[len(shown.before) :]
        rest = shown.text[len(typed) :]
        if not rest or not shown.text.startswith(typed):
            return None
        return replace(shown, text=rest)

    def _remember(self, uri: str, shown: _Shown) -> None:
        self._shown.pop(uri, None)
        self._shown[uri] = shown
        while len(self._shown) > N_SHOWN:
            del self._shown[next(iter(self._shown))]

    def _offer(
        self, question: Question, shown: _Shown, adapter_commit: str | None, timings: Timings
    ) -> Completion:
        request = question.request
        newline = common_newline(request.document.text)
        return Completion(
            text=question.typed + with_newline(shown.text, newline),
            start=question.start,
            end=request.offset,
            log_probability=shown.log_probability,
            adapter_id=shown.adapter_id,
            adapter_commit=adapter_commit if shown.adapter_id else None,
            timings=timings,
        )


def _ask(request: CompletionRequest, max_lines: int) -> Question:
    """Fill in the selected item and normalise line breaks."""
    text, offset = request.document.text, request.offset
    start, typed = offset, ""
    if request.selected_text is not None:
        start = offset if request.selected_start is None else request.selected_start
        typed = request.selected_text
    before, after = with_lf((text[:start] + typed, text[offset:]))
    lines = 1 if request.trigger is Trigger.AUTOMATIC else max_lines
    return Question(request, Gap(before, after, lines, request.document.language_id), start, typed)


def _check_both(check: Callable[[], None], deadline: Deadline) -> None:
    check()
    if deadline.has_passed:
        raise TimeUp
