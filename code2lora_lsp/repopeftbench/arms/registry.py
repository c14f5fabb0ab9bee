"""Every arm by its name, from one set of options; those that cannot run are there too, and say so.

backbone  longer-prompt  bm25-3  bm25-8  dense-3  dense-8  dependencies
nearest-snippet  wrong-repository-snippet  unigram-cache
sharp  ledger-sharp  matched-lora-sharp  matched-lora-7-sharp  sharp-near  ledger-sharp-near
full-fine-tuning  full-fine-tuning-bm25-3
X = shared-lora | per-repository-lora | matched-lora | matched-lora-7
    | code2lora-static | code2lora-evo | ledger | ledger-64 | ledger-shuffled | an arm given
X/mean  X/other:<owner>/<name>  X/stale:<k>
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from code2lora_lsp.config import ModelSettings
from code2lora_lsp.neural.decoder import Decoder
from code2lora_lsp.neural.encoder import TextEncoder
from code2lora_lsp.neural.encoders import TransformersEncoder
from code2lora_lsp.repopeftbench.arms.adapter_arm import AdapterArm, Adapting
from code2lora_lsp.repopeftbench.arms.arm import Arm, Target
from code2lora_lsp.repopeftbench.arms.code2lora import (
    Code2LoraEvoArm,
    Code2LoraStaticArm,
    FollowedCheckpoint,
    embedded_checkpoint,
)
from code2lora_lsp.repopeftbench.arms.dependencies import DependenciesArm
from code2lora_lsp.repopeftbench.arms.derived import MeanArm, OtherArm, StaleArm
from code2lora_lsp.repopeftbench.arms.full_fine_tuning import (
    LEARNING_RATE,
    FineTunedModel,
    FineTunedRetrievalArm,
    FullFineTuningArm,
)
from code2lora_lsp.repopeftbench.arms.gradient import TrainingPlan
from code2lora_lsp.repopeftbench.arms.ledger import LedgerArm, LedgerPlan, TreeLedger
from code2lora_lsp.repopeftbench.arms.matched_lora import (
    MATCHED_PLAN,
    MATCHED_PLAN_7,
    MatchedLoraArm,
)
from code2lora_lsp.repopeftbench.arms.oracle import NearestSnippetArm, WrongRepositorySnippetArm
from code2lora_lsp.repopeftbench.arms.plain import BackboneArm, LongerPromptArm
from code2lora_lsp.repopeftbench.arms.retrieval import bm25_arm, dense_arm
from code2lora_lsp.repopeftbench.arms.sharp import SharpArm
from code2lora_lsp.repopeftbench.arms.trained_lora import (
    LEARNING_RATES,
    PerRepositoryLoraArm,
    SharedLoraArm,
)
from code2lora_lsp.repopeftbench.arms.unigram_cache import DEFAULT_WEIGHT, UnigramCacheArm
from code2lora_lsp.repopeftbench.scoring import Scorer
from code2lora_lsp.runtime.ledger_folders import GATE, NEAR_GATE, ledger_folder
from code2lora_lsp.runtime.models import encoder_of_backbone

N_SNIPPETS = (3, 8)
"""k of the retrieval arms."""

N_BEHIND = (1, 5, 20)
"""k of the stale arms among ``Arms.names``; any other is built when asked for."""


BESIDE_SHARP = ("ledger", "matched-lora", "matched-lora-7")
"""Adapters asked beside the table too: the one that serves, and what gradients make of its text."""

LEDGER_RANK = 64
"""Of the ledger as other tools would load it."""


@dataclass(frozen=True)
class ArmOptions:
    """What the arms are made of.

    Attributes:
        model_folder: of the backbone that ``scorer`` scores with.
        work_folder: where trained weights, adapters, embeddings and states are kept.
        targets: all repositories of the run; means, other adapters and wrong snippets use them.
        corpus: a folder made by ``training.corpus``; its training split alone is read.
        checkpoint: an Evo checkpoint (ours or an imported published one); ``None`` takes the one
            that ships beside the backbone.
        static_checkpoint: a Static one; ``None`` answers with the Evo checkpoint's h_0.
        encoder_folder: a Hugging Face encoder, for the dense arms and for checkpoints that need
            it; ``None`` embeds with the backbone.
        repository_plan: training of each per-repository LoRA.
        matched_plan, matched_plan_7: of the LoRAs that read what the ledger reads.
        shared_plan: training of the shared LoRA and, at its own rate, of full fine-tuning.
        population: a backbone's population statistics, made by ``training.population``.
        ledger_plan: how the ledger arms write and read out.
        gates: of the sharp memory, made by ``training.gate``: the whole table's, and that for what
            is near; empty takes those that ship beside the backbone.
        adapter_arms: more of them; they get the derived arms too.
    """

    scorer: Scorer
    model_folder: Path
    work_folder: Path
    targets: Sequence[Target] = ()
    corpus: Path | None = None
    checkpoint: Path | None = None
    static_checkpoint: Path | None = None
    encoder_folder: Path | None = None
    repository_plan: TrainingPlan = field(default_factory=TrainingPlan)
    matched_plan: TrainingPlan = MATCHED_PLAN
    matched_plan_7: TrainingPlan = MATCHED_PLAN_7
    shared_plan: TrainingPlan = field(default_factory=lambda: TrainingPlan(n_steps=200))
    learning_rates: Sequence[float] = LEARNING_RATES
    fine_tuning_rate: float = LEARNING_RATE
    cache_weight: float = DEFAULT_WEIGHT
    settings: ModelSettings = field(default_factory=ModelSettings)
    population: Path | None = None
    ledger_plan: LedgerPlan = field(default_factory=LedgerPlan)
    gates: tuple[Path, ...] = ()
    adapter_arms: Sequence[AdapterArm] = ()


class Arms:
    """Builds arms by name. Nothing is loaded, trained or read before an arm is prepared."""

    def __init__(self, options: ArmOptions) -> None:
        self._options = options
        self._known: dict[str, Arm] = {arm.name: arm for arm in self._without_adapter()}
        self._adapting = {arm.name: self._as_arm(arm) for arm in self._adapter_arms()}
        self._known |= {arm.name: arm for arm in self._sharp_arms()}

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Every name, less ``X/other:…``, of which there is one per target."""
        derived = [
            f"{source}/{kind}"
            for source in self._adapting
            if source != "shared-lora"  # the same for every repository and commit
            for kind in ("mean", *(f"stale:{k}" for k in N_BEHIND))
        ]
        return (*self._known, *self._adapting, *derived)

    def adapter_arm(self, name: str) -> Adapting:
        """An arm that gives adapters, for those who compare adapters.

        Raises:
            ValueError: there is none of that name.
        """
        if name not in self._adapting:
            source, slash, kind = name.partition("/")
            if not slash or source not in self._adapting:
                raise ValueError(f"no adapter arm {name!r}; known are {', '.join(self._adapting)}")
            derived = self._derived(self._adapting[source], kind)
            return Adapting(derived, self._options.scorer)
        return self._adapting[name]

    def arm(self, name: str) -> Arm:
        """The arm of that name.

        Raises:
            ValueError: there is none; the message lists what there is.
        """
        if name in self._known:
            return self._known[name]
        try:
            return self.adapter_arm(name)
        except ValueError as error:
            raise ValueError(f"no arm {name!r}; known are {', '.join(self.names)}") from error

    def _derived(self, source: Adapting, kind: str) -> AdapterArm:
        what, _, detail = kind.partition(":")
        targets = self._options.targets
        if what == "mean" and not detail:
            return MeanArm(source, targets)
        if what == "stale" and detail.isdigit():
            return StaleArm(source, int(detail))
        named = [target for target in targets if target.repository == detail]
        if what == "other" and named:
            return OtherArm(source, named[-1])
        raise ValueError(f"{kind!r} is neither mean, stale:<k> nor other:<a target's repository>")

    def _as_arm(self, arm: AdapterArm) -> Adapting:
        is_shared = isinstance(arm, SharedLoraArm)  # has a folder of its own
        folder = None if is_shared else self._options.work_folder / "adapters"
        return Adapting(arm, self._options.scorer, folder)

    def _without_adapter(self) -> list[Arm]:
        options = self._options
        scorer = options.scorer
        fine_tuned, vectors = self._fine_tuned(), options.work_folder / "vectors"
        return [
            BackboneArm(scorer),
            LongerPromptArm(scorer),
            *(bm25_arm(scorer, k) for k in N_SNIPPETS),
            *(dense_arm(scorer, k, lambda: self._encoder, vectors) for k in N_SNIPPETS),
            DependenciesArm(scorer),
            NearestSnippetArm(scorer),
            WrongRepositorySnippetArm(scorer, options.targets),
            UnigramCacheArm(scorer, options.cache_weight),
            FullFineTuningArm(fine_tuned),
            FineTunedRetrievalArm(fine_tuned, N_SNIPPETS[0]),
        ]

    def _adapter_arms(self) -> list[AdapterArm]:
        options = self._options
        tokenizer = options.scorer.model.tokenizer
        return [
            SharedLoraArm(
                options.model_folder,
                tokenizer,
                options.shared_plan,
                options.corpus,
                options.work_folder / "shared-lora",
                options.learning_rates,
            ),
            PerRepositoryLoraArm(options.model_folder, tokenizer, options.repository_plan),
            Code2LoraStaticArm(self._followed(options.static_checkpoint, options.checkpoint)),
            Code2LoraEvoArm(self._followed(options.checkpoint)),
            *self._of_the_ledgers_text(),
            *options.adapter_arms,
        ]

    def _of_the_ledgers_text(self) -> list[AdapterArm]:
        options = self._options
        folder, tokenizer = options.model_folder, options.scorer.model.tokenizer
        ledger = TreeLedger(options.scorer.model, folder, options.population, options.ledger_plan)
        return [
            MatchedLoraArm(ledger, folder, tokenizer, options.matched_plan),
            MatchedLoraArm(ledger, folder, tokenizer, options.matched_plan_7, is_everywhere=True),
            LedgerArm(ledger),
            LedgerArm(ledger, LEDGER_RANK),
            LedgerArm(ledger, is_shuffled=True),
        ]

    def _sharp_arms(self) -> list[SharpArm]:
        options = self._options
        scorer, folder = options.scorer, options.model_folder
        gates = options.gates or tuple(ledger_folder(folder) / name for name in (GATE, NEAR_GATE))
        ledger, *rivals = (self._adapting[name] for name in BESIDE_SHARP)
        return [
            *(SharpArm(scorer, folder, gates[:1], one) for one in (None, ledger, *rivals)),
            *(SharpArm(scorer, folder, gates, one) for one in (None, ledger)),
        ]

    def _followed(self, *given: Path | None) -> FollowedCheckpoint:
        options = self._options
        return FollowedCheckpoint(
            options.scorer.model.backbone,
            options.model_folder,
            embedded_checkpoint(options.model_folder, given),
            options.work_folder / "states",
            options.encoder_folder,
        )

    def _fine_tuned(self) -> FineTunedModel:
        options = self._options
        return FineTunedModel(
            options.model_folder,
            options.scorer,
            options.shared_plan.at_rate(options.fine_tuning_rate),
            options.corpus,
            options.work_folder / "full-fine-tuning",
            options.settings,
        )

    @cached_property
    def _encoder(self) -> TextEncoder | None:
        """The encoder of the dense arms; ``None`` when nothing here can embed."""
        folder, model = self._options.encoder_folder, self._options.scorer.model
        if folder is not None:
            return TransformersEncoder.from_pretrained(folder, model.backbone.device)
        if not isinstance(model.backbone, Decoder):
            return None
        return encoder_of_backbone(model.backbone, model.tokenizer, self._options.model_folder)
