"""Logits → the tokens of a completion: greedy, beginning with what is typed, perhaps mixed.

Serving, evaluation and the benchmark all decode here; when to stop, beyond the model's own stop
tokens, is theirs to say. What a ``Mixer`` makes of the distribution is what is chosen from, and
what a log-probability is of.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from torch import Tensor

from code2lora_lsp.neural.mixing import Mixer
from code2lora_lsp.neural.sampling import GreedySampler, Sampled, log_probabilities
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


class Decoding:
    """Greedy decoding of one model; keeps nothing of a completion. Not thread-safe."""

    def __init__(self, tokenizer: Tokenizer, n_logits: int) -> None:
        """``n_logits`` is V; ids beyond the tokenizer's are never chosen."""
        self.healer = Healer(tokenizer)
        self._tokenizer = tokenizer
        self._fim = tokenizer.fim_tokens()
        self._stops = stop_ids(self._fim)
        beyond = range(tokenizer.vocabulary_size, n_logits)
        banned = (tokenizer.special_ids() - self._stops) | set(beyond)
        self._sampler = GreedySampler(n_logits, banned)

    def write(
        self,
        prompt: Sequence[int],
        typed: str,
        logits: Tensor,
        advance: Callable[[int], Tensor],
        mixer: Mixer | None = None,
    ) -> Iterator[Written]:
        """Tokens until the model says stop; the stop token is not among them.

        Args:
            prompt: ids that were read.
            typed: what the tokens have to begin with.
            logits: after the prompt, [V] float32.
            advance: token id → logits after it; called only when one more token is asked for.
            mixer: changes what is chosen from.
        """
        begun, ids = self.healer.begin(typed), list[int]()
        context = self.text_before(prompt) if mixer else []
        while True:
            sampled = self._pick(logits, begun.allowed(), mixer, context)
            token = sampled.token_id
            if token in self._stops:
                return
            begun.accept(token)
            ids.append(token)
            context.append(token)
            text = self._tokenizer.decode(ids)[len(typed) :]
            yield Written(token, sampled.log_probability, begun.allowed() is None, text)
            logits = advance(token)

    def _pick(
        self,
        logits: Tensor,
        among: Sequence[int] | None,
        mixer: Mixer | None,
        context: Sequence[int],
    ) -> Sampled:
        if mixer is None:
            return self._sampler.pick(logits, among)
        log_p = log_probabilities(self._sampler.without_banned(logits), among)
        return self._sampler.pick(mixer.mixed(log_p, context), among)

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
