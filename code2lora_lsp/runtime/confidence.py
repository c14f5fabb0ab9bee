"""How likely a suggestion is right: what the model's own log-probabilities have meant elsewhere.

A model says of each token how likely it comes next. Of a suggestion of n tokens

    S = Σ log p,    P(right) = σ(b + w_S S − w_n log(1 + n))

with w ≥ 0 fitted in files the repository's knowledge lacks (``training.confidence``), where "right"
is that the file has the suggestion at the cursor, as far as it goes. More tokens never make it
likelier, so that decoding can stop where nothing longer would be shown.
"""

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from code2lora_lsp.errors import ModelMismatch
from code2lora_lsp.neural.atomic_file import write_text

FORMAT = "code2lora-confidence-1"
FILE = "confidence.json"


@dataclass(frozen=True)
class Calibration:
    """The fitted b, w_S and w_n; immutable.

    Raises:
        ValueError: they are not finite, or a weight is negative.
    """

    bias: float
    of_sum: float
    of_length: float

    def __post_init__(self) -> None:
        values = (self.bias, self.of_sum, self.of_length)
        if not all(map(math.isfinite, values)) or min(values[1:]) < 0:
            raise ValueError(f"a calibration of {values}, want finite ones and weights from 0 up")

    def probability(self, log_probabilities: Sequence[float]) -> float:
        """P(right) of tokens with these log p, in nats."""
        logit = (
            self.bias
            + self.of_sum * math.fsum(log_probabilities)
            - self.of_length * math.log1p(len(log_probabilities))
        )
        return 1.0 / (1.0 + math.exp(-max(-700.0, logit)))


class Uncalibrated:
    """A model nobody has calibrated is taken at its word: P(right) = exp S."""

    @staticmethod
    def probability(log_probabilities: Sequence[float]) -> float:
        return math.exp(math.fsum(log_probabilities))


def load_calibration(folder: Path, backbone: str) -> Calibration | Uncalibrated:
    """Of the model in ``folder``; where none ships with it, its own word.

    Args:
        folder: of the model.
        backbone: its fingerprint, which the calibration has to be of.

    Raises:
        ModelMismatch: the file is damaged, of a newer format, or of another model.
    """
    path = folder / FILE
    if not path.is_file():
        return Uncalibrated()
    try:
        weights = _weights(json.loads(path.read_text(encoding="utf-8")), backbone)
        return Calibration(weights["bias"], weights["of_sum"], weights["of_length"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelMismatch(
            f"{path} is no calibration of this model ({error}); copy the model folder again, or "
            "delete the file to take the model at its word"
        ) from error


def _weights(raw: dict[str, Any], backbone: str) -> dict[str, float]:
    for name, wanted in (("format", FORMAT), ("backbone", backbone)):
        if raw[name] != wanted:
            raise ValueError(f"{name} {raw[name]!r}, want {wanted!r}")
    weights: dict[str, float] = raw["weights"]
    return weights


def save_calibration(
    calibration: Calibration, folder: Path, backbone: str, facts: dict[str, Any]
) -> None:
    """Put a calibration beside the model it is of, with ``facts`` on where it is from."""
    document = {
        "format": FORMAT,
        "backbone": backbone,
        "weights": asdict(calibration),
        **facts,
    }
    write_text(folder / FILE, json.dumps(document, indent=1) + "\n")
