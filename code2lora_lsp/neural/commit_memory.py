"""What commits leave behind beside the ledger: a gated fast memory and a style. An experiment.

Beside the exact ledger's ΔW_t stands what the order of commits adds to it:

    total_t = ledger_t + F_t + Σ_j c_tj B_j
    u_t = LayerNorm(W_u [what the commit adds and removes ‖ how surprising it still is])
    h_t = GRU(u_t, h_{t-1})                                          one step per commit
    η_t = η · exp(2 tanh(w_η h_t)),   λ_t = σ(σ⁻¹(λ) + w_λ h_t),   c_t = W_c h_t + c
    F_t = λ_t F_{t-1} + η_t Vᵀ (K Kᵀ + n I)⁻¹ K                      delta-style write

K are the keys of what commit t adds, V their errors with ledger_t + F_{t-1} + style on. Keys and
errors are in the population's metric (``Metric``), where both are white; so F and B are too.
Measured in docs/experiments.md; the product does not use it.
"""

from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F  # noqa: N812 - torch's own name for it
from torch import Tensor, nn

from code2lora_lsp.errors import ShapeMismatch
from code2lora_lsp.neural.ledger.population import Population
from code2lora_lsp.neural.ledger.readout import ReadoutPlan
from code2lora_lsp.neural.ledger.site import LedgerSite

LARGEST_STEP_LOG = 2.0
"""A gate moves the step by at most e² either way."""

SMALLEST_SURPRISE = 1e-6
"""Nats, added under the root so that its slope stays finite."""


@dataclass(frozen=True)
class Metric:
    """The coordinates in which a population's keys and errors are white.

    Attributes:
        key_whitener: L⁻¹ with L Lᵀ = C_pop, damped, [F, F].
        error_solver: G_pop⁻¹, damped, [D, D]: an error's natural gradient.
    """

    key_whitener: Tensor
    error_solver: Tensor

    @classmethod
    def of(cls, population: Population, plan: ReadoutPlan) -> "Metric":
        """With the ledger's own dampings."""
        root = torch.linalg.cholesky(_damped(population.keys, plan.key_damping))
        whitener = torch.linalg.solve_triangular(
            root, torch.eye(len(root), dtype=root.dtype), upper=False
        )
        errors = torch.linalg.cholesky(_damped(population.errors, plan.error_damping))
        return cls(whitener.float(), torch.cholesky_inverse(errors).float())

    def white(self, keys: Tensor) -> Tensor:
        """[N, F] → [N, F]."""
        return keys @ self.key_whitener.T

    def update(self, fast: Tensor) -> Tensor:
        """ΔW of the projection itself for an F of white keys, [D, F]."""
        return fast @ self.key_whitener


class Gates(NamedTuple):
    """How strongly a commit is written, η, and what stays of the ones before, λ; scalars."""

    step: Tensor
    decay: Tensor


class MemoryState(NamedTuple):
    """After one commit.

    Attributes:
        hidden: h_t, [H].
        fast: F_t over white keys, [D, F].
        style: c_t, [K].
    """

    hidden: Tensor
    fast: Tensor
    style: Tensor

    def detached(self) -> "MemoryState":
        """The same values; no gradient flows further back."""
        return MemoryState(*(part.detach() for part in self))


@dataclass(frozen=True)
class CommitMemoryConfig:
    """Widths and where gates start.

    Attributes:
        feature_width: of what is told about a commit.
        width, inner_width: D and F of the projection.
        step, decay: η and λ; a gru that says nothing leaves them as they are.
        prior_tokens: n; how many tokens of a commit it takes to be believed.
    """

    feature_width: int
    width: int
    inner_width: int
    hidden_width: int = 96
    n_styles: int = 8
    style_rank: int = 4
    step: float = 1.0
    decay: float = 0.9
    prior_tokens: float = 1_000.0

    @property
    def constant_gates(self) -> Gates:
        return Gates(torch.tensor(self.step), torch.tensor(self.decay))


class CommitMemory(nn.Module):
    """The trained part: gru, gates and style; the fast memory itself has no parameters."""

    def __init__(self, config: CommitMemoryConfig) -> None:
        super().__init__()
        self.config = config
        hidden = config.hidden_width
        self.features = nn.Sequential(nn.Linear(config.feature_width, hidden), nn.LayerNorm(hidden))
        self.gru = nn.GRUCell(hidden, hidden)
        self.gates = nn.Linear(hidden, 2, bias=False)
        self.style = nn.Linear(hidden, config.n_styles)
        wide = config.n_styles * config.style_rank
        self.style_in = nn.Parameter(torch.randn(config.inner_width, wide) * 0.02)
        self.style_out = nn.Parameter(torch.randn(wide, config.width) * 1e-3)
        nn.init.normal_(self.gates.weight, std=0.02)
        nn.init.normal_(self.style.weight, std=0.02)
        nn.init.ones_(self.style.bias)

    def initial_state(self) -> MemoryState:
        """Before the first commit: nothing remembered, the style of no repository."""
        config = self.config
        hidden = torch.zeros(config.hidden_width)
        fast = torch.zeros(config.width, config.inner_width)
        return MemoryState(hidden, fast, self.style(hidden))

    def next_hidden(self, features: Tensor, hidden: Tensor) -> Tensor:
        """One step of the gru.

        Args:
            features: of a commit, [X], standardised.
            hidden: h_{t-1}, [H].

        Raises:
            ShapeMismatch: the features are of another width.
        """
        if features.shape != (self.config.feature_width,):
            raise ShapeMismatch(
                f"features are {list(features.shape)}, wanted [{self.config.feature_width}]"
            )
        found: Tensor = self.gru(self.features(features)[None], hidden[None])[0]
        return found

    def gates_at(self, hidden: Tensor) -> Gates:
        step, decay = self.gates(hidden)
        config = self.config
        start = torch.logit(torch.tensor(config.decay))
        scale = torch.exp(LARGEST_STEP_LOG * torch.tanh(step))
        return Gates(config.step * scale, torch.sigmoid(start + decay))

    def styled(self, keys: Tensor, style: Tensor) -> Tensor:
        """What the style adds to the outputs of white keys, [N, F] → [N, D]."""
        each = style.repeat_interleave(self.config.style_rank)  # [K · rank]
        return ((keys @ self.style_in) * each) @ self.style_out

    def style_update(self, style: Tensor) -> Tensor:
        """Σ_j c_j B_j over white keys, [D, F]."""
        each = style.repeat_interleave(self.config.style_rank)
        return self.style_out.T @ (each[:, None] * self.style_in.T)


def written(
    fast: Tensor, keys: Tensor, values: Tensor, gates: Gates, prior_tokens: float
) -> Tensor:
    """F_t of the module's equation, [D, F].

    Args:
        fast: F_{t-1}, [D, F].
        keys: white keys of what a commit adds, [N, F]; N may be 0.
        values: its errors as natural gradients, [N, D].
        gates: of this commit.
        prior_tokens: n tokens of the population that stand against the commit's.
    """
    kept = gates.decay * fast
    if not len(keys):
        return kept
    ridge = prior_tokens * torch.eye(len(keys))
    solved: Tensor = torch.linalg.solve(keys @ keys.T + ridge, keys)  # [N, F]
    return kept + gates.step * values.T @ solved


class OutputHead(NamedTuple):
    """What stands behind the written projection: final norm w, its eps, and the head E."""

    norm: Tensor
    eps: float
    head: Tensor

    @classmethod
    def of(cls, site: LedgerSite) -> "OutputHead":
        return cls(site.final_norm.float(), site.rms_norm_eps, site.head.float())


class Missed(NamedTuple):
    """How far N tokens were missed: nats, [N], and e_i of ``ledger.writes``, [N, D]."""

    nats: Tensor
    errors: Tensor


def nats_of(outputs: Tensor, next_ids: Tensor, head: OutputHead) -> Tensor:
    """−log p of the next tokens, [N]; differentiable in ``outputs`` [N, D]."""
    return F.cross_entropy(_normed(outputs, head) @ head.head.T, next_ids, reduction="none")


def missed(outputs: Tensor, next_ids: Tensor, head: OutputHead) -> Missed:
    """Nats and errors; unlike ``ledger.writes.errors_at`` differentiable in ``outputs``."""
    direction = outputs * _inverse_rms(outputs, head.eps)
    log_p = torch.log_softmax((direction * head.norm) @ head.head.T, dim=-1)  # [N, V]
    nats = -log_p.gather(1, next_ids[:, None])  # [N, 1]
    scaled = head.norm * (head.head[next_ids] - log_p.exp() @ head.head)
    along = (direction * scaled).mean(-1, keepdim=True)
    errors = (scaled - direction * along) * _inverse_rms(outputs, head.eps)
    return Missed(nats[:, 0], (nats + SMALLEST_SURPRISE).sqrt() * errors)


def _normed(outputs: Tensor, head: OutputHead) -> Tensor:
    return outputs * _inverse_rms(outputs, head.eps) * head.norm


def _inverse_rms(outputs: Tensor, eps: float) -> Tensor:
    return torch.rsqrt(outputs.pow(2).mean(-1, keepdim=True) + eps)


def _damped(moment: Tensor, damping: float) -> Tensor:
    wide = moment.double()
    return wide + damping * wide.diagonal().mean() * torch.eye(len(wide), dtype=wide.dtype)
