"""A loaded checkpoint at work: embeddings in, adapters out. No gradients, no history of its own."""

import torch
from torch import Tensor

from code2lora_lsp.errors import ModelMismatch, ShapeMismatch
from code2lora_lsp.neural.code2lora.checkpoint import Code2LoraCheckpoint
from code2lora_lsp.neural.code2lora.lora_head import LoraHead
from code2lora_lsp.neural.code2lora.manifest import CheckpointManifest
from code2lora_lsp.neural.lora import LoraAdapter, LoraPair, Projection


class Code2LoraEvo:
    """One GRU step per commit keeps a hidden state; the head turns it into an adapter.

    Hidden states are [1, 1, H] float32 on the CPU: plain values to store and hand around.
    """

    def __init__(self, checkpoint: Code2LoraCheckpoint, device: torch.device | str = "cpu") -> None:
        """Use the checkpoint's modules, moved to ``device``.

        Raises:
            ModelMismatch: the checkpoint is a Static one.
        """
        if checkpoint.gru is None:
            raise ModelMismatch("this checkpoint is Static: it has no commit gru to step")
        self.manifest = checkpoint.manifest
        self.checkpoint_id = checkpoint.checkpoint_id
        self._device = torch.device(device)
        self._gru = checkpoint.gru.to(self._device).eval()
        self._head = checkpoint.head.to(self._device).eval()

    @torch.no_grad()
    def initial_state(self, snapshot_embedding: Tensor) -> Tensor:
        """h_0, [1, 1, H], from e_0 [2E]; see ``CommitGru.initial_state``."""
        return self._gru.initial_state(self._row(snapshot_embedding)).cpu()

    @torch.no_grad()
    def step(self, diff_embedding: Tensor, hidden_state: Tensor) -> Tensor:
        """h_t, [1, 1, H], from d_t [2E] and h_{t-1}; see ``CommitGru.step``."""
        row = self._row(diff_embedding)
        return self._gru.step(row, hidden_state.to(self._device)).cpu()

    @torch.no_grad()
    def adapter(
        self, hidden_state: Tensor, commit_id: str | None, task_id: int | None = None
    ) -> LoraAdapter:
        """The adapter of the state after ``commit_id``.

        Raises:
            AdapterRejected: the head emitted non-finite numbers.
        """
        context = self._gru.context(hidden_state.to(self._device))  # [1, H]
        return _emit(self._head, context, self.manifest, commit_id, task_id)

    def _row(self, vector: Tensor) -> Tensor:
        return _as_row(vector, self._device)


class Code2LoraStatic:
    """The head alone: one snapshot embedding makes one adapter."""

    def __init__(self, checkpoint: Code2LoraCheckpoint, device: torch.device | str = "cpu") -> None:
        """Use the checkpoint's head, moved to ``device``.

        Raises:
            ModelMismatch: the checkpoint is an Evo one, whose head reads hidden states.
        """
        if checkpoint.gru is not None:
            raise ModelMismatch("this checkpoint is Evo: its head reads states, not snapshots")
        self.manifest = checkpoint.manifest
        self.checkpoint_id = checkpoint.checkpoint_id
        self._device = torch.device(device)
        self._head = checkpoint.head.to(self._device).eval()

    @torch.no_grad()
    def adapter(
        self, snapshot_embedding: Tensor, commit_id: str | None, task_id: int | None = None
    ) -> LoraAdapter:
        """The adapter of the tree whose snapshot embedding e_0 [2E] is given.

        Raises:
            AdapterRejected: the head emitted non-finite numbers.
        """
        context = _as_row(snapshot_embedding, self._device)
        return _emit(self._head, context, self.manifest, commit_id, task_id)


def _as_row(vector: Tensor, device: torch.device) -> Tensor:
    if vector.ndim != 1:
        raise ShapeMismatch(f"embedding is {list(vector.shape)}; expected [2E]")
    return vector.to(device).unsqueeze(0)  # [1, 2E]


def _emit(
    head: LoraHead,
    context: Tensor,
    manifest: CheckpointManifest,
    commit_id: str | None,
    task_id: int | None,
) -> LoraAdapter:
    """Emit from one context [1, C]; the layers share the pairs, as published."""
    factors = head(context, task_id)
    pairs = {
        name: LoraPair(a=factors.a[name][0].cpu(), b=factors.b[name][0].cpu())
        for name in manifest.head.types
    }
    layers = range(manifest.backbone.n_layers)
    by_projection = {Projection(i, name): pair for i in layers for name, pair in pairs.items()}
    return LoraAdapter(by_projection, manifest.scale, commit_id=commit_id)
