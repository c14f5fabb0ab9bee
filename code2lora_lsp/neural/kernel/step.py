"""One token through the compiled kernel: the arithmetic of ``decoder_step``, on int8 weights.

It is offered where every matrix of the backbone is int8 with one scale per row to begin with, as
the embedded models are stored: the weights are then the very same numbers. What an adapter changed
is read as float32. One thread, and the interpreter lock is free meanwhile.

Legend as in ``decoder``. On the CPU only.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from code2lora_lsp.neural.decoder_config import DecoderConfig
from code2lora_lsp.neural.decoder_weights import DecoderWeights, LayerWeights
from code2lora_lsp.neural.int8_rows import Int8Layer, Int8Rows, Int8Weights
from code2lora_lsp.neural.kernel.library import Layer, Matrix, Model, kernel_library
from code2lora_lsp.neural.kv_cache import KvCache

ROWS_AT_ONCE = 4
"""The kernel has no rest of rows."""


@dataclass(frozen=True)
class _Bound:
    """Structures for one adapter, and what keeps the memory they point into alive."""

    model: Model
    layers: Any  # ctypes array of Layer
    weights: DecoderWeights
    adapter_id: str | None


class KernelStep:
    """Runs one token at a time. Owner: the engine's thread."""

    most_tokens = 10
    """Of one ``run``: from more on torch's one pass on bytes is quicker (0.2 ms each, 2.2 ms)."""

    def __init__(self, config: DecoderConfig, int8: Int8Weights, cos: Tensor, sin: Tensor) -> None:
        """``cos`` and ``sin`` are [P, d / 2], as ``DecoderConfig.rotations`` has them.

        Raises:
            ValueError: ``why_not`` gives a reason.
        """
        reason = why_not(config)
        library = kernel_library()
        if reason or library is None:
            raise ValueError(reason)
        self._run = library.code2lora_decode_step
        self._logits = library.code2lora_logits
        self._config, self._int8 = config, int8
        self._cos, self._sin = cos.contiguous(), sin.contiguous()
        width, inner = config.width, config.intermediate_width
        sizes = {
            "hidden": width, "normed": width, "added": width,
            "qkv_row": config.query_width + 2 * config.kv_width, "mixed": config.query_width,
            "gate_up_row": 2 * inner, "scores": config.max_positions,
        }  # fmt: skip
        self._room = {name: np.zeros(size, np.float32) for name, size in sizes.items()}
        self._rounded = np.zeros(max(width, inner, config.query_width), np.int16)
        self._bound: dict[int, _Bound] = {}

    def run(self, token_ids: Sequence[int], cache: KvCache, weights: DecoderWeights) -> Tensor:
        """See ``DecodeStep.run``.

        Raises:
            AssertionError: the cache lies in a seat, whose keys are not in one piece.
        """
        keys, values = cache.keys, cache.values
        if not (keys.is_contiguous() and values.is_contiguous()):
            raise AssertionError("the kernel reads keys and values in one piece")
        model = self._model_of(weights)
        model.capacity = keys.shape[2]
        logits = torch.empty(self._config.vocabulary_size)
        last = len(cache.tokens) + len(token_ids) - 1
        for place, token_id in enumerate(token_ids, start=len(cache.tokens)):
            self._room["hidden"][:] = self._embedding(token_id, weights)
            cos, sin = self._cos[place], self._sin[place]
            self._run(
                model, place, keys.data_ptr(), values.data_ptr(), cos.data_ptr(), sin.data_ptr(),
                logits.data_ptr() if place == last else None,
            )  # fmt: skip
        return logits

    def logits(self, output: Tensor, weights: DecoderWeights) -> Tensor:
        """See ``DecodeStep.logits``."""
        self._room["hidden"][:] = output.numpy()
        logits = torch.empty(self._config.vocabulary_size)
        self._logits(self._model_of(weights), logits.data_ptr())
        return logits

    def _embedding(self, token_id: int, weights: DecoderWeights) -> Any:
        if weights.embedding is not weights.head:
            return weights.embedding[token_id].numpy()
        head = self._int8.head  # the same numbers, in one piece
        return head.levels[token_id].numpy() * head.scales[token_id].item()

    def _model_of(self, weights: DecoderWeights) -> Model:
        """Structures for what is merged into these weights now."""
        bound = self._bound.get(id(weights))
        if bound is None or bound.adapter_id != weights.adapter_id:
            bound = self._bound[id(weights)] = self._bind(weights)
        return bound.model

    def _bind(self, weights: DecoderWeights) -> _Bound:
        config, n_layers = self._config, self._config.n_layers
        pairs = zip(weights.layers, self._int8.layers, strict=True)
        layers = (Layer * n_layers)(
            *(_layer(*pair, weights.adapted_in(index)) for index, pair in enumerate(pairs))
        )
        model = Model(
            n_layers=n_layers, width=config.width, n_heads=config.n_heads,
            n_kv_heads=config.n_kv_heads, head_dim=config.head_dim,
            inner_width=config.intermediate_width, norm_epsilon=config.rms_norm_eps,
            softmax_scale=config.head_dim**-0.5, layers=layers, head=_levels(self._int8.head),
            final_norm=weights.final_norm.data_ptr(), rounded=self._rounded.ctypes.data,
            **{name: room.ctypes.data for name, room in self._room.items()},
        )  # fmt: skip
        return _Bound(model, layers, weights, weights.adapter_id)


def why_not(config: DecoderConfig) -> str | None:
    """Why there is no kernel for a backbone of this shape here; ``None`` if there is one."""
    if kernel_library() is None:
        return "the kernel was not built, or not for this processor"
    rows = (
        config.query_width + 2 * config.kv_width, config.width, 2 * config.intermediate_width,
        config.vocabulary_size,
    )  # fmt: skip
    if any(number % ROWS_AT_ONCE for number in rows):
        return f"matrices of {rows} rows; the kernel takes {ROWS_AT_ONCE} at once"
    return None


def _layer(layer: LayerWeights, int8: Int8Layer, adapted: frozenset[str]) -> Layer:
    matrices = {
        name: _columns(getattr(layer, name)) if name in adapted else _levels(getattr(int8, name))
        for name in ("qkv", "out", "gate_up", "down")
    }
    vectors = {
        name: getattr(layer, name).data_ptr() for name in ("qkv_bias", "attention_norm", "mlp_norm")
    }
    return Layer(**matrices, **vectors)


def _levels(matrix: Int8Rows) -> Matrix:
    rows, columns = matrix.levels.shape
    pointers = {"levels": matrix.levels.data_ptr(), "row_scales": matrix.scales.data_ptr()}
    return Matrix(rows=rows, columns=columns, **pointers)


def _columns(matrix: Tensor) -> Matrix:
    """[out, in], its columns in one piece each."""
    rows, columns = matrix.shape
    if matrix.stride() != (1, rows):
        raise AssertionError(f"a matrix with strides {matrix.stride()} is not laid out by columns")
    return Matrix(rows=rows, columns=columns, columns_of=matrix.data_ptr())
