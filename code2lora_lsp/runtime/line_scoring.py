"""Does what is known of a repository help? −log p of lines a commit added, with and without it.

What is asked for is what serving would complete: the file up to the lines, and behind them what
follows the run they belong to. What is known is of the commit's parent, so it holds nothing of
them, unless they are copies of what was there before.
"""

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from torch import Tensor

from code2lora_lsp.neural.session import DecodeSession
from code2lora_lsp.runtime.decoding import Decoding
from code2lora_lsp.runtime.knowledge import Knowledge
from code2lora_lsp.runtime.model_loading import LoadedModel
from code2lora_lsp.text.added_lines import Passage
from code2lora_lsp.text.fim import PromptBuilder

MOST_TOKENS = 400
MOST_PASSAGE_TOKENS = 100
MOST_PROMPT_TOKENS = 512
SUFFIX_TOKENS = 64

LONGEST_S = 20.0
"""With a large model fewer passages are scored: those begun within this time, then the same ones
with what is known."""


@dataclass(frozen=True)
class Unscored:
    """Lines that a commit added, and what was known before it.

    Attributes:
        checkpoint: what the commit was followed with.
        passages: of the lines; the first ones, up to ``MOST_TOKENS``, are scored.
        before: holds nothing of them.
    """

    commit: str
    checkpoint: str
    passages: tuple[Passage, ...]
    before: Knowledge


@dataclass(frozen=True)
class LineScores:
    """Means over ``n_tokens``, in nats per token."""

    without_nats: float
    with_nats: float
    n_tokens: int


@dataclass(frozen=True)
class _Asked:
    """One passage as token ids: the prompt, and what is to be written."""

    prompt: tuple[int, ...]
    wanted: tuple[int, ...]


class LineScoring:
    """Work for an idle engine; it keeps what was scored before it gave way."""

    def __init__(self, unscored: Unscored, on_done: Callable[[Unscored, LineScores], None]) -> None:
        """``on_done`` is called once, on the thread that scored; it must only hand over."""
        self.unscored, self._on_done = unscored, on_done
        self._spent_s = 0.0
        self._without: list[float] = []
        self._with: list[float] = []

    def __call__(self, model: LoadedModel, check: Callable[[], None]) -> None:
        """Score what is left.

        Raises:
            Cancelled: ``check`` did, which is called before every token.
        """
        decoding = Decoding(model.tokenizer, model.backbone.vocabulary_size)
        asked = self._asked(model)
        session = DecodeSession(model.backbone, MOST_PROMPT_TOKENS + MOST_PASSAGE_TOKENS)
        for one in asked[len(self._without) :]:
            if self._spent_s >= LONGEST_S:
                break
            started_s = time.monotonic()
            self._without.append(_nats(session, decoding, one, None, check))
            self._spent_s += time.monotonic() - started_s
        asked = asked[: len(self._without)]
        n_tokens = sum(len(one.wanted) for one in asked)
        before = self.unscored.before
        session.bind(before.adapter)
        for one in asked[len(self._with) :]:
            self._with.append(_nats(session, decoding, one, before, check))
        if n_tokens:
            without, with_it = (math.fsum(nats) / n_tokens for nats in (self._without, self._with))
            self._on_done(self.unscored, LineScores(without, with_it, n_tokens))

    def _asked(self, model: LoadedModel) -> list[_Asked]:
        """The same ones each time. Passages begin with a line, so nothing is typed already."""
        room = min(MOST_PROMPT_TOKENS, model.backbone.max_positions - MOST_PASSAGE_TOKENS)
        prompts = PromptBuilder(model.tokenizer, model.order, room, SUFFIX_TOKENS)
        asked: list[_Asked] = []
        left = MOST_TOKENS
        for passage in self.unscored.passages:
            if left <= 0:
                break
            prompt = prompts.build(passage.place, passage.before, passage.after, passage.path)
            wanted = model.tokenizer.encode(passage.text)[: min(left, MOST_PASSAGE_TOKENS)]
            asked.append(_Asked(prompt.token_ids, tuple(wanted)))
            left -= len(wanted)
        return asked


Score = Callable[[LineScoring], None]
"""Has it done when nobody waits for a completion."""


def _nats(
    session: DecodeSession,
    decoding: Decoding,
    asked: _Asked,
    knowledge: Knowledge | None,
    check: Callable[[], None],
) -> float:
    """−log p of all wanted tokens, teacher-forced."""

    def logits() -> Iterator[Tensor]:
        yield session.feed(asked.prompt, check).logits
        for token in asked.wanted[:-1]:
            check()
            yield session.advance(token)

    sharp = knowledge.sharp if knowledge else None
    mixer = sharp.near(asked.prompt) if sharp else None
    return math.fsum(decoding.nats(asked.prompt, "", asked.wanted, logits(), mixer))
