"""Code2LoRA through the very code that serves it: fold, embedder, hypernetwork."""

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

from torch import Tensor

from code2lora_lsp.cancellation import Cancellation
from code2lora_lsp.config import FollowSettings, ModelSettings, Settings
from code2lora_lsp.errors import SetupError
from code2lora_lsp.history.repository import Repository
from code2lora_lsp.neural.backbone import Backbone
from code2lora_lsp.neural.code2lora.hypernetwork import Code2LoraEvo
from code2lora_lsp.neural.lora import LoraAdapter
from code2lora_lsp.repopeftbench.arms.allowed_history import (
    AllowedHistory,
    allowed_history,
    repository_without,
)
from code2lora_lsp.repopeftbench.arms.arm import CannotPrepare, Target
from code2lora_lsp.repopeftbench.arms.known_tree import read_known_tree
from code2lora_lsp.runtime.embedder import HistoryEmbedder
from code2lora_lsp.runtime.fold import CommitFold
from code2lora_lsp.runtime.models import FollowModels, describe_checkpoint, load_follow_models


class FollowedCheckpoint:
    """One checkpoint folder with the backbone it was trained for; loaded when first needed."""

    def __init__(
        self,
        backbone: Backbone,
        model_folder: Path,
        checkpoint: Path | None,
        state_folder: Path,
        encoder_folder: Path | None = None,
    ) -> None:
        """``state_folder`` keeps embeddings and states, as serving keeps them."""
        self._backbone, self.folder = backbone, checkpoint
        self._settings = Settings(
            ModelSettings(
                backbone=str(model_folder),
                checkpoint=str(checkpoint) if checkpoint else "off",
                encoder=str(encoder_folder) if encoder_folder else "auto",
            ),
            follow=FollowSettings(state_dir=str(state_folder)),
        )

    def why_not(self) -> str | None:
        if self.folder is None:
            return "no Code2LoRA checkpoint was given, and none ships with this backbone"
        try:
            describe_checkpoint(self._settings, self.folder)
        except SetupError as error:
            return str(error)
        return None

    @cached_property
    def models(self) -> FollowModels:
        """Hypernetwork, encoder and recipe.

        Raises:
            ModelMissing, ModelMismatch: the checkpoint does not fit.
        """
        models = load_follow_models(self._settings, self._backbone, lambda: False)
        assert models is not None, "why_not was not asked"
        return models

    def embedder(self, repository: Repository) -> HistoryEmbedder:
        models = self.models
        store = models.store(repository.exclude)
        return HistoryEmbedder(repository, models.recipe, models.encoder, store)


class Code2LoraEvoArm:
    """``code2lora-evo``: the GRU has stepped through every commit up to the known one."""

    name = "code2lora-evo"

    def __init__(self, checkpoint: FollowedCheckpoint) -> None:
        self._checkpoint = checkpoint
        self._histories: dict[Target, AllowedHistory] = {}

    @property
    def recipe_key(self) -> str:
        return self._checkpoint.models.state_key

    def why_not(self) -> str | None:
        reason = self._checkpoint.why_not()
        if reason is None and not isinstance(self._checkpoint.models.hypernetwork, Code2LoraEvo):
            return f"{self._checkpoint.folder} is a static checkpoint: it has no commit gru"
        return reason

    def ready(self) -> None:
        _ = self._checkpoint.models

    def adapter(self, target: Target) -> LoraAdapter | None:
        """``None`` where no commit that may be read touches source."""
        history, models = self._history(target), self._checkpoint.models
        if history.plan is None:
            return None
        assert isinstance(models.hypernetwork, Code2LoraEvo), "why_not was not asked"
        fold = CommitFold(
            history.repository,
            models.recipe,
            models.hypernetwork,
            self._checkpoint.embedder(history.repository),
            models.store(history.repository.exclude),
        )
        *_, last = fold.run(history.plan, Cancellation())
        return models.hypernetwork.adapter(last.hidden_state, last.commit_id)

    def n_commits(self, target: Target) -> int:
        plan = self._history(target).plan
        return 0 if plan is None else len(plan.steps)

    def _history(self, target: Target) -> AllowedHistory:
        if target not in self._histories:
            self._histories[target] = allowed_history(target, self._checkpoint.models.recipe)
        return self._histories[target]


class Code2LoraStaticArm:
    """``code2lora-static``: the snapshot of the known tree alone.

    A Static checkpoint reads it with its head; an Evo one answers with h_0, before any step.
    """

    name = "code2lora-static"

    def __init__(self, checkpoint: FollowedCheckpoint) -> None:
        self._checkpoint = checkpoint

    @property
    def recipe_key(self) -> str:
        return self._checkpoint.models.state_key

    def why_not(self) -> str | None:
        return self._checkpoint.why_not()

    def ready(self) -> None:
        _ = self._checkpoint.models

    def adapter(self, target: Target) -> LoraAdapter | None:
        hypernetwork = self._checkpoint.models.hypernetwork
        snapshot = self._snapshot(target)
        if isinstance(hypernetwork, Code2LoraEvo):
            snapshot = hypernetwork.initial_state(snapshot)
        return hypernetwork.adapter(snapshot, target.known_commit_id)

    def n_commits(self, target: Target) -> int:
        del target
        return 0

    def _snapshot(self, target: Target) -> Tensor:
        read_known_tree(target)  # refuses copies of hidden files
        repository = repository_without(target, target.hidden_paths)
        embedder = self._checkpoint.embedder(repository)
        embedding = embedder.snapshot(target.known_commit_id, Cancellation())
        if not bool(embedding.any()):
            raise CannotPrepare(
                f"{target.repository} at {target.known_commit_id[:12]} has no source to embed "
                "outside its hidden paths"
            )
        return embedding


def embedded_checkpoint(model_folder: Path, given: Sequence[Path | None]) -> Path | None:
    """The first folder given, else the one beside an embedded model (``nano`` → ``nano-evo``)."""
    beside = model_folder.with_name(model_folder.name + "-evo")
    candidates = [*given, beside if (beside / "manifest.json").is_file() else None]
    return next((folder for folder in candidates if folder is not None), None)
