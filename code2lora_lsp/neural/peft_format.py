"""Adapters in peft's folder format, which any tool around transformers loads.

A folder holds ``adapter_config.json`` and ``adapter_model.safetensors``. Commit id and exact
scale travel in the safetensors header, where other tools ignore them.
"""

import json
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from code2lora_lsp.errors import ModelMismatch, ModelMissing
from code2lora_lsp.neural.atomic_file import replacing, write_text
from code2lora_lsp.neural.lora import PROJECTION_NAMES, LoraAdapter, LoraPair, Projection

CONFIG_NAME = "adapter_config.json"
WEIGHTS_NAME = "adapter_model.safetensors"

_KEY = re.compile(
    r"base_model\.model\.(?:model\.)?layers\.(\d+)\.(?:self_attn|mlp)\.(\w+)\.lora_([AB])\.weight"
)
_COMMIT_KEY = "code2lora_commit_id"
_SCALE_KEY = "code2lora_scale"

_UNDERSTOOD = frozenset(
    {
        "alpha_pattern", "bias", "init_lora_weights", "lora_alpha", "peft_type", "r",
        "rank_pattern", "use_rslora",
    }
)  # fmt: skip
_WITHOUT_EFFECT = frozenset(
    {
        "auto_mapping", "base_model_name_or_path", "corda_config", "ensure_weight_tying",
        "eva_config", "exclude_modules", "inference_mode", "layers_pattern",
        "layers_to_transform", "loftq_config", "lora_dropout", "lora_ga_config",
        "megatron_core", "peft_version", "qalora_group_size", "revision", "runtime_config",
        "target_modules", "task_type",
    }
)  # fmt: skip
"""Options that no longer matter once the tensors of each module are in the file."""

_HARMLESS_STARTS = (None, True, False, "gaussian", "eva", "orthogonal")
"""Starts of A and B that leave the backbone's own weights as they are."""


def save_peft(adapter: LoraAdapter, folder: Path, base_model_name: str) -> None:
    """Write the adapter as a peft folder; each file is replaced atomically, weights first.

    Pairs shared between layers are copied to each, since the format knows no sharing.

    Raises:
        OSError: the folder cannot be written.
    """
    header = {"format": "pt", _SCALE_KEY: repr(adapter.scale)}
    if adapter.commit_id is not None:
        header[_COMMIT_KEY] = adapter.commit_id
    with replacing(folder / WEIGHTS_NAME) as temporary:
        save_file(_tensors(adapter), temporary, metadata=header)
    write_text(folder / CONFIG_NAME, json.dumps(_config(adapter, base_model_name), indent=2) + "\n")


def load_peft(folder: Path) -> LoraAdapter:
    """Read a peft folder written by us or by peft; tensors become float32 on the CPU.

    Bitwise what ``save_peft`` wrote. Where patterns or rank-stabilised scaling give projections
    scales of their own, the difference to ``lora_alpha / r`` is folded into their B.

    Raises:
        ModelMissing: there is no adapter in safetensors format.
        ModelMismatch: the adapter is not plain LoRA on a decoder's seven projections.
        AdapterRejected: non-finite numbers or absurd norms.
    """
    config = _read_config(folder / CONFIG_NAME)
    _refuse_unsupported(config, folder)
    tensors, header = _read_weights(folder / WEIGHTS_NAME)
    found = _pairs(tensors, folder)
    scales = {p: _scale(config, p, pair, folder) for p, pair in found.items()}
    scale = _adapter_scale(config, scales, header)
    pairs = {p: _rescaled(pair, scales[p] / scale) for p, pair in found.items()}
    return LoraAdapter(pairs, scale, commit_id=header.get(_COMMIT_KEY))


def _tensors(adapter: LoraAdapter) -> dict[str, Tensor]:
    tensors = {}
    for projection, pair in adapter.pairs.items():
        stem = f"base_model.model.{projection.module_path}"
        tensors[f"{stem}.lora_A.weight"] = _own_copy(pair.a)
        tensors[f"{stem}.lora_B.weight"] = _own_copy(pair.b)
    return tensors


def _own_copy(tensor: Tensor) -> Tensor:
    return tensor.detach().float().cpu().contiguous().clone()


def _config(adapter: LoraAdapter, base_model_name: str) -> dict[str, Any]:
    others = {p: pair.rank for p, pair in adapter.pairs.items() if pair.rank != adapter.rank}
    return {
        "peft_type": "LORA",
        "auto_mapping": None,
        "base_model_name_or_path": base_model_name,
        "revision": None,
        "task_type": "CAUSAL_LM",
        "inference_mode": True,
        "r": adapter.rank,
        "lora_alpha": adapter.scale * adapter.rank,
        "lora_dropout": 0.0,
        "target_modules": _target_modules(adapter),
        "fan_in_fan_out": False,
        "bias": "none",
        "modules_to_save": None,
        "init_lora_weights": True,
        "layers_to_transform": None,
        "layers_pattern": None,
        "rank_pattern": {re.escape(p.module_path): rank for p, rank in others.items()},
        "alpha_pattern": {
            re.escape(p.module_path): adapter.scale * rank for p, rank in others.items()
        },
        "use_rslora": False,
        "use_dora": False,
    }


def _target_modules(adapter: LoraAdapter) -> list[str]:
    """Bare names when every layer from 0 has the same projections, else full module paths."""
    names = sorted({projection.name for projection in adapter.pairs})
    layers = {projection.layer for projection in adapter.pairs}
    if layers == set(range(len(layers))) and len(adapter.pairs) == len(layers) * len(names):
        return names
    return [projection.module_path for projection in adapter.pairs]


def _read_config(path: Path) -> dict[str, Any]:
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ModelMissing(f"{path.parent} holds no {CONFIG_NAME}; give a peft folder") from None
    except ValueError as error:
        raise ModelMismatch(f"{path} is not JSON: {error}") from error
    if not isinstance(config, dict) or config.get("peft_type") != "LORA":
        seen = config.get("peft_type") if isinstance(config, dict) else type(config).__name__
        raise ModelMismatch(f"{path}: peft_type {seen!r} is not 'LORA'; only LoRA can be bound")
    return config


def _refuse_unsupported(config: Mapping[str, Any], folder: Path) -> None:
    known = _UNDERSTOOD | _WITHOUT_EFFECT
    refused = [f"{key}={value!r}" for key, value in config.items() if value and key not in known]
    if config.get("bias", "none") != "none":
        refused.append(f"bias={config['bias']!r}")
    if config.get("init_lora_weights") not in _HARMLESS_STARTS:
        refused.append(f"init_lora_weights={config['init_lora_weights']!r}")
    if refused:
        raise ModelMismatch(
            f"{folder}: {', '.join(refused)} is more than plain LoRA; "
            "train or convert the adapter without it"
        )


def _read_weights(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    if not path.is_file():
        raise ModelMissing(
            f"{path.parent} holds no {WEIGHTS_NAME}; save the adapter with safe_serialization=True"
        )
    try:
        with safe_open(path, framework="pt") as file:
            return {key: file.get_tensor(key) for key in file.keys()}, file.metadata() or {}  # noqa: SIM118 - not a mapping
    except SafetensorError as error:
        raise ModelMismatch(f"{path} is damaged: {error}; save the adapter again") from error


def _pairs(tensors: Mapping[str, Tensor], folder: Path) -> dict[Projection, LoraPair]:
    halves: dict[Projection, dict[str, Tensor]] = {}
    for key, tensor in tensors.items():
        match = _KEY.fullmatch(key)
        if match is None or match[2] not in PROJECTION_NAMES or not tensor.is_floating_point():
            raise ModelMismatch(
                f"{folder}: tensor {key} ({tensor.dtype}) is not a LoRA weight of "
                f"{', '.join(PROJECTION_NAMES)}"
            )
        halves.setdefault(Projection(int(match[1]), match[2]), {})[match[3]] = tensor.float()
    alone = [p.module_path for p, half in halves.items() if set(half) != {"A", "B"}]
    if alone:
        raise ModelMismatch(f"{folder}: {alone[0]} has only one of lora_A and lora_B")
    return {p: LoraPair(a=half["A"], b=half["B"]) for p, half in halves.items()}


def _scale(
    config: Mapping[str, Any], projection: Projection, pair: LoraPair, folder: Path
) -> float:
    path = projection.module_path
    rank = _by_pattern(config.get("rank_pattern"), path, config.get("r", 8))
    alpha = _by_pattern(config.get("alpha_pattern"), path, config.get("lora_alpha", 8))
    if rank != pair.rank:
        raise ModelMismatch(f"{folder}: {path} has rank {pair.rank}, the config says {rank:g}")
    return alpha / (math.sqrt(rank) if config.get("use_rslora") else rank)


def _by_pattern(pattern: Mapping[str, float] | None, path: str, default: float) -> float:
    """The value of the first key that matches the end of ``path``, as peft looks it up."""
    for key, value in (pattern or {}).items():
        if re.match(rf"(.*\.)?({key})$", path):
            return value
    return default


def _adapter_scale(
    config: Mapping[str, Any], scales: Mapping[Projection, float], header: Mapping[str, str]
) -> float:
    """The commonest plain scale; exactly ours where the header says it and the config agrees."""
    rank = config.get("r", 8)
    scale = config.get("lora_alpha", 8) / (math.sqrt(rank) if config.get("use_rslora") else rank)
    values = list(scales.values())
    if values and scale not in values:
        scale = max(set(values), key=values.count)
    exact = float(header.get(_SCALE_KEY, "nan"))
    return exact if math.isclose(exact, scale, rel_tol=1e-12) else scale


def _rescaled(pair: LoraPair, ratio: float) -> LoraPair:
    return pair if math.isclose(ratio, 1.0, rel_tol=1e-12) else LoraPair(pair.a, pair.b * ratio)
