"""The published static track: assertions of one snapshot's tests (code2lora-spec, section 5.2).

The rules are those of the authors' builder; its code is not used. Their order of files is that of
a directory walk, which is not defined; here it is that of the paths.
"""

from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass

from code2lora_lsp.repopeftbench.item_ids import with_id
from code2lora_lsp.repopeftbench.items import InRepoSplit, Item, Track
from code2lora_lsp.repopeftbench.splits import random_splits
from code2lora_lsp.repopeftbench.static_pairs import Pair, pairs_of

LONGEST_TARGET_CHARS = 500
_CONSTANTS = {"True": "bool_literal", "False": "bool_literal", "None": "none_literal"}
_BRACKETS_ONLY = frozenset({")", "))", ")))", "]", "]]", "}"})


@dataclass(frozen=True)
class Balance:
    """Caps of the published selection."""

    per_function: int = 5
    per_file: int = 20
    per_repository: int = 200


@dataclass(frozen=True)
class Snapshot:
    """Which commit's files are read, and how pairs are drawn into splits."""

    repository: str
    commit_id: str
    seed: int = 3407


def static_items(
    snapshot: Snapshot, files: Iterable[tuple[str, str]], balance: Balance | None = None
) -> tuple[list[Item], Counter[str]]:
    """The balanced pairs of a snapshot's test files, with their splits.

    Args:
        snapshot: named in each item.
        files: (path, text) of the test files.
        balance: the published caps if not given.

    Returns:
        Items, and how many pairs were dropped for which reason.
    """
    dropped: Counter[str] = Counter()
    found: list[Pair] = []
    for path, text in sorted(files):
        for pair in pairs_of(path, text):
            reason = _reason_to_drop(pair)
            if reason is None:
                found.append(pair)
            else:
                dropped[reason] += 1
    chosen = _balanced(found, balance or Balance())
    dropped["balance"] = len(found) - len(chosen)
    splits = random_splits(len(chosen), snapshot.repository, snapshot.seed)
    items = [_item(snapshot, pair, split) for pair, split in zip(chosen, splits, strict=True)]
    return items, +dropped


def _item(snapshot: Snapshot, pair: Pair, split: InRepoSplit) -> Item:
    return with_id(
        Item(
            item_id="",
            repository=snapshot.repository,
            commit_id=snapshot.commit_id,
            commit_index=0,
            in_repo_split=split,
            track=Track.STATIC,
            kind=pair.kind,
            path=pair.path,
            function=pair.function,
            line=pair.line,
            column=pair.column,
            prefix=pair.prefix or "",
            target=pair.target,
            strata={"difficulty": difficulty(pair.target)},
        )
    )


def _reason_to_drop(pair: Pair) -> str | None:
    target = pair.target.strip()
    if target.startswith(","):
        return "comma-leading target"
    if target in _BRACKETS_ONLY:
        return "bracket-only target"
    if len(target) > LONGEST_TARGET_CHARS:
        return "target over 500 characters"
    if pair.prefix is None:
        return "outside a function"
    return "malformed prefix" if "(," in pair.prefix.rstrip().split("\n")[-1] else None


def _balanced(pairs: Sequence[Pair], balance: Balance) -> list[Pair]:
    """Capped per function and per file, one of each (file, target), then capped in all."""
    capped = _best_of_each(pairs, lambda pair: (pair.path, pair.function), balance.per_function)
    capped = _best_of_each(capped, lambda pair: pair.path, balance.per_file)
    distinct: dict[tuple[str, str], Pair] = {}
    for pair in capped:
        distinct.setdefault((pair.path, pair.target), pair)
    return _stratified(list(distinct.values()), balance.per_repository)


def _best_of_each(
    pairs: Iterable[Pair], group_of: Callable[[Pair], Hashable], cap: int
) -> list[Pair]:
    return [
        pair
        for group in _grouped(pairs, group_of).values()
        for pair in sorted(group, key=lambda pair: pair.quality)[:cap]
    ]


def _stratified(pairs: list[Pair], cap: int) -> list[Pair]:
    """At most ``cap``, each difficulty in proportion: largest remainders get what is left."""
    if len(pairs) <= cap:
        return pairs
    groups = _grouped(pairs, lambda pair: difficulty(pair.target))
    exact = {name: cap * len(group) / len(pairs) for name, group in groups.items()}
    room = {name: int(share) for name, share in exact.items()}
    by_remainder = sorted(exact, key=lambda name: room[name] - exact[name])
    for name in by_remainder[: cap - sum(room.values())]:
        room[name] += 1
    return [
        pair
        for name, group in groups.items()
        for pair in sorted(group, key=lambda pair: pair.quality)[: room[name]]
    ]


def _grouped(
    pairs: Iterable[Pair], group_of: Callable[[Pair], Hashable]
) -> dict[Hashable, list[Pair]]:
    groups: dict[Hashable, list[Pair]] = {}
    for pair in pairs:
        groups.setdefault(group_of(pair), []).append(pair)
    return groups


def difficulty(target: str) -> str:
    """The published class of a target, by its first characters."""
    text = target.strip().rstrip(")")
    if text in _CONSTANTS:
        return _CONSTANTS[text]
    if text.startswith(("'", '"', "b'", 'b"', "f'", 'f"')):
        return "string_literal"
    if _is_number(text.replace("-", "", 1)):
        return "numeric_literal"
    if text.startswith(("[", "(", "{")):
        return "collection"
    if "(" in target:
        return "func_call"
    return "variable" if text.isidentifier() else "complex_expr"


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
