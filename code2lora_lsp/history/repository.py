"""Read-only access to one git repository: where HEAD is, and what its commits hold."""

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from code2lora_lsp.cancellation import Cancellation
from code2lora_lsp.errors import GitReadFailed, NotARepository
from code2lora_lsp.history import walk
from code2lora_lsp.history.attributes import converted_paths
from code2lora_lsp.history.diff import CommitDiff, PathRules
from code2lora_lsp.history.diff_requests import kept_requests, source_requests
from code2lora_lsp.history.discovery import (
    HeadKind,
    Location,
    RepositoryShape,
    locate,
    locate_git_dir,
)
from code2lora_lsp.history.git_process import EMPTY_TREES, GitCommand, object_id_length
from code2lora_lsp.history.head import Head, HeadUnclear, read_head
from code2lora_lsp.history.kept_commits import KeptCommits
from code2lora_lsp.history.snapshot import SnapshotFile, read_snapshot
from code2lora_lsp.history.tree_changes import (
    FileVersions,
    commits_among,
    read_blob_ids,
    read_tree_changes,
)
from code2lora_lsp.recipe import Recipe


@dataclass(frozen=True)
class Headline:
    """``time`` of a commit is ISO 8601 with its zone."""

    time: str
    subject: str


class Repository:
    """One work tree, read by one thread at a time (``head`` by any).

    Nothing here ever writes to the repository. ``exclude`` holds the user's gitignore patterns;
    they change which text is read, so states are keyed by them too.
    """

    def __init__(self, location: Location, exclude: Sequence[str] = ()) -> None:
        self.root = location.root
        self.git_dir = location.git_dir
        self.common_dir = location.common_dir
        self.exclude = tuple(exclude)
        self._location = location
        self._inode = _inode(location.git_dir)
        self._git = GitCommand(location.git_dir, location.common_dir)
        self._kept = KeptCommits(self._git)

    @classmethod
    def discover(cls, folder: Path, exclude: Sequence[str] = ()) -> "Repository":
        """The repository whose work tree holds ``folder``.

        Raises:
            NotARepository: there is none, it is bare or broken, or git is not installed.
        """
        return cls._checked(locate(folder), exclude)

    @classmethod
    def at_git_dir(cls, git_dir: Path) -> "Repository":
        """A bare repository, for tools that read and do not follow."""
        return cls._checked(locate_git_dir(git_dir), ())

    @property
    def shape(self) -> RepositoryShape:
        """The shape now: commands such as ``git fetch --unshallow`` change it."""
        head, where = self.head(), self._location
        attached: HeadKind = "branch" if head.branch is not None else "detached"
        return RepositoryShape(
            is_shallow=where.is_shallow,
            is_linked_worktree=where.is_linked_worktree,
            is_submodule=where.is_submodule,
            is_bare=where.is_bare,
            head="unborn" if head.commit_id is None else attached,
            branch=head.branch,
        )

    def is_in_place(self) -> bool:
        """Whether the git directory is where it was: it can be moved, or deleted and made anew."""
        try:
            return locate(self.root) == self._location and _inode(self.git_dir) == self._inode
        except (NotARepository, OSError):
            return False

    def head(self) -> Head:
        """Where HEAD is now: a few file reads, git itself only where the files do not say.

        Raises:
            GitReadFailed: HEAD cannot be read at all.
        """
        try:
            return read_head(self.git_dir, self.common_dir)
        except HeadUnclear:
            return self._head_from_git()

    def headline(self, commit_id: str) -> Headline:
        """When a commit was made, and the first line of its message.

        Raises:
            GitReadFailed: git does not have it.
        """
        arguments = ("log", "-1", "--no-show-signature", "--format=%cI%n%s", commit_id, "--")
        time, _, subject = self._git.text(*arguments).partition("\n")
        readable = subject.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
        return Headline(time, readable.strip())

    def first_parent_ids(self, tip: str, limit: int | None = None) -> list[str]:
        """``tip`` and its first parents, newest first."""
        return list(islice(self._first_parents(tip), limit))

    def first_parent_count(self, tip: str) -> int:
        return int(self._git.text("rev-list", "--first-parent", "--count", tip, "--"))

    def nearest_ancestor(self, tip: str, candidates: Collection[str]) -> str | None:
        """The first of ``candidates`` on the way from ``tip`` (included) along first parents."""
        wanted = frozenset(candidates)
        walked = self._first_parents(tip) if wanted else iter(())
        return next((commit_id for commit_id in walked if commit_id in wanted), None)

    def is_ancestor(self, ancestor: str, descendant: str) -> bool:
        """Along all parents. A commit is its own ancestor."""
        arguments = ("merge-base", "--is-ancestor", ancestor, descendant)
        return self._git.run(*arguments, accepted=(0, 1))[0] == 0

    def merge_base(self, one: str, other: str) -> str | None:
        """Their best common ancestor; ``None`` for histories that never met."""
        found = self._git.run("merge-base", one, other, accepted=(0, 1))[1]
        return found.decode("ascii").strip() or None

    def shallow_boundary(self, tip: str) -> str | None:
        """The commit where a shallow clone cuts the first parents of ``tip``, if it does.

        Its parents are absent: only its snapshot can be read, not its diff.
        """
        return self._boundary(self.first_parent_ids(tip)) if self._location.is_shallow else None

    def oldest_diffable(self, tip: str) -> str | None:
        """The oldest first-parent commit of ``tip`` whose diff can be read.

        That is the root or, in a shallow clone, the child of the boundary; ``None`` when only
        the boundary itself is here.
        """
        path = self.first_parent_ids(tip)
        if self._boundary(path) is None:
            return path[-1]
        return path[-2] if len(path) > 1 else None

    def source_commit_ids(
        self,
        tip: str,
        recipe: Recipe,
        limit: int | None = None,
        cancellation: Cancellation | None = None,
    ) -> list[str]:
        """First-parent commits of ``tip`` the recipe steps on, oldest first.

        ``limit`` keeps the newest ones; with the ``source`` stream it also bounds the work. A
        shallow boundary is no step of the ``source`` stream (see ``shallow_boundary``).
        """
        if limit == 0:
            return []
        if recipe.commits == "kept":
            kept = self._kept.up_to(tip, cancellation or Cancellation())
            return list(kept if limit is None else kept[-limit:])
        touching = self._commits_touching_source(tip, recipe, cancellation or Cancellation())
        return list(islice(touching, limit))[::-1]

    def commit_diffs(
        self, commit_ids: Sequence[str], recipe: Recipe, cancellation: Cancellation
    ) -> Iterator[CommitDiff]:
        """The diff of each commit, in the order given (oldest first), streamed.

        The ``source`` stream diffs against the first parent; ``kept`` against the kept commit
        before it, the first one against the empty tree.

        Raises:
            GitReadFailed: while iterating; diffs yielded before it are complete and right.
        """
        if not commit_ids:
            return
        if recipe.commits == "kept":
            before = self._kept.predecessors(list(commit_ids), cancellation)
            requests = kept_requests(self._git, commit_ids, before, self._empty_tree())
        else:
            shallow_ids, empty = self._shallow_ids(), self._empty_tree()
            requests = source_requests(self._git, commit_ids, shallow_ids, empty)
        yield from walk.read_diffs(self._git, requests, self.rules(recipe), cancellation)

    def snapshot(self, commit_id: str, recipe: Recipe) -> list[SnapshotFile]:
        """Files of the commit's tree that the recipe reads: largest first, then by path bytes."""
        return read_snapshot(self._git, commit_id, self.rules(recipe))

    def tree_changes(self, before: str | None, after: str, recipe: Recipe) -> list[FileVersions]:
        """Files a snapshot reads that differ between two commits' trees, their sizes apart.

        ``before`` may be ``None``, which is the empty tree: then it is every file of ``after``.

        Raises:
            GitReadFailed: git does not have one of them.
        """
        rules = self.rules(recipe)
        changes = read_tree_changes(self._git, before or self._empty_tree(), after)
        return [change for change in changes if rules.reads_snapshot(change.path)]

    def blob_ids(self, commit_id: str, paths: Sequence[str], recipe: Recipe) -> dict[str, str]:
        """Path → blob id of those paths that a snapshot reads at a commit."""
        rules = self.rules(recipe)
        return read_blob_ids(self._git, commit_id, [p for p in paths if rules.reads_snapshot(p)])

    def converted_paths(self, paths: Collection[str]) -> frozenset[str]:
        """Those that do not lie in the work tree as they would be committed."""
        return converted_paths(GitCommand(self.git_dir, self.common_dir, self.root), paths)

    def commits_among(self, commit_ids: Sequence[str]) -> list[str]:
        """Those that this repository has, in the order given."""
        return commits_among(self._git, commit_ids)

    def read_blobs(self, blob_ids: Iterable[str]) -> Iterator[tuple[str, bytes]]:
        """Contents in the order asked for, through one process.

        Raises:
            GitReadFailed: while iterating: a blob is missing or git died.
        """
        return walk.read_blobs(self._git, blob_ids)

    def rules(self, recipe: Recipe) -> PathRules:
        return PathRules(recipe, self.exclude)

    @classmethod
    def _checked(cls, location: Location, exclude: Sequence[str]) -> "Repository":
        try:
            repository = cls(location, exclude)
            repository._git.run("rev-parse", "--git-dir")
        except GitReadFailed as error:
            raise NotARepository(f"{location.root} cannot be followed: {error}") from error
        return repository

    def _head_from_git(self) -> Head:
        status, branch = self._git.run("symbolic-ref", "--short", "-q", "HEAD", accepted=(0, 1))
        name = branch.decode("utf-8", "surrogateescape").strip() if status == 0 else None
        _, found = self._git.run("rev-parse", "--verify", "-q", "HEAD", accepted=(0, 1))
        commit_id = found.decode("ascii").strip() or None
        if commit_id is None and name is None:
            raise GitReadFailed(
                f"HEAD of {self.git_dir} names neither a branch nor a commit. "
                "Check out a branch, or run `git fsck`."
            )
        return Head(commit_id, name)

    def _first_parents(self, tip: str) -> Iterator[str]:
        with self._git.stream("rev-list", "--first-parent", tip, "--") as stream:
            for line in stream.stdout:
                yield line.decode("ascii").strip()
            stream.finish()

    def _boundary(self, first_parents: Sequence[str]) -> str | None:
        oldest = first_parents[-1]
        return oldest if oldest in self._shallow_ids() else None

    def _shallow_ids(self) -> frozenset[str]:
        if not self._location.is_shallow:
            return frozenset()
        return frozenset((self.common_dir / "shallow").read_text("ascii").split())

    def _commits_touching_source(
        self, tip: str, recipe: Recipe, cancellation: Cancellation
    ) -> Iterator[str]:
        rules, boundaries = self.rules(recipe), self._shallow_ids()
        commits = walk.read_changes(
            self._git, tip, renames=False, oldest_first=False, quoted_paths=False
        )
        for commit in commits:
            cancellation.check()
            if commit.commit_id in boundaries:
                continue
            paths = (file.path for file in commit.files)
            if any(rules.reads(path) and not rules.withholds(path) for path in paths):
                yield commit.commit_id

    def _empty_tree(self) -> str:
        return EMPTY_TREES[object_id_length(self.common_dir)]


def _inode(folder: Path) -> tuple[int, int]:
    seen = folder.stat()
    return seen.st_dev, seen.st_ino
