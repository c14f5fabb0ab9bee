"""Refuses what an arm must not read: hidden files, copies of them, and later commits."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from code2lora_lsp.errors import Code2LoraError
from code2lora_lsp.history.git_process import GitCommand
from code2lora_lsp.history.repository import Repository
from code2lora_lsp.repopeftbench.arms.arm import Target
from code2lora_lsp.repopeftbench.items import Item
from code2lora_lsp.repopeftbench.source_tree import TreeReader
from code2lora_lsp.training.duplicates import line_shingles

SHINGLE_LINES = 5
LARGEST_SHARED_SHARE = 0.5
FEWEST_SHINGLES = 5
"""Files of fewer shingles are too short to tell a copy from a coincidence."""


class LeakFound(Code2LoraError):
    """What an arm would read holds an item's answer. A run that meets one has no result."""


def shingles(text: str) -> frozenset[bytes]:
    """Hashes of every five code lines in a row."""
    return frozenset(line_shingles(text, SHINGLE_LINES))


def are_near_duplicates(one: Collection[bytes], other: Collection[bytes]) -> bool:
    """Whether more than half of one's shingles are in the other, either way round."""
    fewer, more = sorted((frozenset(one), frozenset(other)), key=len)
    if len(fewer) < FEWEST_SHINGLES:
        return False
    return len(fewer & more) > LARGEST_SHARED_SHARE * len(fewer)


class ShingleIndex:
    """Which files of a tree are near duplicates of which."""

    def __init__(self, shingled: Mapping[str, frozenset[bytes]]) -> None:
        self._shingled = shingled
        self._holders: dict[bytes, list[str]] = {}
        for path, own in shingled.items():
            for shingle in own:
                self._holders.setdefault(shingle, []).append(path)

    def copies_of(self, paths: Iterable[str]) -> frozenset[str]:
        """Files that are near duplicates of one of ``paths``, or of such a file; without these."""
        asked = frozenset(paths)
        found, waiting = set(asked), list(asked)
        while waiting:
            new = self.near(self._shingled.get(waiting.pop(), frozenset())) - found
            found |= new
            waiting += new
        return frozenset(found) - asked

    def near(self, own: Collection[bytes]) -> set[str]:
        """Files that are near duplicates of a text with these shingles."""
        sharing = {path for shingle in own for path in self._holders.get(shingle, ())}
        return {path for path in sharing if are_near_duplicates(own, self._shingled[path])}


@dataclass(frozen=True)
class LeakCheck:
    """What may not be read for one target.

    Attributes:
        target: the state of a repository that is asked about.
        hidden: path -> shingles of the files that hold items, in every version that is asked.
        known_commits: the known commit and all its ancestors.
    """

    target: Target
    hidden: Mapping[str, Sequence[frozenset[bytes]]] = field(repr=False)
    known_commits: frozenset[str] = field(repr=False)

    @classmethod
    def of(cls, target: Target, items: Iterable[Item] = ()) -> "LeakCheck":
        """Read the hidden files of the known commit, and those of ``items`` at their commits.

        Raises:
            LeakFound: a hidden path is not in the tree, so nothing can be compared with it.
            GitReadFailed: the repository cannot be read.
        """
        reader = TreeReader(target.git_dir)
        texts = reader.read(target.known_commit_id).texts
        absent = sorted(target.hidden_paths - texts.keys())
        if absent:
            raise LeakFound(
                f"{target.repository} at {target.known_commit_id[:12]} has no source file "
                f"{absent[0]!r}, which is to be hidden: the items were built from another commit"
            )
        hidden = {path: [shingles(texts[path])] for path in sorted(target.hidden_paths)}
        for commit_id, path in sorted({(item.commit_id, item.path) for item in items}):
            text = reader.read(commit_id).texts.get(path, "")
            hidden.setdefault(path, []).append(shingles(text))
        repository = Repository.at_git_dir(target.git_dir)
        git = GitCommand(repository.git_dir, repository.common_dir)
        known = git.text("rev-list", target.known_commit_id, "--").split()
        return cls(target, hidden, frozenset(known))

    def reason_against(self, path: str, text: str) -> str | None:
        """Why this text may not be read; None when it may."""
        if path in self.hidden:
            return f"{path!r} holds items"
        own = shingles(text)
        sharing = {hidden_path for shingle in own for hidden_path in self._holders.get(shingle, ())}
        for hidden_path in sorted(sharing):
            if any(are_near_duplicates(own, version) for version in self.hidden[hidden_path]):
                return f"{path!r} is a near duplicate of {hidden_path!r}, which holds items"
        return None

    @cached_property
    def _holders(self) -> dict[bytes, set[str]]:
        """Shingle -> hidden paths that have it."""
        holders: dict[bytes, set[str]] = {}
        for path, versions in self.hidden.items():
            for shingle in frozenset().union(*versions):
                holders.setdefault(shingle, set()).add(path)
        return holders

    def check_texts(self, texts: Iterable[tuple[str, str]]) -> None:
        """Refuse (path, text) that may not be read.

        Raises:
            LeakFound: at the first one.
        """
        for path, text in texts:
            reason = self.reason_against(path, text)
            if reason is not None:
                raise LeakFound(f"{self._where()}: {reason}; leave it out of what the arm reads")

    def check_commits(self, commit_ids: Iterable[str]) -> None:
        """Refuse commits that are neither the known one nor an ancestor of it.

        Raises:
            LeakFound: at the first one.
        """
        for commit_id in commit_ids:
            if commit_id not in self.known_commits:
                raise LeakFound(
                    f"{self._where()}: commit {commit_id[:12]} is later or on another branch; "
                    "read the known commit and its ancestors only"
                )

    def _where(self) -> str:
        return f"{self.target.repository} at {self.target.known_commit_id[:12]}"
