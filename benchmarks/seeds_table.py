"""What an arm gains under each seed, side by side: other hidden files, other items, other draws.

    python benchmarks/seeds_table.py [--brief] RESULTS.jsonl RESULTS.jsonl …

Each file is what ``bench report`` wrote for a run of its own. Differences are from the same run's
backbone, with 95 % intervals of a bootstrap over repositories.
"""

import argparse
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

Row = dict[str, Any]
Known = Mapping[tuple[str, str, str], Row]
"""Table, arm and metric → row; strata are left out."""

COLUMNS = (
    ("nats per name", "differences", "identifier_nats", 1, 2),
    ("exact match, points", "differences", "exact_match", 100, 1),
    ("begins with the target, points", "differences", "target_first", 100, 1),
    ("nats per ordinary token", "harm", "nats_per_token", 1, 3),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("results", type=Path, nargs="+")
    parser.add_argument("--brief", action="store_true", help="nats per name alone, a row an arm")
    arguments = parser.parse_args()
    runs = [read(path) for path in arguments.results]
    print((brief if arguments.brief else table)(runs))


def read(path: Path) -> Known:
    """The rows of one run that are of all its items."""
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return {
        (row["table"], row["arm"], row["metric"]): row
        for row in rows
        if "stratum" not in row and row.get("against", "backbone") == "backbone"
    }


def table(runs: list[Known]) -> str:
    """Markdown: a row for each arm that every run asked, and run."""
    lines = [["arm", "run", *(name for name, *_ in COLUMNS), "items"]]
    for arm in _arms(runs):
        lines += [[arm, str(number), *_cells(run, arm)] for number, run in enumerate(runs, 1)]
    return _markdown(lines)


def brief(runs: list[Known]) -> str:
    """Markdown: a row for each of these arms, its nats per name in each run, and of what."""
    lines = [["arm", *(f"run {number}" for number in range(1, len(runs) + 1)), "items"]]
    for arm in _arms(runs):
        cells = [list(_cells(run, arm)) for run in runs]
        lines.append([arm, *(nats for nats, *_ in cells), ", ".join(items for *_, items in cells)])
    return _markdown(lines)


def _arms(runs: list[Known]) -> list[str]:
    asked = [{arm for kind, arm, _ in run if kind == "differences"} for run in runs]
    return sorted(set.intersection(*asked))


def _markdown(lines: list[list[str]]) -> str:
    header, *rest = lines
    return "\n".join(f"| {' | '.join(line)} |" for line in (header, ["---"] * len(header), *rest))


def _cells(run: Known, arm: str) -> Iterator[str]:
    for _, kind, metric, factor, digits in COLUMNS:
        row = run.get((kind, arm, metric))
        if row is None:
            yield "-"
            continue
        value, low, high = (f"{factor * row[of]:+.{digits}f}" for of in ("value", "low", "high"))
        yield f"{value} [{low}, {high}]"
    row = run["differences", arm, COLUMNS[0][2]]
    yield f"{row['n_items']} of {row['n_repositories']} repositories"


if __name__ == "__main__":
    main()
