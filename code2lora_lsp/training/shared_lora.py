"""One LoRA for every repository, of the shape a lora head emits: the generic part alone."""

import random
from collections.abc import Iterator, Mapping, Sequence

import torch
from torch import Tensor, nn

from code2lora_lsp.neural.code2lora.lora_head import LoraFactors
from code2lora_lsp.training.adapted_backbone import AdaptedBackbone
from code2lora_lsp.training.evo_model import EvoPlan
from code2lora_lsp.training.evo_training import cosine, draw, pad_drawn, shares
from code2lora_lsp.training.timelines import Timeline

LEARNING_RATE = 3e-3
"""Of the factors themselves; a head turns one step of its own weights into larger ones of these."""


class SharedLora(nn.Module):
    """One pair per projection type, shared by all layers. A is random, B zero at the start."""

    def __init__(self, type_dims: Mapping[str, tuple[int, int]], rank: int, seed: int) -> None:
        super().__init__()
        maker = torch.Generator().manual_seed(seed)
        self.a = nn.ParameterDict(
            {k: torch.randn(rank, n_in, generator=maker) * n_in**-0.5
             for k, (n_in, _) in type_dims.items()}
        )  # fmt: skip
        self.b = nn.ParameterDict(
            {k: torch.zeros(n_out, rank) for k, (_, n_out) in type_dims.items()}
        )

    def factors(self) -> LoraFactors:
        """A [1, R, in] and B [1, out, R] per type."""
        return LoraFactors(
            {k: v[None] for k, v in self.a.items()}, {k: v[None] for k, v in self.b.items()}
        )

    def frozen(self) -> LoraFactors:
        """The factors, out of reach of any gradient."""
        factors = self.factors()
        return LoraFactors(_detached(factors.a), _detached(factors.b))


def train_shared(
    shared: SharedLora,
    backbone: AdaptedBackbone,
    timelines: Sequence[Timeline],
    plan: EvoPlan,
    pad_id: int,
) -> Iterator[dict[str, float]]:
    """Optimise on the items, in the order, that a hypernetwork of the same plan is asked for."""
    rng = random.Random(plan.seed)  # noqa: S311 - not a secret
    optimizer = torch.optim.AdamW(shared.parameters(), weight_decay=plan.weight_decay)
    for step, share in enumerate(shares(plan), 1):
        for group in optimizer.param_groups:
            group["lr"] = LEARNING_RATE * cosine(share)
        drawn = draw(timelines, plan, rng)
        if not drawn:
            continue
        ids, targets = pad_drawn(drawn, pad_id)
        with torch.autocast("cpu", torch.bfloat16, enabled=plan.bfloat16):
            loss = backbone.losses(ids, targets, shared.factors()).sum() / (targets >= 0).sum()
        optimizer.zero_grad()
        loss.backward()
        norm = nn.utils.clip_grad_norm_(shared.parameters(), plan.largest_gradient_norm)
        optimizer.step()
        yield {"step": step, "share": share, "loss": loss.item(), "gradient_norm": float(norm)}


def _detached(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {k: v.detach() for k, v in tensors.items()}
