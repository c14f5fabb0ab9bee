"""One number of a report with its interval and its counts, and how it is made of scores."""

import dataclasses
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

from code2lora_lsp.repopeftbench.items import Item
from code2lora_lsp.repopeftbench.scored import Rows, Scored, select
from code2lora_lsp.repopeftbench.statistics import Estimate, cluster_mean


@dataclass(frozen=True)
class Figure:
    """One number.

    Attributes:
        table: which table it belongs to: ``scores``, ``differences``, ``strata``, ``harm``,
            ``own-versus-other``, ``matrix``, ``geometry``, ``staleness``, ``cost``, ``history``.
        metric: as in ``metrics.SCORES``, or of the table's own.
        low, high: 95 % interval; None where there is none.
        suite: ``knowledge CR``; "" for numbers of all suites together.
        against: the arm that was subtracted.
        stratum: ``seen=once``.
        repository, donor: for numbers of one repository, or of one pair.
    """

    table: str
    arm: str
    metric: str = ""
    value: float = math.nan
    low: float | None = None
    high: float | None = None
    n_items: int = 0
    n_repositories: int = 0
    suite: str = ""
    against: str = ""
    stratum: str = ""
    repository: str = ""
    donor: str = ""

    def to_json(self) -> dict[str, object]:
        """One line of ``results.jsonl``; fields that say nothing are left out."""
        return {k: v for k, v in dataclasses.asdict(self).items() if v not in {"", None}}

    def with_estimate(self, estimate: Estimate) -> "Figure":
        """The same number's place with its value, interval and counts filled in."""
        return dataclasses.replace(self, **dataclasses.asdict(estimate))


def mean_of(place: Figure, values: Mapping[str, float], rows: Rows) -> Iterator[Figure]:
    """The mean over items by repository; nothing where nothing was measured.

    Args:
        place: a figure that says what is measured; its value is not read.
        values: item id -> score.
        rows: where each item's repository is found.
    """
    if values:
        repositories = [rows[item_id].item.repository for item_id in values]
        yield place.with_estimate(cluster_mean(list(values.values()), repositories))


def paired(
    scored: Scored,
    place: Figure,
    metrics: Iterable[str],
    wanted: Callable[[Item], bool],
    *,
    arm: str = "",
) -> Iterator[Figure]:
    """``place.arm`` (or ``arm``, reported under that name) minus ``place.against``.

    Only items that both answered take part.
    """
    rows = scored.own[arm or place.arm]
    for metric in metrics:
        mine = select(rows, metric, wanted)
        theirs = select(scored.own[place.against], metric, wanted)
        values = {item_id: mine[item_id] - theirs[item_id] for item_id in mine if item_id in theirs}
        yield from mean_of(dataclasses.replace(place, metric=metric), values, rows)
