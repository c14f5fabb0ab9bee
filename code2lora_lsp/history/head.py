"""Where HEAD points, read from files: no process, so it can be asked all the time."""

import re
from dataclasses import dataclass
from pathlib import Path

_ID = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")
_BRANCH_PREFIX = "refs/heads/"
_MAX_INDIRECTIONS = 5


@dataclass(frozen=True)
class Head:
    """``commit_id`` is ``None`` on an unborn branch, ``branch`` is ``None`` when detached."""

    commit_id: str | None
    branch: str | None


class HeadUnclear(Exception):
    """The files do not say (another ref store, a link, a half-written file): ask git."""


def read_head(git_dir: Path, common_dir: Path) -> Head:
    """HEAD from its file, the loose ref or ``packed-refs``.

    Raises:
        HeadUnclear: these files are not what git's classic ref store writes.
    """
    head_file = git_dir / "HEAD"
    if head_file.is_symlink():
        raise HeadUnclear(f"{head_file} is a symbolic link")
    value = _read_line(head_file)
    if value is None:
        raise HeadUnclear(f"{head_file} is missing")
    if _ID.fullmatch(value):
        return Head(value, None)
    ref = _target(value)
    if ref == "refs/heads/.invalid" or (common_dir / "reftable").is_dir():
        raise HeadUnclear("the repository keeps its refs in a reftable")
    commit_id = _resolve(ref, git_dir, common_dir)
    return Head(commit_id, ref.removeprefix(_BRANCH_PREFIX))


def ref_path(git_dir: Path, common_dir: Path) -> Path | None:
    """The loose file of the branch HEAD names, whether or not it exists now."""
    value = _read_line(git_dir / "HEAD") or ""
    return common_dir / value[5:].strip() if value.startswith("ref: ") else None


def _resolve(ref: str, git_dir: Path, common_dir: Path) -> str | None:
    for _ in range(_MAX_INDIRECTIONS):
        value = _read_line(common_dir / ref)
        if value is None:
            return _packed(ref, common_dir)
        if _ID.fullmatch(value):
            return value
        ref = _target(value)
    raise HeadUnclear(f"{git_dir / 'HEAD'} is a chain of symbolic refs")


def _target(value: str) -> str:
    ref = value.removeprefix("ref:").strip()
    if not value.startswith("ref:") or not ref.startswith("refs/"):
        raise HeadUnclear(f"unexpected ref content {value[:80]!r}")
    return ref


def _packed(ref: str, common_dir: Path) -> str | None:
    """A ref git moved to ``packed-refs`` (written before the loose file goes away)."""
    try:
        content = (common_dir / "packed-refs").read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise HeadUnclear(str(error)) from error
    at = content.find(b" " + ref.encode("utf-8", "surrogateescape") + b"\n")
    if at < 0:
        return None
    line_start = content.rfind(b"\n", 0, at) + 1
    value = content[line_start:at].decode("ascii", "replace")
    if not _ID.fullmatch(value):
        raise HeadUnclear(f"unexpected line in packed-refs: {value[:80]!r}")
    return value


def _read_line(path: Path) -> str | None:
    try:
        return path.read_bytes().decode("utf-8", "surrogateescape").strip()
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        return None
    except OSError as error:
        raise HeadUnclear(str(error)) from error
