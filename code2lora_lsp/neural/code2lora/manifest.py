"""The manifest of a checkpoint: what the weights beside it are, and what they fit."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

from code2lora_lsp.errors import ModelMismatch, ModelMissing
from code2lora_lsp.neural.atomic_file import write_text
from code2lora_lsp.neural.code2lora.commit_gru import CommitGruConfig
from code2lora_lsp.neural.code2lora.lora_head import LoraHeadConfig
from code2lora_lsp.neural.lora import PROJECTION_NAMES
from code2lora_lsp.recipe import RECIPES, Recipe

FORMAT = "code2lora-checkpoint/1"
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


def write_manifest(folder: Path, manifest: CheckpointManifest) -> None:
    """Write it into a checkpoint folder, atomically.

    Raises:
        OSError: the folder cannot be written.
    """
    text = json.dumps({"format": FORMAT, **asdict(manifest)}, indent=2)
    write_text(folder / MANIFEST_NAME, text + "\n")


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
