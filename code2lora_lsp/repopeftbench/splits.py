"""Who is asked about what: by repository, by time, and by when a history begins."""

import datetime as dt
import random
from pathlib import Path
from typing import TypeVar

from code2lora_lsp.errors import GitReadFailed
from code2lora_lsp.history.git_process import GitCommand
from code2lora_lsp.history.repository import Repository
from code2lora_lsp.repopeftbench.items import InRepoSplit
from code2lora_lsp.training.splits import Split, split_of

PUBLISHED_NAMES = {Split.TRAIN: "train", Split.VALIDATION: "cr_val", Split.RESERVED: "cr_test"}
"""Our splits by the names of the published ``cross_repo_split`` column."""

_T = TypeVar("_T")


def cross_repository_split(repository: str) -> str:
    """``train``, ``cr_val`` or ``cr_test``, by the hash of ``owner/name``."""
    return PUBLISHED_NAMES[split_of(repository)]


def chronological_splits(n_commits: int) -> list[InRepoSplit]:
    """Splits of ``n_commits`` in order of time: 80/10/10, as published (spec, section 4).

    Fewer than three are all for training; from three on each split has at least one.
    """
    if n_commits < 3:
        return [InRepoSplit.TRAIN] * n_commits
    n_train, n_validation = max(1, int(n_commits * 0.8)), max(1, int(n_commits * 0.1))
    if n_train + n_validation >= n_commits:
        n_train -= 1
    return _three_parts(n_train, n_validation, n_commits)


def random_splits(n_items: int, repository: str, seed: int) -> list[InRepoSplit]:
    """Splits of the static track's pairs: 8:1:1 at random, always the same for one seed.

    The published set was drawn the same way with a generator that is not known.
    """
    n_train, n_validation = int(n_items * 0.8), int(n_items * 0.1)
    splits = _three_parts(n_train, n_validation, n_items)
    return shuffled(splits, f"{seed}/static-split/{repository}")


def shuffled(values: list[_T], seed: str) -> list[_T]:
    """A copy in an order that only ``seed`` decides, on every machine."""
    copy = list(values)
    random.Random(seed).shuffle(copy)  # noqa: S311 - not a secret
    return copy


def history_begins(git_dir: Path) -> dt.datetime:
    """Author time of the oldest first parent of HEAD.

    Raises:
        GitReadFailed: HEAD has no commit, or a shallow clone hides where history begins.
    """
    repository = Repository.at_git_dir(git_dir)
    tip = repository.head().commit_id
    if tip is None or repository.shallow_boundary(tip) is not None:
        raise GitReadFailed(
            f"{git_dir} does not show where its history begins: it is shallow or has no commit. "
            "Run `git fetch --unshallow`."
        )
    root = repository.first_parent_ids(tip)[-1]
    git = GitCommand(repository.git_dir, repository.common_dir)
    seconds = git.text("log", "-1", "--format=%at", root, "--")
    return dt.datetime.fromtimestamp(int(seconds), dt.timezone.utc)


def _three_parts(n_train: int, n_validation: int, n: int) -> list[InRepoSplit]:
    parts = [InRepoSplit.TRAIN] * n_train + [InRepoSplit.VALIDATION] * n_validation
    return parts + [InRepoSplit.TEST] * (n - len(parts))
