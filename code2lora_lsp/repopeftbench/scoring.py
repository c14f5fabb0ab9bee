"""A prompt and a target → nats of each target token, a greedy completion, and their cost."""

import math
import re
import time
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from code2lora_lsp.neural.lora import LoraAdapter
from code2lora_lsp.neural.sampling import GreedySampler
from code2lora_lsp.neural.session import DecodeSession
from code2lora_lsp.repopeftbench.arms.arm import Answer
from code2lora_lsp.repopeftbench.items import Item
from code2lora_lsp.repopeftbench.prompts import MAX_NEW_TOKENS, PromptMaker
from code2lora_lsp.runtime.model_loading import LoadedModel
from code2lora_lsp.text.fim import stop_ids
from code2lora_lsp.text.tokenizer import Tokenizer

LONGEST_TARGET_TOKENS = 512

Mix = Callable[[Tensor, str], Tensor]
"""(log p of the next token [V], target text so far) → other log p [V], normalised too."""


class Scorer:
    """One model, one cache, one bound adapter; all arms of one model share it.

    Nothing is kept from one item to the next, so an answer does not depend on which items were
    asked before, and its seconds are those of the whole prompt. Not thread-safe.
    """

    def __init__(
        self, model: LoadedModel, prompt_tokens: int | None = None, *, scores_end: bool = False
    ) -> None:
        """``scores_end`` counts end-of-text as one more target token."""
        self.model = model
        self.prompts = PromptMaker(model, prompt_tokens)
        self._scores_end = scores_end
        self._end_of_text = model.tokenizer.fim_tokens().end_of_text
        self._stops = stop_ids(model.tokenizer.fim_tokens())
        self._sampler = _sampler(model, self._stops)
        room = self.prompts.prompt_tokens + max(MAX_NEW_TOKENS, LONGEST_TARGET_TOKENS)
        self._session = DecodeSession(model.backbone, room)

    @property
    def recipe_key(self) -> str:
        """Changes with the numbers that decide what is read; the weights are named elsewhere."""
        end = "+end" if self._scores_end else ""
        return f"prompt={self.prompts.prompt_tokens}{end}"

    def widest(self) -> "Scorer":
        """The same model with the whole window for its prompts."""
        most = self.model.backbone.max_positions - MAX_NEW_TOKENS
        return Scorer(self.model, most, scores_end=self._scores_end)

    def bind(self, adapter: LoraAdapter | None) -> None:
        """Score with ``adapter`` merged from here on; a no-op for the one already bound.

        Raises:
            AdapterRejected: it does not fit this backbone.
        """
        self._session.bind(adapter)

    def prompt_budget(self, target: str) -> int:
        """Prompt tokens that leave room in the window for the answer and for the target.

        Raises:
            ValueError: the target is blank to the tokenizer, or fills half the window.
        """
        n_target = len(self.model.tokenizer.encode(target))
        room = self._session.capacity_tokens - max(MAX_NEW_TOKENS, n_target + 1)
        if n_target == 0 or room < self._session.capacity_tokens // 2:
            raise ValueError(
                f"a target of {n_target} tokens, want 1 to {self._session.capacity_tokens // 2 - 1}"
                f": {target[:60]!r}"
            )
        return min(room, self.prompts.prompt_tokens)

    def answer(self, item: Item, prompt: Sequence[int], mix: Mix | None = None) -> Answer:
        """Read, decode and score one item with the bound adapter.

        Args:
            item: only its target and identifier are read here.
            prompt: at most ``prompt_budget(item.target)`` ids.
            mix: changes the probabilities the target is scored with, not the decoding.
        """
        started_s = time.perf_counter()
        text = self.decode(prompt, stops_at_line="\n" not in item.target)
        seconds = time.perf_counter() - started_s
        return self.scored(item, prompt, text, seconds, mix)

    def scored(
        self, item: Item, prompt: Sequence[int], text: str, seconds: float, mix: Mix | None = None
    ) -> Answer:
        """The answer ``text``, with the target's nats after ``prompt``."""
        target_ids = self.model.tokenizer.encode(item.target)
        token_nats = self.target_nats(prompt, target_ids, mix)
        identifier_nats = None
        if item.identifier:
            touched = identifier_tokens(self.model.tokenizer, target_ids, item)
            identifier_nats = math.fsum(token_nats[index] for index in touched)
        return Answer(
            text=text,
            target_nats=math.fsum(token_nats),
            n_target_tokens=len(token_nats),
            identifier_nats=identifier_nats,
            token_nats=token_nats,
            prompt_tokens=len(prompt),
            seconds=seconds,
        )

    def decode(self, prompt: Sequence[int], *, stops_at_line: bool = True) -> str:
        """Greedy completion of up to 64 tokens; special tokens end it and are never part of it.

        With ``stops_at_line``, it ends before the first line break that follows any text.
        """
        self._session.reset()
        logits = self._session.feed(prompt, _go_on).logits
        ids: list[int] = []
        while (token := self._sampler.pick(logits).token_id) not in self._stops:
            ids.append(token)
            text = self.model.tokenizer.decode(ids)
            if stops_at_line and "\n" in text.lstrip():
                return _first_line(text)
            if len(ids) == MAX_NEW_TOKENS:
                break
            logits = self._session.advance(token)
        return self.model.tokenizer.decode(ids)

    def target_nats(
        self, prompt: Sequence[int], target_ids: Sequence[int], mix: Mix | None = None
    ) -> tuple[float, ...]:
        """-log p of each target token, teacher-forced, over the model's whole vocabulary."""
        wanted = [*target_ids, *([self._end_of_text] if self._scores_end else [])]
        logits = self._session.feed(prompt, _go_on).logits
        nats: list[float] = []
        for index, token in enumerate(wanted):
            log_p = torch.log_softmax(logits.double(), dim=0)  # [V]
            if mix is not None:
                log_p = mix(log_p, self.model.tokenizer.decode(list(wanted[:index])))
            nats.append(-float(log_p[token]))
            if index + 1 < len(wanted):
                logits = self._session.advance(token)
        return tuple(nats)


def _sampler(model: LoadedModel, stops: frozenset[int]) -> GreedySampler:
    """As in serving: stops may be chosen, no other special token and no id without text."""
    n_logits = model.backbone.vocabulary_size
    beyond = range(model.tokenizer.vocabulary_size, n_logits)
    return GreedySampler(n_logits, (model.tokenizer.special_ids() - stops) | set(beyond))


def _first_line(text: str) -> str:
    """Up to the first line break after any text; blank lines before it stay."""
    blank = len(text) - len(text.lstrip())
    return text[: text.index("\n", blank)]


def _go_on() -> None:
    """Nothing cancels an offline run."""


def identifier_tokens(tokenizer: Tokenizer, target_ids: Sequence[int], item: Item) -> list[int]:
    """Indices of the target's tokens that write a character of the item's identifier.

    Both are compared as decoded, for some tokenizers normalise what they encode.

    Raises:
        ValueError: the target does not hold the identifier.
    """
    text = tokenizer.decode(list(target_ids))
    name = tokenizer.decode(tokenizer.encode(item.identifier))
    whole = re.search(rf"(?<!\w){re.escape(name)}(?!\w)", text)
    first = whole.start() if whole else text.find(name)
    if first < 0:
        raise ValueError(
            f"item {item.item_id}: identifier {item.identifier!r} is not in {item.target!r}"
        )
    ends = [_n_whole_chars(tokenizer, target_ids[: n + 1]) for n in range(len(target_ids))]
    return [
        index
        for index, (start, end) in enumerate(zip([0, *ends[:-1]], ends, strict=True))
        # a token that only begins a character counts where that character is
        if start < first + len(name) and max(end, start + 1) > first
    ]


def _n_whole_chars(tokenizer: Tokenizer, token_ids: Sequence[int]) -> int:
    """Characters of a beginning of a text, without one that it cuts in half."""
    return len(tokenizer.decode(list(token_ids)).rstrip("\ufffd"))
