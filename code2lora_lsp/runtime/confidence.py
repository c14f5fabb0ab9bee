"""How likely a suggestion is right: what the model's own log-probabilities have meant elsewhere.

A model is asked for each token whether it is the next; of a whole suggestion that makes

    S = Σ log p,    m = min log p,    P(right) = σ(b + w_S S + w_m m)

with w ≥ 0 fitted on repositories the model never saw (``training.confidence``), where "right" is
that the file has the suggestion at its cursor, as far as it goes. Both weights being positive, more
tokens never make a suggestion likelier, so that decoding can stop where it would not be shown.
"""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from code2lora_lsp.errors import ModelMismatch

FORMAT = "code2lora-confidence-1"
FILE = "confidence.json"


@dataclass(frozen=True)
class Calibration:
    """The fitted b, w_S and w_m; torch-free, immutable.

    Raises:
        ValueError: they are not finite, or a weight is negative.
    """

    bias: float
    of_sum: float
    of_least: float

    def __post_init__(self) -> None:
        values = (self.bias, self.of_sum, self.of_least)
        if not all(map(math.isfinite, values)) or min(values[1:]) < 0:
            raise ValueError(f"a calibration of {values}, want finite ones and weights from 0 up")

    def probability(self, log_probabilities: Sequence[float]) -> float:
        """P(right) of tokens with these log p, in nats; of none it is 1."""
        if not log_probabilities:
            return 1.0
        logit = (
            self.bias
            + self.of_sum * math.fsum(log_probabilities)
            + self.of_least * min(log_probabilities)
        )
        return 1.0 / (1.0 + math.exp(-max(-700.0, logit)))


class Uncalibrated:
    """A model nobody has calibrated is taken at its word: P(right) = exp S."""

    @staticmethod
    def probability(log_probabilities: Sequence[float]) -> float:
        return math.exp(math.fsum(log_probabilities))


def load_calibration(folder: Path) -> Calibration | Uncalibrated:
    """Of the model in ``folder``; where none ships with it, its own word.

    Raises:
        ModelMismatch: the file is damaged, or of a newer format.
    """
    path = folder / FILE
    if not path.is_file():
        return Uncalibrated()
    try:
        weights = _weights(json.loads(path.read_text(encoding="utf-8")))
        return Calibration(weights["bias"], weights["of_sum"], weights["of_least"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelMismatch(
            f"{path} is no calibration this version reads ({error}); copy the model folder again"
        ) from error


def _weights(raw: dict[str, Any]) -> dict[str, float]:
    if raw["format"] != FORMAT:
        raise ValueError(f"format {raw['format']!r}, want {FORMAT!r}")
    weights: dict[str, float] = raw["weights"]
    return weights
