"""Every number of a report; tables and plots only show them."""

import itertools
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

from code2lora_lsp.repopeftbench.figure import Figure, mean_of, paired
from code2lora_lsp.repopeftbench.items import Item
from code2lora_lsp.repopeftbench.own_versus_other import Adapters, geometry, own_versus_other
from code2lora_lsp.repopeftbench.results import Origin
from code2lora_lsp.repopeftbench.scored import (
    BACKBONE,
    UNFILTERED,
    Scored,
    counted,
    is_unfiltered,
    select,
    suite_of,
)

SCORE_METRICS = (
    "exact_match", "edit_similarity", "code_bleu", "plain_match", "target_first",
    "target_nats", "identifier_nats", "nats_per_token",
)  # fmt: skip
DIFFERENCE_METRICS = (
    "exact_match", "target_first", "target_nats", "identifier_nats", "asked_nats",
)  # fmt: skip
STRATUM_METRICS = ("exact_match", "target_first", "asked_nats")
HARM_METRICS = ("nats_per_token", "exact_match")
QUERY_METRICS = ("query_seconds", "prompt_tokens")
MEAN, STALE = "/mean", "/stale:"


def all_figures(scored: Scored, adapters: Adapters) -> list[Figure]:
    """Everything that can be said about a run.

    Args:
        scored: its answers.
        adapters: the adapters that answered.
    """
    return [
        *_scores(scored), *_differences(scored), *_strata(scored), *_harm(scored),
        *own_versus_other(scored), *geometry(adapters), *_staleness(scored),
        *_query_costs(scored), *_preparation_costs(scored),
    ]  # fmt: skip


def _scores(scored: Scored) -> Iterator[Figure]:
    for suite, arm in itertools.product(scored.suites, scored.own):
        place = Figure("scores", arm, suite=suite)
        yield from _means(scored, place, SCORE_METRICS, counted(suite))


def _differences(scored: Scored) -> Iterator[Figure]:
    """Each arm minus the backbone, and minus the mean adapter of its kind."""
    for suite, arm in itertools.product(scored.suites, scored.own):
        for against in (BACKBONE, f"{arm}{MEAN}"):
            if against in scored.own and against != arm:
                place = Figure("differences", arm, suite=suite, against=against)
                yield from paired(scored, place, DIFFERENCE_METRICS, counted(suite))


def _strata(scored: Scored) -> Iterator[Figure]:
    for suite in scored.suites:
        for key, value in _strata_of(scored, suite):
            for arm in scored.own:
                place = Figure("strata", arm, suite=suite, stratum=f"{key}={value}")
                wanted = _in_stratum(suite, key, value)
                yield from _means(scored, place, STRATUM_METRICS, wanted)


def _strata_of(scored: Scored, suite: str) -> list[tuple[str, str]]:
    """(key, value) of the suite's items, keys with at least two values only."""
    rows = (row for rows in scored.own.values() for row in rows.values())
    wanted = counted(suite)
    found = {pair for row in rows if wanted(row.item) for pair in _strata_with_kind(row.item)}
    n_values = {key: sum(other == key for other, _ in found) for key, _ in found}
    return sorted(pair for pair in found if n_values[pair[0]] > 1 and pair[0] != UNFILTERED[0])


def _in_stratum(suite: str, key: str, value: str) -> Callable[[Item], bool]:
    wanted = counted(suite)
    return lambda item: wanted(item) and (key, value) in _strata_with_kind(item)


def _strata_with_kind(item: Item) -> set[tuple[str, str]]:
    return {*item.strata.items(), ("kind", item.kind)}


def _harm(scored: Scored) -> Iterator[Figure]:
    """What an arm adds to the backbone's on items taken as they come."""
    if BACKBONE not in scored.own:
        return
    for suite, arm in itertools.product(scored.suites, scored.own):
        if arm != BACKBONE:
            place = Figure("harm", arm, suite=suite, against=BACKBONE)
            yield from paired(scored, place, HARM_METRICS, _unfiltered(suite))


def _unfiltered(suite: str) -> Callable[[Item], bool]:
    return lambda item: is_unfiltered(item) and suite_of(item) == suite


def _staleness(scored: Scored) -> Iterator[Figure]:
    """An adapter as it was k commits before, minus the backbone; k = 0 is the fresh one."""
    if BACKBONE not in scored.own:
        return
    sources = {arm.partition(STALE)[0] for arm in scored.own if STALE in arm}
    for suite, arm in itertools.product(scored.suites, scored.own):
        source, _, behind = arm.partition(STALE)
        if source in sources:
            place = Figure(
                "staleness", source, suite=suite, against=BACKBONE, stratum=f"behind={behind or 0}"
            )
            yield from paired(scored, place, DIFFERENCE_METRICS, counted(suite), arm=arm)


def _query_costs(scored: Scored) -> Iterator[Figure]:
    for arm in scored.own:
        yield from _means(scored, Figure("cost", arm), QUERY_METRICS, lambda _: True)


def _preparation_costs(scored: Scored) -> Iterator[Figure]:
    """Mean per known state; per commit and by history for arms that follow one.

    What another state or arm stepped through before is not stepped again, so of each repository
    the dearest state counts per commit, and derived arms (X/mean, X/stale:k) do not count at all.
    """
    for arm in scored.own:
        origins = [o for o in scored.origins if o.arm == arm and o.is_own]
        dearest = {o.repository: o for o in sorted(origins, key=lambda o: o.cost.seconds)}
        place = Figure("cost", arm, n_repositories=len(dearest))
        for metric, values in (
            ("prepare_seconds", [o.cost.seconds for o in origins]),
            ("stored_bytes", [o.cost.stored_bytes for o in origins]),
        ):
            yield replace(place, metric=metric, value=sum(values) / len(values))
        n_commits = sum(o.cost.n_commits for o in dearest.values())
        if n_commits and "/" not in arm:
            seconds = sum(o.cost.seconds for o in dearest.values())
            yield replace(place, metric="seconds_per_commit", value=seconds / n_commits)
            yield from _history(arm, dearest.values())


def _history(arm: str, origins: Iterable[Origin]) -> Iterator[Figure]:
    for origin in origins:
        place = Figure("history", arm, repository=origin.repository)
        yield replace(place, metric="prepare_seconds", value=origin.cost.seconds)
        yield replace(place, metric="n_commits", value=float(origin.cost.n_commits))


def _means(
    scored: Scored, place: Figure, metrics: tuple[str, ...], wanted: Callable[[Item], bool]
) -> Iterator[Figure]:
    rows = scored.own[place.arm]
    for metric in metrics:
        values = select(rows, metric, wanted)
        yield from mean_of(replace(place, metric=metric), values, rows)
