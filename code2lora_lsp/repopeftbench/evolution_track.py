"""The published evolution track: assertions that commits bring (code2lora-spec, sections 4, 5)."""

import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from code2lora_lsp.history.assertions import text_before
from code2lora_lsp.history.kept_commits import KeptCommit
from code2lora_lsp.repopeftbench.item_ids import with_id
from code2lora_lsp.repopeftbench.items import InRepoSplit, Item, Track

EVALUATION_CAP = 8
"""Questions per (repository, commit) in evaluation: the first ones, in stored order."""

SEED = 3407


@dataclass(frozen=True)
class SmartCap:
    """How many of a training commit's questions are kept (spec, section 5.3).

    Attributes:
        per_file, per_commit: most questions from one test file, from one commit.
        shortest_target: characters of a target worth training on.
    """

    per_file: int = 4
    per_commit: int = 8
    shortest_target: int = 4


def items_of(
    commit: KeptCommit, repository: str, commit_index: int, split: InRepoSplit
) -> Iterator[Item]:
    """One item per new assertion, in stored order: files as git lists them, breadth first."""
    for file in commit.files:
        lines = file.source.splitlines(keepends=True)
        for one in file.assertions:
            yield with_id(
                Item(
                    item_id="",
                    repository=repository,
                    commit_id=commit.commit_id,
                    commit_index=commit_index,
                    in_repo_split=split,
                    track=Track.EVOLUTION,
                    kind=one.kind,
                    path=file.path,
                    function=one.function,
                    line=one.line,
                    column=one.column,
                    prefix=text_before(lines, one),
                    target=one.target,
                )
            )


def evaluation_items(items: Sequence[Item], cap: int = EVALUATION_CAP) -> list[Item]:
    """What is asked of one commit: the first ``cap``, without a filter."""
    return list(items[:cap])


def training_items(items: Sequence[Item], cap: SmartCap, rng: random.Random) -> list[Item]:
    """The smart cap over one commit's items.

    Trivial targets are dropped; then test functions of a file take turns, and files of a commit
    take turns. ``rng`` is ``random.Random(SEED)``, one for all commits of a set in order, which
    gives the published choice.
    """
    worth = [index for index, item in enumerate(items) if not _is_trivial(item.target, cap)]
    by_file = _grouped(worth, [items[index].path for index in worth])
    chosen = [_of_one_file(items, indices, cap.per_file, rng) for indices in by_file]
    if not chosen:
        return []
    rng.shuffle(chosen)
    return [items[index] for index in sorted(_in_turns(chosen, cap.per_commit))]


def _of_one_file(
    items: Sequence[Item], indices: list[int], cap: int, rng: random.Random
) -> list[int]:
    mixed = list(indices)
    rng.shuffle(mixed)
    by_function = _grouped(mixed, [items[index].function for index in mixed])
    rng.shuffle(by_function)
    return _in_turns(by_function, cap)


def _in_turns(groups: list[list[int]], cap: int) -> list[int]:
    """Up to ``cap`` indices, the last of each group first, one group after the other."""
    taken: list[int] = []
    left = [list(group) for group in groups]
    while any(left) and len(taken) < cap:
        for group in left:
            if group and len(taken) < cap:
                taken.append(group.pop())
    return taken


def _grouped(indices: Iterable[int], names: Iterable[str]) -> list[list[int]]:
    """Indices of each name together, in the order in which names first appear."""
    groups: dict[str, list[int]] = {}
    for index, name in zip(indices, names, strict=True):
        groups.setdefault(name, []).append(index)
    return list(groups.values())


def _is_trivial(target: str, cap: SmartCap) -> bool:
    text = target.strip()
    is_bracket = len(text) <= 6 and (text.endswith(")") or text.startswith(","))
    return len(text) < cap.shortest_target or is_bracket
