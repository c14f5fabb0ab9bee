"""A model folder → a backbone on its device with its tokenizer, refused early and in one line."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from code2lora_lsp.config import ModelSettings
from code2lora_lsp.errors import DeviceUnavailable
from code2lora_lsp.neural.backbone import Backbone
from code2lora_lsp.neural.decoder import Decoder
from code2lora_lsp.neural.decoder_config import (
    decoder_config,
    is_own_architecture,
    read_config_json,
)
from code2lora_lsp.neural.transformers_decoder import TransformersDecoder
from code2lora_lsp.neural.weights import load_backbone_weights
from code2lora_lsp.runtime.choosing import Confidence
from code2lora_lsp.runtime.confidence import Calibration, load_calibration
from code2lora_lsp.runtime.model_folders import backbone_fingerprint
from code2lora_lsp.text.fim import Order
from code2lora_lsp.text.tokenizer import Tokenizer, fim_order

ReportProgress = Callable[[str, int | None], None]
"""Message and percentage (0 to 100, or ``None``)."""

SMALL_BYTES = 100_000_000
"""Below this a second thread gains nothing alone and costs twofold beside another busy program
(5 M parameters, 2 shared cores: 8.9 ms per token with one thread, 15.5 ms with two)."""


@dataclass(frozen=True)
class LoadedModel:
    """What the engine needs of a model."""

    backbone: Backbone
    tokenizer: Tokenizer
    order: Order
    name: str
    confidence: Confidence = field(default_factory=Calibration)


def load_model(folder: Path, settings: ModelSettings, report: ReportProgress) -> LoadedModel:
    """Read a Hugging Face model folder.

    Raises:
        SetupError: absent, damaged, of the wrong shape, without infilling tokens, or for a
            device this machine lacks. The message names the remedy.
    """
    device, dtype = choose_device(settings)
    report("reading the tokenizer", 0)
    tokenizer = Tokenizer.from_folder(folder)
    tokenizer.fim_tokens()  # refuses before gigabytes are read
    order: Order = "spm" if fim_order(folder) == "spm" else "psm"
    raw = read_config_json(folder)
    confidence = load_calibration(folder, backbone_fingerprint(folder))
    report("reading the weights", 10)
    backbone = _load_backbone(folder, raw, device, dtype)
    if device.type == "cpu":
        torch.set_num_threads(settings.threads or _threads_for(backbone))
    report("warming up", 90)
    return LoadedModel(backbone, tokenizer, order, folder.name, confidence)


def choose_device(settings: ModelSettings) -> tuple[torch.device, torch.dtype]:
    """Float32 on the CPU, bfloat16 on CUDA (that path is unmeasured).

    Raises:
        DeviceUnavailable: CUDA was asked for and there is none.
    """
    has_cuda = torch.cuda.is_available()
    if settings.device == "cuda" and not has_cuda:
        raise DeviceUnavailable(
            "model.device is 'cuda', but torch finds no CUDA device; use 'auto' or 'cpu'"
        )
    if has_cuda and settings.device != "cpu":
        return torch.device("cuda"), torch.bfloat16
    return torch.device("cpu"), torch.float32


def _threads_for(backbone: Backbone) -> int:
    """One for a small model, else two: decoding waits for memory, not for arithmetic."""
    return 1 if backbone.memory_bytes < SMALL_BYTES else min(2, torch.get_num_threads())


def _load_backbone(
    folder: Path, raw: dict[str, Any], device: torch.device, dtype: torch.dtype
) -> Backbone:
    if is_own_architecture(raw):
        return Decoder(decoder_config(raw), load_backbone_weights(folder), device, dtype)
    return TransformersDecoder.from_folder(folder, device, dtype)
