"""Does an arm know *this* repository: its own preparation against those for every other.

conditioning.md, section 4: rank, win rate, a permutation p-value, own minus the mean of others.
"""

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from code2lora_lsp.neural.lora import LoraAdapter, delta_cosine
from code2lora_lsp.repopeftbench.figure import Figure
from code2lora_lsp.repopeftbench.scored import Scored, counted, select
from code2lora_lsp.repopeftbench.statistics import Matrix, cluster_mean, own_ranks, permutation_p

TABLE = "own-versus-other"
METRIC = "asked_nats"

Adapters = Mapping[tuple[str, str], Mapping[str, LoraAdapter]]
"""(arm, task) -> repository -> adapter."""


@dataclass(frozen=True)
class Crossed:
    """Nats of every item under every repository's preparation.

    Attributes:
        names: repositories; also the donors, in this order.
        by_item: one array [items, donors] per repository.
    """

    names: Sequence[str]
    by_item: Sequence[Matrix]

    @property
    def means(self) -> Matrix:
        """[repositories, donors]: mean over a repository's items."""
        return np.stack([table.mean(axis=0) for table in self.by_item])

    def own_minus_others(self) -> tuple[list[float], list[str]]:
        """Per item, and the item's repository."""
        values: list[float] = []
        for index, table in enumerate(self.by_item):
            others = np.delete(table, index, axis=1).mean(axis=1)
            values += (table[:, index] - others).tolist()
        where = [[n] * len(t) for n, t in zip(self.names, self.by_item, strict=True)]
        return values, list(itertools.chain.from_iterable(where))


def own_versus_other(scored: Scored) -> Iterator[Figure]:
    """All figures of arms that answered for others, the matrices included."""
    for suite, (arm, pairs) in itertools.product(scored.suites, scored.crossed.items()):
        wanted = counted(suite)
        own = select(scored.own.get(arm, {}), METRIC, wanted)
        others = {pair: select(rows, METRIC, wanted) for pair, rows in pairs.items()}
        repositories = {scored.own[arm][item_id].item.repository for item_id in own}
        crossed = _crossed(own, {p: nats for p, nats in others.items() if nats}, repositories)
        if crossed is not None:
            yield from _tests(Figure(TABLE, arm, suite=suite), crossed)
            yield from _cells(Figure("matrix", arm, METRIC, suite=suite), crossed)


def _tests(place: Figure, crossed: Crossed) -> Iterator[Figure]:
    n_items, n = sum(map(len, crossed.by_item)), len(crossed.names)
    ranks = own_ranks(crossed.means)
    for metric, values in (("rank", ranks), ("win_rate", (ranks == 1).astype(np.float64))):
        estimate = replace(cluster_mean(values.tolist(), crossed.names), n_items=n_items)
        yield replace(place, metric=metric).with_estimate(estimate)
    exact = {"chance_rank": (n + 1) / 2, "p": permutation_p(crossed.means)}
    for metric, value in exact.items():
        yield replace(place, metric=metric, value=value, n_items=n_items, n_repositories=n)
    difference = replace(place, metric=METRIC, against="mean of others")
    yield difference.with_estimate(cluster_mean(*crossed.own_minus_others()))


def _cells(place: Figure, crossed: Crossed) -> Iterator[Figure]:
    for row, repository in enumerate(crossed.names):
        for column, donor in enumerate(crossed.names):
            value, n_items = float(crossed.means[row, column]), len(crossed.by_item[row])
            yield replace(place, value=value, repository=repository, donor=donor, n_items=n_items)


def _crossed(
    own: Mapping[str, float],
    others: Mapping[tuple[str, str], Mapping[str, float]],
    repositories: Iterable[str],
) -> Crossed | None:
    """Items that everybody answered, of repositories that all answered each other.

    Args:
        own: item id -> nats.
        others: (donor, repository) -> the same.
        repositories: that have items of their own.
    """
    names = _complete(repositories, others)
    if len(names) < 2:
        return None
    tables = []
    for name in names:
        by_donor = [own if donor == name else others[donor, name] for donor in names]
        fewest = min(by_donor, key=len)
        shared = [item_id for item_id in fewest if all(item_id in nats for nats in by_donor)]
        if not shared:
            return None
        tables.append(np.array([[nats[item_id] for nats in by_donor] for item_id in shared]))
    return Crossed(names, tables)


def _complete(names: Iterable[str], pairs: Iterable[tuple[str, str]]) -> list[str]:
    """The repositories that all answered each other; those with most gaps are left out."""
    there, kept = set(pairs), sorted(names)

    def n_gaps(name: str) -> int:
        others = (other for other in kept if other != name)
        return sum(((name, o) not in there) + ((o, name) not in there) for o in others)

    while kept and n_gaps(worst := max(kept, key=n_gaps)):
        kept.remove(worst)
    return kept


def geometry(adapters: Adapters) -> Iterator[Figure]:
    """Cosine of ΔW between two repositories' adapters: 1 is one adapter for all."""
    for (arm, task), by_repository in adapters.items():
        pairs = itertools.combinations(by_repository.values(), 2)
        cosines = [delta_cosine(first, second) for first, second in pairs]
        if cosines:
            place = Figure("geometry", arm, stratum=task, n_repositories=len(by_repository))
            yield replace(place, metric="delta_cosine", value=sum(cosines) / len(cosines))
            yield replace(place, metric="delta_cosine_max", value=max(cosines))
