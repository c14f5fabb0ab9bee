"""The knowledge track: gaps that only the repository can fill, and a slice of ordinary ones.

The filter is that of conditioning.md, section 3.2: the name is found in files that are not hidden,
not in what is shown around the gap, and in at most two training repositories. Strata of an item:

* filtered: yes or no;
* prefix: full (2,048 tokens), 128 or 32; form: fim or left-to-right;
* above: does the name stand in the full prefix window, which a shorter one may not show;
* seen: never, once, 2-5 or more occurrences in the known files;
* site: is the name defined there, only used, or absent.
"""

import random
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import TypeVar

from code2lora_lsp.history.secrets import redact
from code2lora_lsp.repopeftbench.gaps import Gap, words
from code2lora_lsp.repopeftbench.identifiers import IdentifierFrequency, is_askable
from code2lora_lsp.repopeftbench.item_ids import with_id
from code2lora_lsp.repopeftbench.items import InRepoSplit, Item, Track
from code2lora_lsp.repopeftbench.splits import shuffled
from code2lora_lsp.repopeftbench.strata import Known, seen, with_sites
from code2lora_lsp.repopeftbench.windows import PREFIX_TOKENS, SUFFIX_TOKENS, Windows

PREFIX_SHARES = {"full": 0.4, "128": 0.3, "32": 0.3}
FIM_SHARE = 0.5

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


@dataclass(frozen=True)
class Asked:
    """Where gaps stand: one version of some files.

    Attributes:
        commit_id: the commit whose tree the files are from.
        commit_index: its place on the first-parent path, from 0.
        texts: path -> text.
    """

    repository: str
    commit_id: str
    commit_index: int
    texts: Mapping[str, str]


def knowledge_items(
    asked: Asked,
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
    maker = _Maker(asked, known.counts, frequency, windows, plan.seed)
    dropped: Counter[str] = Counter()
    filtered, left = _filtered(ordered, maker, plan, dropped)
    chosen = shuffled(left, f"{plan.seed}/unfiltered/{asked.repository}/{asked.commit_id}")
    unfiltered = (maker.item(path, gap, filtered=False) for path, gap in chosen)
    items = [*filtered, *_without_secrets(unfiltered, plan.n_unfiltered, dropped)]
    return with_sites(items, known), dropped


def _filtered(
    ordered: Iterable[tuple[str, Gap]],
    maker: "_Maker",
    plan: KnowledgePlan,
    dropped: Counter[str],
) -> tuple[list[Item], list[tuple[str, Gap]]]:
    """The first items that pass, and the gaps that were not taken."""
    items: list[Item] = []
    left: list[tuple[str, Gap]] = []
    asked_for: Counter[str] = Counter()
    for path, gap in ordered:
        item = None
        if len(items) < plan.n_filtered:
            reason = maker.reason_to_drop(path, gap)
            if reason is None and asked_for[gap.identifier] >= plan.per_identifier:
                reason = "name asked often enough"
            if reason is None:
                item = maker.item(path, gap, filtered=True)
                reason = _reason_to_drop_item(item)
            if reason is not None:
                dropped[reason], item = dropped[reason] + 1, None
        if item is None:
            left.append((path, gap))
        else:
            items.append(item)
            asked_for[gap.identifier] += 1
    return items, left


@dataclass(frozen=True)
class _Maker:
    """Makes items of gaps, and says which gaps the filter refuses."""

    asked: Asked
    counts: Counter[str]
    frequency: IdentifierFrequency
    windows: Windows
    seed: int

    def reason_to_drop(self, path: str, gap: Gap) -> str | None:
        """The cheap half of the filter: what the name alone tells."""
        name = gap.identifier
        if not is_askable(name):
            return "name short or special"
        if self.counts[name] == 0:
            return "name not in the known tree"
        if not self.frequency.is_rare(name):
            return "name common in training repositories"
        return "name in the path" if name in words(path) else None

    def item(self, path: str, gap: Gap, *, filtered: bool) -> Item:
        """The item of a gap; form and length of the prefix are drawn by the gap's place."""
        place = f"{self.seed}/{self.asked.repository}/{self.asked.commit_id}/{path}/{gap.start}"
        rng = random.Random(place)  # noqa: S311 - not a secret
        length = rng.choices(list(PREFIX_SHARES), list(PREFIX_SHARES.values()))[0]
        is_fim = rng.random() < FIM_SHARE
        text = self.asked.texts[path]
        widest = self.windows.before(text[: gap.start], PREFIX_TOKENS["full"])
        strata = {
            "filtered": "yes" if filtered else "no",
            "prefix": length,
            "form": "fim" if is_fim else "left-to-right",
            "seen": seen(self.counts[gap.identifier]),
            "above": "yes" if gap.identifier in words(widest) else "no",
        }
        return with_id(
            Item(
                item_id="",
                repository=self.asked.repository,
                commit_id=self.asked.commit_id,
                commit_index=self.asked.commit_index,
                in_repo_split=InRepoSplit.TEST,
                track=Track.KNOWLEDGE,
                kind=gap.kind,
                path=path,
                function=gap.function,
                line=gap.line,
                column=gap.column,
                prefix=self.windows.before(text[: gap.start], PREFIX_TOKENS[length]),
                target=text[gap.start : gap.stop],
                suffix=self.windows.after(text[gap.stop :], SUFFIX_TOKENS) if is_fim else "",
                identifier=gap.identifier,
                strata=strata,
            )
        )


def _reason_to_drop_item(item: Item) -> str | None:
    """The other half of the filter: nothing that is shown may hold the name."""
    if item.identifier in words(item.prefix) or item.identifier in words(item.suffix):
        return "name near the gap"
    return "holds a secret" if holds_secret(item) else None


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


def holds_secret(item: Item) -> bool:
    """Whether any text of the item has what looks like a credential."""
    return any(redact(text)[1] for text in (item.prefix, item.target, item.suffix))


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
