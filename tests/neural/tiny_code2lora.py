"""Small random hypernetworks: the published structure with two-digit widths."""

import torch

from code2lora_lsp.neural.code2lora.checkpoint import Code2LoraCheckpoint
from code2lora_lsp.neural.code2lora.commit_gru import CommitGru, CommitGruConfig
from code2lora_lsp.neural.code2lora.lora_head import LoraHead, LoraHeadConfig
from code2lora_lsp.neural.code2lora.manifest import BackboneReference, CheckpointManifest
from code2lora_lsp.recipe import PUBLISHED_V2

EMBEDDING_WIDTH = 12
TYPE_DIMS = {
    "q_proj": (32, 32),
    "k_proj": (32, 16),
    "v_proj": (32, 16),
    "o_proj": (32, 32),
    "gate_proj": (32, 48),
    "up_proj": (32, 48),
    "down_proj": (48, 32),
}
GRU = CommitGruConfig(diff_width=24, snapshot_width=24, hidden_width=20)


def head_config(*, context_width=20, n_tasks=0):
    return LoraHeadConfig(
        type_dims=TYPE_DIMS,
        context_width=context_width,
        hidden_width=16,
        rank=4,
        n_tasks=n_tasks,
        task_width=6 if n_tasks else 0,
    )


def random_head(seed=0, **changes):
    """A head whose scales differ from their start and from each other, some of them clamped."""
    torch.manual_seed(seed)
    head = LoraHead(head_config(**changes))
    with torch.no_grad():
        for index, scale in enumerate([*head.log_scale_A.values(), *head.log_scale_B.values()]):
            scale.fill_(-3.5 + 0.25 * index)
    return head


def random_gru(seed=0):
    torch.manual_seed(seed)
    return CommitGru(GRU)


def manifest(kind="evo", *, n_tasks=0, n_layers=2):
    width = GRU.hidden_width if kind == "evo" else 2 * EMBEDDING_WIDTH
    return CheckpointManifest(
        kind=kind,
        recipe_id=PUBLISHED_V2.recipe_id,
        encoder="backbone",
        embedding_width=EMBEDDING_WIDTH,
        backbone=BackboneReference("tiny", n_layers),
        alpha=8.0,
        head=head_config(context_width=width, n_tasks=n_tasks),
        gru=GRU if kind == "evo" else None,
    )


def checkpoint(kind="evo", *, n_tasks=0, seed=0):
    made = manifest(kind, n_tasks=n_tasks)
    head = random_head(seed, context_width=made.head.context_width, n_tasks=n_tasks)
    gru = random_gru(seed) if kind == "evo" else None
    return Code2LoraCheckpoint(made, head.eval(), gru)
