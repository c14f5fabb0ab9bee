"""Find the repository around a folder, and say which shape it has."""

import os
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Literal

from code2lora_lsp.errors import NotARepository

HeadKind = Literal["branch", "detached", "unborn"]


@dataclass(frozen=True)
class RepositoryShape:
    """What is unusual about a repository. ``branch`` is ``None`` when HEAD is detached."""

    is_shallow: bool
    is_linked_worktree: bool
    is_submodule: bool
    is_bare: bool
    head: HeadKind
    branch: str | None


@dataclass(frozen=True)
class Location:
    """Folders of one work tree.

    Attributes:
        root: the work tree, or the git directory itself where there is none.
        git_dir: holds HEAD and its log; differs per linked work tree.
        common_dir: holds objects, branches and ``packed-refs``; shared by all work trees.
    """

    root: Path
    git_dir: Path
    common_dir: Path

    @property
    def is_linked_worktree(self) -> bool:
        return self.git_dir != self.common_dir

    @property
    def is_submodule(self) -> bool:
        inside = (".git", "modules") in pairwise(self.common_dir.parts)
        return inside and (self.root / ".git").is_file()

    @property
    def is_bare(self) -> bool:
        return self.root == self.git_dir

    @property
    def is_shallow(self) -> bool:
        shallow = self.common_dir / "shallow"
        return shallow.is_file() and shallow.stat().st_size > 0


def locate(folder: Path) -> Location:
    """The repository whose work tree holds ``folder``.

    As git does, a ``.git`` that is no git directory is walked past, and a ``.git`` file that leads
    to none is an error.

    Raises:
        NotARepository: there is none we can follow; the message says what was seen instead.
    """
    try:
        start = folder.resolve()
        is_folder = start.is_dir()
    except OSError as error:
        raise NotARepository(f"{folder} cannot be opened: {error}.") from error
    if not is_folder:
        seen = "is not a folder" if start.exists() else "does not exist"
        raise NotARepository(f"{folder} {seen}. Open a folder inside a git work tree.")
    passed: list[Path] = []
    for candidate in (start, *start.parents):
        dot_git = candidate / ".git"
        if dot_git.is_file() or _is_git_dir(dot_git):
            return _location(candidate)
        if _is_git_dir(candidate):
            raise _without_work_tree(candidate)
        if dot_git.is_symlink() or dot_git.exists():
            passed.append(dot_git)
    seen = f" {passed[0]} is no git directory: HEAD or objects are missing." if passed else ""
    raise NotARepository(
        f"no git repository in {folder} or above it.{seen} Run `git init` or open another folder."
    )


def locate_git_dir(git_dir: Path) -> Location:
    """A bare repository by its own folder; for tools that read and do not follow."""
    if not _is_git_dir(git_dir):
        raise NotARepository(f"{git_dir} is not a git directory: HEAD or objects are missing.")
    resolved = git_dir.resolve()
    return Location(resolved, resolved, _common_dir(resolved))


def _location(root: Path) -> Location:
    git_dir = _git_dir(root / ".git")
    if not _is_git_dir(git_dir):
        raise NotARepository(
            f"{root / '.git'} leads to {git_dir}, which is no git directory: HEAD or objects are "
            "missing. Repair the link (`git worktree repair`, `git submodule update --init`)."
        )
    return Location(root, git_dir, _common_dir(git_dir))


def _git_dir(dot_git: Path) -> Path:
    if not dot_git.is_file():
        return dot_git.resolve()
    content = dot_git.read_bytes().decode("utf-8", "surrogateescape").strip()
    if not content.startswith("gitdir:"):
        raise NotARepository(f"{dot_git} is a file without a `gitdir:` line: {content[:80]!r}.")
    return (dot_git.parent / content.removeprefix("gitdir:").strip()).resolve()


def _common_dir(git_dir: Path) -> Path:
    pointer = git_dir / "commondir"
    if not pointer.is_file():
        return git_dir
    return (git_dir / os.fsdecode(pointer.read_bytes().strip())).resolve()


def _is_git_dir(folder: Path) -> bool:
    head = folder / "HEAD"
    if not (head.is_file() or head.is_symlink()):
        return False
    common = _common_dir(folder)
    return (common / "objects").is_dir() and (common / "refs").is_dir()


def _without_work_tree(git_dir: Path) -> NotARepository:
    if git_dir.name == ".git":
        return NotARepository(
            f"{git_dir} is a git directory, not a work tree. Open {git_dir.parent} instead."
        )
    return NotARepository(
        f"{git_dir} is a bare repository: it has no work tree to complete code in. "
        "Open a clone or a linked work tree of it."
    )
