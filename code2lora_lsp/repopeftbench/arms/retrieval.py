"""Retrieved snippets in the prompt: BM25 over words, or an encoder over vectors."""

import importlib.util
import logging
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch.nn.functional as F  # noqa: N812 - torch's own name for it
from torch import Tensor

from code2lora_lsp.errors import SetupError
from code2lora_lsp.neural.encoder import TextEncoder
from code2lora_lsp.repopeftbench.arms.arm import Cost, Prepared, Target
from code2lora_lsp.repopeftbench.arms.chunks import (
    Chunk,
    best_last,
    chunk_recipe,
    cut_chunks,
    query_text,
)
from code2lora_lsp.repopeftbench.arms.kept_vectors import kept_vectors
from code2lora_lsp.repopeftbench.arms.known_tree import read_known_tree
from code2lora_lsp.repopeftbench.arms.prepared import PreparedScorer
from code2lora_lsp.repopeftbench.arms.words import words_of
from code2lora_lsp.repopeftbench.items import Item
from code2lora_lsp.repopeftbench.prompts import Snippet
from code2lora_lsp.repopeftbench.results import file_name
from code2lora_lsp.repopeftbench.scoring import Scorer

QUERY_TOKENS = 512


class Bm25Index:
    """Chunks ranked by BM25 (bm25s, its defaults: Lucene's variant, k1 = 1.5, b = 0.75)."""

    def __init__(self, chunks: Sequence[Chunk]) -> None:
        import bm25s

        logging.getLogger("bm25s").setLevel(logging.WARNING)  # it sets DEBUG when imported

        self._chunks = chunks
        words = [words_of(f"{chunk.path}\n{chunk.text}") for chunk in chunks]
        self._scores: Any = None
        if any(words):
            index = bm25s.BM25()
            index.index(words, show_progress=False)
            self._scores = index.get_scores

    @property
    def size_bytes(self) -> int:
        return sum(len(chunk.text.encode()) for chunk in self._chunks)

    def best(self, prefix: str, k: int) -> list[Chunk]:
        """The ``k`` best chunks, best first; fewer when fewer share a word with the query."""
        query = words_of(query_text(prefix))
        if self._scores is None or not query:
            return []
        scores = np.asarray(self._scores(query))
        order = np.argsort(-scores, kind="stable")[:k]
        return [self._chunks[i] for i in order if scores[i] > 0]


class DenseIndex:
    """Chunks ranked by the cosine of their mean-pooled vectors with the query's."""

    def __init__(
        self, chunks: Sequence[Chunk], encoder: TextEncoder, vectors_path: Path | None = None
    ) -> None:
        """``vectors_path`` is a file of this encoder's vectors that need not exist."""
        self._chunks, self._encoder = chunks, encoder
        texts = [chunk.text for chunk in chunks]
        self._vectors = (  # [n, E]
            self._embed(texts)
            if vectors_path is None
            else kept_vectors(vectors_path, texts, self._embed)
        )

    @property
    def size_bytes(self) -> int:
        text_bytes = sum(len(chunk.text.encode()) for chunk in self._chunks)
        return text_bytes + self._vectors.numel() * self._vectors.element_size()

    def best(self, prefix: str, k: int) -> list[Chunk]:
        """The ``k`` best chunks, best first."""
        query = self._embed([query_text(prefix)])[0]  # [E]
        if not self._chunks or not bool(query.any()):
            return []
        scores = self._vectors @ query
        order = scores.argsort(descending=True, stable=True)[:k]
        return [self._chunks[i] for i in order.tolist()]

    def _embed(self, texts: Sequence[str]) -> Tensor:
        return F.normalize(self._encoder.embed_windows(texts, QUERY_TOKENS).float(), dim=-1)


Index = Bm25Index | DenseIndex


class RetrievalArm:
    """The ``k`` best chunks of the known tree before every prompt."""

    def __init__(
        self,
        name: str,
        scorer: Scorer,
        n_snippets: int,
        build: Callable[[Target, list[Chunk]], Index],
        why_not: Callable[[], str | None],
    ) -> None:
        self.name = name
        self._scorer, self._n_snippets = scorer, n_snippets
        self._build, self._why_not = build, why_not

    @property
    def recipe_key(self) -> str:
        return f"{self._scorer.recipe_key}|{self._n_snippets}"

    def why_not(self) -> str | None:
        return self._why_not()

    def prepare(self, target: Target) -> Prepared:
        started_s = time.perf_counter()
        recipe = chunk_recipe(self._scorer.prompts.context_tokens, self._n_snippets)
        tree = read_known_tree(target)
        index = self._build(target, cut_chunks(tree, self._scorer.model.tokenizer, recipe))
        cost = Cost(time.perf_counter() - started_s, stored_bytes=index.size_bytes)

        def snippets(item: Item) -> list[Snippet]:
            return best_last(index.best(item.prefix, self._n_snippets))

        return PreparedScorer(self._scorer, cost, snippets=snippets)


def bm25_arm(scorer: Scorer, n_snippets: int, name: str = "") -> RetrievalArm:
    """``bm25-k``; another ``name`` where the scorer's model is not the backbone."""

    def build(target: Target, chunks: list[Chunk]) -> Bm25Index:
        del target
        return Bm25Index(chunks)

    return RetrievalArm(name or f"bm25-{n_snippets}", scorer, n_snippets, build, why_no_bm25)


def why_no_bm25() -> str | None:
    if importlib.util.find_spec("bm25s") is None:
        return "the package bm25s is not installed; install code2lora-lsp[bench]"
    return None


def dense_arm(
    scorer: Scorer,
    n_snippets: int,
    encoder: Callable[[], TextEncoder | None],
    folder: Path | None = None,
) -> RetrievalArm:
    """``dense-k`` through what ``encoder`` gives; an arm that cannot run where it gives none.

    With a ``folder``, the vectors of each repository's chunks are kept there.
    """

    def build(target: Target, chunks: list[Chunk]) -> DenseIndex:
        found = encoder()
        assert found is not None, "why_not was not asked"
        if folder is None:
            return DenseIndex(chunks, found)
        name = f"{file_name(target.repository)}.{n_snippets}@{found.encoder_id}.safetensors"
        return DenseIndex(chunks, found, folder / name)

    def why_not() -> str | None:
        try:
            found = encoder()
        except SetupError as error:
            return str(error)
        if found is None:
            return "no encoder: the backbone is not of the Qwen2 family and no folder was given"
        return None

    return RetrievalArm(f"dense-{n_snippets}", scorer, n_snippets, build, why_not)
