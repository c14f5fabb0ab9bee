"""What can be asked to fill a gap: a model folder in one prompt order, or a cheap explanation."""

import math
import re
from collections import Counter
from collections.abc import Callable, Sequence
from itertools import islice
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 (torch's own convention)
from numpy.typing import NDArray
from torch import Tensor

from code2lora_lsp.config import CompletionSettings
from code2lora_lsp.neural.decoder import Decoder
from code2lora_lsp.neural.decoder_config import decoder_config, read_config_json
from code2lora_lsp.neural.weights import load_backbone_weights
from code2lora_lsp.runtime.decoding import Decoding
from code2lora_lsp.text.fim import Order, PromptBuilder
from code2lora_lsp.text.tokenizer import Tokenizer
from code2lora_lsp.training.ngram import BackOffModel

MOST_TOKENS = 48
CACHE_SHARE = 0.2
_NAME = re.compile(r"[A-Za-z_]\w*")


class Predictor(Protocol):
    """Fills gaps greedily, and says how surprised it is by what stands there."""

    def complete(self, before: str, after: str, is_enough: Callable[[str], bool]) -> str:
        """Greedy text at the gap, until the model stops, ``is_enough`` or 48 tokens."""

    def gap_nats(self, before: str, target: str, after: str) -> float | None:
        """Summed -log p of ``target``'s tokens; None for what has no probabilities."""

    def text_nats(self, text: str) -> float | None:
        """Summed -log p of a whole text from its start, left to right."""


class ModelPredictor:
    """The backbone of a model folder, prompted as serving does it or by the prefix alone."""

    def __init__(self, folder: Path, order: Order | None, *, heal: bool = True) -> None:
        """``order`` None: ``<|endoftext|>`` and the prefix, as for a model without infilling.

        ``heal``: take back what is typed of a word before completing it, as serving does.
        """
        self._decoder = Decoder(
            decoder_config(read_config_json(folder)), load_backbone_weights(folder)
        )
        self.tokenizer = Tokenizer.from_folder(folder)
        budget = CompletionSettings()
        suffix_tokens = budget.suffix_tokens if order else 0
        self._prompts = PromptBuilder(
            self.tokenizer, order or "spm", budget.prompt_tokens, suffix_tokens
        )
        self._is_infilling = order is not None
        self._decoding = Decoding(self.tokenizer, self._decoder.vocabulary_size)
        self._heals = heal

    def _prompt(self, before: str, after: str) -> list[int]:
        ids = list(self._prompts.build("evaluation", before, after).token_ids)
        if self._is_infilling:
            return ids
        return [self._prompts.fim.end_of_text, *ids[3:]]  # without the three markers

    def complete(self, before: str, after: str, is_enough: Callable[[str], bool]) -> str:
        """See ``Predictor``."""
        kept, typed = self._split(before)
        prompt = self._prompt(kept, after)
        cache = self._decoder.new_cache(len(prompt) + MOST_TOKENS)
        logits = self._decoder.prefill(prompt, cache)
        writing = self._decoding.write(
            prompt, typed, logits, lambda token: self._decoder.decode_one(token, cache)
        )
        text = ""
        for written in islice(writing, MOST_TOKENS):
            text = written.text
            if text and is_enough(text):
                break
        return text

    def gap_nats(self, before: str, target: str, after: str) -> float:
        """See ``Predictor``: as served, so that what is typed of a word costs nothing."""
        kept, typed = self._split(before)
        prompt, ids = self._prompt(kept, after), self._decoding.healer.encode(typed, target)
        return math.fsum(self._decoding.nats(prompt, typed, ids, self._logits(prompt, ids)))

    def _split(self, before: str) -> tuple[str, str]:
        return self._decoding.healer.split(before) if self._heals else (before, "")

    def text_nats(self, text: str) -> float:
        """See ``Predictor``."""
        ids = self.tokenizer.encode(text)
        logits = self._logits([self._prompts.fim.end_of_text], ids)
        return F.cross_entropy(logits, torch.tensor(ids), reduction="sum").item()

    @torch.inference_mode()
    def _logits(self, prompt: list[int], target: list[int]) -> Tensor:
        """What is predicted at each token of ``target``, [M, V] float32."""
        ids = torch.tensor([[*prompt, *target]])
        hidden: Tensor = self._decoder.hidden_states(ids, torch.ones_like(ids))[0]
        return F.linear(hidden[len(prompt) - 1 : -1], self._decoder.pristine.head).float()


class NgramPredictor:
    """5-gram with back-off, mixed with how often each token stands in the file before the gap.

    It knows only tokens as they stand in whole files, so the last token before the gap is taken
    back and chosen anew among those that begin with what is typed (token healing).
    """

    def __init__(
        self, model: BackOffModel, tokenizer: Tokenizer, cache_share: float = CACHE_SHARE
    ) -> None:
        """``cache_share`` 0 is the plain 5-gram."""
        self._model, self._tokenizer, self._share = model, tokenizer, cache_share
        self._texts = [tokenizer.decode([i]) for i in range(tokenizer.vocabulary_size)]

    def _next(
        self, context: Sequence[int], seen: NDArray[np.float64], typed: str = ""
    ) -> NDArray[np.float64]:
        """Shares of the next token that begins with ``typed``, [V]; ``seen`` counts tokens."""
        total = seen.sum()
        share = self._share if total else 0.0
        cached: NDArray[np.float64] = share * seen / max(total, 1)
        mixed = (1 - share) * self._model.distribution(context) + cached
        return mixed * [text.startswith(typed) for text in self._texts] if typed else mixed

    def complete(self, before: str, after: str, is_enough: Callable[[str], bool]) -> str:
        """See ``Predictor``; what stands after the gap is not used."""
        del after
        ids = self._tokenizer.encode(before)
        context, typed = ids[:-1], self._tokenizer.decode(ids[-1:])
        seen, n_before = self._counts(context), len(context)
        text = ""
        while len(context) - n_before < MOST_TOKENS and not (text and is_enough(text)):
            share = self._next(context, seen, "" if len(context) > n_before else typed)
            context.append(int(share.argmax()))
            seen[context[-1]] += 1
            text = self._tokenizer.decode(context[n_before:])[len(typed) :]
        return text

    def gap_nats(self, before: str, target: str, after: str) -> float:
        """See ``Predictor``: what is typed costs nothing; the last token may be a longer one."""
        del after
        whole = self._tokenizer.encode(before + target)
        n_kept = _common_length(whole, self._tokenizer.encode(before)[:-1])
        context = whole[:n_kept]
        typed = before[len(self._tokenizer.decode(context)) :]
        last = self._next(whole[:-1], self._counts(whole[:-1]), self._texts[whole[-1]]).sum()
        nats = self._nats(context, whole[n_kept:-1]) - float(np.log(last))
        return nats - self._typed_nats(context, typed)

    def _typed_nats(self, context: list[int], typed: str) -> float:
        """What it costs to begin with ``typed``: of all tokens that do, or of its own tokens."""
        share = self._next(context, self._counts(context), typed).sum()
        if share > 0:
            return -float(np.log(share))
        return self._nats(context, self._tokenizer.encode(typed))

    def text_nats(self, text: str) -> float:
        """See ``Predictor``."""
        return self._nats([], self._tokenizer.encode(text))

    def _nats(self, context: list[int], target: list[int]) -> float:
        nats, context, seen = 0.0, list(context), self._counts(context)
        for token in target:
            nats -= float(np.log(self._next(context, seen)[token]))
            context.append(token)
            seen[token] += 1
        return nats

    def _counts(self, token_ids: Sequence[int]) -> NDArray[np.float64]:
        ids = np.array(token_ids, dtype=np.int64)
        return np.bincount(ids, minlength=self._tokenizer.vocabulary_size).astype(float)


def _common_length(first: Sequence[int], second: Sequence[int]) -> int:
    pairs = zip(first, second, strict=False)
    return next((i for i, (a, b) in enumerate(pairs) if a != b), min(len(first), len(second)))


class IdentifierCache:
    """The name used most often in the file so far; of equals the one used last."""

    def complete(self, before: str, after: str, is_enough: Callable[[str], bool]) -> str:
        """See ``Predictor``."""
        del after, is_enough
        names = [name for name in _NAME.findall(before) if len(name) > 2]
        counts = Counter(reversed(names))
        return counts.most_common(1)[0][0] if counts else ""

    def gap_nats(self, before: str, target: str, after: str) -> None:
        """It has no probabilities."""

    def text_nats(self, text: str) -> None:
        """It has no probabilities."""
