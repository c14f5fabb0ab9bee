"""Text → embedding: windows of tokens, a frozen encoder, and the recipes' pooling.

    text ── windows ──► encoder ──► [n, E] ──┬─ diff:  d = [max ‖ mean]             (not normalised)
                                             └─ file:  f = mean
    files [n, E] ─────────────────────────────► snapshot:  e = [mean ‖ max] / (‖·‖₂ + 1e-12)

The two vectors have opposite orders on purpose: so the published checkpoints were trained
(code2lora-spec, section 2).
"""

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor

from code2lora_lsp.cancellation import Cancellation, Cancelled
from code2lora_lsp.errors import EmbeddingFailed, ShapeMismatch
from code2lora_lsp.recipe import Recipe, WindowRecipe

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
