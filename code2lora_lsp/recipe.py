"""The exact text and pooling rules shared by training, serving and the benchmark.

A hypernetwork checkpoint names the ``recipe_id`` it was trained with and refuses any other:
a hidden state made by one recipe means nothing to weights trained on another.

Sources: ``published-v2`` is the recipe of the paper's released checkpoints (arXiv 2606.06492
and the MIT package ``code2lora`` 0.3.3); ``source-v1`` is ours: a GRU step on *every*
first-parent commit that touches tracked source, bounded work per commit and per snapshot.
"""

import hashlib
import json
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import Literal

CommitStream = Literal["kept", "source"]

SKIPPED_DIRECTORIES = frozenset(
    {
        ".git", "__pycache__", ".venv", "venv", "env", "node_modules", "dist", "build",
        ".tox", ".mypy_cache", "TEST_HYPERNET",
    }
)  # fmt: skip


@dataclass(frozen=True)
class WindowRecipe:
    """How a text is cut into encoder windows, in tokens (code2lora-spec, section 2)."""

    chunk_tokens: int
    overlap_tokens: int
    min_tokens: int
    max_windows: int | None = None
    """At most this many windows, spread evenly over the text; ``None`` takes all."""


@dataclass(frozen=True)
class Recipe:
    """Which commits are stepped, what text of them is read, and how it is cut.

    Attributes:
        name: human name; part of ``recipe_id``.
        commits: ``kept`` steps only on commits that add a test assertion and diffs from the
            previous kept commit; ``source`` steps on every first-parent commit whose diff
            against its first parent touches a file this recipe reads.
        suffixes: file suffixes whose diff is read.
        exclude_tests: drop files with "test" in any path part (the published rule).
        context_lines: context lines of each diff hunk.
        diff_windows: windows of the diff text; pooled as [max ‖ mean], not normalised.
        snapshot_suffixes: file suffixes a snapshot reads.
        snapshot_windows: windows of one file; pooled by mean.
        snapshot_max_files: at most this many files (largest first, then by path).
        snapshot_max_file_bytes: larger files are skipped.
        anchor_interval: ``None`` folds from the first commit. ``n`` folds from a canonical
            anchor between n and 2n commits back, so that cold start is bounded and the state
            still depends only on the commit (see ``runtime.fold``).
    """

    name: str
    commits: CommitStream
    suffixes: tuple[str, ...]
    exclude_tests: bool
    context_lines: int
    diff_windows: WindowRecipe
    snapshot_suffixes: tuple[str, ...]
    snapshot_windows: WindowRecipe
    snapshot_max_files: int | None
    snapshot_max_file_bytes: int
    anchor_interval: int | None

    @cached_property
    def recipe_id(self) -> str:
        """Name plus a hash over every field: any change of a rule is another recipe."""
        canonical = json.dumps(asdict(self), sort_keys=True, separators=(",", ":"))
        return f"{self.name}-{hashlib.sha256(canonical.encode()).hexdigest()[:12]}"

    def anchored(self, interval: int) -> "Recipe":
        """The same rules folded from an anchor at a bounded distance."""
        return replace(self, name=f"{self.name}+anchor{interval}", anchor_interval=interval)


PUBLISHED_V2 = Recipe(
    name="published-v2",
    commits="kept",
    suffixes=(".py", ".md", ".rst"),
    exclude_tests=True,
    context_lines=3,
    diff_windows=WindowRecipe(chunk_tokens=512, overlap_tokens=64, min_tokens=16),
    snapshot_suffixes=(".py",),
    snapshot_windows=WindowRecipe(chunk_tokens=2048, overlap_tokens=256, min_tokens=8),
    snapshot_max_files=400,
    snapshot_max_file_bytes=2_000_000,
    anchor_interval=None,
)

SOURCE_V1 = Recipe(
    name="source-v1",
    commits="source",
    suffixes=(".py", ".pyi"),
    exclude_tests=False,
    context_lines=3,
    diff_windows=WindowRecipe(chunk_tokens=512, overlap_tokens=64, min_tokens=4, max_windows=4),
    snapshot_suffixes=(".py", ".pyi"),
    snapshot_windows=WindowRecipe(chunk_tokens=512, overlap_tokens=64, min_tokens=4, max_windows=2),
    snapshot_max_files=24,
    snapshot_max_file_bytes=500_000,
    anchor_interval=32,
)

RECIPES = {
    recipe.recipe_id: recipe for recipe in (PUBLISHED_V2, PUBLISHED_V2.anchored(64), SOURCE_V1)
}
