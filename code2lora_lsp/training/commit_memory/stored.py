"""What is kept of a repository's commits, so that training needs no backbone but its head."""

import json
from dataclasses import dataclass, fields
from pathlib import Path

from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from code2lora_lsp.errors import ModelMismatch
from code2lora_lsp.neural.atomic_file import replacing

FORMAT = "code2lora-commit-features-1"

UPDATES_EVERY = 16
"""Commits between two ledger updates that are kept, for asking under another repository's."""


@dataclass(frozen=True)
class CommitFeatures:
    """One repository's stretch: T commits, N tokens kept of the lines they add.

    Attributes:
        keys: x_i, [N, F] float16.
        outputs: h without any adapter, [N, D] float16.
        before: h under the ledger of the tree before the commit, [N, D] float16.
        after: h under the ledger that has taken the commit in, [N, D] float16.
        next_ids: [N] int32.
        marks: bits of ``marks.Mark``, [N] int8.
        is_item: a uniform sample of the commit's fresh tokens, [N] bool: what is asked.
        is_write: its most surprising fresh tokens, [N] bool: what a fast memory writes.
        starts: where each commit's tokens begin, and the end, [T + 1] int64.
        facts: of each commit, see ``extraction``, [T, 8] float32.
        key_means: mean key of what is removed and of what is added, [T, 2, F] float32.
        error_means: the same of the ledger's errors, [T, 2, D] float32.
        updates: the ledger's ΔW after every ``UPDATES_EVERY``-th commit, [U, D, F] float16.
    """

    keys: Tensor
    outputs: Tensor
    before: Tensor
    after: Tensor
    next_ids: Tensor
    marks: Tensor
    is_item: Tensor
    is_write: Tensor
    starts: Tensor
    facts: Tensor
    key_means: Tensor
    error_means: Tensor
    updates: Tensor

    @property
    def n_commits(self) -> int:
        return len(self.starts) - 1

    def rows(self, commit: int) -> slice:
        """Of one commit's tokens."""
        return slice(int(self.starts[commit]), int(self.starts[commit + 1]))


@dataclass(frozen=True)
class StoredRepository:
    """Features with where they come from.

    Attributes:
        card: repository, commits, tokens of the tree's ledger, its step.
    """

    features: CommitFeatures
    card: dict[str, str | int | float]

    @property
    def name(self) -> str:
        return str(self.card["repository"])


def save_repository(stored: StoredRepository, path: Path) -> None:
    """Write one safetensors file, atomically."""
    names = [field.name for field in fields(CommitFeatures)]
    tensors = {name: getattr(stored.features, name).contiguous() for name in names}
    with replacing(path) as temporary:
        save_file(tensors, temporary, {"format": FORMAT, "card": json.dumps(stored.card)})


def load_repository(path: Path, backbone: str) -> StoredRepository:
    """Read what ``save_repository`` wrote.

    Raises:
        ModelMismatch: it is of another format or backbone.
    """
    with safe_open(path, framework="pt") as file:
        header = file.metadata() or {}
        card = json.loads(header.get("card", "{}"))
        if header.get("format") != FORMAT or card.get("backbone") != backbone:
            raise ModelMismatch(
                f"{path}: format {header.get('format')!r} of backbone {card.get('backbone')}, "
                f"wanted {FORMAT!r} of {backbone}; extract the features again"
            )
        tensors = {field.name: file.get_tensor(field.name) for field in fields(CommitFeatures)}
    return StoredRepository(CommitFeatures(**tensors), card)
