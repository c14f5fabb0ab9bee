"""What a model wrote → what is worth showing of it, or why nothing is."""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from code2lora_lsp.runtime.api import NoCompletion, Reason
from code2lora_lsp.text.beginnings import beginnings
from code2lora_lsp.text.extent import is_finished
from code2lora_lsp.text.gap import Gap
from code2lora_lsp.text.trim import trim

_LAST_WORD = re.compile(r"\w+\Z")


class Confidence(Protocol):
    """Says how likely a suggestion is right; see ``runtime.confidence``."""

    def probability(self, log_probabilities: Sequence[float]) -> float:
        """P(right), 0 to 1; never more for more tokens."""


@dataclass(frozen=True)
class Draft:
    """What was written at one gap.

    Attributes:
        text: without what was typed, and without a loop's further rounds.
        ends: how long ``text`` was after each token, in characters.
        log_probabilities: of each token, nats; ``None`` for one that only repeats what was typed.
        is_cut_short: a budget ended it, so that its last word may be half a word.
    """

    text: str
    ends: tuple[int, ...]
    log_probabilities: tuple[float | None, ...]
    is_cut_short: bool = False

    def behind(self, text: str) -> list[float]:
        """Log-probabilities of the new tokens that wrote ``text``, a piece of the draft."""
        stop = max(self.text.find(text), 0) + len(text)
        n_tokens = next((n for n, end in enumerate(self.ends, 1) if end >= stop), len(self.ends))
        return _of_new(self.log_probabilities[:n_tokens])


@dataclass(frozen=True)
class Choice:
    """What is shown.

    Attributes:
        confidence: P(right), 0 to 1.
        log_probability: mean over its tokens, nats.
    """

    text: str
    confidence: float
    log_probability: float


class Chooser:
    """Trims drafts and holds back what is too unlikely to be right."""

    def __init__(self, confidence: Confidence, least: float) -> None:
        """``least`` is the P(right) from which on something is shown while typing."""
        self._confidence, self._least = confidence, least

    def is_hopeless(self, log_probabilities: Sequence[float | None]) -> bool:
        """Whether nothing longer than these tokens can be shown while typing."""
        return self._confidence.probability(_of_new(log_probabilities)) < self._least

    def choose(self, draft: Draft, gap: Gap, *, is_asked_for: bool) -> Choice | NoCompletion:
        """As much of what is worth inserting as is sure; asked for by hand at least its line."""
        is_half = draft.is_cut_short and not is_finished(draft.text, gap)
        raw = _without_half(draft.text) if is_half else draft.text
        text = trim(raw, gap)
        if not text:
            gave_up = draft.is_cut_short and self.is_hopeless(draft.log_probabilities)
            if gave_up and not is_asked_for:
                return self._unsure(_of_new(draft.log_probabilities))
            is_empty = not raw.strip() or raw.startswith("\n")
            return NoCompletion(Reason.EMPTY if is_empty else Reason.FILTERED)
        if is_asked_for:
            return self._rated(self._sure_lines(text, draft), draft)
        rated = (self._rated(part, draft) for part in beginnings(text, gap))
        sure = next((one for one in rated if one.confidence >= self._least), None)
        return sure or self._unsure(draft.behind(text))

    def _sure_lines(self, text: str, draft: Draft) -> str:
        """The first line, and those below it that are sure if it is right."""
        lines = text.split("\n")
        n_first = 1 + next(index for index, line in enumerate(lines) if line.strip())
        n_given = len(draft.behind("\n".join(lines[:n_first])))
        for n_lines in range(len(lines), n_first, -1):
            if not lines[n_lines - 1].strip():
                continue  # blank lines stand between others or not at all
            part = "\n".join(lines[:n_lines])
            if self._confidence.probability(draft.behind(part)[n_given:]) >= self._least:
                return part
        return "\n".join(lines[:n_first])

    def _unsure(self, log_probabilities: Sequence[float]) -> NoCompletion:
        right = self._confidence.probability(log_probabilities)
        detail = f"right with probability {right:.2f}, {self._least:.2f} is asked for"
        return NoCompletion(Reason.LOW_CONFIDENCE, detail)

    def _rated(self, text: str, draft: Draft) -> Choice:
        log_probabilities = draft.behind(text)
        mean = math.fsum(log_probabilities) / max(len(log_probabilities), 1)
        return Choice(text, self._confidence.probability(log_probabilities), mean)


def _without_half(raw: str) -> str:
    """Without the line that a budget cut, or where it is the only one, without its last word."""
    lines = raw.rpartition("\n")[0]
    return lines if lines.strip() else _LAST_WORD.sub("", raw) or raw


def _of_new(log_probabilities: Sequence[float | None]) -> list[float]:
    return [log_p for log_p in log_probabilities if log_p is not None]
