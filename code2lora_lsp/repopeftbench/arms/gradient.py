"""Training with gradients for the baseline arms: the same rows, format and steps for each.

Rows are those the embedded backbone was trained on (``training.packing``): FIM in both orders and
plain text, every token scored. peft holds the LoRA; what it saves is what we load.
"""

import random
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812 - torch's own name for it
from torch import Tensor, nn

from code2lora_lsp.neural.decoder_config import is_own_architecture, read_config_json
from code2lora_lsp.neural.lora import PROJECTION_NAMES, LoraAdapter
from code2lora_lsp.neural.peft_format import load_peft
from code2lora_lsp.neural.weights import load_backbone_weights
from code2lora_lsp.text.gaps import Coder
from code2lora_lsp.text.tokenizer import Tokenizer
from code2lora_lsp.training.packing import IGNORED_TARGET, RowStream, SourceFile

LARGEST_GRADIENT_NORM = 1.0
WARMUP_SHARE = 0.1
HELD_OUT_SHARE = 10
"""One of ten repositories is kept for choosing a learning rate."""

N_HELD_OUT_ROWS = 32


@dataclass(frozen=True)
class TrainingPlan:
    """How long and how fast. The defaults take about half a minute for 5 M parameters.

    The rate is the better of 0.003 and 0.01 for one validation repository and the embedded
    backbone (20 steps: 18.3 and 17.1 nats per identifier, 21.0 without); tune it for others.

    Attributes:
        n_steps: optimizer steps.
        epochs: with fewer tokens than ``n_steps`` read, steps end after this many passes.
        row_tokens: tokens per row; clipped to the model's window.
        learning_rate: peak, after a linear warm-up of a tenth, falling linearly to 0.
        rank, alpha: of every pair of a LoRA; unused by full fine-tuning.
    """

    n_steps: int = 40
    epochs: float = 3.0
    rows_per_step: int = 8
    row_tokens: int = 256
    learning_rate: float = 1e-2
    rank: int = 16
    alpha: float = 32.0
    seed: int = 3407

    @property
    def key(self) -> str:
        """Every number of the plan, as part of an adapter's key."""
        return ",".join(f"{name}={value}" for name, value in asdict(self).items())

    def at_rate(self, learning_rate: float) -> "TrainingPlan":
        return replace(self, learning_rate=learning_rate)

    def steps_for(self, n_tokens: int) -> int:
        """Steps for a corpus of ``n_tokens``; at least one."""
        per_step = self.rows_per_step * self.row_tokens
        return max(1, min(self.n_steps, round(self.epochs * n_tokens / per_step)))


def load_trainable(folder: Path) -> Any:
    """The backbone as a transformers model in float32, frozen, int8 rows dequantised."""
    if not is_own_architecture(read_config_json(folder)):
        from transformers import AutoModelForCausalLM

        model = AutoModelForCausalLM.from_pretrained(
            folder, dtype=torch.float32, local_files_only=True, trust_remote_code=False
        )
        return model.eval().requires_grad_(False)
    from transformers import Qwen2Config, Qwen2ForCausalLM

    model = Qwen2ForCausalLM(Qwen2Config.from_pretrained(folder))
    missing, unexpected = model.load_state_dict(load_backbone_weights(folder), strict=False)
    assert not unexpected, unexpected
    assert set(missing) <= {"lm_head.weight"}, missing
    model.tie_weights()
    return model.eval().requires_grad_(False)


def train_lora(
    folder: Path,
    files: Sequence[SourceFile],
    tokenizer: Tokenizer,
    plan: TrainingPlan,
    modules: Sequence[str] = PROJECTION_NAMES,
) -> LoraAdapter:
    """A LoRA of the backbone in ``folder``, trained with peft, saved by it and read by us.

    ``modules`` are the projections that get a pair: names for every layer's, or paths.

    Raises:
        ValueError: the files hold no text.
        AdapterRejected: training diverged.
    """
    from peft import LoraConfig, get_peft_model

    config = LoraConfig(
        r=plan.rank,
        lora_alpha=plan.alpha,
        target_modules=list(modules),
        task_type="CAUSAL_LM",
    )
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*is_gradient_checkpointing.*", FutureWarning)
        torch.manual_seed(plan.seed)
        model = get_peft_model(load_trainable(folder), config)
    train(model, files, tokenizer, plan)
    with tempfile.TemporaryDirectory() as place:
        model.save_pretrained(place, save_embedding_layers=False)
        return load_peft(Path(place))


def train(
    model: Any, files: Sequence[SourceFile], tokenizer: Tokenizer, plan: TrainingPlan
) -> None:
    """Train whatever of ``model`` requires gradients.

    Raises:
        ValueError: the files hold no text.
    """
    n_tokens = _count_tokens(files, tokenizer, plan)
    if n_tokens == 0:
        raise ValueError("no text to train on: every file is empty or hidden")
    stream = _stream(files, tokenizer, plan.seed)
    row_tokens = min(plan.row_tokens, int(model.config.max_position_embeddings) - 1)
    parameters = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=plan.learning_rate, weight_decay=0.01)
    rates = list(_rates(plan.steps_for(n_tokens), plan.learning_rate))
    for rate in rates:
        for group in optimizer.param_groups:
            group["lr"] = rate
        inputs, targets = stream.rows(plan.rows_per_step, row_tokens)
        optimizer.zero_grad(set_to_none=True)
        _loss(model, inputs, targets).backward()
        nn.utils.clip_grad_norm_(parameters, LARGEST_GRADIENT_NORM)
        optimizer.step()


@torch.no_grad()
def held_out_loss(
    model: Any, files: Sequence[SourceFile], tokenizer: Tokenizer, plan: TrainingPlan
) -> float:
    """Mean nats per token over the same rows of ``files`` every time."""
    row_tokens = min(plan.row_tokens, int(model.config.max_position_embeddings) - 1)
    stream = _stream(files, tokenizer, seed=0)
    rows = [stream.rows(1, row_tokens) for _ in range(N_HELD_OUT_ROWS)]
    return sum(float(_loss(model, inputs, targets)) for inputs, targets in rows) / len(rows)


def split_by_repository(
    files: Sequence[SourceFile], seed: int
) -> tuple[list[SourceFile], list[SourceFile]]:
    """Training and held-out files; one repository in ten is held out, at least one.

    Raises:
        ValueError: fewer than two repositories.
    """
    names = sorted({file.repository for file in files})
    if len(names) < 2:
        raise ValueError(f"{len(names)} training repositories; a learning rate needs two or more")
    random.Random(seed).shuffle(names)  # noqa: S311 - not a secret
    held_out = set(names[: max(1, len(names) // HELD_OUT_SHARE)])
    return (
        [file for file in files if file.repository not in held_out],
        [file for file in files if file.repository in held_out],
    )


def _stream(files: Sequence[SourceFile], tokenizer: Tokenizer, seed: int) -> RowStream:
    return RowStream(files, Coder.of(tokenizer), seed=seed)


def _count_tokens(files: Sequence[SourceFile], tokenizer: Tokenizer, plan: TrainingPlan) -> int:
    """Tokens of the files, or of as many of them as the plan can use."""
    most = plan.n_steps * plan.rows_per_step * plan.row_tokens / plan.epochs
    total = 0
    for file in files:
        total += len(tokenizer.encode(file.text))
        if total > most:
            break
    return total


def _rates(n_steps: int, peak: float) -> Iterator[float]:
    n_warm = max(1, round(WARMUP_SHARE * n_steps))
    for step in range(n_steps):
        warm = (step + 1) / n_warm
        yield peak * min(warm, (n_steps - step) / max(1, n_steps - n_warm))


def _loss(model: Any, inputs: Tensor, targets: Tensor) -> Tensor:
    logits = model(input_ids=inputs, use_cache=False).logits  # [B, T, V]
    return F.cross_entropy(logits.flatten(0, 1), targets.flatten(), ignore_index=IGNORED_TARGET)


def why_not_trainable(tokenizer: Tokenizer) -> str | None:
    """Why the rows cannot be laid out with this model's tokens."""
    fim = tokenizer.fim_tokens()
    if fim.repo_name is None or fim.file_sep is None:
        return (
            f"the tokenizer of {tokenizer.name} has no repository-level tokens "
            "(<|repo_name|>, <|file_sep|>), which the training rows use"
        )
    return None
