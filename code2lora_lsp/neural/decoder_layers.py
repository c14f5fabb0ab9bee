"""What a decoder's layers compute, wherever keys and values lie. Legend as in ``decoder``."""

from typing import NamedTuple, Protocol

import torch
import torch.nn.functional as F  # noqa: N812 - torch's own name for it
from torch import Tensor

from code2lora_lsp.neural.decoder_config import DecoderConfig
from code2lora_lsp.neural.decoder_weights import DecoderWeights, LayerWeights
from code2lora_lsp.neural.int8_products import Product
from code2lora_lsp.neural.ledger.site import LastLayer


class Entries(Protocol):
    """Where keys and values lie."""

    def extend(self, layer: int, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Keep those of T tokens, [1, K, T, d]; all that are attended to, [1, K, S, d] each."""


class Span(NamedTuple):
    """What every layer of one pass needs to know about its T tokens.

    ``cos`` and ``sin`` are [T, 1, d / 2]; ``mask`` is true where a token may look, [B or 1, 1, T,
    S], or ``None`` when all may be seen; without ``entries`` the T tokens see only one another.
    ``times`` multiplies by a matrix of the weights.
    """

    cos: Tensor
    sin: Tensor
    mask: Tensor | None
    entries: Entries | None
    times: Product = F.linear


class DecoderLayers:
    """The arithmetic of one architecture; holds no weights and no state."""

    def __init__(self, config: DecoderConfig, dtype: torch.dtype) -> None:
        self._config = config
        self._dtype = dtype

    def run(
        self, ids: Tensor, span: Span, weights: DecoderWeights, *, only_last: bool = False
    ) -> LastLayer:
        """[B, T] ids through every layer.

        With ``only_last`` the last layer gives what it gives for the last token, and keeps keys
        and values of all: nobody reads the rest of it.
        """
        mask = span.mask
        if mask is not None:  # the G heads of one key-value head lie one below the other
            mask = _additive(mask, self._dtype)
            mask = mask.repeat(1, 1, self._config.n_heads // self._config.n_kv_heads, 1)
        span = span._replace(mask=mask)
        hidden = F.embedding(ids, weights.embedding)
        for index, layer in enumerate(weights.layers):
            normed = self.norm(hidden, layer.attention_norm)
            if only_last and index == self._config.n_layers - 1:
                hidden = hidden[:, -1:]
            hidden = hidden + self._attend(index, layer, normed, span, hidden.shape[1])
            normed = self.norm(hidden, layer.mlp_norm)
            gate, up = span.times(normed, layer.gate_up).chunk(2, dim=-1)
            inner = F.silu(gate) * up  # [B, T, F]
            hidden = hidden + span.times(inner, layer.down)
        return LastLayer(inner, hidden)

    def logits(self, output: Tensor, weights: DecoderWeights) -> Tensor:
        """[..., D], as ``LastLayer.output`` or in float32 → [..., V] float32.

        The head multiplies in the decoder's dtype, so in bfloat16 logits are as coarse as
        transformers' are.
        """
        normed = self.norm(output, weights.final_norm)
        return F.linear(normed.to(self._dtype), weights.head).float()

    def norm(self, hidden: Tensor, weight: Tensor) -> Tensor:
        """RMSNorm, in float32 inside whatever the dtype."""
        wide = hidden.float()
        scaled = wide * torch.rsqrt(wide.pow(2).mean(-1, keepdim=True) + self._config.rms_norm_eps)
        return weight * scaled.to(hidden.dtype)

    def _attend(
        self, index: int, layer: LayerWeights, normed: Tensor, span: Span, n_asking: int
    ) -> Tensor:
        """Grouped-query attention, [B, T, D] → [B, n, D] for all T tokens or the last one."""
        config = self._config
        batch, length, _ = normed.shape
        n_rotated = config.n_heads + config.n_kv_heads
        qkv = span.times(normed, layer.qkv) + layer.qkv_bias
        qkv = qkv.view(batch, length, -1, config.head_dim)
        rotated = _rotate(qkv[:, :, :n_rotated], span.cos, span.sin)  # [B, T, H + K, d]
        keys = rotated[:, :, config.n_heads :].transpose(1, 2)  # [B, K, T, d]
        values = qkv[:, :, n_rotated:].transpose(1, 2)  # [B, K, T, d]
        if span.entries is not None:
            keys, values = span.entries.extend(index, keys, values)  # [1, K, S, d]
        grouped = (batch, n_asking, config.n_kv_heads, -1, config.head_dim)
        query = rotated[:, -n_asking:, : config.n_heads].view(grouped).permute(0, 2, 3, 1, 4)
        query = query.reshape(batch, config.n_kv_heads, -1, config.head_dim)  # [B, K, G·n, d]
        mask = span.mask if n_asking == length else None  # the last token sees all
        mixed = F.scaled_dot_product_attention(query, keys, values, attn_mask=mask)
        mixed = mixed.view(batch, config.n_kv_heads, -1, n_asking, config.head_dim)
        mixed = mixed.permute(0, 3, 1, 2, 4).reshape(batch, n_asking, -1)  # [B, n, H·d]
        return span.times(mixed, layer.out)


def _additive(mask: Tensor, dtype: torch.dtype) -> Tensor:
    """0 where ``mask`` is true, else -inf; made once, or attention makes it in every layer."""
    return torch.zeros(mask.shape, dtype=dtype, device=mask.device).masked_fill_(~mask, -torch.inf)


def _rotate(heads: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotary embedding of [B, T, n, d]; the two halves of d are the pair's coordinates."""
    first, second = heads.chunk(2, dim=-1)
    cos, sin = cos.to(heads.dtype), sin.to(heads.dtype)
    return torch.cat((first * cos - second * sin, second * cos + first * sin), dim=-1)
