"""A small builder of real repositories for tests: ``repo.commit("a.py", "x = 1\\n")``.

Every process runs without the user's git configuration, with a fixed author and with a clock
that moves one minute per commit, so commit ids are the same on every machine.
"""

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

Content = str | bytes | None
"""What a path should hold; ``None`` removes it."""

_FIRST_COMMIT_AT = 1_700_000_000
_IDENTITY = {"user.name": "Ada", "user.email": "ada@example.org"}
_CONFIG = {**_IDENTITY, "commit.gpgsign": "false", "gc.auto": "0", "maintenance.auto": "false"}


def isolated_environment() -> dict[str, str]:
    """The process environment without anything that could change what git does."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    return kept | {
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_ALLOW_PROTOCOL": "file",
        "LC_ALL": "C",
    }


class GitRepo:
    """One repository on disk. Methods that make a commit return its id."""

    def __init__(self, root: Path, *, branch: str = "main", bare: bool = False) -> None:
        self.root = root
        self._at_s = _FIRST_COMMIT_AT
        if not (root / ".git").exists():
            root.mkdir(parents=True, exist_ok=True)
            self.git("init", "-q", f"--initial-branch={branch}", *(["--bare"] if bare else []))
        for name, value in _CONFIG.items():
            self.git("config", name, value)

    def git(self, *arguments: str, stdin: bytes | None = None) -> str:
        """Run one git command in the work tree; its standard output without the last newline."""
        done = subprocess.run(
            ["git", *arguments],
            cwd=self.root,
            env=isolated_environment() | self._clock(),
            input=stdin,
            capture_output=True,
            check=False,
        )
        if done.returncode:
            raise AssertionError(f"git {arguments} failed: {done.stderr.decode(errors='replace')}")
        return done.stdout.decode("utf-8", "surrogateescape").removesuffix("\n")

    @property
    def head(self) -> str:
        return self.git("rev-parse", "HEAD")

    @property
    def git_dir(self) -> Path:
        return Path(self.git("rev-parse", "--absolute-git-dir"))

    def commit(
        self,
        path: str | Mapping[str, Content] = "",
        content: Content = "",
        *,
        message: str = "change",
    ) -> str:
        """Write ``path`` (or a mapping of paths to contents) and commit it with all else staged.

        ``commit()`` makes an empty commit.
        """
        self.write(path, content)
        self._at_s += 60
        self.git("commit", "-q", "--allow-empty", "-m", message)
        return self.head

    def amend(self, path: str | Mapping[str, Content] = "", content: Content = "") -> str:
        self.write(path, content)
        self._at_s += 60
        self.git("commit", "-q", "--amend", "--allow-empty", "-m", "amended")
        return self.head

    def write(self, path: str | Mapping[str, Content], content: Content = "") -> None:
        """Write and stage, without a commit. Missing folders are made."""
        changes = path if isinstance(path, Mapping) else {path: content} if path else {}
        for name, text in changes.items():
            if text is None:
                self.git("rm", "-q", "-r", "-f", "--", name)
                continue
            target = self.root / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(text.encode() if isinstance(text, str) else text)
            self.git("add", "-f", "--", name)

    def move(self, source: str, target: str) -> None:
        """Stage a rename."""
        (self.root / target).parent.mkdir(parents=True, exist_ok=True)
        self.git("mv", "--", source, target)

    def branch(self, name: str, at: str = "HEAD", *, switch: bool = True) -> None:
        """Make a branch and, unless told otherwise, switch to it."""
        self.git("branch", name, at)
        if switch:
            self.switch(name)

    def switch(self, name: str) -> None:
        self.git("switch", "-q", name)

    def detach(self, at: str = "HEAD") -> None:
        self.git("switch", "-q", "--detach", at)

    def merge(self, name: str, *, fast_forward: bool = False) -> str:
        """Merge ``name`` into the current branch; by default always with a merge commit."""
        self._at_s += 60
        how = "--ff-only" if fast_forward else "--no-ff"
        self.git("merge", "-q", how, "-m", f"merge {name}", name)
        return self.head

    def rebase(self, onto: str) -> str:
        self._at_s += 60
        self.git("rebase", "-q", onto)
        return self.head

    def reset(self, to: str) -> str:
        self.git("reset", "-q", "--hard", to)
        return self.head

    def tag(self, name: str, at: str = "HEAD") -> None:
        self.git("tag", name, at)

    def pack_refs(self) -> None:
        self.git("pack-refs", "--all")

    def gc(self) -> None:
        self.git("gc", "-q", "--prune=now")

    def worktree(self, root: Path, branch: str) -> "GitRepo":
        """A linked work tree on a new branch."""
        self.git("worktree", "add", "-q", "-b", branch, str(root))
        return self._at(root)

    def submodule(self, source: "GitRepo", path: str) -> "GitRepo":
        """Commit ``source`` as a submodule at ``path``; returns the checked-out submodule."""
        self.git("submodule", "add", "-q", source.root.as_uri(), path)
        self.commit(message=f"add {path}")
        return self._at(self.root / path)

    def clone(self, root: Path, *, depth: int | None = None) -> "GitRepo":
        """A clone; ``depth`` makes it shallow."""
        shallow = [] if depth is None else [f"--depth={depth}"]
        self.git("clone", "-q", *shallow, self.root.as_uri(), str(root))
        return self._at(root)

    def _at(self, root: Path) -> "GitRepo":
        other = GitRepo(root)
        other._at_s = self._at_s
        return other

    def _clock(self) -> dict[str, str]:
        at = f"{self._at_s} +0000"
        return {"GIT_AUTHOR_DATE": at, "GIT_COMMITTER_DATE": at}
