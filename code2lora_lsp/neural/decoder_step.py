"""One token through numpy, on the same weights and the same cache as torch's passes.

A pass over one token only multiplies matrices by a vector, and waits for memory. torch's MKL reads
7 GB/s at that, numpy's OpenBLAS 20 to 30 where the weights are stored [in, out]; and a numpy call
costs less Python than a torch call. On one thread a token of the embedded model takes 0.9 ms
behind 100 others and 1.3 behind 900, for 3.0 and 3.4 with torch and weights stored [out, in]; the
best of 200 in turn, on a busy machine. The numbers are torch's but for the order of additions.

Legend as in ``decoder``. float32 on the CPU only.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from code2lora_lsp.neural.decoder_config import DecoderConfig
from code2lora_lsp.neural.decoder_weights import DecoderWeights, LayerWeights
from code2lora_lsp.neural.kv_cache import KvCache

Array = NDArray[np.float32]


@dataclass(frozen=True)
class _LayerArrays:
    """The memory of a ``LayerWeights``; matrices are [in, out] here."""

    qkv: Array
    qkv_bias: Array
    out: Array
    gate_up: Array
    down: Array
    attention_norm: Array
    mlp_norm: Array

    @classmethod
    def of(cls, layer: LayerWeights) -> "_LayerArrays":
        return cls(
            layer.qkv.t().numpy(), layer.qkv_bias.numpy(), layer.out.t().numpy(),
            layer.gate_up.t().numpy(), layer.down.t().numpy(),
            layer.attention_norm.numpy(), layer.mlp_norm.numpy(),
        )  # fmt: skip


class _Arrays:
    """The memory of a ``DecoderWeights``, so it changes as that does."""

    def __init__(self, weights: DecoderWeights) -> None:
        self.layers = tuple(_LayerArrays.of(layer) for layer in weights.layers)
        self.embedding: Array = weights.embedding.numpy()  # [V, D]
        self.head: Array = weights.head.t().numpy()  # [D, V]
        self.final_norm: Array = weights.final_norm.numpy()
        self.weights = weights  # alive as long as its memory


class DecodeStep:
    """Runs one token at a time; what it works in is allocated once. Owner: the engine's thread."""

    def __init__(self, config: DecoderConfig, cos: Tensor, sin: Tensor) -> None:
        """``cos`` and ``sin`` are [P, d / 2], as ``DecoderConfig.rotations`` has them."""
        self._config = config
        self._cos = cos.numpy()[:, None, None]  # [P, 1, 1, d / 2]
        self._sin = np.stack([-sin.numpy(), sin.numpy()], axis=1)[:, None]  # [P, 1, 2, d / 2]
        self._softmax_scale = np.float32(config.head_dim**-0.5)
        n_rotated = config.n_heads + config.n_kv_heads
        self._normed = np.empty(config.width, np.float32)
        self._added = np.empty(config.width, np.float32)
        self._qkv = np.empty(config.query_width + 2 * config.kv_width, np.float32)
        halves = (n_rotated, 2, config.head_dim // 2)
        self._rotated = np.empty(halves, np.float32)
        self._swapped = np.empty(halves, np.float32)
        self._by_key = np.empty(config.n_heads * config.max_positions, np.float32)
        self._by_head = np.empty_like(self._by_key)
        groups = config.n_heads // config.n_kv_heads
        self._mixed = np.empty((config.n_kv_heads, groups, config.head_dim), np.float32)
        self._gate_up = np.empty(2 * config.intermediate_width, np.float32)
        self._exp = np.empty(config.intermediate_width, np.float32)
        self._known: dict[int, _Arrays] = {}

    most_tokens = 1
    """Of one ``run``: from two on torch's one pass is quicker."""

    def run(self, token_ids: Sequence[int], cache: KvCache, weights: DecoderWeights) -> Tensor:
        """Compute one token after the other.

        Args:
            token_ids: 1 to ``most_tokens`` of them.
            cache: of float32; their keys and values are written behind its tokens, which it is
                for the caller to add to.
            weights: one of the decoder's two; their memory is looked up once.

        Returns:
            logits after the last token, [V] float32, in memory of their own.
        """
        (token_id,) = token_ids
        arrays = self._arrays_of(weights)
        position, all_keys, all_values = len(cache.tokens), cache.keys.numpy(), cache.values.numpy()
        hidden = arrays.embedding[token_id].copy()  # [D]
        with np.errstate(over="ignore"):  # silu far below zero: exp overflows, the quotient is 0
            for index, layer in enumerate(arrays.layers):
                self._norm(hidden, layer.attention_norm)
                hidden += self._attend(position, all_keys[index], all_values[index], layer)
                self._norm(hidden, layer.mlp_norm)
                hidden += self._feed_forward(layer)
        return self._logits_of(hidden, arrays)

    def logits(self, output: Tensor, weights: DecoderWeights) -> Tensor:
        """Logits after one token, [V] float32, from the last layer's output for it, [D]."""
        return self._logits_of(output.numpy(), self._arrays_of(weights))

    def _logits_of(self, hidden: Array, arrays: _Arrays) -> Tensor:
        self._norm(hidden, arrays.final_norm)
        return torch.from_numpy(np.dot(self._normed, arrays.head))

    def _arrays_of(self, weights: DecoderWeights) -> _Arrays:
        known = self._known.get(id(weights))
        if known is None:
            known = self._known[id(weights)] = _Arrays(weights)
        return known

    def _norm(self, hidden: Array, weight: Array) -> None:
        """RMSNorm into ``_normed``."""
        mean_square = float(np.dot(hidden, hidden)) / len(hidden)
        np.multiply(hidden, weight, out=self._normed)
        np.multiply(
            self._normed, (mean_square + self._config.rms_norm_eps) ** -0.5, out=self._normed
        )

    def _attend(self, position: int, keys: Array, values: Array, layer: _LayerArrays) -> Array:
        """``_normed`` → [D]. ``keys`` and ``values`` are one layer's, [K, capacity, d]."""
        config, seen = self._config, position + 1
        np.dot(self._normed, layer.qkv, out=self._qkv)
        self._qkv += layer.qkv_bias
        self._rotate(position)
        n_query = config.n_heads
        keys[:, position] = self._rotated[n_query:].reshape(config.n_kv_heads, -1)
        values[:, position] = self._qkv[-config.kv_width :].reshape(config.n_kv_heads, -1)
        query = self._rotated[:n_query].reshape(self._mixed.shape)  # [K, G, d]
        query *= self._softmax_scale
        scores = self._scores(query, keys[:, :seen])  # [K, G, S]
        scores -= scores.max(axis=-1, keepdims=True)
        np.exp(scores, out=scores)
        np.matmul(scores, values[:, :seen], out=self._mixed)
        self._mixed /= scores.sum(axis=-1, keepdims=True)
        return np.dot(self._mixed.reshape(-1), layer.out, out=self._added)

    def _scores(self, query: Array, keys: Array) -> Array:
        """Query times keys, [K, G, S]; as [K, S, G] first, the other way takes thrice as long."""
        n_kv_heads, groups, _ = query.shape
        size, seen = query.shape[0] * query.shape[1] * keys.shape[1], keys.shape[1]
        by_key = self._by_key[:size].reshape(n_kv_heads, seen, groups)
        np.matmul(keys, query.transpose(0, 2, 1), out=by_key)
        scores = self._by_head[:size].reshape(n_kv_heads, groups, seen)
        scores[...] = by_key.transpose(0, 2, 1)
        return scores

    def _rotate(self, position: int) -> None:
        """Rotary embedding of all query and key heads, ``_qkv`` → ``_rotated`` [H + K, 2, d/2]."""
        heads = self._qkv[: self._rotated.size].reshape(self._rotated.shape)
        np.multiply(heads, self._cos[position], out=self._rotated)
        np.multiply(heads[:, ::-1], self._sin[position], out=self._swapped)
        self._rotated += self._swapped

    def _feed_forward(self, layer: _LayerArrays) -> Array:
        """``_normed`` → W_down (silu(W_gate n) ⊙ W_up n), [D]."""
        np.dot(self._normed, layer.gate_up, out=self._gate_up)
        gate, up = self._gate_up[: len(self._exp)], self._gate_up[len(self._exp) :]
        np.negative(gate, out=self._exp)
        np.exp(self._exp, out=self._exp)
        self._exp += 1.0
        gate /= self._exp
        gate *= up
        return np.dot(gate, layer.down, out=self._added)
