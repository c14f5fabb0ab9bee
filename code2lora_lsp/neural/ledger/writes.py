"""What one text writes: for each token, a key and the error of predicting the next one.

For token i of a text, with y_i the token after it, E the rows of the head, w and h the final norm's
weight and input, and ĥ = h / rms(h):

    x_i = input of the last layer's down_proj                              key,   [F]
    s_i = −log p_i(y_i)                                                    surprise, nats
    g_i = E[y_i] − Σ_v p_i(v) E[v]
    e_i = √s_i · (w ⊙ g_i − ĥ · mean(ĥ ⊙ w ⊙ g_i)) / rms(h)                error, [D]

e_i is −∂(⅔ s_i^{3/2})/∂(output of that down_proj), exactly, without a backward pass: nothing but
the final norm and the head stands behind it. So Σ e_i x_iᵀ is minus the gradient of its weights.
With a reference R, an update of that down_proj, h is h + R x_i: the error that R leaves.

Why not the gradient of s_i itself: it is as long for a token missed by 3 nats as for one missed by
12, though the second has four times as far to go; and what a repository adds are the latter. On
four validation repositories √s gained 2.7 nats per filtered identifier where s^0 gained 2.3, at the
same nats on other tokens; s^1 and s^1.5 were no better (docs/experiments.md).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from code2lora_lsp.errors import ShapeMismatch
from code2lora_lsp.neural.ledger.site import LedgerBackbone
from code2lora_lsp.neural.lora import Projection

WINDOW_TOKENS = 1024
"""Longer texts are written in windows of as many tokens."""


def written_projection(decoder: LedgerBackbone) -> Projection:
    """The one projection a ledger adapts."""
    return decoder.ledger_site.projection


@dataclass(frozen=True)
class Writes:
    """Keys and errors of N tokens, with what a trial of an adapter needs.

    Attributes:
        keys: x_i, [N, F] float32.
        errors: e_i, [N, D] float32.
        outputs: h, the last layer's output without any adapter, [N, D] float32.
        next_ids: y_i, [N] int64.
    """

    keys: Tensor
    errors: Tensor
    outputs: Tensor
    next_ids: Tensor

    @property
    def n_tokens(self) -> int:
        return self.keys.shape[0]

    def __getitem__(self, rows: slice) -> "Writes":
        return Writes(self.keys[rows], self.errors[rows], self.outputs[rows], self.next_ids[rows])


def join(writes: Sequence[Writes]) -> Writes:
    """One after another.

    Raises:
        ValueError: there are none.
    """
    if not writes:
        raise ValueError("no writes to join; was a blank text written?")
    return Writes(
        torch.cat([one.keys for one in writes]),
        torch.cat([one.errors for one in writes]),
        torch.cat([one.outputs for one in writes]),
        torch.cat([one.next_ids for one in writes]),
    )


def write(
    decoder: LedgerBackbone,
    header_ids: Sequence[int],
    text_ids: Sequence[int],
    reference: Tensor | None = None,
) -> Writes:
    """What a text writes that is read after its header; the header's own tokens are not written.

    A text longer than ``WINDOW_TOKENS`` is read in windows, each after the header. With neither
    header nor a second token nothing is predicted, and nothing written.

    Args:
        decoder: read without adapter.
        header_ids: read before each window.
        text_ids: written.
        reference: an update of the written projection that errors are measured under, [D, F].

    Raises:
        ShapeMismatch: the header leaves no room for a window.
    """
    n_most = min(WINDOW_TOKENS, decoder.max_positions - len(header_ids))
    if n_most < 2:
        raise ShapeMismatch(
            f"a header of {len(header_ids)} tokens; the decoder has {decoder.max_positions}"
        )
    windows = (text_ids[start : start + n_most] for start in range(0, len(text_ids), n_most))
    found = list(_written(decoder, header_ids, windows, reference))
    return join(found) if found else _nothing(decoder)


def _written(
    decoder: LedgerBackbone,
    header_ids: Sequence[int],
    windows: Iterator[Sequence[int]],
    reference: Tensor | None,
) -> Iterator[Writes]:
    for window in windows:
        ids = torch.tensor([*header_ids, *window], device=decoder.device)  # [T]
        first = max(len(header_ids) - 1, 0)  # reads the last token of the header
        if len(ids) - 1 > first:
            states = decoder.last_layer(ids[None, :-1])
            keys, outputs = states.inner[0, first:].float(), states.output[0, first:].float()
            next_ids = ids[first + 1 :]
            moved = outputs if reference is None else outputs + keys @ reference.T
            yield Writes(keys, errors_at(decoder, moved, next_ids), outputs, next_ids)


def _nothing(decoder: LedgerBackbone) -> Writes:
    site = decoder.ledger_site
    keys, errors = torch.empty(0, site.inner_width), torch.empty(0, site.width)
    return Writes(keys, errors, errors, torch.empty(0, dtype=torch.int64))


@torch.no_grad()
def errors_at(decoder: LedgerBackbone, outputs: Tensor, next_ids: Tensor) -> Tensor:
    """e_i of the module's equation.

    Args:
        decoder: its head and final norm are read.
        outputs: the last layer's output, with an adapter or without, [N, D].
        next_ids: y_i, [N] int64.

    Returns:
        [N, D] float32.
    """
    site = decoder.ledger_site
    head = site.head.float()  # [V, D]
    log_p = torch.log_softmax(decoder.logits(outputs), dim=-1)  # [N, V]
    surprise = -log_p.gather(1, next_ids[:, None]).clamp(max=0.0)  # [N, 1]
    missing = head[next_ids] - log_p.exp() @ head  # [N, D]
    wide = outputs.float()
    inverse_rms = torch.rsqrt(wide.pow(2).mean(-1, keepdim=True) + site.rms_norm_eps)
    direction = wide * inverse_rms
    scaled = site.final_norm.float() * missing
    along = (direction * scaled).mean(-1, keepdim=True)
    return surprise.sqrt() * (scaled - direction * along) * inverse_rms
