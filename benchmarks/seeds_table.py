"""What an arm gains under each seed, side by side: other hidden files, other items, other draws.

    python benchmarks/seeds_table.py RESULTS.jsonl RESULTS.jsonl …

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
    runs = [read(path) for path in parser.parse_args().results]
    print(table(runs))


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
    header = ["arm", "run", *(name for name, *_ in COLUMNS), "items"]
    lines = [header, ["---"] * len(header)]
    asked = [{arm for kind, arm, _ in run if kind == "differences"} for run in runs]
    for arm in sorted(set.intersection(*asked)):
        lines += [[arm, str(number), *_cells(run, arm)] for number, run in enumerate(runs, 1)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


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
