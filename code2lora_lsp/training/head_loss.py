"""Cross-entropy of a tied head without ever holding the logits of more than a few rows."""

from typing import Any

import torch
from torch import Tensor

CHUNK_ROWS = 512


class _ChunkedHeadLoss(torch.autograd.Function):
    """Forms the gradient chunk by chunk in the forward pass; the backward pass only scales it."""

    @staticmethod
    def forward(
        ctx: Any, hidden: Tensor, embedding: Tensor, targets: Tensor, n_scored: Tensor
    ) -> Tensor:
        d_hidden = torch.empty_like(hidden)
        d_embedding = torch.zeros_like(embedding, dtype=torch.float32)
        head = embedding.to(hidden.dtype)
        total = torch.zeros((), dtype=torch.float32, device=hidden.device)
        for start in range(0, len(hidden), CHUNK_ROWS):
            rows = slice(start, start + CHUNK_ROWS)
            scored = (targets[rows] >= 0)[:, None]
            picked = targets[rows].clamp_min(0)[:, None]
            share = torch.softmax(hidden[rows] @ head.T, -1, dtype=torch.float32)  # [rows, V]
            total -= (share.gather(-1, picked).clamp_min(1e-30).log() * scored).sum()
            share.scatter_add_(-1, picked, torch.full_like(picked, -1.0, dtype=torch.float32))
            d_logits = (share * (scored / n_scored)).to(hidden.dtype)
            torch.mm(d_logits, head, out=d_hidden[rows])
            d_embedding += d_logits.T @ hidden[rows]
        ctx.save_for_backward(d_hidden, d_embedding)
        return total / n_scored

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, None, None]:
        d_hidden, d_embedding = ctx.saved_tensors
        return d_hidden * grads[0].to(d_hidden.dtype), d_embedding * grads[0], None, None


def head_loss(hidden: Tensor, embedding: Tensor, targets: Tensor) -> Tensor:
    """Mean cross-entropy in nats over targets that are not negative.

    Args:
        hidden: final normalised hidden states, [N, D]; the head is multiplied in its dtype.
        embedding: tied embedding matrix, [V, D] float32.
        targets: [N] int64; negative ones are not scored.
    """
    n_scored = (targets >= 0).sum().clamp_min(1).float()
    loss: Tensor = _ChunkedHeadLoss.apply(hidden, embedding, targets, n_scored)
    return loss
