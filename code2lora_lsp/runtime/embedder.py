"""Commits and trees → embeddings, through the frozen encoder and the checkpoint's recipe."""

import logging
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from code2lora_lsp.cancellation import Cancellation
from code2lora_lsp.history.diff import CommitDiff
from code2lora_lsp.history.repository import Repository
from code2lora_lsp.history.secrets import redact
from code2lora_lsp.history.snapshot import SnapshotFile
from code2lora_lsp.neural.encoder import TextEncoder, embed_diff, embed_file, pool_snapshot
from code2lora_lsp.recipe import Recipe
from code2lora_lsp.runtime.state_store import StateStore

log = logging.getLogger(__name__)


class HistoryEmbedder:
    """Embeds one repository's diffs and snapshots; file vectors are kept by blob id."""

    def __init__(
        self, repository: Repository, recipe: Recipe, encoder: TextEncoder, store: StateStore
    ) -> None:
        self._repository = repository
        self._recipe = recipe
        self._encoder = encoder
        self._store = store

    def diff(self, diff: CommitDiff, cancellation: Cancellation) -> Tensor:
        """d_t = [max ‖ mean] over the diff's windows, [2E] float32; zeros for an empty diff."""
        return embed_diff(diff.text, self._encoder, self._recipe, cancellation)

    def snapshot(self, commit_id: str, cancellation: Cancellation) -> Tensor:
        """e_0 = [mean ‖ max] over the tree's file vectors, [2E] float32, L2-normalised."""
        files = self._repository.snapshot(commit_id, self._recipe)
        known = {file.blob_id: self._stored(file.blob_id) for file in files}
        fresh = [file for file in files if known[file.blob_id] is None]
        known.update(self._embed(fresh, cancellation))
        vectors = [v for file in files if (v := known[file.blob_id]) is not None and v.numel()]
        width = self._encoder.width
        return pool_snapshot(torch.stack(vectors) if vectors else torch.zeros(0, width))

    def _stored(self, blob_id: str) -> Tensor | None:
        found = self._store.load("file", blob_id)
        return None if found is None else found["vector"]

    def _embed(
        self, files: Sequence[SnapshotFile], cancellation: Cancellation
    ) -> Iterable[tuple[str, Tensor]]:
        """One vector per blob; an empty tensor marks a file too short to have a window."""
        blobs = self._repository.read_blobs([file.blob_id for file in files])
        for blob_id, content in blobs:
            cancellation.check()
            text, _ = redact(content.decode("utf-8", errors="replace"))
            vector = embed_file(text, self._encoder, self._recipe, cancellation)
            vector = torch.zeros(0) if vector is None else vector
            self._keep(blob_id, vector)
            yield blob_id, vector

    def _keep(self, blob_id: str, vector: Tensor) -> None:
        try:
            self._store.save("file", blob_id, {"vector": vector})
        except OSError as error:
            log.warning("vector of blob %s could not be stored (%s)", blob_id[:12], error)
