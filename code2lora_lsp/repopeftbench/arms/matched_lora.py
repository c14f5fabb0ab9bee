"""The ledger's rival on equal terms: gradients on the very text that the ledger wrote, three times.

``matched-lora`` trains the projection that the ledger writes, at full rank: what gradients can make
of the ledger's place and text. ``matched-lora-7`` trains all seven projections of every layer.
"""

from dataclasses import replace
from functools import cached_property
from pathlib import Path

from code2lora_lsp.errors import ModelMismatch
from code2lora_lsp.neural.lora import PROJECTION_NAMES, LoraAdapter
from code2lora_lsp.repopeftbench.arms.arm import Target
from code2lora_lsp.repopeftbench.arms.gradient import TrainingPlan, train_lora, why_not_trainable
from code2lora_lsp.repopeftbench.arms.ledger import TreeLedger
from code2lora_lsp.repopeftbench.arms.trained_lora import lora_memory
from code2lora_lsp.runtime.model_folders import backbone_fingerprint
from code2lora_lsp.text.tokenizer import Tokenizer
from code2lora_lsp.training.packing import SourceFile

UNLIMITED_STEPS = 100_000
MATCHED_PLAN = TrainingPlan(
    n_steps=UNLIMITED_STEPS, epochs=3.0, learning_rate=1e-2, rank=256, alpha=512.0
)
MATCHED_PLAN_7 = replace(MATCHED_PLAN, learning_rate=3e-3, rank=64, alpha=128.0)
"""Rates and ranks: the best of ``benchmarks/lora_rates.py`` on repositories outside the results."""


class MatchedLoraArm:
    """``matched-lora``, or with ``is_everywhere`` ``matched-lora-7``; see the module."""

    def __init__(
        self,
        ledger: TreeLedger,
        model_folder: Path,
        tokenizer: Tokenizer,
        plan: TrainingPlan,
        *,
        is_everywhere: bool = False,
    ) -> None:
        """``ledger`` says what is read and where; a rank above a projection's is its own."""
        self._ledger, self._folder, self._tokenizer = ledger, model_folder, tokenizer
        self.plan, self._is_everywhere = plan, is_everywhere
        self.name = "matched-lora-7" if is_everywhere else "matched-lora"

    @cached_property
    def recipe_key(self) -> str:
        most = self._ledger.plan.most_tokens
        return f"{backbone_fingerprint(self._folder)}|{self.plan.key}|{self.modules}|{most}"

    @cached_property
    def modules(self) -> tuple[str, ...]:
        """What peft is asked to train.

        Raises:
            ModelMismatch: a ledger has no place to write in this backbone.
        """
        if self._is_everywhere:
            return PROJECTION_NAMES
        return (self._ledger.decoder.ledger_site.projection.module_path,)

    def why_not(self) -> str | None:
        try:
            _ = self.modules
        except ModelMismatch as error:
            return str(error)
        return why_not_trainable(self._tokenizer) or lora_memory(self._folder)

    def ready(self) -> None:
        """Nothing is shared."""

    def adapter(self, target: Target) -> LoraAdapter | None:
        texts = self._ledger.written_texts(target)
        files = [SourceFile(target.repository, path, text) for path, text in texts.items()]
        plan = replace(self.plan, seed=target.seed)
        return train_lora(self._folder, files, self._tokenizer, plan, self.modules)

    def n_commits(self, target: Target) -> int:
        del target
        return 0
