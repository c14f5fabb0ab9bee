"""A frozen transformers model through which gradients reach the adapter of each row."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812 - torch's own name for it
from torch import Tensor, nn

from code2lora_lsp.neural.code2lora.lora_head import LoraFactors
from code2lora_lsp.neural.weights import load_backbone_weights


class AdaptedBackbone(nn.Module):
    """Every row of a batch is computed with its own pair per projection type.

    Unlike the published trainer, the LoRA branch sees ``x`` itself, not ``x.detach()``: detaching
    it biases the gradient of every layer but the last (code2lora-spec, section 3.1).
    """

    def __init__(self, model: nn.Module, types: Sequence[str], scale: float) -> None:
        """``model`` is a Qwen2ForCausalLM; its parameters are frozen here."""
        super().__init__()
        self._model: Any = model.eval().requires_grad_(False)
        self._scale = scale
        self._factors: LoraFactors | None = None
        for name, module in model.named_modules():
            kind = name.rpartition(".")[2]
            if kind in types and isinstance(module, nn.Linear):
                module.register_forward_hook(self._hook(kind))

    @classmethod
    def from_folder(cls, folder: Path, types: Sequence[str], scale: float) -> "AdaptedBackbone":
        """The model of a backbone folder, dequantised to float32."""
        from transformers import Qwen2Config, Qwen2ForCausalLM  # noqa: PLC0415 - slow to import

        model = Qwen2ForCausalLM(Qwen2Config.from_pretrained(folder))
        missing, unexpected = model.load_state_dict(load_backbone_weights(folder), strict=False)
        assert not unexpected, unexpected
        assert set(missing) <= {"lm_head.weight"}, missing
        model.tie_weights()
        return cls(model, types, scale)

    def losses(self, token_ids: Tensor, targets: Tensor, factors: LoraFactors | None) -> Tensor:
        """Summed cross-entropy of each row's scored tokens, [B] float32 nats.

        Args: as of ``token_losses``.
        """
        rows, _ = (targets >= 0).nonzero(as_tuple=True)
        nats = self.token_losses(token_ids, targets, factors)
        return torch.zeros(len(token_ids)).index_add(0, rows, nats)

    def token_losses(
        self, token_ids: Tensor, targets: Tensor, factors: LoraFactors | None
    ) -> Tensor:
        """Cross-entropy of each scored token, [N] float32 nats, row by row.

        Args:
            token_ids: [B, T] int64.
            targets: [B, T] int64; negative ones are not scored.
            factors: A [B, R, in] and B [B, out, R] per type, [1, …] if all rows share them, or
                ``None`` for the plain backbone.
        """
        with self._using(factors):
            hidden = self._model.model(input_ids=token_ids, use_cache=False).last_hidden_state
        rows, columns = (targets >= 0).nonzero(as_tuple=True)
        logits = hidden[rows, columns] @ self._model.model.embed_tokens.weight.T  # [N, V]
        return F.cross_entropy(logits, targets[rows, columns], reduction="none")

    @contextmanager
    def _using(self, factors: LoraFactors | None) -> Iterator[None]:
        self._factors = factors
        try:
            yield
        finally:
            self._factors = None

    def _hook(self, kind: str) -> Any:
        def add_update(_: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
            if self._factors is None:
                return output
            inner = inputs[0] @ self._factors.a[kind].transpose(1, 2)  # [B, T, R]
            return output + self._scale * (inner @ self._factors.b[kind].transpose(1, 2))

        return add_update
