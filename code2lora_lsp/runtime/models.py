"""What following with a hypernetwork needs: its weights, an encoder, and a key of its states."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from code2lora_lsp.config import Settings, state_root
from code2lora_lsp.errors import ModelMismatch, ModelMissing
from code2lora_lsp.history.repository import Repository
from code2lora_lsp.history.secrets import REDACTION
from code2lora_lsp.neural.backbone import Backbone
from code2lora_lsp.neural.code2lora.checkpoint import load_checkpoint
from code2lora_lsp.neural.code2lora.hypernetwork import Code2LoraEvo, Code2LoraStatic
from code2lora_lsp.neural.code2lora.manifest import (
    BACKBONE_ENCODER,
    CheckpointManifest,
    read_manifest,
)
from code2lora_lsp.neural.decoder import Decoder
from code2lora_lsp.neural.decoder_config import is_own_architecture, read_config_json
from code2lora_lsp.neural.encoder import TextEncoder
from code2lora_lsp.neural.encoders import BackboneEncoder, TransformersEncoder
from code2lora_lsp.neural.lora import LoraAdapter
from code2lora_lsp.recipe import Recipe
from code2lora_lsp.runtime.embedder import HistoryEmbedder
from code2lora_lsp.runtime.fold import CommitFold, SnapshotFold, count_stored
from code2lora_lsp.runtime.hypernetwork_follower import HypernetworkFollower
from code2lora_lsp.runtime.model_folders import (
    backbone_fingerprint,
    backbone_folder,
    checkpoint_folder,
)
from code2lora_lsp.runtime.state_store import StateStore
from code2lora_lsp.text.tokenizer import Tokenizer

FOREIGN_BACKBONE = "this checkpoint embeds with a Qwen2-family backbone only"


@dataclass(frozen=True)
class FollowModels:
    """A hypernetwork with its encoder; satisfies ``follower.Following``.

    Attributes:
        state_key: names checkpoint and encoder; the first part of every stored state's key.
        check_fits: raises AdapterRejected unless the backbone can bind an adapter.
        engine_is_busy: true while a completion is being decoded; a fold steps aside.
    """

    hypernetwork: Code2LoraEvo | Code2LoraStatic
    encoder: TextEncoder
    recipe: Recipe
    state_key: str
    state_root: Path
    check_fits: Callable[[LoraAdapter], None] = lambda _: None
    engine_is_busy: Callable[[], bool] = lambda: False

    @property
    def checkpoint_id(self) -> str:
        return self.state_key.partition("-")[0]

    @property
    def recipe_id(self) -> str:
        return self.recipe.recipe_id

    def follower(self, repository: Repository) -> HypernetworkFollower:
        """See ``follower.Following``."""
        store = self.store(repository.exclude)
        embedder = HistoryEmbedder(repository, self.recipe, self.encoder, store)
        network = self.hypernetwork
        fold = (
            SnapshotFold(repository, self.recipe, embedder)
            if isinstance(network, Code2LoraStatic)
            else CommitFold(repository, self.recipe, network, embedder, store)
        )
        return HypernetworkFollower(fold, network.adapter, self.check_fits)

    def apart(self, state_root: Path) -> "FollowModels":
        """See ``follower.Following``."""
        return replace(self, state_root=state_root)

    def exported(self, adapter: LoraAdapter, rank: int) -> tuple[LoraAdapter, float]:
        """See ``follower.Following``; the lora head's rank is what it is."""
        del rank
        return adapter, 1.0

    def store(self, exclude: tuple[str, ...]) -> StateStore:
        """The states of this checkpoint; excluding paths changes the text, hence the key."""
        return StateStore(self.state_root, self.state_key, _recipe_key(self.recipe, exclude))


def encoder_of_backbone(decoder: Decoder, tokenizer: Tokenizer, folder: Path) -> BackboneEncoder:
    """The backbone as its own encoder."""
    return BackboneEncoder(
        decoder, tokenizer, width=decoder.config.width,
        encoder_id=backbone_fingerprint(folder), device=decoder.device,
    )  # fmt: skip


def load_follow_models(
    settings: Settings, backbone: Backbone, is_busy: Callable[[], bool]
) -> FollowModels | None:
    """The checkpoint and its encoder; ``None`` when adapters are off or none fits by default.

    Raises:
        ModelMissing, ModelMismatch: the checkpoint or its encoder does not fit this backbone.
    """
    folder = checkpoint_folder(settings)
    if folder is None:
        return None
    checkpoint = load_checkpoint(folder)
    encoder = _encoder(settings, checkpoint.manifest, backbone)
    evo = checkpoint.gru is not None
    return FollowModels(
        hypernetwork=Code2LoraEvo(checkpoint) if evo else Code2LoraStatic(checkpoint),
        encoder=encoder,
        recipe=_served_recipe(checkpoint.manifest.recipe),
        state_key=f"{checkpoint.checkpoint_id}-{_plain(encoder.encoder_id)}",
        state_root=state_root(settings),
        check_fits=backbone.check_fits,
        engine_is_busy=is_busy,
    )


def describe_checkpoint(settings: Settings, folder: Path) -> str:
    """One sentence on a checkpoint, after checking that it fits the backbone.

    Raises:
        ModelMissing, ModelMismatch: it does not.
    """
    manifest = read_manifest(folder)
    backbone = backbone_folder(settings)
    raw = read_config_json(backbone)
    manifest.check_backbone(
        n_layers=int(raw["num_hidden_layers"]), fingerprint=_fingerprint(manifest, backbone)
    )
    encoder = _encoder_folder(settings, manifest)
    if encoder is None and not is_own_architecture(raw):
        raise ModelMismatch(FOREIGN_BACKBONE)
    return (
        f"{folder.name}: {manifest.kind}, rank {manifest.head.rank}, recipe {manifest.recipe_id}, "
        f"for {manifest.backbone.name}, encoder {encoder or manifest.encoder}"
    )


@dataclass(frozen=True)
class StoredProgress:
    """``done`` of HEAD's ``total`` steps are stored, the last of them at ``commit_id``."""

    done: int
    total: int
    commit_id: str | None


def stored_progress(settings: Settings, folder: Path) -> StoredProgress | str:
    """How much of HEAD's fold is stored, from disk alone; a sentence where that has no answer.

    Raises:
        Code2LoraError: the repository or the checkpoint cannot be read.
    """
    checkpoint = checkpoint_folder(settings)
    if checkpoint is None:
        return "nothing is followed without a checkpoint"
    manifest = read_manifest(checkpoint)
    if manifest.kind == "static":
        return "a static checkpoint stores no states: it reads the tree of HEAD each time"
    if manifest.encoder != BACKBONE_ENCODER:
        return f"which states are stored is known once the encoder {manifest.encoder} is loaded"
    recipe = _served_recipe(manifest.recipe)
    encoder = backbone_fingerprint(backbone_folder(settings))
    state_key = f"{manifest.weights_sha256[:16]}-{_plain(encoder)}"
    exclude = settings.follow.exclude
    store = StateStore(state_root(settings), state_key, _recipe_key(recipe, exclude))
    counted = count_stored(Repository.discover(folder, exclude), recipe, store)
    return "no commit touches source yet" if counted is None else StoredProgress(*counted)


def _served_recipe(recipe: Recipe) -> Recipe:
    """Serving bounds every fold: the published recipe from an anchor, ours as it is."""
    return recipe if recipe.anchor_interval is not None else recipe.anchored(64)


def _recipe_key(recipe: Recipe, exclude: tuple[str, ...]) -> str:
    text = f"{recipe.recipe_id}-{REDACTION}"
    if not exclude:
        return text
    digest = hashlib.sha256("\0".join(exclude).encode()).hexdigest()[:8]
    return f"{text}-without-{digest}"


def _encoder(settings: Settings, manifest: CheckpointManifest, backbone: Backbone) -> TextEncoder:
    folder = backbone_folder(settings)
    n_layers = int(read_config_json(folder)["num_hidden_layers"])
    fingerprint = _fingerprint(manifest, folder)
    manifest.check_backbone(n_layers=n_layers, fingerprint=fingerprint)
    external = _encoder_folder(settings, manifest)
    if external is not None:
        return TransformersEncoder.from_pretrained(external, backbone.device)
    if not isinstance(backbone, Decoder):
        raise ModelMismatch(FOREIGN_BACKBONE)
    return encoder_of_backbone(backbone, Tokenizer.from_folder(folder), folder)


def _encoder_folder(settings: Settings, manifest: CheckpointManifest) -> Path | None:
    """Folder of the encoder a checkpoint reads with; ``None`` when that is the backbone.

    Raises:
        ModelMissing: it is not set, or no model folder.
    """
    if manifest.encoder == BACKBONE_ENCODER:
        return None
    name = settings.model.encoder
    if name == "auto":
        raise ModelMissing(
            f"the checkpoint needs the encoder {manifest.encoder}; "
            "set model.encoder to its folder (nothing is downloaded)"
        )
    folder = Path(name).expanduser()
    if not (folder / "config.json").is_file():
        raise ModelMissing(f"model.encoder {name!r} is not a model folder; it needs a config.json")
    return folder


def _fingerprint(manifest: CheckpointManifest, folder: Path) -> str | None:
    return backbone_fingerprint(folder) if manifest.backbone.fingerprint else None


def _plain(text: str) -> str:
    """A file name out of an id that may hold slashes."""
    return "".join(c if c.isalnum() or c in "._-" else "_" for c in text)[-40:]
