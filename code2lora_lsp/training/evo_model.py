"""Code2LoRA as it is trained here: what a run is planned by, and the parts the gradient reaches."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from code2lora_lsp.neural.code2lora.commit_gru import CommitGru, CommitGruConfig
from code2lora_lsp.neural.code2lora.lora_head import LoraFactors, LoraHead, LoraHeadConfig
from code2lora_lsp.neural.decoder_config import DecoderConfig
from code2lora_lsp.training.timelines import Timeline


@dataclass(frozen=True)
class EvoPlan:
    """Widths and schedule of one run.

    Attributes:
        method: ``evo`` steps a commit gru; ``static`` gives the head the first snapshot alone.
        n_commits: consecutive commits of a timeline that one optimizer step asks after.
        n_bptt: commits the gradient flows back through; 1 is as published.
        repositories_per_step: timelines in one optimizer step.
        items_per_commit: gaps asked for after each commit.
        contrast_weight: of the own-versus-other loss; 0, as published, leaves it out.
        bfloat16: compute the backbone's passes in it; figures afterwards are float32.
        minutes: how long a run takes, unless ``n_optimizer_steps`` says where it ends.
    """

    method: Literal["evo", "static"] = "evo"
    rank: int = 8
    alpha: float = 16.0
    gru_width: int = 256
    head_width: int = 64
    n_commits: int = 8
    n_bptt: int = 8
    repositories_per_step: int = 2
    items_per_commit: int = 1
    contrast_weight: float = 0.0
    learning_rate: float = 5e-4
    weight_decay: float = 0.01
    largest_gradient_norm: float = 1.0
    minutes: float = 15.0
    n_optimizer_steps: int | None = None
    bfloat16: bool = False
    threads: int = 2
    seed: int = 3407


class EvoModel(nn.Module):
    """The trained parts together: commit gru (Evo only) and lora head."""

    gru: CommitGru | None

    def __init__(
        self, backbone: DecoderConfig, plan: EvoPlan, generic: LoraFactors | None = None
    ) -> None:
        """Make untrained parts for a backbone.

        ``generic`` is one frozen adapter, A [1, R, in] and B [1, out, R] per type, that what the
        head emits is added to. The head then starts at nothing: its B are zero.
        """
        super().__init__()
        torch.manual_seed(plan.seed)
        width = 2 * backbone.width
        is_evo = plan.method == "evo"
        self.gru = CommitGru(CommitGruConfig(width, width, plan.gru_width)) if is_evo else None
        self.head = LoraHead(
            LoraHeadConfig(
                type_dims=projection_dims(backbone),
                context_width=plan.gru_width if is_evo else width,
                hidden_width=plan.head_width, rank=plan.rank,
            )
        )  # fmt: skip
        self._n_bptt, self._generic = plan.n_bptt, generic
        if generic is not None:
            for linear in self.head.heads_B.values():
                assert isinstance(linear, nn.Linear)
                nn.init.zeros_(linear.weight)
                nn.init.zeros_(linear.bias)

    def roll(self, timeline: Timeline, start: int, n_steps: int) -> Tensor:
        """Contexts after commits ``start`` … ``start + n_steps - 1``, [n_steps, C].

        The steps before ``start`` are taken without gradient, and no gradient passes from one
        run of ``n_bptt`` commits to the one before it. Static knows the first snapshot for ever.
        """
        if self.gru is None:
            return timeline.snapshot.expand(n_steps, -1)
        with torch.no_grad():
            state = self.gru.initial_state(timeline.snapshot[None])
            if start:
                state = _last(self.gru.steps(timeline.diffs[None, :start], state))
        if not start:
            state = self.gru.initial_state(timeline.snapshot[None])
        rolled = torch.cat(list(self._runs(timeline.diffs[start : start + n_steps], state)))
        contexts: Tensor = self.gru.output_norm(rolled)
        return contexts

    def _runs(self, diffs: Tensor, state: Tensor) -> Iterator[Tensor]:
        """Hidden states, [≤ n_bptt, H], of one run of commits after the other."""
        assert self.gru is not None
        for run in diffs.split(self._n_bptt):
            states = self.gru.steps(run[None], state)
            yield states[0]
            state = _last(states).detach()

    def factors(self, contexts: Tensor) -> LoraFactors:
        """The whole adapter of each context [B, C]: what the head emits, and the generic one."""
        return self.on_generic(self.head(contexts))

    def on_generic(self, emitted: LoraFactors) -> LoraFactors:
        """Emitted factors with the generic ones beside them: ΔW = B_g A_g + B A."""
        generic = self._generic
        if generic is None:
            return emitted
        return LoraFactors(
            {k: _beside(generic.a[k], a, axis=1) for k, a in emitted.a.items()},
            {k: _beside(generic.b[k], b, axis=2) for k, b in emitted.b.items()},
        )


def _beside(generic: Tensor, emitted: Tensor, axis: int) -> Tensor:
    """The generic factor, [1, …], and each emitted one of a batch, along their rank."""
    return torch.cat([generic.expand(len(emitted), -1, -1), emitted], axis)


def _last(states: Tensor) -> Tensor:
    """The state after the last of some steps, [1, B, H], from [B, T, H]."""
    return states[:, -1:].transpose(0, 1).contiguous()


def projection_dims(backbone: DecoderConfig) -> dict[str, tuple[int, int]]:
    """(in, out) of every projection type of a backbone."""
    d, q, kv, f = (
        backbone.width, backbone.query_width, backbone.kv_width, backbone.intermediate_width,
    )  # fmt: skip
    return {
        "q_proj": (d, q), "k_proj": (d, kv), "v_proj": (d, kv), "o_proj": (q, d),
        "gate_proj": (d, f), "up_proj": (d, f), "down_proj": (f, d),
    }  # fmt: skip
