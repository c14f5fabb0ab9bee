"""The decoder's matrices, fused for few kernel calls, and the second copy adapters merge into.

Legend: D backbone width, Q = heads · head_dim, K = key-value heads · head_dim, F inner width,
V vocabulary, R rank. All matrices are [out, in], as ``torch.nn.Linear`` has them; on the CPU they
lie column by column in memory, for that is how they are read fastest, whatever T is: at T = 1 by
twice with torch and threefold with numpy (``decoder_step``), at T = 64 by a tenth.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from code2lora_lsp.errors import AdapterRejected, ModelMismatch
from code2lora_lsp.neural.decoder_config import DecoderConfig
from code2lora_lsp.neural.lora import LoraAdapter, LoraPair, Projection

HALF_MERGED = "half-merged"
"""Adapter id of a buffer whose merge did not finish; no adapter's id, so no cache matches it."""


_FIELD = {
    "q_proj": "qkv", "k_proj": "qkv", "v_proj": "qkv", "o_proj": "out",
    "gate_proj": "gate_up", "up_proj": "gate_up", "down_proj": "down",
}  # fmt: skip
"""Adaptable projection → field of the matrix that it is part of."""


@dataclass(frozen=True)
class LayerWeights:
    """One decoder layer.

    Attributes:
        qkv: [Q + 2K, D], rows in the order query, key, value.
        qkv_bias: [Q + 2K].
        out: [D, Q].
        gate_up: [2F, D], gate above up.
        down: [D, F].
        attention_norm: [D].
        mlp_norm: [D].
    """

    qkv: Tensor
    qkv_bias: Tensor
    out: Tensor
    gate_up: Tensor
    down: Tensor
    attention_norm: Tensor
    mlp_norm: Tensor

    @property
    def matrices(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        return self.qkv, self.out, self.gate_up, self.down

    def second_buffer(self) -> "LayerWeights":
        """The same layer with its four matrices in memory of their own; the rest is shared."""
        qkv, out, gate_up, down = (torch.empty_like(matrix) for matrix in self.matrices)
        return LayerWeights(
            qkv, self.qkv_bias, out, gate_up, down, self.attention_norm, self.mlp_norm
        )


@dataclass
class DecoderWeights:
    """Everything one forward pass reads.

    Attributes:
        layers: one entry per layer.
        embedding: [V, D].
        head: [V, D]; the embedding itself when the model ties them.
        final_norm: [D].
        adapter_id: the adapter merged into ``layers``; ``None`` is the pristine backbone.
        adapted: layer and field of the matrices that it changed; the others are pristine numbers.
    """

    layers: tuple[LayerWeights, ...]
    embedding: Tensor
    head: Tensor
    final_norm: Tensor
    adapter_id: str | None = None
    adapted: frozenset[tuple[int, str]] = frozenset()

    def adapted_in(self, layer: int) -> frozenset[str]:
        """Fields of one layer's adapted matrices."""
        return frozenset(field for index, field in self.adapted if index == layer)

    def second_buffer(self) -> "DecoderWeights":
        """Room for a merged copy; nothing of ``self`` will be written through it."""
        layers = tuple(layer.second_buffer() for layer in self.layers)
        return DecoderWeights(layers, self.embedding, self.head, self.final_norm, HALF_MERGED)

    def tensors(self) -> list[Tensor]:
        """Every distinct tensor."""
        found = {id(t): t for t in (self.embedding, self.head, self.final_norm)}
        for layer in self.layers:
            rest = (layer.qkv_bias, layer.attention_norm, layer.mlp_norm)
            found |= {id(t): t for t in (*layer.matrices, *rest)}
        return list(found.values())


def fuse(
    config: DecoderConfig, weights: Mapping[str, Tensor], device: torch.device, dtype: torch.dtype
) -> DecoderWeights:
    """Our layout from a Hugging Face state dict. The argument is only read.

    Raises:
        ModelMismatch: a tensor is absent or has another shape than ``config`` says.
    """
    source = _Checked(weights, device, dtype)
    embedding = source.take("model.embed_tokens.weight", config.vocabulary_size, config.width)
    if config.tied_embeddings:
        embedding = head = _laid_out(embedding)
    else:
        head = _laid_out(source.take("lm_head.weight", config.vocabulary_size, config.width))
    layers = tuple(_fuse_layer(config, source, index) for index in range(config.n_layers))
    return DecoderWeights(layers, embedding, head, source.take("model.norm.weight", config.width))


def _laid_out(matrix: Tensor) -> Tensor:
    """The same [out, in] matrix, on the CPU with its columns contiguous."""
    return matrix.t().contiguous().t() if matrix.device.type == "cpu" else matrix


def _fuse_layer(config: DecoderConfig, source: "_Checked", index: int) -> LayerWeights:
    base, width, inner = f"model.layers.{index}", config.width, config.intermediate_width
    heads = {"q": config.query_width, "k": config.kv_width, "v": config.kv_width}
    attention = f"{base}.self_attn"
    qkv = [source.take(f"{attention}.{n}_proj.weight", rows, width) for n, rows in heads.items()]
    bias = [source.take(f"{attention}.{n}_proj.bias", rows) for n, rows in heads.items()]
    gate_up = [source.take(f"{base}.mlp.{n}_proj.weight", inner, width) for n in ("gate", "up")]
    return LayerWeights(
        qkv=_laid_out(torch.cat(qkv)),
        qkv_bias=torch.cat(bias),
        out=_laid_out(source.take(f"{attention}.o_proj.weight", width, config.query_width)),
        gate_up=_laid_out(torch.cat(gate_up)),
        down=_laid_out(source.take(f"{base}.mlp.down_proj.weight", width, inner)),
        attention_norm=source.take(f"{base}.input_layernorm.weight", width),
        mlp_norm=source.take(f"{base}.post_attention_layernorm.weight", width),
    )


class _Checked:
    """Reads tensors by name, checks their shape once, brings them to the device."""

    def __init__(
        self, weights: Mapping[str, Tensor], device: torch.device, dtype: torch.dtype
    ) -> None:
        self._weights, self._device, self._dtype = weights, device, dtype

    def take(self, name: str, *shape: int) -> Tensor:
        tensor = self._weights.get(name)
        if tensor is None:
            raise ModelMismatch(f"the backbone's weights lack {name}")
        if tuple(tensor.shape) != shape:
            raise ModelMismatch(
                f"{name} is {list(tensor.shape)}, but config.json asks for {list(shape)}"
            )
        return tensor.detach().to(device=self._device, dtype=self._dtype).contiguous()


def projection_views(config: DecoderConfig, weights: DecoderWeights) -> dict[Projection, Tensor]:
    """Every adaptable projection → its rows inside the fused matrices ([out, in] views)."""
    views: dict[Projection, Tensor] = {}
    for index, layer in enumerate(weights.layers):
        query, key, value = layer.qkv.split([config.query_width, config.kv_width, config.kv_width])
        gate, up = layer.gate_up.chunk(2)
        named = {
            "q_proj": query, "k_proj": key, "v_proj": value, "o_proj": layer.out,
            "gate_proj": gate, "up_proj": up, "down_proj": layer.down,
        }  # fmt: skip
        views |= {Projection(index, name): view for name, view in named.items()}
    return views


def adapted_matrices(adapter: LoraAdapter) -> frozenset[tuple[int, str]]:
    """Layer and field of the fused matrices that ``adapter`` has pairs for."""
    return frozenset((where.layer, _FIELD[where.name]) for where in adapter.pairs)


def check_fits(views: Mapping[Projection, Tensor], adapter: LoraAdapter) -> None:
    """Whether every pair has a projection of its shape here.

    Raises:
        AdapterRejected: it names a projection this backbone lacks, or one of another shape.
    """
    for projection, pair in adapter.pairs.items():
        view = views.get(projection)
        if view is None:
            raise AdapterRejected(f"{projection.module_path} is not part of this backbone")
        if (pair.b.shape[0], pair.a.shape[1]) != tuple(view.shape):
            raise AdapterRejected(
                f"{projection.module_path} is {list(view.shape)} here, but the adapter's update "
                f"is {[pair.b.shape[0], pair.a.shape[1]]}"
            )


def merge_into(target: Tensor, pristine: Tensor, pair: LoraPair | None, scale: float) -> None:
    """Write W_0 + scale · B A into ``target``, computed in float32; ``pristine`` is only read."""
    if pair is None:
        target.copy_(pristine)
        return
    a = pair.a.to(pristine.device, torch.float32)
    b = pair.b.to(pristine.device, torch.float32)
    if pristine.dtype == torch.float32:
        torch.addmm(pristine, b, a, alpha=scale, out=target)
    else:  # one rounding at the end, not one per step
        target.copy_(torch.addmm(pristine.float(), b, a, alpha=scale))
