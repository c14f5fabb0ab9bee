"""Our published stream beside the reference package's, on real clones.

``python -m code2lora_lsp.repopeftbench.parity CLONE…`` prints counts of what agrees and ends with 1
on a difference. It needs the test-only package ``code2lora`` (``c2l``), which keeps every prefix of
a history in memory: give clones of a few hundred commits.
"""

import argparse
import importlib
import sys
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest
from pathlib import Path
from typing import Any

from code2lora_lsp.errors import ConfigError
from code2lora_lsp.history.git_process import GitCommand
from code2lora_lsp.history.kept_commits import read_kept_commits
from code2lora_lsp.history.repository import Repository
from code2lora_lsp.repopeftbench.evolution_track import items_of
from code2lora_lsp.repopeftbench.item_folder import clone_git_dir
from code2lora_lsp.repopeftbench.items import Item
from code2lora_lsp.repopeftbench.splits import chronological_splits

_REFERENCE = {
    "path": "test_file", "function": "test_function", "kind": "assertion_type",
    "prefix": "prefix", "target": "target", "line": "lineno", "column": "col_offset",
}  # fmt: skip
"""Field of an item -> field of the reference."""


@dataclass
class Agreement:
    """What was compared in one clone."""

    n_commits: int = 0
    n_questions: int = 0
    differences: list[str] = field(default_factory=list)


def compare(git_dir: Path) -> Agreement:
    """Kept commits, their splits, and every question of each: path, function, kind and texts.

    Raises:
        ConfigError: the reference package is not installed.
        GitReadFailed: the clone cannot be read.
    """
    expected = _reference_commits(git_dir)
    repository = Repository.at_git_dir(git_dir)
    tip = repository.head().commit_id
    git = GitCommand(repository.git_dir, repository.common_dir)
    kept = read_kept_commits(git, tip) if tip else iter(())
    splits = chronological_splits(len(expected))
    agreement = Agreement()
    for index, (ours, theirs) in enumerate(zip_longest(kept, expected)):
        if ours is None or theirs is None or ours.commit_id != theirs.sha:
            found = ours.commit_id if ours else "none"
            wanted = theirs.sha if theirs else "none"
            agreement.differences.append(f"kept commit {index}: {found}, reference {wanted}")
            return agreement
        agreement.n_commits += 1
        if (splits[index].value, index) != (theirs.in_repo_split, theirs.commit_index):
            agreement.differences.append(
                f"{theirs.sha}: split {splits[index].value}, reference {theirs.in_repo_split}"
            )
        items = list(items_of(ours, "owner/name", index, splits[index]))
        agreement.n_questions += len(items)
        agreement.differences += _differences(items, theirs)
    return agreement


def _differences(items: Sequence[Item], theirs: Any) -> Iterator[str]:
    for number, (item, question) in enumerate(zip_longest(items, theirs.qnas)):
        if item is None or question is None:
            yield f"{theirs.sha}: {len(items)} questions, reference {len(theirs.qnas)}"
            return
        for ours, name in _REFERENCE.items():
            found, wanted = getattr(item, ours), getattr(question, name)
            if found != wanted:
                yield (
                    f"{theirs.sha}, question {number}, {name}: {found[-80:]!r}, "
                    f"reference {wanted[-80:]!r}"
                    if isinstance(found, str)
                    else f"{theirs.sha}, question {number}, {name}: {found}, reference {wanted}"
                )


def _reference_commits(git_dir: Path) -> list[Any]:
    try:
        reference = importlib.import_module("c2l.git_pipeline")
    except ImportError as error:
        raise ConfigError(
            "the reference package is not installed; it is needed only for this comparison: "
            "pip install code2lora==0.3.3"
        ) from error
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it leaves pipes open
        return list(reference.process_repo(git_dir).commits)


def main(arguments: list[str] | None = None) -> int:
    """Compare each clone; 1 when something differs, 2 when nothing could be compared."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("clones", nargs="+", type=Path, metavar="CLONE")
    parser.add_argument("--show", type=int, default=5, help="differences printed per clone")
    options = parser.parse_args(arguments)
    n_differences = 0
    try:
        for clone in options.clones:
            agreement = compare(clone_git_dir(clone))
            print(
                f"{clone}: {agreement.n_commits} kept commits, {agreement.n_questions} questions, "
                f"{len(agreement.differences)} differences"
            )
            for line in agreement.differences[: options.show]:
                print(f"  {line}")
            n_differences += len(agreement.differences)
    except ConfigError as error:
        print(f"not compared: {error}", file=sys.stderr)
        return 2
    return 1 if n_differences else 0


if __name__ == "__main__":
    sys.exit(main())
