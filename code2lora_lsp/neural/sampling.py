"""Logits → token. Greedy: the same question always has the same answer."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from code2lora_lsp.errors import ShapeMismatch


@dataclass(frozen=True)
class Sampled:
    """A chosen token and its log-probability (nats) among the tokens that were allowed."""

    token_id: int
    log_probability: float


class GreedySampler:
    """Takes the likeliest token that is not banned.

    Args:
        vocabulary_size: V of the logits.
        banned: ids never taken; they count as impossible, so the others' mass is rescaled.
    """

    def __init__(self, vocabulary_size: int, banned: Iterable[int] = ()) -> None:
        ids = sorted(token for token in set(banned) if 0 <= token < vocabulary_size)
        self._vocabulary_size = vocabulary_size
        self._banned = torch.tensor(ids, dtype=torch.long)

    def pick(self, logits: Tensor, among: Sequence[int] | None = None) -> Sampled:
        """The likeliest allowed token of [V] float32 logits. The argument is unchanged.

        Args:
            logits: [V] float32.
            among: ids to choose from, none of them banned; ``None`` is all.

        Raises:
            ShapeMismatch: the logits are not [V].
            ValueError: they hold NaN, so there is no likeliest.
        """
        allowed = self.without_banned(logits)
        if among is not None:
            ids = torch.tensor(among, device=logits.device)
            sampled = self._likeliest(allowed[ids])
            return Sampled(int(ids[sampled.token_id]), sampled.log_probability)
        return self._likeliest(allowed)

    def without_banned(self, logits: Tensor) -> Tensor:
        """The same, -inf where an id is banned, [V]. The argument is unchanged.

        Raises:
            ShapeMismatch: the logits are not [V].
        """
        if tuple(logits.shape) != (self._vocabulary_size,):
            raise ShapeMismatch(f"logits {list(logits.shape)}, want [{self._vocabulary_size}]")
        if not self._banned.numel():
            return logits
        return logits.index_fill(0, self._banned.to(logits.device), -math.inf)

    @staticmethod
    def _likeliest(allowed: Tensor) -> Sampled:
        best, token = allowed.max(dim=0)
        log_probability = float(best - torch.logsumexp(allowed, dim=0))
        if log_probability != log_probability:  # noqa: PLR0124 - NaN is the only such number
            raise ValueError("the logits hold NaN")
        return Sampled(int(token), log_probability)


def log_probabilities(logits: Tensor, among: Sequence[int] | None = None) -> Tensor:
    """Log p of the next token, [V] of the logits' dtype; -inf for ids that are not ``among``."""
    if among is not None:
        ids = torch.tensor(among, device=logits.device)
        logits = torch.full_like(logits, -math.inf).index_copy(0, ids, logits[ids])
    return torch.log_softmax(logits, dim=0)
