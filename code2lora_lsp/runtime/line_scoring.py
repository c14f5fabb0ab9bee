"""Does what is known of a repository help? −log p of lines a commit added, with and without it.

What is asked for is what serving would complete: the file up to the lines, and behind them what
follows the run they belong to. What is known is of the commit's parent, so it holds nothing of
them, unless they are copies of what was there before.
"""

import math
import time
from collections.abc import Callable, Iterator, Sequence
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
class Asked:
    """One passage as token ids: the prompt, and what is to be written."""

    prompt: tuple[int, ...]
    wanted: tuple[int, ...]


class PassageScorer:
    """One model, asked for passages at their places as serving would ask. Not thread-safe."""

    def __init__(self, model: LoadedModel) -> None:
        self._model = model
        self._decoding = Decoding(model.tokenizer, model.backbone.vocabulary_size)
        self._session = DecodeSession(model.backbone, MOST_PROMPT_TOKENS + MOST_PASSAGE_TOKENS)

    def asked(self, passages: Sequence[Passage]) -> list[Asked]:
        """The first passages, up to ``MOST_TOKENS``; the same ones each time.

        They begin with a line, so nothing is typed already.
        """
        tokenizer = self._model.tokenizer
        room = min(MOST_PROMPT_TOKENS, self._model.backbone.max_positions - MOST_PASSAGE_TOKENS)
        prompts = PromptBuilder(tokenizer, self._model.order, room, SUFFIX_TOKENS)
        asked: list[Asked] = []
        left = MOST_TOKENS
        for passage in passages:
            if left <= 0:
                break
            prompt = prompts.build(passage.place, passage.before, passage.after, passage.path)
            wanted = tokenizer.encode(passage.text)[: min(left, MOST_PASSAGE_TOKENS)]
            asked.append(Asked(prompt.token_ids, tuple(wanted)))
            left -= len(wanted)
        return asked

    def nats(self, asked: Asked, knowledge: Knowledge | None, check: Callable[[], None]) -> float:
        """−log p of all wanted tokens, teacher-forced.

        Raises:
            Cancelled: ``check`` did, which is called before every token.
        """
        self._session.bind(knowledge.adapter if knowledge else None)

        def logits() -> Iterator[Tensor]:
            yield self._session.feed(asked.prompt, check).logits
            for token in asked.wanted[:-1]:
                check()
                yield self._session.advance(token)

        sharp = knowledge.sharp if knowledge else None
        mixer = sharp.near(asked.prompt) if sharp else None
        return math.fsum(self._decoding.nats(asked.prompt, "", asked.wanted, logits(), mixer))


class LineScoring:
    """Work for an idle engine; it keeps what was scored before it gave way.

    Attributes:
        unscored: what is to be scored.
        on_done: called once, on the thread that scored; it must only hand over.
    """

    def __init__(self, unscored: Unscored, on_done: Callable[[Unscored, LineScores], None]) -> None:
        self.unscored, self.on_done = unscored, on_done
        self._spent_s = 0.0
        self._without: list[float] = []
        self._with: list[float] = []

    def __call__(self, model: LoadedModel, check: Callable[[], None]) -> None:
        """Score what is left.

        Raises:
            Cancelled: ``check`` did, which is called before every token.
        """
        scorer, before = PassageScorer(model), self.unscored.before
        asked = scorer.asked(self.unscored.passages)
        for one in asked[len(self._without) :]:
            if self._spent_s >= LONGEST_S:
                break
            started_s = time.monotonic()
            self._without.append(scorer.nats(one, None, check))
            self._spent_s += time.monotonic() - started_s
        asked = asked[: len(self._without)]
        for one in asked[len(self._with) :]:
            self._with.append(scorer.nats(one, before, check))
        if n_tokens := sum(len(one.wanted) for one in asked):
            without, with_it = (math.fsum(nats) / n_tokens for nats in (self._without, self._with))
            self.on_done(self.unscored, LineScores(without, with_it, n_tokens))


Score = Callable[[LineScoring], None]
"""Has it done when nobody waits for a completion."""
