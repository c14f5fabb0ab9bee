"""A prompt and a target → nats of each target token, a greedy completion, and their cost."""

import math
import re
import time
from collections.abc import Iterator, Sequence
from itertools import islice

from torch import Tensor

from code2lora_lsp.neural.lora import LoraAdapter
from code2lora_lsp.neural.mixing import Mixer
from code2lora_lsp.neural.session import DecodeSession
from code2lora_lsp.repopeftbench.arms.arm import Answer
from code2lora_lsp.repopeftbench.items import Item
from code2lora_lsp.repopeftbench.prompts import MAX_NEW_TOKENS, Prompt, PromptMaker
from code2lora_lsp.runtime.decoding import Decoding
from code2lora_lsp.runtime.model_loading import LoadedModel
from code2lora_lsp.text.healing import LONGEST_TYPED_CHARS
from code2lora_lsp.text.tokenizer import Tokenizer

LONGEST_TARGET_TOKENS = 512


class Scorer:
    """One model, one cache, one bound adapter; all arms of one model share it.

    Nothing is kept from one item to the next, so an answer does not depend on which items were
    asked before, and its seconds are those of the whole prompt. Not thread-safe.
    """

    def __init__(
        self,
        model: LoadedModel,
        prompt_tokens: int | None = None,
        *,
        heals: bool = True,
        scores_end: bool = False,
    ) -> None:
        """``scores_end`` counts end-of-text as one more target token.

        ``heals``: as serving completes; without, as the paper scores (see ``prompts``).
        """
        self.model = model
        self.prompts = PromptMaker(model, prompt_tokens, heals=heals)
        self.decoding = Decoding(model.tokenizer, model.backbone.vocabulary_size)
        self._heals, self._scores_end = heals, scores_end
        self._end_of_text = model.tokenizer.fim_tokens().end_of_text
        room = self.prompts.prompt_tokens + max(MAX_NEW_TOKENS, LONGEST_TARGET_TOKENS)
        self._session = DecodeSession(model.backbone, room)

    @property
    def recipe_key(self) -> str:
        """Changes with the numbers that decide what is read; the weights are named elsewhere."""
        end = "+end" if self._scores_end else ""
        heals = "+healed" if self._heals else ""
        return f"prompt={self.prompts.prompt_tokens}{heals}{end}"

    def widest(self) -> "Scorer":
        """The same model with the whole window for its prompts."""
        most = self.model.backbone.max_positions - MAX_NEW_TOKENS
        return Scorer(self.model, most, heals=self._heals, scores_end=self._scores_end)

    def of(self, model: LoadedModel) -> "Scorer":
        """Another model, asked in the same way."""
        budget = self.prompts.prompt_tokens
        return Scorer(model, budget, heals=self._heals, scores_end=self._scores_end)

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
        n_written = n_target + LONGEST_TYPED_CHARS + 1
        room = self._session.capacity_tokens - max(MAX_NEW_TOKENS, n_written)
        if n_target == 0 or room < self._session.capacity_tokens // 2:
            raise ValueError(
                f"a target of {n_target} tokens, want 1 to {self._session.capacity_tokens // 2 - 1}"
                f": {target[:60]!r}"
            )
        return min(room, self.prompts.prompt_tokens)

    def answer(self, item: Item, prompt: Prompt, mixer: Mixer | None = None) -> Answer:
        """Read, decode and score one item with the bound adapter.

        Args:
            item: only its target and identifier are read here.
            prompt: of at most ``prompt_budget(item.target)`` tokens.
            mixer: changes what the text is chosen from and the target is scored with.
        """
        started_s = time.perf_counter()
        text = self.decode(prompt, stops_at_line="\n" not in item.target, mixer=mixer)
        seconds = time.perf_counter() - started_s
        return self.scored(item, prompt, text, seconds, mixer)

    def scored(
        self, item: Item, prompt: Prompt, text: str, seconds: float, mixer: Mixer | None = None
    ) -> Answer:
        """The answer ``text``, with the target's nats after ``prompt``."""
        written = self.decoding.healer.encode(prompt.typed, item.target)
        token_nats = self.target_nats(prompt, written, mixer)
        identifier_nats = None
        if item.identifier:
            touched = identifier_tokens(self.model.tokenizer, written, item, len(prompt.typed))
            identifier_nats = math.fsum(token_nats[index] for index in touched)
        return Answer(
            text=text,
            target_nats=math.fsum(token_nats),
            n_target_tokens=len(token_nats),
            identifier_nats=identifier_nats,
            token_nats=token_nats,
            prompt_tokens=len(prompt.token_ids),
            seconds=seconds,
        )

    def decode(
        self, prompt: Prompt, *, stops_at_line: bool = True, mixer: Mixer | None = None
    ) -> str:
        """Greedy completion of up to 64 tokens; special tokens end it and are never part of it.

        With ``stops_at_line``, it ends before the first line break that follows any text.
        """
        self._session.reset()
        logits = self._session.feed(prompt.token_ids, _go_on).logits
        writing = self.decoding.write(
            prompt.token_ids, prompt.typed, logits, self._session.advance, mixer
        )
        text = ""
        for written in islice(writing, MAX_NEW_TOKENS):
            text = written.text
            if stops_at_line and "\n" in text.lstrip():
                return _first_line(text)
        return text

    def target_nats(
        self, prompt: Prompt, written: Sequence[int], mixer: Mixer | None = None
    ) -> tuple[float, ...]:
        """-log p of each token of what is typed and the target; see ``Decoding.nats``."""
        wanted = [*written, *([self._end_of_text] if self._scores_end else [])]
        forced = self._forced(prompt, wanted)
        return tuple(self.decoding.nats(prompt.token_ids, prompt.typed, wanted, forced, mixer))

    def _forced(self, prompt: Prompt, wanted: Sequence[int]) -> Iterator[Tensor]:
        """Logits after the prompt and after each wanted token but the last."""
        yield self._session.feed(prompt.token_ids, _go_on).logits
        for token in wanted[:-1]:
            yield self._session.advance(token)


def _first_line(text: str) -> str:
    """Up to the first line break after any text; blank lines before it stay."""
    blank = len(text) - len(text.lstrip())
    return text[: text.index("\n", blank)]


def _go_on() -> None:
    """Nothing cancels an offline run."""


def identifier_tokens(
    tokenizer: Tokenizer, written: Sequence[int], item: Item, n_typed: int = 0
) -> list[int]:
    """Indices of the tokens that write a character of the item's identifier.

    Both are compared as decoded, for some tokenizers normalise what they encode.

    Args:
        tokenizer: of the model.
        written: what is typed, and the target.
        item: its identifier is in its target.
        n_typed: characters before the target.

    Raises:
        ValueError: the target does not hold the identifier.
    """
    text = tokenizer.decode(list(written))
    name = tokenizer.decode(tokenizer.encode(item.identifier))
    whole = re.compile(rf"(?<!\w){re.escape(name)}(?!\w)").search(text, n_typed)
    first = whole.start() if whole else text.find(name, n_typed)
    if first < 0:
        raise ValueError(
            f"item {item.item_id}: identifier {item.identifier!r} is not in {item.target!r}"
        )
    ends = [_n_whole_chars(tokenizer, written[: n + 1]) for n in range(len(written))]
    return [
        index
        for index, (start, end) in enumerate(zip([0, *ends[:-1]], ends, strict=True))
        # a token that only begins a character counts where that character is
        if start < first + len(name) and max(end, start + 1) > first
    ]


def _n_whole_chars(tokenizer: Tokenizer, token_ids: Sequence[int]) -> int:
    """Characters of a beginning of a text, without one that it cuts in half."""
    return len(tokenizer.decode(list(token_ids)).rstrip("\ufffd"))
