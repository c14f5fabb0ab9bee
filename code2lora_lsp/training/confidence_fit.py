"""Rows → a calibration, and what is shown at each threshold and how often it is right."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from code2lora_lsp.runtime.api import NoCompletion
from code2lora_lsp.runtime.choosing import Chooser
from code2lora_lsp.runtime.confidence import Calibration, logit_of
from code2lora_lsp.text.beginnings import beginnings
from code2lora_lsp.text.trim import trim
from code2lora_lsp.training.confidence_rows import Row

THRESHOLDS = (0.0, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5, 0.6, 0.7, 0.8, 0.9)
_N_STEPS = 100
_RIDGE = 1e-3


@dataclass(frozen=True)
class Samples:
    """Suggestions that could be shown, a draft's beginnings among them.

    Attributes:
        features: 1 and logit e^S of each, [N, 2] float64.
        is_right: the file has it at its cursor as far as it goes, [N] bool.
        weights: each draft weighs 1 in all, [N] float64.
    """

    features: NDArray[np.float64]
    is_right: NDArray[np.bool_]
    weights: NDArray[np.float64]


@dataclass(frozen=True)
class Point:
    """What one threshold does on some rows.

    Attributes:
        shown: share of cursors with a suggestion.
        right: share of those that the file has at the cursor, as far as they go.
        whole: share of those that are the whole rest of the line.
        chars: mean length of a right one.
        written: share of all characters asked for that right ones write.
    """

    threshold: float
    shown: float
    right: float
    whole: float
    chars: float
    written: float


def is_right(text: str, target: str) -> bool:
    """Whether ``target``, the rest of a line, begins with ``text``, and not within a word."""
    following = target[len(text) : len(text) + 1]
    is_within = _is_word(text[-1:]) and _is_word(following)
    return bool(text) and target.startswith(text) and not is_within


def _is_word(character: str) -> bool:
    return character.isalnum() or character == "_"


def samples_of(rows: Sequence[Row]) -> Samples:
    """Every beginning of every draft that trimming leaves something of."""
    features, right, weights = [], [], []
    for row in rows:
        text = trim(row.draft.text, row.gap)
        parts = beginnings(text, row.gap) if text else []
        for part in parts:
            log_p = row.draft.behind(part)
            features.append((1.0, logit_of(math.fsum(log_p))))
            right.append(is_right(part, row.target))
            weights.append(1.0 / len(parts))
    return Samples(np.array(features), np.array(right), np.array(weights))


def fit(samples: Samples) -> Calibration:
    """The likeliest b and w; w is 0 where it would be negative.

    Newton's method, with a slight pull to 0 so that separable samples have an answer.
    """
    x, y, weights = samples.features, samples.is_right, samples.weights
    pull = _RIDGE * np.eye(x.shape[1])
    found = np.zeros(x.shape[1])
    for _ in range(_N_STEPS):
        p = 1.0 / (1.0 + np.exp(-np.clip(x @ found, -50, 50)))
        gradient = x.T @ (weights * (y - p)) - pull @ found
        hessian = (x * (weights * p * (1 - p))[:, None]).T @ x + pull
        found = found + np.linalg.solve(hessian, gradient)
    bias, slope = map(float, found)
    return Calibration(bias, slope) if slope >= 0 else Calibration(0.0, 0.0)


def curve(calibration: Calibration, rows: Sequence[Row]) -> list[Point]:
    """What would be shown of ``rows`` while typing, threshold by threshold."""
    return [point_at(calibration, rows, threshold) for threshold in THRESHOLDS]


def point_at(calibration: Calibration, rows: Sequence[Row], threshold: float) -> Point:
    """What one threshold does."""
    shown = list(_shown(Chooser(calibration, threshold), rows))
    right = [text for text, row in shown if is_right(text, row.target)]
    whole = [text for text, row in shown if text == row.target.rstrip()]
    n_shown, n_asked = max(len(shown), 1), sum(len(row.target.rstrip()) for row in rows)
    return Point(
        threshold=threshold,
        shown=round(len(shown) / len(rows), 4),
        right=round(len(right) / n_shown, 4),
        whole=round(len(whole) / n_shown, 4),
        chars=round(sum(map(len, right)) / max(len(right), 1), 1),
        written=round(sum(map(len, right)) / n_asked, 4),
    )


def _shown(chooser: Chooser, rows: Sequence[Row]) -> Iterator[tuple[str, Row]]:
    for row in rows:
        choice = chooser.choose(row.draft, row.gap, is_asked_for=False)
        if not isinstance(choice, NoCompletion):
            yield choice.text, row
