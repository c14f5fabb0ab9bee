"""Decodes drafts at one gap: what the model writes first, and others from where it was unsure."""

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from code2lora_lsp.cancellation import Deadline
from code2lora_lsp.neural.mixing import Mixer
from code2lora_lsp.neural.session import DecodeSession
from code2lora_lsp.runtime.choosing import Chooser, Draft
from code2lora_lsp.runtime.decoding import Decoding, Fork
from code2lora_lsp.text.extent import is_finished, without_open_end
from code2lora_lsp.text.gap import Gap
from code2lora_lsp.text.loops import loop_start
from code2lora_lsp.text.tokenizer import Tokenizer


class TimeUp(Exception):
    """The deadline passed before there was anything to offer."""


@dataclass(frozen=True)
class Writing:
    """What drafts are written for.

    Attributes:
        prompt: ids of the whole prompt.
        typed: what is taken back of the text before the gap, to be written again first.
        chooser: says while typing when to give up; ``None`` writes to the end.
        mixer: what is known of the repository, if anything.
        deadline: when it passes, what is there is the draft.
        check: called before every token; may raise to stop.
    """

    prompt: tuple[int, ...]
    typed: str
    gap: Gap
    chooser: Chooser | None
    mixer: Mixer | None
    deadline: Deadline
    check: Callable[[], None]

    def check_both(self) -> None:
        """Raises ``TimeUp`` when the deadline has passed, or what ``check`` raises."""
        self.check()
        if self.deadline.has_passed:
            raise TimeUp


class Drafter:
    """Writes drafts with one session's backbone. Owned by the engine's thread."""

    def __init__(
        self, session: DecodeSession, tokenizer: Tokenizer, decoding: Decoding, max_tokens: int
    ) -> None:
        self._session, self._tokenizer = session, tokenizer
        self._decoding, self._max_tokens = decoding, max_tokens

    def first(self, writing: Writing, logits: Tensor, forks: list[Fork] | None = None) -> Draft:
        """The greedy draft.

        Args:
            writing: its prompt is what the session holds.
            logits: after the prompt, [V] float32.
            forks: gets what nearly came instead of each token.
        """
        return self._write(writing, logits, None, forks)

    def another(self, writing: Writing, fork: Fork) -> Draft:
        """The draft that goes on from a fork. The prompt's cache is used again.

        Raises:
            TimeUp: before its first token.
        """
        fed = self._session.feed([*writing.prompt, *fork.token_ids], writing.check_both)
        return self._write(writing, fed.logits, fork, None)

    def _write(
        self, writing: Writing, logits: Tensor, after: Fork | None, forks: list[Fork] | None
    ) -> Draft:
        """Until it is finished, hopeless, goes in circles, or a budget ends."""
        token_ids = list(after.token_ids if after else ())
        log_ps = list(after.log_probabilities if after else ())
        ends = [self._length(token_ids[:n], writing.typed) for n in range(1, len(token_ids) + 1)]
        text, is_cut_short = self._text(token_ids, writing.typed), False
        tokens = self._decoding.write(
            writing.prompt, writing.typed, logits, self._advance(writing, token_ids),
            writing.mixer, after=after, forks=forks,
        )  # fmt: skip
        while not (token_ids and is_finished(text, writing.gap)):
            writing.check()
            is_cut_short = self._is_over(writing, len(token_ids), log_ps)
            written = None if is_cut_short else next(tokens, None)
            if written is None:
                break
            token_ids.append(written.token_id)
            log_ps.append(written.log_probability if written.is_new else None)
            text = written.text
            ends.append(len(text))
            second_round = loop_start(token_ids)
            if second_round is not None:
                text = self._text(token_ids[:second_round], writing.typed)
                text = without_open_end(text, writing.gap)
                break
        if is_cut_short and "\n" in text:
            text = without_open_end(text, writing.gap)
        return Draft(text, tuple(ends), tuple(log_ps), is_cut_short=is_cut_short)

    def _advance(self, writing: Writing, written: list[int]) -> Callable[[int], Tensor]:
        """The session's, with guesses of what follows each token where they are worth it."""
        most = self._session.backbone.ahead_tokens
        if not most:
            return self._session.advance
        guesses = self._decoding.guesses(writing.prompt, written, writing.mixer, most)

        def advance(token_id: int) -> Tensor:
            guesses.wrote(token_id)
            return self._session.advance(token_id, guesses.next)

        return advance

    def _is_over(self, writing: Writing, n_tokens: int, log_ps: list[float | None]) -> bool:
        """Whether there is no time or room for one more token, or no point in it."""
        if writing.deadline.has_passed or n_tokens >= self._max_tokens or not self._session.room:
            return True
        return writing.chooser is not None and writing.chooser.is_hopeless(log_ps)

    def _text(self, token_ids: list[int], typed: str) -> str:
        return self._tokenizer.decode(token_ids)[len(typed) :]

    def _length(self, token_ids: list[int], typed: str) -> int:
        return len(self._text(token_ids, typed))
