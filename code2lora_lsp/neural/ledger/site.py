"""Where a ledger writes, whatever the architecture: the last ``down_proj`` and what stands behind.

    logits = E (w ⊙ h / rms(h)),    h = … + W_down x

with x the input of the last layer's ``down_proj`` and h the layer's output. Where a model computes
its logits so, an update of that ``down_proj`` has an exact gradient without a backward pass.
"""

from dataclasses import dataclass
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from code2lora_lsp.neural.lora import Projection


class LastLayer(NamedTuple):
    """What the last layer's ``down_proj`` reads, and what it adds to.

    Attributes:
        inner: x, the input of its ``down_proj``, [B, T, F].
        output: h, the layer's output, before the final norm, [B, T, D]. An update ΔW of that
            ``down_proj`` alone would make it ``output + inner ΔWᵀ``, and change nothing else.
    """

    inner: Tensor
    output: Tensor


@dataclass(frozen=True)
class LedgerSite:
    """The written projection and the weights behind it; only read.

    Attributes:
        projection: the last layer's ``down_proj``.
        width, inner_width: D and F of its weight.
        final_norm: w, [D].
        rms_norm_eps: inside rms(·).
        head: E, [V, D].
    """

    projection: Projection
    width: int
    inner_width: int
    final_norm: Tensor
    rms_norm_eps: float
    head: Tensor


class LedgerBackbone(Protocol):
    """What a ledger asks of a backbone. Reads pristine weights only, on any thread."""

    device: torch.device
    max_positions: int

    @property
    def ledger_site(self) -> LedgerSite:
        """Where a ledger writes.

        Raises:
            ModelMismatch: this architecture has no such place; the message says why.
        """

    def last_layer(self, token_ids: Tensor) -> LastLayer:
        """The last layer over whole texts, without adapter and without cache.

        Args:
            token_ids: [B, T] int64, no padding.

        Raises:
            ShapeMismatch: not [B, T], or T exceeds ``max_positions``.
        """

    def logits(self, output: Tensor) -> Tensor:
        """[..., D], as ``LastLayer.output`` → [..., V] float32."""
