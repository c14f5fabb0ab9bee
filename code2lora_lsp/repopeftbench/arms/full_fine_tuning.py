"""Full fine-tuning on training repositories: another backbone, with or without retrieval."""

import json
import shutil
from dataclasses import asdict, replace
from pathlib import Path

from safetensors.torch import save_file

from code2lora_lsp.config import ModelSettings
from code2lora_lsp.neural.atomic_file import replacing, write_text
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
from code2lora_lsp.repopeftbench.arms.trained_lora import (
    corpus_files,
    weights_bytes,
    why_no_corpus,
)
from code2lora_lsp.repopeftbench.scoring import Scorer
from code2lora_lsp.runtime.model_loading import load_model
from code2lora_lsp.runtime.models import backbone_fingerprint
from code2lora_lsp.text.tokenizer import Tokenizer, fim_order

MEMORY_FACTOR = 6
"""Weights, gradients, two moments of Adam, and as much again for activations and the result."""

LEARNING_RATE = 3e-4
MANIFEST_NAME = "manifest.json"


class FineTunedModel:
    """The fine-tuned backbone: trained once into a model folder, then loaded from it."""

    def __init__(
        self,
        model_folder: Path,
        tokenizer: Tokenizer,
        plan: TrainingPlan,
        corpus: Path | None,
        trained: Path | None,
        settings: ModelSettings,
        prompt_tokens: int,
    ) -> None:
        """``trained`` is where the new model folder is, or will be."""
        self._folder, self._tokenizer, self.plan = model_folder, tokenizer, plan
        self._corpus, self._trained = corpus, trained
        self._settings, self._prompt_tokens = settings, prompt_tokens
        self._scorer: Scorer | None = None

    @property
    def recipe_key(self) -> str:
        return f"{backbone_fingerprint(self._folder)}|{self.plan.key}|prompt={self._prompt_tokens}"

    def why_not(self) -> str | None:
        if self._trained is None:
            return "no folder was given to keep the fine-tuned weights in"
        if (self._trained / MANIFEST_NAME).is_file():
            return None
        needed = MEMORY_FACTOR * weights_bytes(self._folder)
        return (
            why_no_corpus(self._corpus)
            or why_not_trainable(self._tokenizer)
            or too_little(needed, "full fine-tuning")
        )

    @property
    def scorer(self) -> Scorer:
        """Scores with the fine-tuned weights; trains them now unless that was done before."""
        if self._scorer is None:
            assert self._trained is not None, "why_not was not asked"
            if not (self._trained / MANIFEST_NAME).is_file():
                assert self._corpus is not None, "why_not was not asked"
                self._train(self._corpus, self._trained)
            settings = replace(self._settings, backbone=str(self._trained))
            model = load_model(self._trained, settings, lambda *_: None)
            self._scorer = Scorer(model, self._prompt_tokens)
        return self._scorer

    def _train(self, corpus: Path, place: Path) -> None:
        model = load_trainable(self._folder).requires_grad_(True)
        train(model, corpus_files(corpus), self._tokenizer, self.plan)
        place.mkdir(parents=True, exist_ok=True)
        for name in ("config.json", "tokenizer.json"):
            shutil.copy(self._folder / name, place / name)
        tensors = {n: t.detach().contiguous() for n, t in model.state_dict().items()}
        if model.config.tie_word_embeddings:
            tensors.pop("lm_head.weight", None)
        with replacing(place / "model.safetensors") as temporary:
            save_file(tensors, temporary, metadata={"format": "pt"})
        # last: a folder without it is not finished
        facts = {"fim_order": fim_order(self._folder), "fine_tuning": asdict(self.plan)}
        write_text(place / MANIFEST_NAME, json.dumps(facts, indent=1) + "\n")


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
    """``full-fine-tuning+bm25-3``: the same weights behind a retrieval arm."""

    def __init__(self, model: FineTunedModel, n_snippets: int) -> None:
        self.name = f"full-fine-tuning+bm25-{n_snippets}"
        self._model, self._n_snippets = model, n_snippets

    @property
    def recipe_key(self) -> str:
        return f"{self._model.recipe_key}|{self._n_snippets}"

    def why_not(self) -> str | None:
        return why_no_bm25() or self._model.why_not()

    def prepare(self, target: Target) -> Prepared:
        return bm25_arm(self._model.scorer, self._n_snippets, self.name).prepare(target)
