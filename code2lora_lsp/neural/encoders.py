"""What embeds windows of tokens: the backbone itself, or a Hugging Face encoder."""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from code2lora_lsp.cancellation import Cancellation
from code2lora_lsp.errors import ModelMismatch, ModelMissing

MAX_BATCH_TOKENS = 4096
"""Padded tokens in one encoder batch; bounds memory and the wait for a cancellation."""


class TextCodec(Protocol):
    """A tokenizer that adds no special tokens, such as ``text.tokenizer.Tokenizer``."""

    def encode(self, text: str) -> list[int]: ...

    def decode(self, token_ids: list[int]) -> str: ...


class HiddenStates(Protocol):
    """Any decoder that gives its last hidden states, such as the engine's."""

    def hidden_states(self, token_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Final-norm output [B, T, D] for ``token_ids`` [B, T] int64, padded on the right.

        ``attention_mask`` is [B, T] int64, 1 on real tokens.
        """


class BackboneEncoder:
    """The backbone itself as encoder: no second model. The default for the embedded model."""

    def __init__(
        self,
        backbone: HiddenStates,
        tokenizer: TextCodec,
        *,
        width: int,
        encoder_id: str,
        device: torch.device | str = "cpu",
    ) -> None:
        self.width = width
        self.encoder_id = encoder_id
        self._backbone = backbone
        self._tokenizer = tokenizer
        self._device = torch.device(device)

    def encode(self, text: str) -> list[int]:
        return self._tokenizer.encode(text)

    def decode(self, token_ids: list[int]) -> str:
        return self._tokenizer.decode(token_ids)

    def embed_windows(
        self, windows: Sequence[str], max_tokens: int, cancellation: Cancellation | None = None
    ) -> Tensor:
        """See ``TextEncoder.embed_windows``."""
        rows = [self.encode(window)[:max_tokens] for window in windows]
        return _embed_rows(
            rows, self._backbone.hidden_states, self.width, self._device, cancellation
        )


class TransformersEncoder:
    """A Hugging Face encoder, such as Qwen3-Embedding for the published checkpoints.

    Windows are tokenised with the tokenizer's default special tokens, as upstream does; padding is
    always on the right and done here, so the tokenizer's own padding side does not matter.
    """

    def __init__(self, model: nn.Module, tokenizer: Any, *, name: str) -> None:
        """``model`` is an ``AutoModel`` in eval mode, on its device; ``name`` is for people."""
        self._model = model.eval()
        self._tokenizer = tokenizer
        config: Any = model.config
        self.width = int(config.hidden_size)
        self.encoder_id = f"{name}-{weights_fingerprint(model)}"

    @classmethod
    def from_pretrained(
        cls, folder: Path, device: torch.device | str = "cpu"
    ) -> "TransformersEncoder":
        """Load a local model folder; float32 everywhere, as the published data set.

        Nothing is downloaded, and no code of the folder runs.

        Raises:
            ModelMissing: a file is not there.
            ModelMismatch: what is there cannot be loaded as an encoder.
        """
        from transformers import AutoModel, AutoTokenizer  # noqa: PLC0415 - slow to import

        local: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
        try:
            model = AutoModel.from_pretrained(folder, dtype=torch.float32, **local).to(device)
            tokenizer = AutoTokenizer.from_pretrained(folder, **local)
        except OSError as error:
            raise ModelMissing(
                f"{folder} lacks a file of the encoder ({error}); copy the model folder again"
            ) from error
        except (ValueError, KeyError, RuntimeError, SafetensorError) as error:
            raise ModelMismatch(
                f"transformers cannot load the encoder {folder} ({error}); copy the model folder "
                "again, or set model.encoder to the one the checkpoint names"
            ) from error
        return cls(model, tokenizer, name=str(folder))

    def encode(self, text: str) -> list[int]:
        return list(self._tokenizer.encode(text, add_special_tokens=False, verbose=False))

    def decode(self, token_ids: list[int]) -> str:
        return str(self._tokenizer.decode(token_ids, skip_special_tokens=True))

    def embed_windows(
        self, windows: Sequence[str], max_tokens: int, cancellation: Cancellation | None = None
    ) -> Tensor:
        """See ``TextEncoder.embed_windows``."""
        if not windows:
            return torch.zeros(0, self.width)
        rows = self._tokenizer(list(windows), truncation=True, max_length=max_tokens)["input_ids"]
        device = next(self._model.parameters()).device
        return _embed_rows(rows, self._hidden_states, self.width, device, cancellation)

    def _hidden_states(self, token_ids: Tensor, attention_mask: Tensor) -> Tensor:
        output = self._model(input_ids=token_ids, attention_mask=attention_mask, use_cache=False)
        states: Tensor = output.last_hidden_state
        return states


def weights_fingerprint(model: nn.Module) -> str:
    """12 hex digits over every tensor's name and shape and 64 of its numbers, evenly spread.

    Reads kilobytes instead of gigabytes: enough to tell two trainings apart, not a seal.
    """
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(f"{name}{list(tensor.shape)}{tensor.dtype}".encode())
        flat = tensor.detach().reshape(-1)
        sample = flat[:: max(1, flat.numel() // 64)].double().cpu()
        digest.update(sample.numpy().tobytes())
    return digest.hexdigest()[:12]


def _embed_rows(
    rows: Sequence[Sequence[int]],
    hidden_states: Callable[[Tensor, Tensor], Tensor],
    width: int,
    device: torch.device,
    cancellation: Cancellation | None,
) -> Tensor:
    """Masked means in the order of ``rows``, [n, E] float32 on the CPU; zeros for an empty row."""
    vectors = torch.zeros(len(rows), width)
    with torch.no_grad():
        for batch in _batches([len(row) for row in rows]):
            if cancellation is not None:
                cancellation.check()
            token_ids, mask = _pad([rows[i] for i in batch], device)  # [B, T]
            states = hidden_states(token_ids, mask)  # [B, T, E]
            vectors[batch] = _masked_mean(states, mask).cpu()
    return vectors


def _batches(lengths: Sequence[int]) -> Iterator[list[int]]:
    """Indices of non-empty rows, similar lengths together, ≤ MAX_BATCH_TOKENS when padded."""
    batch: list[int] = []
    for index in sorted((i for i, n in enumerate(lengths) if n), key=lambda i: -lengths[i]):
        if batch and (len(batch) + 1) * lengths[batch[0]] > MAX_BATCH_TOKENS:
            yield batch
            batch = []
        batch.append(index)
    if batch:
        yield batch


def _pad(rows: Sequence[Sequence[int]], device: torch.device) -> tuple[Tensor, Tensor]:
    longest = max(map(len, rows))
    token_ids = torch.tensor([[*row, *[0] * (longest - len(row))] for row in rows])
    mask = torch.tensor([[1] * len(row) + [0] * (longest - len(row)) for row in rows])
    return token_ids.to(device), mask.to(device)  # [B, T] int64 each


def _masked_mean(states: Tensor, mask: Tensor) -> Tensor:
    weights = mask.unsqueeze(-1).float()  # [B, T, 1]
    return (states.float() * weights).sum(dim=1) / weights.sum(dim=1)  # [B, E]
