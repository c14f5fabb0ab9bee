"""A 5-gram model with back-off: the cheap explanation a trained model has to beat."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

ORDER = 5
_TOKEN_BITS = 16
_PRIME = np.uint64(0x9E3779B97F4A7C15)


@dataclass(frozen=True)
class _Continuations:
    """What followed each context of one length.

    Attributes:
        contexts: hashes, sorted, [U] uint64.
        starts: where each context's rows begin, [U + 1].
        tokens: [N] continuations, and ``counts``, [N], how often each was seen.
    """

    contexts: NDArray[np.uint64]
    starts: NDArray[np.int64]
    tokens: NDArray[np.int64]
    counts: NDArray[np.int64]

    def of(self, context: np.uint64) -> slice:
        """Rows of a context; an empty slice for one never seen."""
        place = int(np.searchsorted(self.contexts, context))
        if place == len(self.contexts) or self.contexts[place] != context:
            return slice(0, 0)
        return slice(int(self.starts[place]), int(self.starts[place + 1]))


class BackOffModel:
    """Interpolated Witten-Bell smoothing (Bell, Cleary and Witten 1990) over token ids.

    With c(h, w) the count of w after context h and T(h) the number of distinct tokens after it,
    p(w | h) = (c(h, w) + T(h) p(w | h')) / (c(h) + T(h)), where h' is h without its first token.
    """

    def __init__(self, token_ids: NDArray[np.integer], vocabulary_size: int) -> None:
        """Count ``token_ids``, [N], documents set apart by any one token; ids below 65,536.

        Raises:
            ValueError: the vocabulary is too large for the table's keys.
        """
        if vocabulary_size > 1 << _TOKEN_BITS:
            raise ValueError(f"a vocabulary of {vocabulary_size}; at most {1 << _TOKEN_BITS} fit")
        counts = np.bincount(token_ids, minlength=vocabulary_size) + 1.0
        self._unigram: NDArray[np.float64] = counts / counts.sum()
        self._tables = [_count(token_ids, length) for length in range(1, ORDER)]

    def distribution(self, context: Sequence[int]) -> NDArray[np.float64]:
        """p(next token | the last four of ``context``), [V] float64."""
        share = self._unigram
        for length, table in enumerate(self._tables, start=1):
            if length > len(context):
                break
            rows = table.of(_hash(np.array(context[-length:], dtype=np.uint64)))
            counts = table.counts[rows]
            if not len(counts):
                break
            share = share * len(counts)
            share[table.tokens[rows]] += counts
            share /= counts.sum() + len(counts)
        return share


def _count(token_ids: NDArray[np.integer], length: int) -> _Continuations:
    """Table of what followed every run of ``length`` tokens."""
    ids = token_ids.astype(np.uint64)
    windows = [ids[i : len(ids) - length + i] for i in range(length)]
    mask = np.uint64((1 << _TOKEN_BITS) - 1)
    keys, counts = np.unique(_hash(windows) & ~mask | ids[length:], return_counts=True)
    contexts, starts = np.unique(keys & ~mask, return_index=True)
    return _Continuations(
        contexts, np.append(starts, len(keys)), (keys & mask).astype(np.int64), counts
    )


def _hash(tokens: Sequence[NDArray[np.uint64]] | NDArray[np.uint64]) -> np.uint64:
    """Hash of a context whose last 16 bits are zero; elementwise for arrays of tokens."""
    value = np.uint64(len(tokens))
    with np.errstate(over="ignore"):
        for token in tokens:
            value = (value ^ (token + np.uint64(1))) * _PRIME
            value = value ^ (value >> np.uint64(29))
    result: np.uint64 = value & ~np.uint64((1 << _TOKEN_BITS) - 1)
    return result
