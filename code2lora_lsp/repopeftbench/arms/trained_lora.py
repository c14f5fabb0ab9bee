"""LoRA trained with gradients: one per repository, and one for all of them."""

from collections.abc import Sequence
from dataclasses import asdict, replace
from functools import cached_property
from pathlib import Path

from code2lora_lsp.neural.lora import LoraAdapter
from code2lora_lsp.neural.peft_format import load_peft, save_peft
from code2lora_lsp.repopeftbench.arms.arm import CannotPrepare, Target
from code2lora_lsp.repopeftbench.arms.free_memory import too_little
from code2lora_lsp.repopeftbench.arms.gradient import (
    TrainingPlan,
    held_out_loss,
    load_trainable,
    split_by_repository,
    train_lora,
    why_not_trainable,
)
from code2lora_lsp.repopeftbench.arms.known_tree import KnownTree, read_known_tree
from code2lora_lsp.repopeftbench.arms.trained_folder import TrainedFolder
from code2lora_lsp.runtime.model_folders import backbone_fingerprint
from code2lora_lsp.text.tokenizer import Tokenizer
from code2lora_lsp.training.corpus import read_shards
from code2lora_lsp.training.packing import SourceFile
from code2lora_lsp.training.splits import Split

LORA_MEMORY_FACTOR = 3
LEARNING_RATES = (1e-3, 3e-3, 1e-2)
PLAN_NAME = "training.json"


class PerRepositoryLoraArm:
    """``per-repository-lora``: gradient steps on the known tree, what an adapter would imitate."""

    name = "per-repository-lora"

    def __init__(self, model_folder: Path, tokenizer: Tokenizer, plan: TrainingPlan) -> None:
        self._folder, self._tokenizer, self.plan = model_folder, tokenizer, plan

    @cached_property
    def recipe_key(self) -> str:
        return f"{backbone_fingerprint(self._folder)}|{self.plan.key}"

    def why_not(self) -> str | None:
        return why_not_trainable(self._tokenizer) or lora_memory(self._folder)

    def ready(self) -> None:
        """Nothing is shared."""

    def adapter(self, target: Target) -> LoraAdapter | None:
        files = source_files(read_known_tree(target))
        if not files:
            raise CannotPrepare(
                f"{target.repository} at {target.known_commit_id[:12]} has no source to train on "
                "outside its hidden paths"
            )
        plan = replace(self.plan, seed=target.seed)
        return train_lora(self._folder, files, self._tokenizer, plan)

    def n_commits(self, target: Target) -> int:
        del target
        return 0


class SharedLoraArm:
    """``shared-lora``: one LoRA trained on *training* repositories, for every target.

    Trained once, at the learning rate of the grid that is best on held-out training
    repositories, and saved as a PEFT folder, which is loaded from then on.
    """

    name = "shared-lora"

    def __init__(
        self,
        model_folder: Path,
        tokenizer: Tokenizer,
        plan: TrainingPlan,
        corpus: Path | None,
        trained: Path | None,
        learning_rates: Sequence[float] = LEARNING_RATES,
    ) -> None:
        """``corpus`` is a folder made by ``training.corpus``; ``trained`` the PEFT folder."""
        self._folder, self._tokenizer, self.plan = model_folder, tokenizer, plan
        self._corpus, self._trained = corpus, trained
        self._learning_rates = tuple(learning_rates)

    @cached_property
    def recipe_key(self) -> str:
        return f"{backbone_fingerprint(self._folder)}|{self.plan.key}|{self._learning_rates}"

    def why_not(self) -> str | None:
        folder = self._trained_folder
        if folder is None:
            return "no folder was given to keep the shared LoRA in"
        if folder.is_finished:
            return None
        return (
            folder.why_not()
            or why_no_corpus(self._corpus)
            or why_not_trainable(self._tokenizer)
            or lora_memory(self._folder)
        )

    @cached_property
    def _trained_folder(self) -> TrainedFolder | None:
        if self._trained is None:
            return None
        return TrainedFolder(self._trained, PLAN_NAME, self.recipe_key)

    def ready(self) -> None:
        _ = self.shared

    def adapter(self, target: Target) -> LoraAdapter | None:
        del target
        return self.shared

    def n_commits(self, target: Target) -> int:
        del target
        return 0

    @cached_property
    def shared(self) -> LoraAdapter:
        """The one adapter; trained now unless it was before."""
        folder = self._trained_folder
        assert folder is not None, "why_not was not asked"
        if not folder.is_finished:
            assert self._corpus is not None, "why_not was not asked"
            self._train(self._corpus, folder)
        return load_peft(folder.path)

    def _train(self, corpus: Path, folder: TrainedFolder) -> None:
        training, held_out = split_by_repository(corpus_files(corpus), self.plan.seed)
        losses: dict[float, float] = {}
        best: LoraAdapter | None = None
        for rate in self._learning_rates:
            plan = replace(self.plan, learning_rate=rate)
            adapter = train_lora(self._folder, training, self._tokenizer, plan)
            losses[rate] = self._loss(adapter, held_out)
            if losses[rate] == min(losses.values()):
                best = adapter
        assert best is not None
        save_peft(best, folder.path, self._folder.name)
        folder.finish({"plan": asdict(self.plan), "held_out_nats_by_learning_rate": losses})

    def _loss(self, adapter: LoraAdapter, files: Sequence[SourceFile]) -> float:
        model = load_trainable(self._folder)
        for projection, pair in adapter.pairs.items():
            model.get_submodule(projection.module_path).weight += pair.delta(adapter.scale)
        return held_out_loss(model, files, self._tokenizer, self.plan)


def source_files(tree: KnownTree) -> list[SourceFile]:
    return [SourceFile(tree.target.repository, file.path, file.text) for file in tree.files]


def corpus_files(corpus: Path) -> list[SourceFile]:
    """Every file of the corpus's training split."""
    return [SourceFile(*row) for row in read_shards(corpus, Split.TRAIN)]


def why_no_corpus(corpus: Path | None) -> str | None:
    """Why nothing can be trained on training repositories."""
    if corpus is None:
        return "no corpus folder was given; make one with code2lora_lsp.training.corpus"
    n_shards = len(list((corpus / Split.TRAIN.value).glob("*.jsonl")))
    if n_shards < 2:
        return f"{corpus} holds {n_shards} training repositories; two or more are needed"
    return None


def lora_memory(folder: Path) -> str | None:
    """Whether weights, activations and a LoRA's optimizer state fit."""
    return too_little(LORA_MEMORY_FACTOR * weights_bytes(folder), "training a LoRA")


def weights_bytes(folder: Path) -> int:
    """Bytes of a model's weights in float32."""
    stored = sum(path.stat().st_size for path in folder.glob("*.safetensors"))
    return 4 * stored  # int8 at worst
