"""What may change the backbone's distribution over the next token."""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from torch import Tensor


class Likely(NamedTuple):
    """A next token, and how many tokens of context it was seen after."""

    token_id: int
    n_matched: int


class Mixer(Protocol):
    """Changes the backbone's distribution over the next token; knows the repository."""

    def mixed(self, log_p: Tensor, context: Sequence[int]) -> Tensor:
        """Log p of the next token after mixing, [V] of the same dtype; ``log_p`` is unchanged.

        Args:
            log_p: the backbone's, [V] float32 or float64, normalised; -inf where a token is not
                allowed, as it is banned or does not agree with what is typed.
            context: ids of the text before the next token, oldest first; not to be kept, it grows.
                Special tokens may stand in it and match nothing.

        Returns:
            normalised too, and still -inf where ``log_p`` is.
        """

    def likely(self, context: Sequence[int]) -> Likely | None:
        """What mostly came after this context where it was seen, without asking the backbone.

        Good for guesses only. ``None`` where it was not seen, or nothing came in half the cases.
        """
