"""Guesses which tokens come next, so that several are computed in one pass.

Code repeats: what followed the last few tokens before, in the prompt or in the repository, follows
them again more often than not. A guess costs no choice anything: tokens are chosen as they are
without, and a wrong guess only made a pass a little wider (``DecodeSession.advance``).
"""

from collections.abc import Collection, Sequence

import numpy as np

from code2lora_lsp.neural.mixing import Mixer

MOST_MATCHED = 8
"""Tokens of context beyond which a longer match is no better."""

LEAST_MATCHED = 2


class Guesses:
    """What may come at one gap; to be told of each token that is written there."""

    def __init__(
        self,
        prompt: Sequence[int],
        context: Sequence[int],
        mixer: Mixer | None,
        never: Collection[int],
        most: int,
    ) -> None:
        """Where to look.

        Args:
            prompt: ids of the whole prompt, searched for what was there before.
            context: ids of the text right before the gap.
            mixer: what is known of the repository, if anything.
            never: ids that no completion holds.
            most: tokens of one guess.
        """
        self._seen = np.array(prompt, np.int64)
        self._context = list(context)
        self._mixer, self._never, self._most = mixer, never, most

    def wrote(self, token_id: int) -> None:
        self._context.append(token_id)
        self._seen = np.append(self._seen, token_id)

    def next(self) -> list[int]:
        """Up to ``most`` tokens that may follow: of the longest context that is known, or none."""
        seen, n_matched = self._seen_before()
        known = self._known(more_than=n_matched)
        return known or seen

    def _seen_before(self) -> tuple[list[int], int]:
        """What followed the longest match of the context's end, the last time, and its length."""
        ends = np.arange(len(self._seen) - 1)  # a match has to be followed by something
        best, n_matched = -1, 0
        for back in range(min(MOST_MATCHED, len(self._context))):
            ends = ends[ends >= back]
            ends = ends[self._seen[ends - back] == self._context[-1 - back]]
            if not len(ends):
                break
            best, n_matched = int(ends[-1]), back + 1
        if n_matched < LEAST_MATCHED:
            return [], LEAST_MATCHED - 1
        followed = self._seen[best + 1 : best + 1 + self._most].tolist()
        return self._until_never(followed), n_matched

    def _known(self, more_than: int) -> list[int]:
        """What the repository goes on with, if it knows a longer context than ``more_than``."""
        guessed: list[int] = []
        while self._mixer is not None and len(guessed) < self._most:
            likely = self._mixer.likely([*self._context[-MOST_MATCHED:], *guessed])
            if likely is None or likely.n_matched <= (LEAST_MATCHED - 1 if guessed else more_than):
                break
            guessed.append(likely.token_id)
        return self._until_never(guessed)

    def _until_never(self, tokens: list[int]) -> list[int]:
        stop = next((n for n, token in enumerate(tokens) if token in self._never), len(tokens))
        return tokens[:stop]
