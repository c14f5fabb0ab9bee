"""Loss on validation repositories, over rows that are the same in every evaluation."""

import torch
import torch.nn.functional as F  # noqa: N812 (torch's own convention)
from torch import Tensor
from transformers import Qwen2ForCausalLM


@torch.no_grad()
def summed_loss(
    model: Qwen2ForCausalLM, inputs: Tensor, targets: Tensor, precision: torch.dtype
) -> tuple[float, int]:
    """Return (summed cross-entropy in nats, number of scored tokens), row by row.

    Args:
        model: left in the mode it is in.
        inputs: [N, T] int64.
        targets: [N, T] int64; negative ones are not scored.
        precision: autocast dtype; float32 turns autocast off.
    """
    nats, n_scored = 0.0, 0
    for row, target in zip(inputs, targets, strict=True):
        with torch.autocast(row.device.type, dtype=precision, enabled=precision != torch.float32):
            hidden = model.model(input_ids=row[None], use_cache=False).last_hidden_state[0]
            logits = hidden @ model.model.embed_tokens.weight.T  # [T, V]
        nats += F.cross_entropy(logits.float(), target, reduction="sum").item()
        n_scored += int((target >= 0).sum())
    return nats, n_scored


@torch.no_grad()
def token_losses(model: Qwen2ForCausalLM, inputs: Tensor, targets: Tensor) -> Tensor:
    """Cross-entropy in nats of each token of one text, [T] float32; both arguments [T] int64."""
    hidden = model.model(input_ids=inputs[None], use_cache=False).last_hidden_state[0]
    logits = hidden @ model.model.embed_tokens.weight.T  # [T, V]
    return F.cross_entropy(logits.float(), targets, reduction="none")
