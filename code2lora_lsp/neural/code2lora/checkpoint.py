"""Checkpoint folders: trained hypernetwork weights with a manifest that says what they fit.

    model.safetensors    all weights in one file, keys ``gru.<upstream key>`` (Evo only) and
                         ``head.<upstream key>``; float32, float16 or bfloat16, read as float32
    manifest.json        format, kind, recipe, encoder, backbone, configurations, SHA-256

The weights are replaced first and the manifest last, each atomically: a folder caught in between
is refused by its hash, never half used.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, get_args

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from code2lora_lsp.errors import ModelMismatch, ModelMissing
from code2lora_lsp.neural.atomic_file import replacing, write_text
from code2lora_lsp.neural.code2lora.commit_gru import CommitGru, CommitGruConfig
from code2lora_lsp.neural.code2lora.lora_head import LoraHead, LoraHeadConfig
from code2lora_lsp.neural.lora import PROJECTION_NAMES
from code2lora_lsp.recipe import RECIPES, Recipe

FORMAT = "code2lora-checkpoint/1"
WEIGHTS_NAME = "model.safetensors"
MANIFEST_NAME = "manifest.json"
BACKBONE_ENCODER = "backbone"

CheckpointKind = Literal["evo", "static"]


@dataclass(frozen=True)
class BackboneReference:
    """The backbone a checkpoint was trained for.

    Attributes:
        name: hub name or folder name, for messages and peft exports.
        n_layers: L; the head's pairs are shared by all of them.
        fingerprint: the exact weights; ``None`` accepts any backbone whose shapes fit.
    """

    name: str
    n_layers: int
    fingerprint: str | None = None


@dataclass(frozen=True)
class CheckpointManifest:
    """What is written beside the weights.

    Attributes:
        kind: ``evo`` steps a commit gru; ``static`` feeds the snapshot embedding to the head.
        recipe_id: the recipe the weights were trained with; any other is refused.
        encoder: ``backbone``, or the name of the encoder model.
        embedding_width: E of that encoder; diff and snapshot embeddings are 2E wide.
        alpha: LoRA alpha; the adapters' scale is alpha / rank.
        tasks: names of the multi-task ids in order; empty without tasks or when unknown.
        provenance: where the weights come from, for people.
        weights_sha256: of ``model.safetensors``; set by ``save_checkpoint``.
    """

    kind: CheckpointKind
    recipe_id: str
    encoder: str
    embedding_width: int
    backbone: BackboneReference
    alpha: float
    head: LoraHeadConfig
    gru: CommitGruConfig | None = None
    tasks: tuple[str, ...] = ()
    provenance: Mapping[str, Any] = field(default_factory=dict)
    weights_sha256: str = ""

    @property
    def recipe(self) -> Recipe:
        return RECIPES[self.recipe_id]

    @property
    def scale(self) -> float:
        """The factor in front of every BA: alpha / rank."""
        return self.alpha / self.head.rank

    def check_backbone(self, *, n_layers: int, fingerprint: str | None = None) -> None:
        """Refuse a backbone these weights were not trained for.

        Raises:
            ModelMismatch: other number of layers, or other weights than the fingerprint names.
        """
        wanted = self.backbone
        if n_layers != wanted.n_layers:
            raise ModelMismatch(
                f"the checkpoint is for {wanted.name} with {wanted.n_layers} layers, the backbone "
                f"has {n_layers}; choose the checkpoint of this backbone"
            )
        if wanted.fingerprint is not None and fingerprint != wanted.fingerprint:
            raise ModelMismatch(
                f"the checkpoint is for {wanted.name} {wanted.fingerprint}, the backbone is "
                f"{fingerprint}; choose the checkpoint trained on these weights"
            )


@dataclass(frozen=True)
class Code2LoraCheckpoint:
    """Trained modules in eval mode with their manifest. ``gru`` is ``None`` for Static."""

    manifest: CheckpointManifest
    head: LoraHead
    gru: CommitGru | None = None

    @property
    def checkpoint_id(self) -> str:
        """16 hex digits of the weights' SHA-256; empty for one that was never saved."""
        return self.manifest.weights_sha256[:16]


def save_checkpoint(
    folder: Path, checkpoint: Code2LoraCheckpoint, dtype: torch.dtype = torch.float32
) -> CheckpointManifest:
    """Write a checkpoint folder; the manifest returned names the hash of what was written.

    Raises:
        ModelMismatch: manifest and modules contradict each other.
        OSError: the folder cannot be written.
    """
    tensors = {f"head.{k}": v.to(dtype) for k, v in checkpoint.head.state_dict().items()}
    if checkpoint.gru is not None:
        tensors |= {f"gru.{k}": v.to(dtype) for k, v in checkpoint.gru.state_dict().items()}
    return write_checkpoint(folder, checkpoint.manifest, tensors)


def write_checkpoint(
    folder: Path, manifest: CheckpointManifest, tensors: Mapping[str, Tensor]
) -> CheckpointManifest:
    """Write weights that are already in our naming, without building modules from them."""
    check_manifest(manifest, where=str(folder))
    check_shapes(tensors, manifest, where=str(folder))
    with replacing(folder / WEIGHTS_NAME) as temporary:
        save_file({k: v.detach().contiguous() for k, v in tensors.items()}, temporary)
        manifest = replace(manifest, weights_sha256=file_sha256(temporary))
    text = json.dumps({"format": FORMAT, **asdict(manifest)}, indent=2)
    write_text(folder / MANIFEST_NAME, text + "\n")
    return manifest


def load_checkpoint(folder: Path) -> Code2LoraCheckpoint:
    """Read and verify a checkpoint folder. Float32 weights stay mapped from the file.

    Raises:
        ModelMissing: the folder, its manifest or its weights are not there.
        ModelMismatch: other format, unknown recipe, hash or shapes that contradict the manifest.
    """
    manifest = read_manifest(folder)
    path = folder / WEIGHTS_NAME
    if not path.is_file():
        raise ModelMissing(f"{folder} holds no {WEIGHTS_NAME}; copy or import the checkpoint again")
    seen = file_sha256(path)
    if seen != manifest.weights_sha256:
        raise ModelMismatch(
            f"{path} has SHA-256 {seen[:12]}…, its manifest says "
            f"{manifest.weights_sha256[:12]}…; copy or import the checkpoint again"
        )
    try:
        tensors = load_file(path)
    except SafetensorError as error:
        raise ModelMismatch(f"{path} is not a safetensors file: {error}") from error
    check_shapes(tensors, manifest, where=str(path))
    with torch.device("meta"):
        head = LoraHead(manifest.head)
        gru = None if manifest.gru is None else CommitGru(manifest.gru)
    _assign(head, "head.", tensors)
    if gru is not None:
        _assign(gru, "gru.", tensors)
    return Code2LoraCheckpoint(manifest, head, gru)


def read_manifest(folder: Path) -> CheckpointManifest:
    """The verified manifest of a checkpoint folder, without touching the weights.

    Raises:
        ModelMissing: there is none.
        ModelMismatch: it is not one of ours, or contradicts itself.
    """
    path = folder / MANIFEST_NAME
    if not path.is_file():
        raise ModelMissing(
            f"{folder} holds no checkpoint ({MANIFEST_NAME}); "
            "published .pt files come in through `code2lora-lsp import`"
        )
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        seen = content.pop("format", None)
    except (ValueError, AttributeError, TypeError) as error:
        raise ModelMismatch(f"{path} is not a JSON object: {error}") from error
    if seen != FORMAT:
        raise ModelMismatch(f"{path}: format {seen!r} is not {FORMAT!r}; update code2lora-lsp")
    try:
        manifest = _manifest_from(content)
        check_manifest(manifest, where=str(path))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ModelMismatch(f"{path} is damaged: {error}; copy the checkpoint again") from error
    return manifest


def check_manifest(manifest: CheckpointManifest, *, where: str) -> None:
    """Refuse a manifest that contradicts itself or names a recipe we do not know.

    Raises:
        ModelMismatch: with what was seen and what to do.
    """
    if manifest.kind not in get_args(CheckpointKind):
        raise ModelMismatch(f"{where}: kind {manifest.kind!r} is neither 'evo' nor 'static'")
    if manifest.recipe_id not in RECIPES:
        raise ModelMismatch(
            f"{where}: recipe {manifest.recipe_id!r} is unknown here (known: "
            f"{', '.join(RECIPES)}); update code2lora-lsp or train the checkpoint again"
        )
    unknown = set(manifest.head.types) - set(PROJECTION_NAMES)
    if unknown or not manifest.head.types:
        raise ModelMismatch(f"{where}: projections {sorted(unknown)} are not a decoder's")
    if not (manifest.alpha > 0 and manifest.head.rank > 0 and manifest.backbone.n_layers > 0):
        raise ModelMismatch(f"{where}: alpha, rank and n_layers must be positive")
    for name, seen, wanted in _widths(manifest):
        if seen != wanted:
            raise ModelMismatch(
                f"{where}: {name} is {seen}, the rest of the manifest says {wanted}"
            )


def check_shapes(
    tensors: Mapping[str, Tensor], manifest: CheckpointManifest, *, where: str
) -> None:
    """Refuse tensors that are not exactly the ones the configurations call for.

    Raises:
        ModelMismatch: absent, surplus, misshapen or non-floating tensors.
    """
    with torch.device("meta"):
        wanted = {f"head.{k}": v.shape for k, v in LoraHead(manifest.head).state_dict().items()}
        if manifest.gru is not None:
            gru = CommitGru(manifest.gru)
            wanted |= {f"gru.{k}": v.shape for k, v in gru.state_dict().items()}
    wrong = [f"no {key}" for key in wanted if key not in tensors]
    wrong += [f"unexpected {key}" for key in tensors if key not in wanted]
    for key in wanted.keys() & tensors.keys():
        seen = tensors[key]
        if seen.shape != wanted[key] or not seen.is_floating_point():
            wrong.append(f"{key} is {seen.dtype} {list(seen.shape)}, not {list(wanted[key])}")
    if wrong:
        more = f" and {len(wrong) - 3} more" if len(wrong) > 3 else ""
        raise ModelMismatch(
            f"{where}: weights do not fit their configuration: {'; '.join(sorted(wrong)[:3])}{more}"
        )


def file_sha256(path: Path) -> str:
    """Hex SHA-256 of a file, read in pieces."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(1 << 22):
            digest.update(piece)
    return digest.hexdigest()


def _widths(manifest: CheckpointManifest) -> list[tuple[str, int, int]]:
    """(what, width seen, width wanted) of every place where two parts meet."""
    pooled = 2 * manifest.embedding_width
    head, gru = manifest.head, manifest.gru
    if (gru is None) != (manifest.kind == "static"):
        return [("number of commit grus", int(gru is not None), int(manifest.kind == "evo"))]
    if gru is None:
        return [("head.context_width", head.context_width, pooled)]
    return [
        ("gru.diff_width", gru.diff_width, pooled),
        ("gru.snapshot_width", gru.snapshot_width, pooled),
        ("head.context_width", head.context_width, gru.hidden_width),
    ]


def _manifest_from(content: dict[str, Any]) -> CheckpointManifest:
    head = dict(content.pop("head"))
    dims = {name: (int(n_in), int(n_out)) for name, (n_in, n_out) in head.pop("type_dims").items()}
    gru = content.pop("gru")
    return CheckpointManifest(
        head=LoraHeadConfig(type_dims=dims, **head),
        gru=None if gru is None else CommitGruConfig(**gru),
        backbone=BackboneReference(**content.pop("backbone")),
        tasks=tuple(content.pop("tasks")),
        **content,
    )


def _assign(module: nn.Module, prefix: str, tensors: Mapping[str, Tensor]) -> None:
    """Give a module made on the meta device its tensors, without a copy where they are float32."""
    state = {k.removeprefix(prefix): t.float() for k, t in tensors.items() if k.startswith(prefix)}
    module.load_state_dict(state, assign=True)
    module.eval()
