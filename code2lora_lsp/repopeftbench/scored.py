"""Answers joined with their items and scored, ready to be counted."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from code2lora_lsp.errors import ConfigError
from code2lora_lsp.repopeftbench.items import Item, Track
from code2lora_lsp.repopeftbench.metrics import CodeBleu, scores_of
from code2lora_lsp.repopeftbench.results import AnswerSet, Origin
from code2lora_lsp.training.splits import Split, split_of

BACKBONE = "backbone"

Rows = Mapping[str, "Row"]
"""Item id -> its row, of one arm and donor."""

UNFILTERED = ("filtered", "no")
"""Stratum of items taken as they come: what knows the repository must not harm them."""


@dataclass(frozen=True)
class Row:
    """One scored answer."""

    item: Item
    scores: Mapping[str, float]


@dataclass(frozen=True)
class Scored:
    """All answers of a run.

    Attributes:
        own: arm -> rows of every repository under its own preparation.
        crossed: arm -> (donor, repository) -> rows of ``repository``, of others' preparations only.
        origins: one per file of answers.
    """

    own: Mapping[str, Rows]
    crossed: Mapping[str, Mapping[tuple[str, str], Rows]]
    origins: Sequence[Origin]

    @property
    def suites(self) -> list[str]:
        """Suites that hold at least one answer, in the tracks' order."""
        seen = {suite_of(row.item) for rows in self.own.values() for row in rows.values()}
        tracks = [track.value for track in Track]
        return sorted(seen, key=lambda suite: (tracks.index(suite.split()[0]), suite))


def score_all(sets: Iterable[AnswerSet], items: Mapping[str, Item], code_bleu: CodeBleu) -> Scored:
    """Join and score.

    Raises:
        ConfigError: an answer's item is not among ``items``.
    """
    own: dict[str, dict[str, Row]] = {}
    crossed: dict[str, dict[tuple[str, str], dict[str, Row]]] = {}
    origins = []
    for one in sets:
        origin = one.origin
        rows = {}
        for item_id, answer in one.answers.items():
            if item_id not in items:
                raise ConfigError(
                    f"{origin.arm} answered {item_id} of {origin.repository}, which is not among "
                    "the items; report the folder the run was made from"
                )
            rows[item_id] = Row(items[item_id], scores_of(items[item_id], answer, code_bleu))
        if origin.is_own:
            own.setdefault(origin.arm, {}).update(rows)
        else:
            pairs = crossed.setdefault(origin.arm, {})
            pairs.setdefault((origin.donor, origin.repository), {}).update(rows)
        origins.append(origin)
    return Scored(own, crossed, origins)


def suite_of(item: Item) -> str:
    """Track and CR or IR: repositories held out by the hash rule, or those of training."""
    kind = "IR" if split_of(item.repository) is Split.TRAIN else "CR"
    return f"{item.track.value} {kind}"


def is_unfiltered(item: Item) -> bool:
    key, value = UNFILTERED
    return item.strata.get(key) == value


def counted(suite: str) -> Callable[[Item], bool]:
    """The items of a suite's main numbers; unfiltered ones are counted under harm."""
    return lambda item: suite_of(item) == suite and not is_unfiltered(item)


def select(rows: Rows, metric: str, wanted: Callable[[Item], bool]) -> dict[str, float]:
    """Item id -> score, of the wanted items that have one."""
    return {
        item_id: row.scores[metric]
        for item_id, row in rows.items()
        if metric in row.scores and wanted(row.item)
    }
