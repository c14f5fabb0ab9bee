"""Logits → the tokens of a completion: greedy, beginning with what is typed, perhaps mixed.

Serving, evaluation and the benchmark all decode here; when to stop, beyond the model's own stop
tokens, is theirs to say. What a ``Mixer`` makes of the distribution is what is chosen from, and
what a log-probability is of.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from torch import Tensor, int64

from code2lora_lsp.neural.mixing import Mixer
from code2lora_lsp.neural.sampling import GreedySampler, Sampled, log_probabilities
from code2lora_lsp.runtime.guessing import Guesses
from code2lora_lsp.text.fim import stop_ids
from code2lora_lsp.text.healing import Healer
from code2lora_lsp.text.tokenizer import Tokenizer


@dataclass(frozen=True)
class Written:
    """One more token of a completion.

    Attributes:
        log_probability: in nats, among the tokens that could have been chosen.
        is_new: it goes on to the end of what is typed or beyond; else it only repeats it.
        text: of all tokens so far, without what is typed.
    """

    token_id: int
    log_probability: float
    is_new: bool
    text: str


@dataclass(frozen=True)
class Fork:
    """Tokens up to one that nearly came instead of the one that was written.

    Attributes:
        log_probabilities: of each token, nats; ``None`` for one that only repeats what is typed.
    """

    token_ids: tuple[int, ...]
    log_probabilities: tuple[float | None, ...]

    @property
    def log_probability(self) -> float:
        """Of all of them together, nats."""
        return math.fsum(log_p or 0.0 for log_p in self.log_probabilities)


class Decoding:
    """Greedy decoding of one model; keeps nothing of a completion. Not thread-safe."""

    def __init__(self, tokenizer: Tokenizer, n_logits: int) -> None:
        """``n_logits`` is V; ids beyond the tokenizer's are never chosen."""
        self.healer = Healer(tokenizer)
        self._tokenizer = tokenizer
        self._fim = tokenizer.fim_tokens()
        self._stops = stop_ids(self._fim)
        beyond = range(tokenizer.vocabulary_size, n_logits)
        self._specials = tokenizer.special_ids() | self._stops
        banned = (self._specials - self._stops) | set(beyond)
        self._sampler = GreedySampler(n_logits, banned)

    def write(
        self,
        prompt: Sequence[int],
        typed: str,
        logits: Tensor,
        advance: Callable[[int], Tensor],
        mixer: Mixer | None = None,
        *,
        after: Fork | None = None,
        forks: list[Fork] | None = None,
    ) -> Iterator[Written]:
        """Tokens until the model says stop; the stop token is not among them.

        Args:
            prompt: ids that were read.
            typed: what the tokens have to begin with.
            logits: after the prompt and the tokens of ``after``, [V] float32.
            advance: token id → logits after it; called only when one more token is asked for.
            mixer: changes what is chosen from.
            after: what is written already, to go on from; only what follows is yielded.
            forks: gets what nearly came in place of each token, and of the stop.
        """
        begun, ids = self.healer.begin(typed), list(after.token_ids if after else ())
        log_ps = list(after.log_probabilities if after else ())
        for token in ids:
            begun.accept(token)
        context = [*self.text_before(prompt), *ids] if mixer else []
        while True:
            allowed = begun.allowed()
            sampled = self._pick(logits, allowed, mixer, context)
            token = sampled.token_id
            if forks is not None:
                second = self._second(token, logits, allowed, mixer, context)
                if second is not None:
                    tokens = (*ids, second.token_id)
                    forks.append(Fork(tokens, (*log_ps, second.log_probability)))
            if token in self._stops:
                return
            begun.accept(token)
            ids.append(token)
            context.append(token)
            text = self._tokenizer.decode(ids)[len(typed) :]
            is_new = begun.allowed() is None
            log_ps.append(sampled.log_probability if is_new else None)
            yield Written(token, sampled.log_probability, is_new, text)
            logits = advance(token)

    def guesses(
        self, prompt: Sequence[int], written: Sequence[int], mixer: Mixer | None, most: int
    ) -> Guesses:
        """What may come behind a prompt and what is written of a completion."""
        guesses = Guesses(prompt, self.text_before(prompt), mixer, self._specials, most)
        for token in written:
            guesses.wrote(token)
        return guesses

    def _pick(
        self,
        logits: Tensor,
        among: Sequence[int] | None,
        mixer: Mixer | None,
        context: Sequence[int],
    ) -> Sampled:
        if mixer is None:
            return self._sampler.pick(logits, among)
        return self._sampler.pick(self._distribution(logits, among, mixer, context), among)

    def _second(
        self,
        first: int,
        logits: Tensor,
        among: Sequence[int] | None,
        mixer: Mixer | None,
        context: Sequence[int],
    ) -> Sampled | None:
        """The likeliest token but ``first`` and those that stop; ``None`` where no other may be."""
        log_p = self._distribution(logits, among, mixer, context)
        log_p = log_p.index_fill(0, log_p.new_tensor([first, *self._stops], dtype=int64), -math.inf)
        best, token = log_p.max(dim=0)
        return Sampled(int(token), float(best)) if best > -math.inf else None

    def _distribution(
        self,
        logits: Tensor,
        among: Sequence[int] | None,
        mixer: Mixer | None,
        context: Sequence[int],
    ) -> Tensor:
        """Log p of the next token, mixed, [V]."""
        log_p = log_probabilities(self._sampler.without_banned(logits), among)
        return log_p if mixer is None else mixer.mixed(log_p, context)

    def nats(
        self,
        prompt: Sequence[int],
        typed: str,
        wanted: Sequence[int],
        logits: Iterable[Tensor],
        mixer: Mixer | None = None,
    ) -> Iterator[float]:
        """-log p of each wanted token, teacher-forced.

        While something typed is left to write, p is over the tokens that agree with it; then over
        the whole vocabulary. What is typed thus costs nothing, only what was open to choice.

        Args:
            prompt: ids that were read.
            typed: what the wanted tokens begin with.
            wanted: of what is typed and of the target.
            logits: after the prompt and after each wanted token but the last, [V] each.
            mixer: changes the distribution.
        """
        begun = self.healer.begin(typed)
        context = self.text_before(prompt) if mixer else []
        for token, row in zip(wanted, logits, strict=True):
            log_p = log_probabilities(row.double(), begun.allowed())
            if mixer is not None:
                log_p = mixer.mixed(log_p, context)
            yield -float(log_p[token])
            begun.accept(token)
            context.append(token)

    def text_before(self, prompt: Sequence[int]) -> list[int]:
        """Ids of a prompt's text right before the gap, in either order of its parts."""
        ids, fim = list(prompt), self._fim
        if fim.middle not in ids:
            return ids
        after_middle = ids[_last(ids, fim.middle) + 1 :]
        return after_middle or ids[_last(ids, fim.prefix) + 1 : _last(ids, fim.suffix)]


def _last(ids: Sequence[int], wanted: int) -> int:
    return len(ids) - 1 - ids[::-1].index(wanted)
