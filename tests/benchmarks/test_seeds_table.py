"""Runs under several seeds in one table."""

import json

from benchmarks.seeds_table import brief, read, table


def row(arm, kind="differences", metric="identifier_nats", value=-2.0, **fields):
    return {
        "table": kind, "arm": arm, "metric": metric, "value": value, "low": value - 0.5,
        "high": value + 0.5, "n_items": 50, "n_repositories": 3, **fields,
    }  # fmt: skip


def test_arms_of_every_run_stand_below_one_another(tmp_path):
    runs = [
        [
            row("ledger"), row("ledger", metric="exact_match", value=0.1),
            row("ledger", "strata", stratum="seen=once", value=-9.0), row("only here"),
            row("ledger", against="mean", value=-7.0),
        ],
        [row("ledger", value=-3.0)],
    ]  # fmt: skip
    paths = [tmp_path / f"{number}.jsonl" for number in range(len(runs))]
    for path, rows in zip(paths, runs, strict=True):
        path.write_text("\n".join(map(json.dumps, rows)))
    known = [read(path) for path in paths]
    lines = table(known).splitlines()
    assert len(lines) == 4
    assert (
        "| ledger | 1 | -2.00 [-2.50, -1.50] | +10.0 [-40.0, +60.0] | - | - | 50 of 3" in lines[2]
    )
    assert lines[3].startswith("| ledger | 2 | -3.00 [-3.50, -2.50] | - |")
    [_, _, row_of_arm] = brief(known).splitlines()
    assert row_of_arm == (
        "| ledger | -2.00 [-2.50, -1.50] | -3.00 [-3.50, -2.50] "
        "| 50 of 3 repositories, 50 of 3 repositories |"
    )
