"""The frozen decoder with its KV cache: Qwen2 family, the same numbers as transformers.

Legend: B batch, T new tokens, S tokens attended to, L layers, D width, H heads, K key-value
heads, G = H / K heads sharing one key-value head, d head_dim, F inner width, V vocabulary.
One layer computes, with RMSNorm n(·):

    x ← x + W_o · attention(RoPE(W_q n(x) + b_q), RoPE(W_k n(x) + b_k), W_v n(x) + b_v)
    x ← x + W_down (silu(W_gate n(x)) ⊙ W_up n(x))

float32 on the CPU. bfloat16 on CUDA exists as a path and is unmeasured.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F  # noqa: N812 - torch's own name for it
from torch import Tensor

from code2lora_lsp.errors import ModelMismatch, ShapeMismatch
from code2lora_lsp.neural.decoder_config import DecoderConfig
from code2lora_lsp.neural.decoder_step import DecodeStep
from code2lora_lsp.neural.decoder_weights import (
    HALF_MERGED,
    DecoderWeights,
    LayerWeights,
    adapted_matrices,
    check_fits,
    fuse,
    merge_into,
    projection_views,
)
from code2lora_lsp.neural.int8_products import Int8Products, Product, can_multiply_int8
from code2lora_lsp.neural.int8_rows import find_int8
from code2lora_lsp.neural.kernel.step import KernelStep, why_not
from code2lora_lsp.neural.kv_cache import KvCache
from code2lora_lsp.neural.ledger.site import LastLayer, LedgerSite
from code2lora_lsp.neural.lora import LoraAdapter, Projection, leaves_cache_alone

KERNEL, NUMPY, TORCH = "kernel", "numpy", "torch"
"""What few tokens run through: ``kernel.step``, ``decoder_step``, or a pass like any other."""


class _Span(NamedTuple):
    """What every layer of one pass needs to know about its T tokens.

    ``cos`` and ``sin`` are [T, 1, d / 2]; ``mask`` is added to scores, [B or 1, 1, G·T, S], or
    ``None`` when all may be seen.
    """

    cos: Tensor
    sin: Tensor
    mask: Tensor | None
    cache: KvCache | None
    times: Product


class Decoder:
    """A frozen Qwen2-family decoder; satisfies ``backbone.Backbone``.

    Threads: ``prefill``, ``decode_one`` and ``merged`` belong to the engine's thread.
    ``hidden_states``, ``last_layer`` and ``logits`` only read the pristine weights and may run on
    any thread.
    """

    def __init__(
        self,
        config: DecoderConfig,
        weights: Mapping[str, Tensor],
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
    ) -> None:
        """Fuse ``weights`` (Hugging Face names); norms may share their memory.

        Raises:
            ModelMismatch: a tensor is absent, has the wrong shape or holds non-finite numbers.
        """
        self.config = config
        self.device = torch.device(device)
        self.dtype = dtype
        self.vocabulary_size = config.vocabulary_size
        self.max_positions = config.max_positions
        self.pristine = fuse(config, weights, self.device, dtype)
        self._pristine_views = projection_views(config, self.pristine)
        self._second: DecoderWeights | None = None
        self._cos, self._sin = config.rotations(self.device)
        is_plain = self.device.type == "cpu" and dtype == torch.float32
        self._int8 = find_int8(self.pristine) if is_plain else None
        self._products: Int8Products | None = None
        self._steps = self._known_steps() if is_plain else {}
        self.steps_through = next(iter(self._steps), TORCH)
        if not all(bool(torch.isfinite(tensor.sum())) for tensor in self.pristine.tensors()):
            raise ModelMismatch("the backbone's weights hold non-finite numbers")

    @property
    def step_ways(self) -> tuple[str, ...]:
        """What few tokens can run through here; ``steps_through`` is one of them."""
        return (*self._steps, TORCH)

    @property
    def reads_int8(self) -> bool:
        """Prompts are multiplied as bytes: see ``int8_products``."""
        return self._products is not None

    def read_int8(self, *, wanted: bool) -> None:
        """Read prompts as bytes from now on, if it is wanted and can be."""
        can = self._int8 is not None and can_multiply_int8()
        self._products = Int8Products(self._int8) if wanted and can and self._int8 else None

    @property
    def memory_bytes(self) -> int:
        second = self._second.tensors() if self._second else []
        tensors = {id(t): t for t in (*self.pristine.tensors(), *second)}
        return sum(t.numel() * t.element_size() for t in tensors.values())

    def new_cache(self, capacity: int) -> KvCache:
        if not 0 < capacity <= self.max_positions:
            raise ShapeMismatch(
                f"a cache of {capacity} tokens; positions end at {self.max_positions}"
            )
        return KvCache(self.config, capacity, self.device, self.dtype)

    def check_fits(self, adapter: LoraAdapter) -> None:
        check_fits(self._pristine_views, adapter)

    def keeps_cache(self, before: LoraAdapter | None, after: LoraAdapter | None) -> bool:
        n_layers = self.config.n_layers
        return leaves_cache_alone(before, n_layers) and leaves_cache_alone(after, n_layers)

    @torch.inference_mode()
    def merged(self, adapter: LoraAdapter | None) -> DecoderWeights:
        """Weights with ``adapter`` merged, rebuilt from the pristine ones into the second buffer.

        Raises:
            AdapterRejected: it does not fit; the buffer is as it was.
        """
        if adapter is None:
            return self.pristine
        self.check_fits(adapter)
        if self._second is None:
            self._second = self.pristine.second_buffer()
        if self._second.adapter_id == adapter.adapter_id:
            return self._second
        self._second.adapter_id = HALF_MERGED
        self._second.adapted = adapted_matrices(adapter)
        for projection, target in projection_views(self.config, self._second).items():
            pair = adapter.pairs.get(projection)
            merge_into(target, self._pristine_views[projection], pair, adapter.scale)
        self._second.adapter_id = adapter.adapter_id
        return self._second

    @torch.inference_mode()
    def prefill(
        self, token_ids: Sequence[int], cache: KvCache, weights: DecoderWeights | None = None
    ) -> Tensor:
        """Append ``token_ids`` to the cache in one pass; logits after the last, [V] float32.

        Raises:
            ShapeMismatch: no tokens, or more than the cache has room for.
        """
        weights = weights or self.pristine
        start, end = len(cache.tokens), len(cache.tokens) + len(token_ids)
        if start == end or end > cache.capacity:
            raise ShapeMismatch(f"tokens {start} to {end} of a cache for {cache.capacity}")
        if cache.adapter_id != weights.adapter_id:
            raise AssertionError(
                f"a cache of adapter {cache.adapter_id} met weights of {weights.adapter_id}"
            )
        step = self._steps.get(self.steps_through)
        if step is not None and len(token_ids) <= step.most_tokens:
            logits = step.run(token_ids, start, cache.keys, cache.values, weights)
        else:
            ids = torch.tensor([list(token_ids)], device=self.device)  # [1, T]
            mask = None if len(token_ids) == 1 else self._causal_mask(start, end)
            hidden = self._run_layers(ids, start, mask, weights, cache, only_last=True).output
            output = hidden[0, -1]  # [D]
            logits = step.logits(output, weights) if step is not None else self.logits(output)
        cache.tokens.extend(token_ids)
        return logits

    def logits(self, output: Tensor) -> Tensor:
        """[..., D], as ``LastLayer.output`` or in float32 → [..., V] float32."""
        normed = self._norm(output, self.pristine.final_norm)
        return F.linear(normed.to(self.dtype), self.pristine.head).float()

    def decode_one(
        self, token_id: int, cache: KvCache, weights: DecoderWeights | None = None
    ) -> Tensor:
        return self.prefill((token_id,), cache, weights)

    @torch.no_grad()
    def hidden_states(self, token_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """What the backbone makes of whole texts, without adapter and without cache.

        Positions count from the left edge, padding included, as transformers does by default;
        pad on the right. Rows at masked positions are finite and mean nothing.

        Args:
            token_ids: [B, T] int64.
            attention_mask: [B, T], 1 for text and 0 for padding.

        Returns:
            Final-norm hidden states, [B, T, D], dtype and device of the decoder.

        Raises:
            ShapeMismatch: not two equal [B, T] shapes, or T exceeds ``max_positions``.
        """
        if token_ids.ndim != 2 or token_ids.shape != attention_mask.shape:
            raise ShapeMismatch(
                f"ids {list(token_ids.shape)} and mask {list(attention_mask.shape)}: want [B, T]"
            )
        length = token_ids.shape[1]
        if not 0 < length <= self.max_positions:
            raise ShapeMismatch(f"{length} tokens; positions end at {self.max_positions}")
        mask = self._causal_mask(0, length)  # [1, 1, T, T]
        readable = attention_mask.to(self.device).bool()
        if not bool(readable.all()):
            itself = torch.eye(length, dtype=torch.bool, device=self.device)
            mask = mask & (readable[:, None, None, :] | itself)  # [B, 1, T, T]
        hidden = self._run_layers(token_ids.to(self.device), 0, mask, self.pristine, None)
        return self._norm(hidden.output, self.pristine.final_norm)

    @property
    def ledger_site(self) -> LedgerSite:
        config, pristine = self.config, self.pristine
        return LedgerSite(
            Projection(config.n_layers - 1, "down_proj"), config.width, config.intermediate_width,
            pristine.final_norm, config.rms_norm_eps, pristine.head,
        )  # fmt: skip

    @torch.no_grad()
    def last_layer(self, token_ids: Tensor) -> LastLayer:
        """See ``ledger.site``."""
        if token_ids.ndim != 2 or not 0 < token_ids.shape[1] <= self.max_positions:
            raise ShapeMismatch(
                f"ids {list(token_ids.shape)}: want [B, T], T from 1 to {self.max_positions}"
            )
        mask = self._causal_mask(0, token_ids.shape[1])  # [1, 1, T, T]
        return self._run_layers(token_ids.to(self.device), 0, mask, self.pristine, None)

    def _known_steps(self) -> dict[str, DecodeStep | KernelStep]:
        """Ways for few tokens besides torch; the first has torch's numbers."""
        plain = DecodeStep(self.config, self._cos, self._sin)
        if self._int8 is None or why_not(self.config) is not None:
            return {NUMPY: plain}
        return {NUMPY: plain, KERNEL: KernelStep(self.config, self._int8, self._cos, self._sin)}

    def _causal_mask(self, start: int, end: int) -> Tensor:
        """[1, 1, T, S] bool: token start + i sees tokens 0 … start + i."""
        everyone = torch.arange(end, device=self.device)
        return (everyone[None, :] <= everyone[start:, None])[None, None]

    def _run_layers(
        self,
        ids: Tensor,
        start: int,
        mask: Tensor | None,
        weights: DecoderWeights,
        cache: KvCache | None,
        *,
        only_last: bool = False,
    ) -> LastLayer:
        """[B, T] ids at positions ``start`` on, through every layer.

        With ``only_last`` the last layer gives what it gives for the last token, and writes keys
        and values for all: nobody reads the rest of it.
        """
        end = start + ids.shape[1]
        if mask is not None:  # the G heads of one key-value head lie one below the other
            mask = _additive(mask, self.dtype)
            mask = mask.repeat(1, 1, self.config.n_heads // self.config.n_kv_heads, 1)
        times = self._products.of(weights) if self._products and cache is not None else F.linear
        span = _Span(self._cos[start:end, None], self._sin[start:end, None], mask, cache, times)
        hidden = F.embedding(ids, weights.embedding)
        for index, layer in enumerate(weights.layers):
            normed = self._norm(hidden, layer.attention_norm)
            if only_last and index == self.config.n_layers - 1:
                hidden = hidden[:, -1:]
            hidden = hidden + self._attend(index, layer, normed, span, hidden.shape[1])
            normed = self._norm(hidden, layer.mlp_norm)
            gate, up = times(normed, layer.gate_up).chunk(2, dim=-1)
            inner = F.silu(gate) * up  # [B, T, F]
            hidden = hidden + times(inner, layer.down)
        return LastLayer(inner, hidden)

    def _attend(
        self, index: int, layer: LayerWeights, normed: Tensor, span: _Span, n_asking: int
    ) -> Tensor:
        """Grouped-query attention, [B, T, D] → [B, n, D] for all T tokens or the last one."""
        config = self.config
        batch, length, _ = normed.shape
        n_rotated = config.n_heads + config.n_kv_heads
        qkv = span.times(normed, layer.qkv) + layer.qkv_bias
        qkv = qkv.view(batch, length, -1, config.head_dim)
        rotated = _rotate(qkv[:, :, :n_rotated], span.cos, span.sin)  # [B, T, H + K, d]
        keys = rotated[:, :, config.n_heads :].transpose(1, 2)  # [B, K, T, d]
        values = qkv[:, :, n_rotated:].transpose(1, 2)  # [B, K, T, d]
        if span.cache is not None:
            keys, values = span.cache.extend(index, keys, values)  # [1, K, S, d]
        grouped = (batch, n_asking, config.n_kv_heads, -1, config.head_dim)
        query = rotated[:, -n_asking:, : config.n_heads].view(grouped).permute(0, 2, 3, 1, 4)
        query = query.reshape(batch, config.n_kv_heads, -1, config.head_dim)  # [B, K, G·n, d]
        mask = span.mask if n_asking == length else None  # the last token sees all
        mixed = F.scaled_dot_product_attention(query, keys, values, attn_mask=mask)
        mixed = mixed.view(batch, config.n_kv_heads, -1, n_asking, config.head_dim)
        mixed = mixed.permute(0, 3, 1, 2, 4).reshape(batch, n_asking, -1)  # [B, n, H·d]
        return span.times(mixed, layer.out)

    def _norm(self, hidden: Tensor, weight: Tensor) -> Tensor:
        """RMSNorm, in float32 inside whatever the dtype."""
        wide = hidden.float()
        scaled = wide * torch.rsqrt(wide.pow(2).mean(-1, keepdim=True) + self.config.rms_norm_eps)
        return weight * scaled.to(hidden.dtype)


def _additive(mask: Tensor, dtype: torch.dtype) -> Tensor:
    """0 where ``mask`` is true, else -inf; made once, or attention makes it in every layer."""
    return torch.zeros(mask.shape, dtype=dtype, device=mask.device).masked_fill_(~mask, -torch.inf)


def _rotate(heads: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotary embedding of [B, T, n, d]; the two halves of d are the pair's coordinates."""
    first, second = heads.chunk(2, dim=-1)
    cos, sin = cos.to(heads.dtype), sin.to(heads.dtype)
    return torch.cat((first * cos - second * sin, second * cos + first * sin), dim=-1)
