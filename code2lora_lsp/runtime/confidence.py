"""How likely a suggestion is right: what the model's own log-probabilities have meant elsewhere.

A model says of each token how likely it comes next, and so of a suggestion, before any calibration,

    P = e^S,    S = Σ log p,    and after it    P(right) = σ(b + w logit P)

with w ≥ 0, b and w fitted in files the repository's knowledge lacks (``training.confidence``).
"Right" is that the file has the suggestion at the cursor, as far as it goes. More tokens never make
it likelier, so that decoding can stop where nothing longer would be shown.
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
_NEAREST = 1e-3


@dataclass(frozen=True)
class Calibration:
    """The fitted b and w, immutable; by default they take the model at its word.

    Raises:
        ValueError: they are not finite, or w is negative.
    """

    bias: float = 0.0
    slope: float = 1.0

    def __post_init__(self) -> None:
        if not math.isfinite(self.bias + self.slope) or self.slope < 0:
            raise ValueError(f"b = {self.bias}, w = {self.slope}; want finite ones, and w ≥ 0")

    def probability(self, log_probabilities: Sequence[float]) -> float:
        """P(right) of tokens with these log p, in nats; of no tokens about 1."""
        logit = self.bias + self.slope * logit_of(math.fsum(log_probabilities))
        return 1.0 / (1.0 + math.exp(min(-logit, 700.0)))


def logit_of(log_p: float) -> float:
    """Log p − log(1 − p), of p no nearer to 1 than a thousandth."""
    log_p = min(log_p, -_NEAREST)
    return log_p - math.log(-math.expm1(log_p))


def load_calibration(folder: Path, backbone: str) -> Calibration:
    """Of the model in ``folder``; where none ships with it, its own word.

    Args:
        folder: of the model.
        backbone: its fingerprint, which the calibration has to be of.

    Raises:
        ModelMismatch: the file is damaged, of a newer format, or of another model.
    """
    path = folder / FILE
    if not path.is_file():
        return Calibration()
    try:
        weights = _weights(json.loads(path.read_text(encoding="utf-8")), backbone)
        return Calibration(weights["bias"], weights["slope"])
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
