"""Full fine-tuning on training repositories: another backbone, with or without retrieval."""

import shutil
from dataclasses import asdict, replace
from functools import cached_property
from pathlib import Path

from safetensors.torch import save_file

from code2lora_lsp.config import ModelSettings
from code2lora_lsp.neural.atomic_file import replacing
from code2lora_lsp.repopeftbench.arms.arm import Cost, Prepared, Target
from code2lora_lsp.repopeftbench.arms.free_memory import too_little
from code2lora_lsp.repopeftbench.arms.gradient import (
    TrainingPlan,
    load_trainable,
    train,
    why_not_trainable,
)
from code2lora_lsp.repopeftbench.arms.prepared import PreparedScorer
from code2lora_lsp.repopeftbench.arms.retrieval import bm25_arm, why_no_bm25
from code2lora_lsp.repopeftbench.arms.trained_folder import TrainedFolder
from code2lora_lsp.repopeftbench.arms.trained_lora import (
    corpus_files,
    weights_bytes,
    why_no_corpus,
)
from code2lora_lsp.repopeftbench.scoring import Scorer
from code2lora_lsp.runtime.model_folders import backbone_fingerprint
from code2lora_lsp.runtime.model_loading import load_model
from code2lora_lsp.text.tokenizer import fim_order

MEMORY_FACTOR = 6
"""Weights, gradients, two moments of Adam, and as much again for activations and the result."""

LEARNING_RATE = 3e-4
MANIFEST_NAME = "manifest.json"


class FineTunedModel:
    """The fine-tuned backbone: trained once into a model folder, then loaded from it."""

    def __init__(
        self,
        model_folder: Path,
        backbone: Scorer,
        plan: TrainingPlan,
        corpus: Path | None,
        trained: Path | None,
        settings: ModelSettings,
    ) -> None:
        """``trained`` is where the new model folder is, or will be; it is asked as ``backbone``."""
        self._folder, self._backbone, self.plan = model_folder, backbone, plan
        self._tokenizer = backbone.model.tokenizer
        self._corpus, self._trained, self._settings = corpus, trained, settings

    @property
    def recipe_key(self) -> str:
        """Of its answers: how it was trained and how it is asked."""
        return f"{self._training_key}|{self._backbone.recipe_key}"

    @cached_property
    def _training_key(self) -> str:
        return f"{backbone_fingerprint(self._folder)}|{self.plan.key}"

    def why_not(self) -> str | None:
        folder = self._trained_folder
        if folder is None:
            return "no folder was given to keep the fine-tuned weights in"
        if folder.is_finished:
            return None
        needed = MEMORY_FACTOR * weights_bytes(self._folder)
        return (
            folder.why_not()
            or why_no_corpus(self._corpus)
            or why_not_trainable(self._tokenizer)
            or too_little(needed, "full fine-tuning")
        )

    @cached_property
    def scorer(self) -> Scorer:
        """Scores with the fine-tuned weights; trains them now unless that was done before."""
        folder = self._trained_folder
        assert folder is not None, "why_not was not asked"
        if not folder.is_finished:
            assert self._corpus is not None, "why_not was not asked"
            self._train(self._corpus, folder)
        settings = replace(self._settings, backbone=str(folder.path))
        model = load_model(folder.path, settings, lambda *_: None)
        return self._backbone.of(model)

    @cached_property
    def _trained_folder(self) -> TrainedFolder | None:
        if self._trained is None:
            return None
        return TrainedFolder(self._trained, MANIFEST_NAME, self._training_key)

    def _train(self, corpus: Path, folder: TrainedFolder) -> None:
        model = load_trainable(self._folder).requires_grad_(True)
        train(model, corpus_files(corpus), self._tokenizer, self.plan)
        folder.path.mkdir(parents=True, exist_ok=True)
        for name in ("config.json", "tokenizer.json"):
            shutil.copy(self._folder / name, folder.path / name)
        tensors = {n: t.detach().contiguous() for n, t in model.state_dict().items()}
        if model.config.tie_word_embeddings:
            tensors.pop("lm_head.weight", None)
        with replacing(folder.path / "model.safetensors") as temporary:
            save_file(tensors, temporary, metadata={"format": "pt"})
        order = fim_order(self._folder)
        folder.finish({"fim_order": order, "fine_tuning": asdict(self.plan)})


class FullFineTuningArm:
    """``full-fine-tuning``: the fine-tuned weights with the item's own prompt."""

    name = "full-fine-tuning"

    def __init__(self, model: FineTunedModel) -> None:
        self._model = model

    @property
    def recipe_key(self) -> str:
        return self._model.recipe_key

    def why_not(self) -> str | None:
        return self._model.why_not()

    def prepare(self, target: Target) -> Prepared:
        del target
        return PreparedScorer(self._model.scorer, Cost(0.0))


class FineTunedRetrievalArm:
    """``full-fine-tuning-bm25-3``: the same weights behind a retrieval arm."""

    def __init__(self, model: FineTunedModel, n_snippets: int) -> None:
        self.name = f"full-fine-tuning-bm25-{n_snippets}"
        self._model, self._n_snippets = model, n_snippets

    @property
    def recipe_key(self) -> str:
        return f"{self._model.recipe_key}|{self._n_snippets}"

    def why_not(self) -> str | None:
        return why_no_bm25() or self._model.why_not()

    def prepare(self, target: Target) -> Prepared:
        return bm25_arm(self._model.scorer, self._n_snippets, self.name).prepare(target)
