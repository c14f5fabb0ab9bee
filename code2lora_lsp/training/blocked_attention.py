"""Causal attention for training on a CPU, a block of queries at a time.

torch's flash kernel took 30 % of a step of the ``nano`` model on one AVX-512 core in bfloat16;
plain matrix products over blocks that skip the future take 0.6 of its time. The attention weights
are kept for the backward pass, H · T² / 2 numbers for a row, which short rows can afford.
"""

from typing import Any

import torch
from torch import Tensor, nn
from transformers import AttentionInterface, Qwen2ForCausalLM
from transformers.models.qwen2.modeling_qwen2 import repeat_kv

BLOCK_QUERIES = 128
NAME = "code2lora_blocked"


class _BlockedCausalAttention(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, query: Tensor, key: Tensor, value: Tensor, scaling: float) -> Tensor:
        output, kept = torch.empty_like(query), []
        for start, stop in _blocks(query.shape[1]):
            scores = torch.bmm(query[:, start:stop], key[:, :stop].transpose(1, 2)).float()
            future = torch.ones(stop - start, stop - start, dtype=torch.bool, device=query.device)
            scores[:, :, start:].masked_fill_(future.triu_(1), -torch.inf)
            weights = torch.softmax(scores.mul_(scaling), -1).to(query.dtype)
            torch.bmm(weights, value[:, :stop], out=output[:, start:stop])
            kept.append(weights)
        ctx.save_for_backward(query, key, value, output, *kept)
        ctx.scaling = scaling
        return output

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        (d_output,) = grads
        query, key, value, output, *kept = ctx.saved_tensors
        d_query = torch.empty_like(query)
        d_key, d_value = (torch.zeros_like(tensor, dtype=torch.float32) for tensor in (key, value))
        means = (d_output.float() * output.float()).sum(-1, keepdim=True)  # [N, T, 1]
        for weights, (start, stop) in zip(kept, _blocks(query.shape[1]), strict=True):
            d_rows = d_output[:, start:stop]
            d_value[:, :stop] += torch.bmm(weights.transpose(1, 2), d_rows)
            d_weights = torch.bmm(d_rows, value[:, :stop].transpose(1, 2)).float()
            d_scores = d_weights.sub_(means[:, start:stop]).mul_(weights).mul_(ctx.scaling)
            d_scores = d_scores.to(query.dtype)
            torch.bmm(d_scores, key[:, :stop], out=d_query[:, start:stop])
            d_key[:, :stop] += torch.bmm(d_scores.transpose(1, 2), query[:, start:stop])
        return d_query, d_key.to(key.dtype), d_value.to(value.dtype), None


def _blocks(n_tokens: int) -> list[tuple[int, int]]:
    starts = range(0, n_tokens, BLOCK_QUERIES)
    return [(start, min(n_tokens, start + BLOCK_QUERIES)) for start in starts]


def blocked_causal_attention(query: Tensor, key: Tensor, value: Tensor, scaling: float) -> Tensor:
    """Each position attends to itself and those before it.

    Args:
        query: [N, T, D].
        key: [N, T, D], of the same dtype.
        value: [N, T, D], of the same dtype.
        scaling: factor of the scores, D ** -0.5.

    Returns:
        [N, T, D].
    """
    result: Tensor = _BlockedCausalAttention.apply(query, key, value, scaling)
    return result


def _of_transformers(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    *,
    scaling: float,
    **_: object,
) -> tuple[Tensor, None]:
    """The signature transformers calls: [B, H, T, D] in, [B, T, H, D] out. Rows have no padding."""
    assert attention_mask is None
    n_groups = module.num_key_value_groups
    assert isinstance(n_groups, int)
    shape = query.shape
    # Rotation leaves queries and keys in float32 under autocast; values are in its precision.
    query, key = query.to(value.dtype).flatten(0, 1), repeat_kv(key.to(value.dtype), n_groups)
    repeated = repeat_kv(value, n_groups).flatten(0, 1)
    output = blocked_causal_attention(query, key.flatten(0, 1), repeated, scaling)
    return output.view(shape).transpose(1, 2), None


def use_blocked_attention(model: Qwen2ForCausalLM) -> None:
    """Let ``model`` attend in blocks, for rows read whole, without padding and without a cache."""
    AttentionInterface.register(NAME, _of_transformers)
    model.set_attn_implementation(NAME)
