"""One arm less another on the same items, for any two arms of a run.

    python benchmarks/pairs_table.py ITEMS ANSWERS ledger:ledger-shuffled ledger-sharp:sharp …

On filtered items of the knowledge tasks: nats per name, and points of exact match and of "begins
with the target"; on items taken as they come: nats per token, and in how many repositories they
fell. Intervals are 95 % bootstraps over repositories.
"""

import argparse
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path

from code2lora_lsp.repopeftbench.item_folder import read_items
from code2lora_lsp.repopeftbench.items import Item, Track
from code2lora_lsp.repopeftbench.metrics import choose_code_bleu
from code2lora_lsp.repopeftbench.results import read_all_answers
from code2lora_lsp.repopeftbench.scored import Rows, is_unfiltered, score_all, select
from code2lora_lsp.repopeftbench.statistics import cluster_mean

HEADER = (
    "arm less arm", "nats per name", "exact match, points", "begins with the target, points",
    "nats per ordinary token", "better there in",
)  # fmt: skip
FILTERED = (("identifier_nats", 1, 2), ("exact_match", 100, 1), ("target_first", 100, 1))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("items", type=Path)
    parser.add_argument("answers", type=Path)
    parser.add_argument("pairs", nargs="+", metavar="ARM:ARM")
    arguments = parser.parse_args()
    items = {item.item_id: item for item in read_items(arguments.items)}
    own = score_all(read_all_answers(arguments.answers), items, choose_code_bleu()).own
    lines = [HEADER, ("---",) * len(HEADER)]
    for pair in arguments.pairs:
        one, other = pair.split(":", 1)
        lines.append((f"{one} less {other}", *cells(own[one], own[other])))
    print("\n".join(f"| {' | '.join(line)} |" for line in lines))


def cells(one: Rows, other: Rows) -> list[str]:
    """Of items that both answered."""
    found = [
        _cell(_differences(one, other, metric, _is_filtered), factor, digits)
        for metric, factor, digits in FILTERED
    ]
    ordinary = _differences(one, other, "nats_per_token", is_unfiltered)
    by_repository: dict[str, list[float]] = defaultdict(list)
    for repository, difference in ordinary:
        by_repository[repository].append(difference)
    n_better = sum(sum(values) < 0 for values in by_repository.values())
    return [*found, _cell(ordinary, 1, 3), f"{n_better} of {len(by_repository)}"]


def _is_filtered(item: Item) -> bool:
    return item.track is Track.KNOWLEDGE and not is_unfiltered(item)


def _differences(
    one: Rows, other: Rows, metric: str, wanted: Callable[[Item], bool]
) -> list[tuple[str, float]]:
    """Repository and difference, of each item."""
    ours, theirs = select(one, metric, wanted), select(other, metric, wanted)
    return [(one[i].item.repository, ours[i] - theirs[i]) for i in ours if i in theirs]


def _cell(differences: Sequence[tuple[str, float]], factor: int, digits: int) -> str:
    if not differences:
        return "-"
    repositories, values = zip(*differences, strict=True)
    found = cluster_mean([factor * value for value in values], repositories)
    if found.low is None or found.high is None:
        return f"{found.value:+.{digits}f}"
    return f"{found.value:+.{digits}f} [{found.low:+.{digits}f}, {found.high:+.{digits}f}]"


if __name__ == "__main__":
    main()
