"""Request → prompt → tokens → completion, and answers without the model while typing through one.

Everything here runs on the engine's thread.
"""

import time
import urllib.parse
from collections.abc import Callable

from pathspec import GitIgnoreSpec

from code2lora_lsp.cancellation import Deadline
from code2lora_lsp.config import CompletionSettings, Settings
from code2lora_lsp.errors import ModelMismatch
from code2lora_lsp.history.secrets import is_secret_path
from code2lora_lsp.neural.mixing import Mixer
from code2lora_lsp.neural.session import DecodeSession
from code2lora_lsp.runtime.alternatives import alternatives
from code2lora_lsp.runtime.api import (
    Completion,
    CompletionRequest,
    CompletionResult,
    NoCompletion,
    Reason,
    Timings,
)
from code2lora_lsp.runtime.bracket_habit import BracketHabit, Place
from code2lora_lsp.runtime.choosing import Choice, Chooser, Confidence
from code2lora_lsp.runtime.confidence import Calibration
from code2lora_lsp.runtime.decoding import Decoding, Fork
from code2lora_lsp.runtime.drafting import Drafter, TimeUp, Writing
from code2lora_lsp.runtime.knowledge import Sharp
from code2lora_lsp.runtime.question import Question, question_of
from code2lora_lsp.runtime.shown import Shown, ShownTexts
from code2lora_lsp.text.fim import FimPrompt, Order, PromptBuilder, common_newline
from code2lora_lsp.text.tokenizer import Tokenizer
from code2lora_lsp.text.trim import with_newline


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
        path = _path_in(request.document.uri)
        if is_secret_path(request.path or "") or is_secret_path(path):
            return NoCompletion(Reason.SECRET)
        paths = _tails(path) if request.path is None else [request.path]
        if any(self._excluded.match_file(one) for one in paths):
            return NoCompletion(Reason.EXCLUDED)
        return None


def _path_in(uri: str) -> str:
    """What of ``uri`` may be a path; all of one that urllib cannot take apart."""
    try:
        path = urllib.parse.urlsplit(uri).path
    except ValueError:
        path = uri
    return urllib.parse.unquote(path)


def _tails(path: str) -> list[str]:
    """What ``path`` may be called inside a work tree whose root is unknown: any folder may be it.

    So that a pattern that begins at the root holds wherever the file lies.
    """
    parts = [part for part in path.split("/") if part]
    return ["/".join(parts[first:]) for first in range(len(parts))]


class Completer:
    """Answers requests with one session's backbone."""

    def __init__(
        self,
        session: DecodeSession,
        tokenizer: Tokenizer,
        order: Order,
        settings: CompletionSettings,
        confidence: Confidence | None = None,
    ) -> None:
        """Prepare prompts and sampling; without ``confidence`` the model is taken at its word.

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
        self._drafter = Drafter(session, tokenizer, self._decoding, settings.max_tokens)
        self._chooser = Chooser(confidence or Calibration(), settings.min_confidence)
        self._sharp: Sharp | None = None
        self._shown = ShownTexts()
        self._last_prompt: tuple[int, ...] = ()
        self._next: tuple[Place, ...] = ()
        self._habit = BracketHabit()

    def bind(self, sharp: Sharp | None) -> None:
        """Mix what ``sharp`` knows into every completion from here on; forgets if it is another."""
        if sharp is not self._sharp:
            self._sharp = sharp
            self.forget()

    def forget(self) -> None:
        """Drop the completions shown: another adapter is bound now."""
        self._shown.forget()

    def warm_again(self, check: Callable[[], None]) -> None:
        """Compute the last prompt with what is bound now; ``check`` may stop it."""
        if self._last_prompt:
            self._session.feed(self._last_prompt, check)

    def prepare(self, check: Callable[[], None]) -> None:
        """Read, while nobody waits, what the next request will most likely ask about.

        That is the place behind the suggestion, should it be accepted; on the way to it lie the
        places where it is typed. Then the text that a bracket would make, where the editor closes
        it. A window about to jump does so now.
        """
        for number, place in enumerate(self._next):
            self._read(place, check, is_likeliest=number == 0)
        self._next = ()

    def read(self, request: CompletionRequest, check: Callable[[], None]) -> None:
        """Read what ``request`` would ask about, should it come."""
        self._next = ()  # the cursor is elsewhere now
        place = _place_behind(question_of(request, self._settings.max_lines), "")
        self._read(place, check, is_likeliest=True)

    def complete(
        self,
        request: CompletionRequest,
        adapter_commit: str | None,
        deadline: Deadline,
        check: Callable[[], None],
        before_reading: Callable[[int], None] = lambda _n_wasted: None,
    ) -> CompletionResult:
        """Answer one request.

        Args:
            request: its deadline and cancellation are what the next two say.
            adapter_commit: the commit the bound adapter stands for.
            deadline: when it passes while decoding, what is there is offered.
            check: called before every prefill chunk and every token; may raise to stop.
            before_reading: called with how many tokens that must be read the next key would make
                useless; may wait, and raise to stop.
        """
        question = question_of(request, self._settings.max_lines)
        left = self._shown.left_for(question, self._session.adapter_id)
        if left is not None:
            return _offer(question, left, adapter_commit, Timings())
        started_s = time.perf_counter()
        kept, typed = self._decoding.healer.split(question.gap.before)
        prompt = self._prompts.build(request.document.uri, kept, question.gap.after, request.path)
        self._last_prompt = prompt.token_ids
        self._next = ()
        self._habit.saw(_place_behind(question, ""))
        is_asked_for = question.is_asked_for
        writing = Writing(
            prompt.token_ids, typed, question.gap, None if is_asked_for else self._chooser,
            self._mixer(prompt), deadline, check,
        )  # fmt: skip
        built_s = time.perf_counter()
        before_reading(0 if is_asked_for else self._wasted_by_next_key(prompt))
        reading_s = time.perf_counter()
        try:
            fed = self._session.feed(prompt.token_ids, writing.check_both)
        except TimeUp:
            return NoCompletion(Reason.TIMED_OUT, "while reading the prompt")
        fed_s = time.perf_counter()
        forks: list[Fork] | None = [] if is_asked_for else None
        draft = self._drafter.first(writing, fed.logits, forks)
        first = self._chooser.choose(draft, question.gap, is_asked_for=is_asked_for)
        choices = [first] if isinstance(first, Choice) else []
        behind = _place_behind(question, choices[0].text if choices else "")
        bracket = self._habit.next_place if prompt.order == "spm" else None  # else it stands last
        self._next = (behind,) if bracket is None else (behind, bracket)
        if forks:
            choices += alternatives(
                self._drafter, self._chooser, writing, forks, choices[0] if choices else None
            )
        if isinstance(first, NoCompletion) and not choices:
            is_late = not draft.ends and deadline.has_passed
            return NoCompletion(Reason.TIMED_OUT) if is_late else first
        timings = Timings(
            prompt_s=built_s - started_s,
            prefill_s=fed_s - reading_s,
            decode_s=time.perf_counter() - fed_s,
            prompt_tokens=len(prompt.token_ids),
            reused_tokens=fed.reused_tokens,
            new_tokens=len(draft.ends),
        )
        shown = Shown(
            self._session.adapter_id, question.gap, tuple(one.text for one in choices),
            choices[0].confidence, choices[0].log_probability, is_asked_for=is_asked_for,
        )  # fmt: skip
        self._shown.remember(request.document.uri, shown)
        return _offer(question, shown, adapter_commit, timings)

    def _read(self, place: Place, check: Callable[[], None], *, is_likeliest: bool) -> None:
        """While nobody waits; the likeliest place is read again when something new is bound."""
        kept, _ = self._decoding.healer.split(place.before)
        prompt = self._prompts.build(
            place.uri, kept, place.after, place.path, room_tokens=self._prompts.jump_room_tokens
        )
        if is_likeliest:
            self._last_prompt = prompt.token_ids
        self._session.feed(prompt.token_ids, check)

    def _mixer(self, prompt: FimPrompt) -> Mixer | None:
        return self._sharp.near(prompt.token_ids) if self._sharp else None

    def _wasted_by_next_key(self, prompt: FimPrompt) -> int:
        """Tokens yet to be read that stand behind what changes: in PSM order, the suffix."""
        if prompt.order == "spm":
            return 0
        return min(prompt.suffix_tokens, self._session.missing(prompt.token_ids))


def _place_behind(question: Question, text: str) -> Place:
    request, gap = question.request, question.gap
    return Place(request.document.uri, request.path, gap.before + text, gap.after)


def _offer(
    question: Question, shown: Shown, adapter_commit: str | None, timings: Timings
) -> Completion:
    """The answer, with the document's own line breaks."""
    newline = common_newline(question.request.document.text)
    first, *others = (question.typed + with_newline(text, newline) for text in shown.texts)
    return Completion(
        text=first,
        start=question.start,
        end=question.end,
        log_probability=shown.log_probability,
        adapter_id=shown.adapter_id,
        adapter_commit=adapter_commit if shown.adapter_id else None,
        timings=timings,
        confidence=shown.confidence,
        alternatives=tuple(others),
    )
