"""Time the walk over a repository's history, and compare it with GitPython's own diffs.

    python benchmarks/git_walk.py REPOSITORY [--rounds 3]

Prints one JSON line per measurement. Ratios come from rounds that take turns in one process.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import git

from code2lora_lsp.cancellation import Cancellation
from code2lora_lsp.errors import NotARepository
from code2lora_lsp.history.repository import Repository
from code2lora_lsp.recipe import SOURCE_V1

N_COMPARED = 200


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("repository", type=Path)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    repository = opened(options.repository)
    tip = repository.head().commit_id
    assert tip is not None, "the repository has no commit"
    measure_whole_history(repository, tip, options.rounds)
    measure_against_gitpython(repository, tip, options.rounds)
    measure_small_reads(repository, tip, options.rounds)


def opened(folder: Path) -> Repository:
    try:
        return Repository.discover(folder)
    except NotARepository:
        return Repository.at_git_dir(folder)


def measure_whole_history(repository: Repository, tip: str, rounds: int) -> None:
    ids = repository.source_commit_ids(tip, SOURCE_V1)
    listing_s = timed(lambda: repository.source_commit_ids(tip, SOURCE_V1), rounds)
    diffs_s = timed(lambda: our_diffs(repository, ids), rounds)
    report(
        "whole history",
        n_first_parents=repository.first_parent_count(tip),
        n_stepped=len(ids),
        patch_bytes=our_diffs(repository, ids),
        source_commit_ids_s=listing_s,
        commit_diffs_s=diffs_s,
        per_commit_ms=1000 * diffs_s / len(ids),
    )


def measure_against_gitpython(repository: Repository, tip: str, rounds: int) -> None:
    ids = repository.source_commit_ids(tip, SOURCE_V1, limit=N_COMPARED)
    library = git.Repo(repository.root)
    ours_s, theirs_s = [], []
    for _ in range(rounds):
        ours_s.append(timed(lambda: our_diffs(repository, ids), 1))
        theirs_s.append(timed(lambda: gitpython_diffs(library, ids), 1))
    library.close()
    report(
        "against GitPython's create_patch",
        n_commits=len(ids),
        ours_s=statistics.median(ours_s),
        gitpython_s=statistics.median(theirs_s),
        ratio=statistics.median(b / a for a, b in zip(ours_s, theirs_s, strict=True)),
    )


def measure_small_reads(repository: Repository, tip: str, rounds: int) -> None:
    newest = repository.source_commit_ids(tip, SOURCE_V1, limit=1)
    files = repository.snapshot(tip, SOURCE_V1)
    report(
        "small reads",
        head_ms=1000 * timed(repository.head, rounds),
        newest_step_ms=1000
        * timed(lambda: repository.source_commit_ids(tip, SOURCE_V1, limit=1), rounds),
        one_diff_ms=1000 * timed(lambda: our_diffs(repository, newest), rounds),
        snapshot_ms=1000 * timed(lambda: read_snapshot(repository, tip), rounds),
        n_snapshot_files=len(files),
    )


def our_diffs(repository: Repository, ids: list[str]) -> int:
    diffs = repository.commit_diffs(ids, SOURCE_V1, Cancellation())
    return sum(len(diff.text) for diff in diffs)


def gitpython_diffs(library: git.Repo, ids: list[str]) -> int:
    total = 0
    for commit_id in ids:
        commit = library.commit(commit_id)
        parent = commit.parents[0] if commit.parents else git.NULL_TREE
        for diff in commit.diff(parent, create_patch=True, R=True):
            total += len(diff.diff or b"")
    return total


def read_snapshot(repository: Repository, tip: str) -> int:
    files = repository.snapshot(tip, SOURCE_V1)
    return sum(len(data) for _, data in repository.read_blobs(file.blob_id for file in files))


def timed(work: Callable[[], object], rounds: int) -> float:
    """Median seconds of one run."""
    taken = []
    for _ in range(rounds):
        began = time.perf_counter()
        work()
        taken.append(time.perf_counter() - began)
    return statistics.median(taken)


def report(what: str, **figures: float) -> None:
    rounded = {name: round(value, 4) for name, value in figures.items()}
    print(json.dumps({"benchmark": "git_walk", "what": what, **rounded}))


if __name__ == "__main__":
    main()
