"""What a Qwen2-family ``config.json`` says, read by us so that serving needs no transformers."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from code2lora_lsp.errors import ModelMismatch, ModelMissing


@dataclass(frozen=True)
class DecoderConfig:
    """Sizes and constants of one decoder.

    Attributes:
        intermediate_width: F, width inside the SwiGLU block.
        rope_factor: positions are divided by this ("linear" scaling); 1.0 is plain RoPE.
        max_positions: most tokens a cache may hold.
    """

    vocabulary_size: int
    width: int
    intermediate_width: int
    n_layers: int
    n_heads: int
    n_kv_heads: int
    head_dim: int
    max_positions: int
    rms_norm_eps: float = 1e-6
    rope_theta: float = 10_000.0
    rope_factor: float = 1.0
    tied_embeddings: bool = False

    @property
    def query_width(self) -> int:
        return self.n_heads * self.head_dim

    @property
    def kv_width(self) -> int:
        return self.n_kv_heads * self.head_dim

    def rotations(self, device: torch.device) -> tuple[Tensor, Tensor]:
        """Cosine and sine of all positions' angles, [max_positions, head_dim / 2] float32 each."""
        steps = torch.arange(0, self.head_dim, 2, dtype=torch.int64).float()
        frequencies = 1.0 / (self.rope_theta ** (steps / self.head_dim)) / self.rope_factor
        angles = torch.outer(torch.arange(self.max_positions).float(), frequencies)
        return angles.cos().to(device), angles.sin().to(device)


def read_config_json(folder: Path) -> dict[str, Any]:
    """The parsed ``config.json`` of a model folder.

    Raises:
        ModelMissing: there is none.
        ModelMismatch: it is not a JSON object.
    """
    path = folder / "config.json"
    if not path.is_file():
        raise ModelMissing(f"{folder} holds no config.json; is it a Hugging Face model folder?")
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ModelMismatch(f"{path} is not JSON: {error}") from error
    if not isinstance(raw, dict):
        raise ModelMismatch(f"{path} holds {type(raw).__name__}, not an object")
    return raw


def is_own_architecture(raw: Mapping[str, Any]) -> bool:
    """Whether our decoder runs this model; every other one goes to the slower fallback."""
    return raw.get("model_type") == "qwen2" and not raw.get("use_sliding_window")


def decoder_config(raw: Mapping[str, Any]) -> DecoderConfig:
    """The sizes of a Qwen2 model.

    Raises:
        ModelMismatch: another architecture, a value is absent, or a kind of rotary scaling,
            activation or attention this decoder does not compute.
    """
    if not is_own_architecture(raw):
        raise ModelMismatch(f"model_type {raw.get('model_type')!r} is not one of ours (qwen2)")
    if raw.get("hidden_act", "silu") != "silu":
        raise ModelMismatch(f"hidden_act {raw['hidden_act']!r}: only 'silu' is computed here")
    theta, factor = _rope(raw)
    try:
        config = DecoderConfig(
            vocabulary_size=int(raw["vocab_size"]),
            width=int(raw["hidden_size"]),
            intermediate_width=int(raw["intermediate_size"]),
            n_layers=int(raw["num_hidden_layers"]),
            n_heads=int(raw["num_attention_heads"]),
            n_kv_heads=int(raw.get("num_key_value_heads") or raw["num_attention_heads"]),
            head_dim=int(
                raw.get("head_dim") or raw["hidden_size"] // max(raw["num_attention_heads"], 1)
            ),
            max_positions=int(raw.get("max_position_embeddings", 32_768)),
            rms_norm_eps=float(raw.get("rms_norm_eps", 1e-6)),
            rope_theta=theta,
            rope_factor=factor,
            tied_embeddings=bool(raw.get("tie_word_embeddings", False)),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise ModelMismatch(f"config.json: {error!r}") from error
    if config.n_kv_heads < 1 or config.n_heads % config.n_kv_heads or config.head_dim % 2:
        raise ModelMismatch(
            f"config.json: {config.n_heads} heads of {config.head_dim} over "
            f"{config.n_kv_heads} key-value heads do not divide"
        )
    return config


def _rope(raw: Mapping[str, Any]) -> tuple[float, float]:
    """Theta and the linear factor, from either spelling: transformers 4 or 5."""
    rope = raw.get("rope_parameters") or raw.get("rope_scaling") or {}
    kind = rope.get("rope_type", rope.get("type", "default"))
    if kind not in {"default", "linear"}:
        raise ModelMismatch(
            f"rotary scaling {kind!r} is not computed here ('default' and 'linear' are)"
        )
    theta = rope.get("rope_theta", raw.get("rope_theta", 10_000.0))
    return float(theta), float(rope["factor"]) if kind == "linear" else 1.0
