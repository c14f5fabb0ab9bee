"""How far a repository's table is believed against the backbone.

    p_0 = backbone,    p_n = (1 - λ_n) p_{n-1} + λ_n p̂_n,    λ_n = σ(w_n · x_n)

from short contexts to long ones; p̂_n are the table's relative frequencies after n tokens and x_n
the features of ``evidence``. That is interpolation as in Jelinek and Mercer (1980), with weights
that also see the backbone: where it is sure of something else, a count convinces less. The w_n are
fitted once, on training repositories (``training.gate``), and hold for every repository. To the
gate for what is near (``near``), another gate's mixture is the backbone.
"""

import hashlib
import json
import math
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from code2lora_lsp.errors import ModelMismatch, ModelMissing, ShapeMismatch
from code2lora_lsp.neural.atomic_file import write_text
from code2lora_lsp.neural.sharp.evidence import FEATURES

FORMAT = "code2lora-gate-1"

MOST_LOGIT = 30.0
"""Bounds w_n · x_n: no λ is 1, the backbone always keeps a share."""


@dataclass(frozen=True)
class Gate:
    """The fitted w_n, immutable.

    Attributes:
        weights: [orders, len(FEATURES)] float64; the first row is order 1. A longer context than
            there are orders is believed as the longest.
        backbone: fingerprint of the backbone whose distributions it was fitted with.

    Raises:
        ShapeMismatch: weights of another shape, or not finite.
    """

    weights: NDArray[np.float64]
    backbone: str

    def __post_init__(self) -> None:
        shape = self.weights.shape
        if len(shape) != 2 or shape[0] == 0 or shape[1] != len(FEATURES):
            raise ShapeMismatch(f"gate weights {list(shape)}; want [orders, {len(FEATURES)}]")
        if not np.isfinite(self.weights).all():
            raise ShapeMismatch("the gate's weights hold non-finite numbers")

    def shares(self, features: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        """What the chain comes to: the backbone's part of the mixture and each order's.

        Args:
            features: x_n of orders 1 on, [O, len(FEATURES)].

        Returns:
            Π (1 - λ_n), and λ_n Π_{m > n} (1 - λ_m), [O]; together they are 1.
        """
        rows = np.minimum(np.arange(len(features)), len(self.weights) - 1)
        logits = (self.weights[rows] * features).sum(axis=1).tolist()
        left, shares = 1.0, [0.0] * len(logits)
        for order in reversed(range(len(logits))):
            opened = 1.0 / (1.0 + math.exp(-min(max(logits[order], -MOST_LOGIT), MOST_LOGIT)))
            shares[order] = left * opened
            left *= 1.0 - opened
        return left, np.array(shares)

    @cached_property
    def gate_id(self) -> str:
        """16 hex digits that change with the weights and the backbone."""
        digest = hashlib.sha256(f"{FORMAT}\0{self.backbone}\0{self.weights.shape}\0".encode())
        digest.update(np.ascontiguousarray(self.weights, "<f8").tobytes())
        return digest.hexdigest()[:16]


class FittedGate(NamedTuple):
    """A gate, and what a reader may want to know of its fit."""

    gate: Gate
    fitted_on: dict[str, object]


def save_gate(gate: Gate, path: Path, fitted_on: dict[str, object] | None = None) -> None:
    """Write one JSON file, atomically.

    Args:
        gate: to be written.
        path: of the file.
        fitted_on: what a reader may want to know of the fit; not read back.

    Raises:
        OSError: it cannot be written.
    """
    document = {
        "format": FORMAT,
        "backbone": gate.backbone,
        "features": list(FEATURES),
        "weights": gate.weights.tolist(),
        "fitted_on": fitted_on or {},
    }
    write_text(path, json.dumps(document, indent=1) + "\n")


def load_gate(path: Path, backbone: str) -> Gate:
    """Read a gate and check that it is of this backbone.

    Raises:
        ModelMissing: there is no such file.
        ModelMismatch: it is damaged, of another format, or of another backbone.
    """
    if not path.is_file():
        raise ModelMissing(f"{path} does not exist; make one with `{_MAKER}`")
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        of_file = {name: document[name] for name in ("format", "features", "backbone")}
        gate = Gate(np.array(document["weights"], np.float64), str(document["backbone"]))
    except (OSError, ValueError, KeyError, TypeError, ShapeMismatch) as error:
        raise ModelMismatch(f"{path} is damaged: {error!r}; make it again") from error
    wanted = {"format": FORMAT, "features": list(FEATURES), "backbone": backbone}
    for name, value in wanted.items():
        if of_file[name] != value:
            raise ModelMismatch(
                f"{path} has {name} {of_file[name]!r}, want {value!r}; make one for this backbone "
                f"with `{_MAKER}`"
            )
    return gate


_MAKER = "code2lora-lsp calibrate"
