"""A stretch of a repository's history as blocks that come and go."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from code2lora_lsp.errors import GitReadFailed
from code2lora_lsp.history.repository import Repository
from code2lora_lsp.runtime.tree_texts import TREE_RECIPE, TreeTexts
from code2lora_lsp.text.blocks import Block, blocks_of_tree, changed_blocks

WHERE_TO_BEGIN = 0.5
"""Of the commits that touch source: late enough for a tree, and not the quiet end."""


@dataclass(frozen=True)
class CommitBlocks:
    """What one commit does to the blocks of a tree."""

    commit_id: str
    removed: tuple[Block, ...]
    added: tuple[Block, ...]


@dataclass(frozen=True)
class Stretch:
    """A tree and the first-parent commits that follow it.

    Attributes:
        start_id: the commit whose tree it begins with.
        blocks: of that tree.
        commit_ids: those that touch source, oldest first.
    """

    start_id: str
    blocks: Counter[Block]
    commit_ids: tuple[str, ...]


class HistoryReader:
    """Reads stretches of one bare repository."""

    def __init__(self, repository: Repository) -> None:
        self._repository, self._texts = repository, TreeTexts(repository)

    def stretch(self, n_commits: int) -> Stretch:
        """``n_commits`` from the middle of a history on, or as many as there are.

        Raises:
            GitReadFailed: the repository has fewer than two commits that touch source.
        """
        tip = self._repository.head().commit_id
        touching = self._repository.source_commit_ids(tip, TREE_RECIPE) if tip else []
        if len(touching) < 2:
            raise GitReadFailed(
                f"{len(touching)} commits touch source; two are needed to follow one"
            )
        begin = max(0, min(int(len(touching) * WHERE_TO_BEGIN), len(touching) - 1 - n_commits))
        start_id = touching[begin]
        tree = self._texts.after(self._texts.changes(None, start_id))
        following = tuple(touching[begin + 1 : begin + 1 + n_commits])
        return Stretch(start_id, blocks_of_tree(tree), following)

    def commits(self, stretch: Stretch) -> Iterator[CommitBlocks]:
        """Each commit against the one before it; those that change no block are left out."""
        before = stretch.start_id
        for commit_id in stretch.commit_ids:
            changes = self._texts.changes(before, commit_id)
            change = changed_blocks(self._texts.before(changes), self._texts.after(changes))
            before = commit_id
            if change.added or change.removed:
                yield CommitBlocks(commit_id, change.removed, change.added)
