"""What an n-gram table says after a context, beside what the backbone says of the same tokens."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import accumulate

import numpy as np
from numpy.typing import NDArray

from code2lora_lsp.neural.mixing import Likely
from code2lora_lsp.neural.sharp.table import Found, NgramTable

MANY_ROWS = 512
"""From here on a dense count over the vocabulary is faster than sorting."""

N_REMEMBERED = 4_096
"""Contexts whose counts are kept; a common short one has thousands of rows to add up."""

FEATURES = ("one", "log_total", "log_distinct", "log_agreement", "entropy")
"""x_n, of each order n: 1, log N_n, log D_n, log a_n, H; see ``Evidence``."""

LEAST_AGREEMENT = 1e-6


@dataclass(frozen=True)
class Evidence:
    """The allowed continuations of a context, order by order, the shortest first.

    One order's tokens stand together, each once; orders count from 1 and none is left out. N_n is
    how often the order's context was seen with any of them, D_n how many there are, a_n = Σ p̂_n p
    what the backbone expects of them, and H the backbone's entropy in nats.

    Attributes:
        starts: where the tokens of each begin, [O] int64.
        token_ids: [K] int64, below V.
        shares: p̂_n(token), [K] float64; adds up to 1 in each order.
        features: x_n, [O, len(FEATURES)] float64.
    """

    starts: NDArray[np.int64]
    token_ids: NDArray[np.int64]
    shares: NDArray[np.float64]
    features: NDArray[np.float64]

    def share_of(self, token_id: int) -> NDArray[np.float64]:
        """p̂_n of one token, [O]."""
        is_it = self.token_ids == token_id
        shares: NDArray[np.float64] = np.add.reduceat(np.where(is_it, self.shares, 0), self.starts)
        return shares


Counts = tuple[NDArray[np.int64], NDArray[np.float64]]
"""Distinct token ids in order, and how often each was seen."""


def evidence_of(orders: Sequence[Counts], log_p: NDArray[np.floating]) -> Evidence | None:
    """What followed a context's last token, its last two and so on, as evidence.

    Args:
        orders: of order 1 on, as far as anything followed.
        log_p: see ``Reader.read``.

    Returns:
        ``None`` where nothing that followed is allowed.
    """
    if not orders:
        return None
    lengths = [len(ids) for ids, _ in orders]
    token_ids = np.concatenate([ids for ids, _ in orders])  # [K]
    counts = np.concatenate([counts for _, counts in orders])
    picked = log_p[token_ids]
    is_allowed = picked > -np.inf
    if not is_allowed.all():
        lengths = np.add.reduceat(is_allowed, _starts(lengths), dtype=int).tolist()
        lengths = [n for n in lengths if n]  # a longer context allows nothing a shorter forbids
        if not lengths:
            return None
        token_ids, counts, picked = (v[is_allowed] for v in (token_ids, counts, picked))
    return _weighed(token_ids, counts, picked, lengths, _entropy(log_p))


@dataclass(frozen=True)
class Reader:
    """Reads evidence out of one table. What it remembers changes no answer."""

    table: NgramTable
    _known: dict[tuple[int, int], Counts] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    def read(self, log_p: NDArray[np.floating], context: Sequence[int]) -> Evidence | None:
        """Evidence on the token after ``context``; ``None`` where the table says nothing.

        Args:
            log_p: the backbone's, [V], normalised, -inf where a token is not allowed.
            context: token ids, oldest first.
        """
        return evidence_of([self._counts(found) for found in self.table.find(context)], log_p)

    @property
    def longest(self) -> int:
        """Orders that evidence can have."""
        return self.table.packing.longest

    def likely(self, context: Sequence[int]) -> Likely | None:
        """The commonest token after the longest context that was seen; see ``mixing.Mixer``."""
        found = self.table.find(context)
        if not found:
            return None
        token_ids, counts = self._counts(found[-1])
        best = int(counts.argmax())
        if 2 * counts[best] < counts.sum():
            return None
        return Likely(int(token_ids[best]), found[-1].order)

    def _counts(self, found: Found) -> Counts:
        """What followed, each token once."""
        key = (found.start, found.stop)
        counts = self._known.get(key)
        if counts is None:
            if len(self._known) >= N_REMEMBERED:
                self._known.clear()
            rows = slice(found.start, found.stop)
            counts = added_up(self.table.rows.next_ids[rows], self.table.rows.counts[rows])
            self._known[key] = counts
        return counts


def _weighed(
    token_ids: NDArray[np.int64],
    counts: NDArray[np.float64],
    log_p: NDArray[np.floating],
    lengths: Sequence[int],
    entropy: float,
) -> Evidence:
    starts = _starts(lengths)
    totals = np.add.reduceat(counts, starts)  # [O]
    shares = counts / totals.repeat(lengths)  # [K]
    agreements = np.add.reduceat(shares * np.exp(log_p), starts)
    features = np.empty((len(lengths), len(FEATURES)))
    features[:, 0] = 1.0
    features[:, 1] = np.log(totals)
    features[:, 2] = np.log(lengths)
    features[:, 3] = np.log(agreements + LEAST_AGREEMENT)
    features[:, 4] = entropy
    return Evidence(starts, token_ids, shares, features)


def _starts(lengths: Sequence[int]) -> NDArray[np.int64]:
    return np.array([0, *accumulate(lengths[:-1])])


def added_up(next_ids: NDArray[np.int32], counts: NDArray[np.int32]) -> Counts:
    """Counts of one range of rows by token; exact, as they stay far below 2^53."""
    if len(next_ids) == 1:
        return next_ids.astype(np.int64), counts.astype(np.float64)
    if len(next_ids) >= MANY_ROWS:
        by_id = np.bincount(next_ids, counts).astype(np.float64, copy=False)
        ids = by_id.nonzero()[0]
        return ids, by_id[ids]
    order = next_ids.argsort(kind="stable")
    sorted_ids = next_ids[order].astype(np.int64)
    firsts = np.concatenate([[0], (sorted_ids[1:] != sorted_ids[:-1]).nonzero()[0] + 1])
    return sorted_ids[firsts], np.add.reduceat(counts[order], firsts, dtype=np.float64)


def _entropy(log_p: NDArray[np.floating]) -> float:
    """H = -Σ p log p in nats; tokens that are not allowed add nothing."""
    narrow = log_p.astype(np.float32, copy=False)
    return -float(np.exp(narrow) @ np.maximum(narrow, -1e4))
