"""Context vector → one LoRA pair per projection type: the emitting half of the hypernetwork."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.nn import functional

from code2lora_lsp.errors import ShapeMismatch

INITIAL_LOG_SCALE = -3.5
MIN_SCALE = 1e-5
MAX_SCALE = 0.3
"""|A| and |B| never exceed this. A log-scale above ln 0.3 (about -1.204) gets no gradient."""

QWEN_CODER_1_5B_TYPE_DIMS: Mapping[str, tuple[int, int]] = {
    "q_proj": (1536, 1536),
    "k_proj": (1536, 256),
    "v_proj": (1536, 256),
    "o_proj": (1536, 1536),
    "gate_proj": (1536, 8960),
    "up_proj": (1536, 8960),
    "down_proj": (8960, 1536),
}
"""(in, out) per projection type of the backbone of every published checkpoint."""


@dataclass(frozen=True)
class LoraHeadConfig:
    """Widths of a lora head. The defaults are the published ones (code2lora-spec, section 3.1).

    Attributes:
        type_dims: projection type → (in, out) of the backbone's linear map.
        context_width: width of the context vector: H of the commit gru (Evo), 2E (Static).
        hidden_width: width of the trunk.
        rank: R of every emitted pair.
        n_tasks: more than 0 adds a task embedding to the context (the multi-task variant).
        task_width: width of that embedding; 0 without tasks.
    """

    type_dims: Mapping[str, tuple[int, int]] = field(
        default_factory=lambda: dict(QWEN_CODER_1_5B_TYPE_DIMS)
    )
    context_width: int = 2048
    hidden_width: int = 1024
    rank: int = 16
    n_tasks: int = 0
    task_width: int = 0

    @property
    def types(self) -> tuple[str, ...]:
        """Projection types in the order upstream keeps them: alphabetical."""
        return tuple(sorted(self.type_dims))


@dataclass(frozen=True)
class LoraFactors:
    """What the head emits, still attached to the autograd graph.

    Attributes:
        a: type → A, [B, R, in] float32, |A| ≤ 0.3.
        b: type → B, [B, out, R] float32, |B| ≤ 0.3.
    """

    a: dict[str, Tensor]
    b: dict[str, Tensor]


class LoraHead(nn.Module):
    """Code2LoRA's head, shared by Static and Evo.

    Parameter names are upstream's: ``trunk.{0,2}``, ``heads_A.<type>``, ``heads_B.<type>``,
    ``log_scale_A.<type>``, ``log_scale_B.<type>`` and, with tasks, ``task_embedding``.
    B is not zero at the start, so neither is ΔW.
    """

    def __init__(self, config: LoraHeadConfig) -> None:
        super().__init__()
        self.config = config
        width, rank, dims = config.hidden_width, config.rank, config.type_dims
        self.task_embedding = _task_embedding(config)
        self.trunk = nn.Sequential(
            nn.Linear(config.context_width + config.task_width, width),
            nn.GELU(),
            nn.Linear(width, width),
            nn.GELU(),
        )
        self.heads_A = nn.ModuleDict({t: nn.Linear(width, rank * dims[t][0]) for t in config.types})
        self.heads_B = nn.ModuleDict({t: nn.Linear(width, dims[t][1] * rank) for t in config.types})
        self.log_scale_A = nn.ParameterDict({t: _log_scale() for t in config.types})
        self.log_scale_B = nn.ParameterDict({t: _log_scale() for t in config.types})

    def forward(self, context: Tensor, task_id: int | Tensor | None = None) -> LoraFactors:
        """Emit one pair per projection type.

            ctx ← [ctx ‖ task_embedding[task_id]]                 (with tasks only)
            h   = GELU(W₂ GELU(W₁ ctx + b₁) + b₂),   h ← √H · h / ‖h‖₂
            A_t = tanh(WA_t h + bA_t) · clamp(exp sA_t, 1e-5, 0.3)
            B_t = tanh(WB_t h + bB_t) · clamp(exp sB_t, 1e-5, 0.3)     (Code2LoRA, section 3.2)

        Args:
            context: ctx, [B, context_width]; several vectors per repository go through
                ``pool_contexts`` first.
            task_id: one id for the batch or a [B] int64 tensor; ``None`` is task 0.

        Returns:
            float32 factors on the device of the weights; row-major in (R, in) and (out, R).

        Raises:
            ShapeMismatch: the width differs from the configuration, or there is no such task.
        """
        if context.ndim != 2 or context.shape[1] != self.config.context_width:
            raise ShapeMismatch(
                f"context is {list(context.shape)}; expected [B, {self.config.context_width}]"
            )
        hidden = self._trunk_output(context.float(), task_id)  # [B, H]
        return LoraFactors(
            a={t: self._factor_a(t, hidden) for t in self.config.types},
            b={t: self._factor_b(t, hidden) for t in self.config.types},
        )

    def _trunk_output(self, context: Tensor, task_id: int | Tensor | None) -> Tensor:
        if self.task_embedding is not None:
            ids = self._task_ids(task_id, context)
            context = torch.cat([context, self.task_embedding(ids)], dim=-1)
        hidden: Tensor = self.trunk(context)
        return functional.normalize(hidden, dim=-1) * math.sqrt(self.config.hidden_width)

    def _factor_a(self, type_name: str, hidden: Tensor) -> Tensor:
        n_in, _ = self.config.type_dims[type_name]
        raw: Tensor = self.heads_A[type_name](hidden)
        return torch.tanh(raw.view(-1, self.config.rank, n_in)) * _scale(
            self.log_scale_A[type_name]
        )

    def _factor_b(self, type_name: str, hidden: Tensor) -> Tensor:
        _, n_out = self.config.type_dims[type_name]
        raw: Tensor = self.heads_B[type_name](hidden)
        return torch.tanh(raw.view(-1, n_out, self.config.rank)) * _scale(
            self.log_scale_B[type_name]
        )

    def _task_ids(self, task_id: int | Tensor | None, context: Tensor) -> Tensor:
        ids = torch.as_tensor(0 if task_id is None else task_id, device=context.device)
        ids = ids.long().reshape(-1).expand(context.shape[0])  # [B]
        if ids.numel() and not 0 <= int(ids.min()) <= int(ids.max()) < self.config.n_tasks:
            raise ShapeMismatch(f"task {task_id} is not one of {self.config.n_tasks}")
        return ids


def pool_contexts(contexts: Tensor) -> Tensor:
    """Element-wise maximum of K context vectors per repository, as upstream's head accepts.

    Args:
        contexts: [B, K, context_width].

    Returns:
        [B, context_width].
    """
    return contexts.max(dim=1).values


def _task_embedding(config: LoraHeadConfig) -> nn.Embedding | None:
    if config.n_tasks == 0:
        return None
    embedding = nn.Embedding(config.n_tasks, config.task_width)
    nn.init.normal_(embedding.weight, std=0.02)
    return embedding


def _log_scale() -> nn.Parameter:
    return nn.Parameter(torch.full((), INITIAL_LOG_SCALE))


def _scale(log_scale: Tensor) -> Tensor:
    return log_scale.exp().clamp(MIN_SCALE, MAX_SCALE)
