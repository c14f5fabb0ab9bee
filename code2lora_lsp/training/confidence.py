"""Calibrates the confidence gate: ``python -m code2lora_lsp.training.confidence CLONES``.

    … confidence CLONES --fit owner/name … --test owner/name … --rows FOLDER

CLONES holds clones, each in a folder ``owner+name``. What serving writes in files that were taken
out of them is kept in FOLDER, a repository at a time; a second run only fits. The calibration is
put beside the model: weights from the repositories to fit, the curve from those to test.
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from code2lora_lsp.config import ModelSettings
from code2lora_lsp.runtime.confidence import save_calibration
from code2lora_lsp.runtime.model_folders import backbone_fingerprint
from code2lora_lsp.runtime.model_loading import LoadedModel, load_model
from code2lora_lsp.training.confidence_fit import Point, curve, fit, samples_of
from code2lora_lsp.training.confidence_rows import (
    Row,
    RowPlan,
    collect_rows,
    read_rows,
    write_rows,
)
from code2lora_lsp.training.splits import Split, split_of


def reserved(repositories: Sequence[str]) -> list[str]:
    """Those that must not be opened."""
    return [name for name in repositories if split_of(name) is Split.RESERVED]


def rows_of(
    names: Sequence[str], clones: Path, kept: Path, model: LoadedModel, plan: RowPlan
) -> list[Row]:
    """Rows of all repositories; collected now where they are not kept yet.

    Args:
        names: as ``owner/name``.
        clones: holds ``owner+name``, or a bare ``owner+name/repo``.
        kept: holds a file of rows each.
        model: to collect with.
        plan: how rows are drawn.
    """
    found: list[Row] = []
    for name in names:
        folder = name.replace("/", "+")
        path = kept / f"{folder}.jsonl"
        if not path.is_file():
            bare = clones / folder / "repo"
            clone = bare if bare.is_dir() else clones / folder
            write_rows(path, collect_rows(model, clone, plan))
            print(f"{name}: written at {len(read_rows(path))} cursors", file=sys.stderr)
        found += read_rows(path)
    return found


def table(points: Sequence[Point]) -> str:
    """The curve for people."""
    head = "threshold  shown  right  whole line  characters  of all written\n"
    return head + "\n".join(
        f"{p.threshold:9.2f}  {p.shown:5.0%}  {p.right:5.0%}  {p.whole:10.0%}  {p.chars:10.1f}"
        f"  {p.written:14.1%}"
        for p in points
    )


def main() -> None:
    """Parse arguments, collect what is missing, fit, save and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("clones", type=Path)
    parser.add_argument("--model", type=Path, default=Path("models/nano"))
    parser.add_argument("--rows", type=Path, default=Path(".training/confidence"))
    parser.add_argument("--fit", nargs="+", required=True, metavar="OWNER/NAME")
    parser.add_argument("--test", nargs="+", required=True, metavar="OWNER/NAME")
    parser.add_argument("--cursors", type=int, default=RowPlan().n_cursors)
    parser.add_argument("--ledger-tokens", type=int, default=RowPlan().ledger_tokens)
    arguments = parser.parse_args()
    refused = reserved([*arguments.fit, *arguments.test]) or set(arguments.fit) & set(
        arguments.test
    )
    if refused:
        parser.error(f"{', '.join(sorted(refused))}: reserved, or to fit and to test both")
    plan = RowPlan(arguments.cursors, arguments.ledger_tokens, backbone=str(arguments.model))
    model = load_model(arguments.model, ModelSettings(), lambda *_: None)
    fitted = rows_of(arguments.fit, arguments.clones, arguments.rows, model, plan)
    tested = rows_of(arguments.test, arguments.clones, arguments.rows, model, plan)
    calibration = fit(samples_of(fitted))
    points = curve(calibration, tested)
    facts = {
        "ledger_tokens": plan.ledger_tokens,
        "fitted_on": {"repositories": sorted(arguments.fit), "cursors": len(fitted)},
        "tested_on": {"repositories": sorted(arguments.test), "cursors": len(tested)},
        "curve": [asdict(point) for point in points],
    }
    save_calibration(calibration, arguments.model, backbone_fingerprint(arguments.model), facts)
    print(f"{calibration}\n{table(points)}")


if __name__ == "__main__":
    main()
