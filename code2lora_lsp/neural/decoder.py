"""The frozen decoder with its KV cache: Qwen2 family, the same numbers as transformers.

Legend: B batch, T new tokens, S tokens attended to, L layers, D width, H heads, K key-value
heads, G = H / K heads sharing one key-value head, d head_dim, F inner width, V vocabulary.
One layer computes, with RMSNorm n(·):

    x ← x + W_o · attention(RoPE(W_q n(x) + b_q), RoPE(W_k n(x) + b_k), W_v n(x) + b_v)
    x ← x + W_down (silu(W_gate n(x)) ⊙ W_up n(x))

float32 on the CPU. bfloat16 on CUDA exists as a path and is unmeasured.
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from code2lora_lsp.errors import ModelMismatch, ShapeMismatch
from code2lora_lsp.neural.backbone import CHUNK_TOKENS
from code2lora_lsp.neural.decoder_config import DecoderConfig
from code2lora_lsp.neural.decoder_layers import DecoderLayers, Span
from code2lora_lsp.neural.decoder_weights import (
    HALF_MERGED,
    DecoderWeights,
    adapted_matrices,
    check_fits,
    fuse,
    merge_into,
    projection_views,
)
from code2lora_lsp.neural.few_tokens import TORCH, Step, known_steps
from code2lora_lsp.neural.fixed_passes import FixedPasses, Record
from code2lora_lsp.neural.int8_products import Int8Products, can_multiply_int8
from code2lora_lsp.neural.int8_rows import find_int8
from code2lora_lsp.neural.kv_cache import KvCache, Seat
from code2lora_lsp.neural.ledger.site import LastLayer, LedgerSite
from code2lora_lsp.neural.lora import LoraAdapter, Projection, leaves_cache_alone


class Decoder:
    """A frozen Qwen2-family decoder; satisfies ``backbone.Backbone``.

    Threads: ``prefill``, ``decode_one``, ``decode_ahead``, ``merged`` and ``capture`` belong to the
    engine's thread. ``hidden_states``, ``last_layer`` and ``logits`` only read the pristine weights
    and may run on any thread.

    Attributes:
        steps_through: one of ``step_ways``.
        chunk_tokens, ahead_tokens: see ``backbone.Backbone``.
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
        self._layers = DecoderLayers(config, dtype)
        self._cos, self._sin = config.rotations(self.device)
        is_plain = self.device.type == "cpu" and dtype == torch.float32
        self._int8 = find_int8(self.pristine) if is_plain else None
        self._products: Int8Products | None = None
        steps = known_steps(config, self._int8, self._cos, self._sin) if is_plain else {}
        self._steps: dict[str, Step] = steps
        self.steps_through = next(iter(self._steps), TORCH)
        self.chunk_tokens = CHUNK_TOKENS
        self.ahead_tokens = 0
        self._passes: FixedPasses | None = None
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
        int8 = self._int8 if wanted and can_multiply_int8() else None
        self._products = None if int8 is None else Int8Products(int8)

    @property
    def memory_bytes(self) -> int:
        second = self._second.tensors() if self._second else []
        tensors = {id(t): t for t in (*self.pristine.tensors(), *second)}
        as_bytes = (self._int8 is not None) + (self._products is not None)  # one copy each
        n_int8 = as_bytes * self._int8.n_bytes if self._int8 else 0
        return n_int8 + sum(t.numel() * t.element_size() for t in tensors.values())

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
        if self._passes is not None:
            self._passes.record(self._second)
        return self._second

    @torch.inference_mode()
    def capture(self, capacity: int, record: Record) -> bool:
        """Record passes of few tokens (``fixed_passes``), for caches of up to ``capacity`` tokens.

        The second buffer's are recorded when it is first made. Whether it worked; where it did
        not, tokens are decoded as before.
        """
        seat = Seat(self.config, capacity, self.device, self.dtype)
        passes = FixedPasses(self._layers, self._cos, self._sin, seat, record)
        if not passes.record(self.pristine):
            return False
        if self._second is not None:
            passes.record(self._second)
        self._passes = passes
        return True

    @torch.inference_mode()
    def prefill(
        self, token_ids: Sequence[int], cache: KvCache, weights: DecoderWeights | None = None
    ) -> Tensor:
        """Append ``token_ids`` to the cache in one pass; logits after the last, [V] float32.

        Raises:
            ShapeMismatch: no tokens, or more than the cache has room for.
        """
        weights = self._checked(len(token_ids), cache, weights)
        step = self._steps.get(self.steps_through)
        if step is not None and len(token_ids) <= step.most_tokens:
            logits = step.run(token_ids, cache, weights)
        elif len(token_ids) == 1:
            logits = self._few(token_ids, cache, weights)[0]
        else:
            output = self._read(token_ids, cache, weights, only_last=True)[0]  # [D]
            logits = step.logits(output, weights) if step is not None else self.logits(output)
        cache.tokens.extend(token_ids)
        return logits

    def decode_one(
        self, token_id: int, cache: KvCache, weights: DecoderWeights | None = None
    ) -> Tensor:
        return self.prefill((token_id,), cache, weights)

    @torch.inference_mode()
    def decode_ahead(
        self, token_ids: Sequence[int], cache: KvCache, weights: DecoderWeights | None = None
    ) -> Tensor:
        """See ``backbone.Backbone``; raises what ``prefill`` raises."""
        weights = self._checked(len(token_ids), cache, weights)
        logits = self._few(token_ids, cache, weights)
        cache.tokens.extend(token_ids)
        return logits

    def logits(self, output: Tensor) -> Tensor:
        """[..., D], as ``LastLayer.output`` or in float32 → [..., V] float32."""
        return self._layers.logits(output, self.pristine)

    def _checked(
        self, n_tokens: int, cache: KvCache, weights: DecoderWeights | None
    ) -> DecoderWeights:
        weights = weights or self.pristine
        start, end = len(cache.tokens), len(cache.tokens) + n_tokens
        if start == end or end > cache.capacity:
            raise ShapeMismatch(f"tokens {start} to {end} of a cache for {cache.capacity}")
        if cache.adapter_id != weights.adapter_id:
            raise AssertionError(
                f"a cache of adapter {cache.adapter_id} met weights of {weights.adapter_id}"
            )
        return weights

    def _few(self, token_ids: Sequence[int], cache: KvCache, weights: DecoderWeights) -> Tensor:
        """Logits after each token, [T, V] float32; by replaying where that was recorded."""
        logits = self._passes.run(token_ids, cache, weights) if self._passes else None
        return self.logits(self._read(token_ids, cache, weights)) if logits is None else logits

    def _read(
        self,
        token_ids: Sequence[int],
        cache: KvCache,
        weights: DecoderWeights,
        *,
        only_last: bool = False,
    ) -> Tensor:
        """What the last layer makes of tokens behind those the cache holds, [T, D] or [1, D]."""
        start, end = len(cache.tokens), len(cache.tokens) + len(token_ids)
        ids = torch.tensor([list(token_ids)], device=self.device)  # [1, T]
        mask = None if len(token_ids) == 1 else self._causal_mask(start, end)
        span = self._span(start, end, mask, cache)
        if self._products is not None:
            span = span._replace(times=self._products.of(weights))
        return self._layers.run(ids, span, weights, only_last=only_last).output[0]

    def _span(self, start: int, end: int, mask: Tensor | None, cache: KvCache | None) -> Span:
        return Span(self._cos[start:end, None], self._sin[start:end, None], mask, cache)

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
        span = self._span(0, length, mask, None)
        hidden = self._layers.run(token_ids.to(self.device), span, self.pristine).output
        return self._layers.norm(hidden, self.pristine.final_norm)

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
        length = token_ids.shape[1]
        span = self._span(0, length, self._causal_mask(0, length), None)  # mask: [1, 1, T, T]
        return self._layers.run(token_ids.to(self.device), span, self.pristine)

    def _causal_mask(self, start: int, end: int) -> Tensor:
        """[1, 1, T, S] bool: token start + i sees tokens 0 … start + i."""
        everyone = torch.arange(end, device=self.device)
        return (everyone[None, :] <= everyone[start:, None])[None, None]
