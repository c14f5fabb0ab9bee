"""The knowledge track: gaps that only the repository can fill, and a slice of ordinary ones.

The filter is that of conditioning.md, section 3.2: the name is found in files that are not hidden,
not in what is shown around the gap, and in at most two training repositories. Strata of an item:

* filtered: yes or no;
* prefix: full (2,048 tokens), 128 or 32; form: fim or left-to-right;
* above: does the name stand in the full prefix window, which a shorter one may not show;
* seen: never, once, 2-5 or more occurrences in the known files;
* site: is the name defined there, only used, or absent.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import TypeVar

from code2lora_lsp.repopeftbench.gap_items import (
    AskedFiles,
    GapItems,
    holds_secret,
    reason_to_drop_item,
)
from code2lora_lsp.repopeftbench.gaps import Gap
from code2lora_lsp.repopeftbench.identifiers import IdentifierFrequency
from code2lora_lsp.repopeftbench.items import Item
from code2lora_lsp.repopeftbench.splits import shuffled
from code2lora_lsp.repopeftbench.strata import Known, with_sites
from code2lora_lsp.repopeftbench.windows import Windows

_T = TypeVar("_T")


@dataclass(frozen=True)
class KnowledgePlan:
    """How many items one known state of a repository gives.

    Attributes:
        n_filtered, n_unfiltered: caps of the filtered items and of the slice without a filter.
        per_identifier: filtered items that may ask for one name.
    """

    n_filtered: int = 150
    n_unfiltered: int = 40
    per_identifier: int = 3
    seed: int = 3407


def knowledge_items(
    asked: AskedFiles,
    gaps: Mapping[str, Sequence[Gap]],
    known: Known,
    frequency: IdentifierFrequency,
    windows: Windows,
    plan: KnowledgePlan,
) -> tuple[list[Item], Counter[str]]:
    """Filtered items, then the unfiltered slice, each spread over kinds and files.

    Args:
        asked: the version of the files that is asked about.
        gaps: path -> the gaps to choose from.
        known: of the state that an arm is prepared for.
        frequency: names of training repositories.
        windows: cuts by the backbone's tokens.
        plan: caps and seed.

    Returns:
        Items, and how many gaps were dropped for which reason.
    """
    ordered = _spread(gaps, f"{plan.seed}/gaps/{asked.repository}/{asked.commit_id}")
    maker = GapItems(asked, known.counts, frequency, windows, plan.seed)
    dropped: Counter[str] = Counter()
    filtered, left = _filtered(ordered, maker, plan, dropped)
    chosen = shuffled(left, f"{plan.seed}/unfiltered/{asked.repository}/{asked.commit_id}")
    unfiltered = (maker.item(path, gap, filtered=False) for path, gap in chosen)
    items = [*filtered, *_without_secrets(unfiltered, plan.n_unfiltered, dropped)]
    return with_sites(items, known), dropped


def _filtered(
    ordered: Sequence[tuple[str, Gap]],
    maker: GapItems,
    plan: KnowledgePlan,
    dropped: Counter[str],
) -> tuple[list[Item], list[tuple[str, Gap]]]:
    """Items that pass, and the gaps that were not taken.

    Every kind has an equal share; what some cannot fill goes to the others.
    """
    choice = _Choice(maker, plan, dropped)
    n_kinds = len({gap.kind for _, gap in ordered})
    waiting: list[tuple[str, Gap]] = []
    left: list[tuple[str, Gap]] = []
    for path, gap in ordered:
        if choice.by_kind[gap.kind] * n_kinds >= plan.n_filtered:
            waiting.append((path, gap))
        elif not choice.takes(path, gap):
            left.append((path, gap))
    left += [(path, gap) for path, gap in waiting if not choice.takes(path, gap)]
    return choice.items, left


class _Choice:
    """Filtered items chosen so far."""

    def __init__(self, maker: GapItems, plan: KnowledgePlan, dropped: Counter[str]) -> None:
        self._maker, self._plan, self._dropped = maker, plan, dropped
        self._asked_for: Counter[str] = Counter()
        self.by_kind: Counter[str] = Counter()
        self.items: list[Item] = []

    def takes(self, path: str, gap: Gap) -> bool:
        """Make an item of the gap, if there is room and the filter lets it pass."""
        if len(self.items) >= self._plan.n_filtered:
            return False
        reason = self._maker.reason_to_drop(path, gap)
        if reason is None and self._asked_for[gap.identifier] >= self._plan.per_identifier:
            reason = "name asked often enough"
        item = None if reason else self._maker.item(path, gap, filtered=True)
        reason = reason_to_drop_item(item) if item else reason
        if item is None or reason:
            self._dropped[reason or ""] += 1
            return False
        self.items.append(item)
        self._asked_for[gap.identifier] += 1
        self.by_kind[gap.kind] += 1
        return True


def _spread(gaps: Mapping[str, Sequence[Gap]], seed: str) -> list[tuple[str, Gap]]:
    """All gaps in an order where kinds take turns, and within a kind files do."""
    kinds: dict[str, dict[str, list[tuple[str, Gap]]]] = {}
    for path in shuffled(sorted(gaps), seed):
        for gap in shuffled(list(gaps[path]), f"{seed}/{path}"):
            kinds.setdefault(gap.kind, {}).setdefault(path, []).append((path, gap))
    by_kind = [_in_turns(list(files.values())) for _, files in sorted(kinds.items())]
    return _in_turns(by_kind)


def _in_turns(groups: Sequence[Sequence[_T]]) -> list[_T]:
    rounds = zip_longest(*([(value,) for value in group] for group in groups), fillvalue=())
    return [value for one_round in rounds for taken in one_round for value in taken]


def _without_secrets(items: Iterable[Item], cap: int, dropped: Counter[str]) -> list[Item]:
    kept: list[Item] = []
    for item in items:
        if len(kept) >= cap:
            break
        if holds_secret(item):
            dropped["holds a secret"] += 1
        else:
            kept.append(item)
    return kept
