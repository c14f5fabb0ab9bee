"""Text → embedding: windows of tokens, a frozen encoder, and the recipes' pooling.

    text ── windows ──► encoder ──► [n, E] ──┬─ diff:  d = [max ‖ mean]             (not normalised)
                                             └─ file:  f = mean
    files [n, E] ─────────────────────────────► snapshot:  e = [mean ‖ max] / (‖·‖₂ + 1e-12)

The two vectors have opposite orders on purpose: so the published checkpoints were trained
(code2lora-spec, section 2).
"""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from code2lora_lsp.cancellation import Cancellation, Cancelled
from code2lora_lsp.errors import EmbeddingFailed, ModelMismatch, ModelMissing, ShapeMismatch
from code2lora_lsp.recipe import Recipe, WindowRecipe

MAX_BATCH_TOKENS = 4096
"""Padded tokens in one encoder batch; bounds memory and the wait for a cancellation."""

NORM_EPSILON = 1e-12


class TextEncoder(Protocol):
    """A frozen encoder with its own tokenizer. Never trained, never changed."""

    @property
    def width(self) -> int:
        """E."""

    @property
    def encoder_id(self) -> str:
        """Changes whenever the vectors may change: part of every key of stored embeddings."""

    def encode(self, text: str) -> list[int]:
        """Token ids of the whole text, without special tokens."""

    def decode(self, token_ids: list[int]) -> str:
        """The text of a window, special tokens left out."""

    def embed_windows(
        self, windows: Sequence[str], max_tokens: int, cancellation: Cancellation | None = None
    ) -> Tensor:
        """Masked mean of the last hidden states of each window, [n, E] float32 on the CPU.

        A window is cut at ``max_tokens``. Batch composition and padding do not matter.

        Raises:
            Cancelled: between two batches.
        """


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


def embed_diff(
    text: str, encoder: TextEncoder, recipe: Recipe, cancellation: Cancellation | None = None
) -> Tensor:
    """d_t of one commit's filtered diff.

        d_t = [max_k w_k ‖ mean_k w_k] over the windows w_k     (code2lora-spec, section 2.2)

    Returns:
        [2E] float32 on the CPU, not L2-normalised. Zeros for a blank diff and for one without a
        single window of ``min_tokens``; the commit is stepped all the same, as published.

    Raises:
        EmbeddingFailed: the encoder failed or gave a non-finite number.
        Cancelled: ``cancellation`` was set.
    """
    if not text.strip():
        return torch.zeros(2 * encoder.width)
    vectors = _embed_text(text, encoder, recipe.diff_windows, cancellation)  # [n, E]
    if not len(vectors):
        return torch.zeros(2 * encoder.width)
    return torch.cat([vectors.max(dim=0).values, vectors.mean(dim=0)])  # [2E]


def embed_file(
    text: str, encoder: TextEncoder, recipe: Recipe, cancellation: Cancellation | None = None
) -> Tensor | None:
    """Mean over the windows of one file, [E] float32; ``None`` when it has no window.

    Raises:
        EmbeddingFailed: the encoder failed or gave a non-finite number.
        Cancelled: ``cancellation`` was set.
    """
    vectors = _embed_text(text, encoder, recipe.snapshot_windows, cancellation)
    return vectors.mean(dim=0) if len(vectors) else None


def pool_snapshot(file_vectors: Tensor) -> Tensor:
    """e_0 of one tree.

        e_0 = v / (‖v‖₂ + 1e-12),  v = [mean_i f_i ‖ max_i f_i]     (code2lora-spec, section 2.1)

    Args:
        file_vectors: f_i, [n, E]; n may be 0.

    Returns:
        [2E] float32; zeros without files.
    """
    if file_vectors.ndim != 2:
        raise ShapeMismatch(f"file vectors are {list(file_vectors.shape)}; expected [n, E]")
    if len(file_vectors) == 0:
        return torch.zeros(2 * file_vectors.shape[1])
    vectors = file_vectors.float()
    pooled = torch.cat([vectors.mean(dim=0), vectors.max(dim=0).values])  # [2E]
    norm: Tensor = torch.linalg.vector_norm(pooled)
    return pooled / (norm + NORM_EPSILON)


def cut_windows(token_ids: Sequence[int], recipe: WindowRecipe) -> list[list[int]]:
    """Overlapping windows of a token sequence (code2lora-spec, section 2).

    They start every ``chunk_tokens - overlap_tokens`` tokens and end with the one that reaches the
    end; windows under ``min_tokens`` are left out. Over ``max_windows`` of them, that many are
    kept at even distances, the first and the last among them.
    """
    step = recipe.chunk_tokens - recipe.overlap_tokens
    last = max(0, -(-(len(token_ids) - recipe.chunk_tokens) // step)) * step
    starts = range(0, min(last + 1, len(token_ids)), step)
    starts_kept = [
        start
        for start in starts
        if min(recipe.chunk_tokens, len(token_ids) - start) >= recipe.min_tokens
    ]
    return [
        list(token_ids[start : start + recipe.chunk_tokens])
        for start in _spread(starts_kept, recipe.max_windows)
    ]


def _spread(starts: list[int], limit: int | None) -> list[int]:
    if limit is None or len(starts) <= limit:
        return starts
    if limit == 1:
        return starts[:1]
    return [starts[round(i * (len(starts) - 1) / (limit - 1))] for i in range(limit)]


def _embed_text(
    text: str, encoder: TextEncoder, recipe: WindowRecipe, cancellation: Cancellation | None
) -> Tensor:
    """One vector per window, [n, E] float32; the one place where encoder errors are translated."""
    try:
        windows = [encoder.decode(ids) for ids in cut_windows(encoder.encode(text), recipe)]
        vectors = encoder.embed_windows(windows, recipe.chunk_tokens, cancellation)
    except (Cancelled, ShapeMismatch):
        raise
    except Exception as error:
        raise EmbeddingFailed(f"encoder {encoder.encoder_id}: {error}") from error
    if not torch.isfinite(vectors).all():
        raise EmbeddingFailed(f"encoder {encoder.encoder_id} gave a non-finite number")
    return vectors


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
