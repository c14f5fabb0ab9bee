"""Where the weights are that the settings name, and whether they are whole."""

import hashlib
import json
from pathlib import Path

from code2lora_lsp.config import Settings, models_root
from code2lora_lsp.errors import ModelMismatch, ModelMissing
from code2lora_lsp.neural.code2lora.checkpoint import file_sha256

EVO_SUFFIX = "-evo"
"""The checkpoint that ships with the embedded model ``nano`` is the folder ``nano-evo``."""


def backbone_folder(settings: Settings) -> Path:
    """Folder of the backbone a setting names.

    Raises:
        ModelMissing: it is neither an embedded model nor a folder.
    """
    name = settings.model.backbone
    embedded = models_root() / name
    if "/" not in name and (embedded / "config.json").is_file():
        return embedded
    folder = Path(name).expanduser()
    if not (folder / "config.json").is_file():
        known = sorted(p.parent.name for p in models_root().glob("*/config.json"))
        raise ModelMissing(
            f"model.backbone {name!r} is neither a model folder nor one of: "
            f"{', '.join(known) or 'none embedded here'}"
        )
    return folder


def checkpoint_folder(settings: Settings) -> Path | None:
    """Folder of the Code2LoRA checkpoint; ``None`` when adapters are off or none ships."""
    name = settings.model.checkpoint
    if name == "off" or not settings.follow.enabled:
        return None
    if name != "auto":
        return Path(name).expanduser()
    backbone = backbone_folder(settings)
    beside = backbone.with_name(backbone.name + EVO_SUFFIX)
    return beside if (beside / "manifest.json").is_file() else None


def verify_backbone(folder: Path) -> str:
    """Compare an embedded model's files with its manifest's hashes; a sentence on what was seen.

    Raises:
        ModelMissing: the weights or their tokenizer are absent.
        ModelMismatch: a file differs from its hash, or the manifest is damaged.
    """
    manifest = folder / "manifest.json"
    if not manifest.is_file():
        weights = sorted(folder.glob("*.safetensors"))
        if not weights:
            raise ModelMissing(f"{folder} holds no safetensors weights")
        size = sum(path.stat().st_size for path in weights)
        return f"{size / 2**20:.0f} MiB of weights, no manifest to verify them against"
    try:
        hashes = dict(json.loads(manifest.read_text(encoding="utf-8"))["sha256"])
    except (ValueError, KeyError, TypeError) as error:
        raise ModelMismatch(
            f"{manifest} holds no hashes ({error!r}); install the package or copy the model again"
        ) from error
    for name, wanted in hashes.items():
        if not (folder / name).is_file():
            raise ModelMissing(f"{folder} lacks {name}; install the package again")
        if file_sha256(folder / name) != wanted:
            raise ModelMismatch(f"{folder / name} differs from its hash; install the package again")
    return f"{len(hashes)} files match their hashes"


def backbone_fingerprint(folder: Path) -> str:
    """12 hex digits that change with the weights: their manifest's, else of size and config."""
    manifest = folder / "manifest.json"
    if manifest.is_file():
        return hashlib.sha256(manifest.read_bytes()).hexdigest()[:12]
    digest = hashlib.sha256((folder / "config.json").read_bytes())
    for path in sorted(folder.glob("*.safetensors")):
        digest.update(f"{path.name}{path.stat().st_size}".encode())
        with path.open("rb") as file:
            digest.update(file.read(1 << 20))
    return digest.hexdigest()[:12]
