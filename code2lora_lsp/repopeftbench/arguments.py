"""The options of ``code2lora-lsp bench``; imports nothing, so that the server starts as fast."""

import argparse
from collections.abc import Callable
from pathlib import Path

DESCRIPTION = """RepoPeftBench: measure what an adapter knows of a repository.

  code2lora-lsp bench build CLONE... --output ITEMS    tasks from git histories
  code2lora-lsp bench demand ITEMS                     do these items need the repository at all?
  code2lora-lsp bench run ITEMS --arms backbone,bm25-3 ask arms; resumes where it was stopped
  code2lora-lsp bench report ITEMS                     results.jsonl, report.md and pictures

A CLONE is a path ending in owner+name, or owner/name=PATH. Run again with more arms at any time.
On several processes:  torchrun --nproc-per-node 2 -m code2lora_lsp bench run ITEMS
"""

BUILD_OPTIONS = (
    ("--tasks", "A,B", "knowledge, added-lines, evolution, static; all of them if not given"),
    ("--per-repository", "N", "filtered knowledge items of a repository"),
    ("--unfiltered", "N", "items taken as they come, to measure harm"),
    ("--added-commits", "N", "commits whose added lines are asked"),
    ("--evolution-commits", "N", "commits of the evolution track"),
    ("--evolution-history", "N", "commits that track is read from; 0 is all, as published"),
    ("--after", "YYYY-MM-DD", "only histories that begin later (temporal OOD)"),
    ("--seed", "N", "of every random choice"),
)
"""Handed to ``build.main`` as they are, when given; its defaults hold otherwise."""


def add_bench(
    commands: "argparse._SubParsersAction[argparse.ArgumentParser]",
    add_common: Callable[[argparse.ArgumentParser], None],
) -> argparse.ArgumentParser:
    """Add ``bench`` and its commands; ``arguments.bench`` is the one given, None for help.

    Args:
        commands: of the whole command line.
        add_common: adds the options every command has.
    """
    parser = commands.add_parser(
        "bench", help="measure arms on repositories, see `bench`", description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.set_defaults(bench=None, bench_help=parser.print_help)
    benches = parser.add_subparsers(title="commands", metavar="COMMAND")
    for add in (_add_build, _add_demand, _add_run, _add_report):
        add_common(add(benches))
    return parser


def _add_build(
    benches: "argparse._SubParsersAction[argparse.ArgumentParser]",
) -> argparse.ArgumentParser:
    parser = benches.add_parser("build", help="items from clones")
    parser.add_argument("clones", nargs="+", metavar="CLONE")
    parser.add_argument("--output", type=Path, required=True, metavar="ITEMS")
    parser.add_argument(
        "--frequency", type=Path, metavar="TABLE",
        help="names of training repositories, made by `python -m …repopeftbench.identifiers`; "
        "nano's if not given",
    )  # fmt: skip
    for name, metavar, words in BUILD_OPTIONS:
        parser.add_argument(name, metavar=metavar, help=words)
    parser.add_argument("--final", action="store_true", help="also open reserved repositories")
    parser.set_defaults(bench="build")
    return parser


def _add_demand(
    benches: "argparse._SubParsersAction[argparse.ArgumentParser]",
) -> argparse.ArgumentParser:
    parser = benches.add_parser(
        "demand", help="backbone, oracle snippet, wrong repository's snippet; exit code 1: too low"
    )
    _add_folders(parser)
    _add_what_is_asked(parser)
    parser.set_defaults(bench="demand")
    return parser


def _add_run(
    benches: "argparse._SubParsersAction[argparse.ArgumentParser]",
) -> argparse.ArgumentParser:
    parser = benches.add_parser("run", help="ask arms; exit code 1: some could not run")
    _add_folders(parser)
    _add_what_is_asked(parser)
    parser.add_argument("--arms", metavar="A,B", help="all of them if not given")
    parser.add_argument(
        "--crossed", metavar="A,B",
        help="arms that also answer for every other repository; all with adapters if not given, "
        "none with ''",
    )  # fmt: skip
    parser.add_argument(
        "--crossed-items", type=int, default=50, metavar="N",
        help="items of each other repository and task (50)",
    )  # fmt: skip
    parser.add_argument("--corpus", type=Path, help="of training.corpus, for the shared arms")
    parser.add_argument("--encoder", type=Path, help="Hugging Face encoder, for the dense arms")
    parser.add_argument("--checkpoint", type=Path, help="Evo checkpoint, instead of the shipped")
    parser.add_argument("--static-checkpoint", type=Path, help="Static checkpoint")
    parser.add_argument(
        "--population",
        type=Path,
        help="of training.population, for the ledger; the server's own if not given",
    )
    parser.set_defaults(bench="run")
    return parser


def _add_report(
    benches: "argparse._SubParsersAction[argparse.ArgumentParser]",
) -> argparse.ArgumentParser:
    parser = benches.add_parser("report", help="tables and pictures of what was answered so far")
    _add_folders(parser)
    parser.set_defaults(bench="report")
    return parser


def _add_folders(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("items", type=Path, metavar="ITEMS", help="made by `bench build`")
    parser.add_argument(
        "--answers", type=Path, metavar="FOLDER",
        help="of answers and report; ITEMS/run if not given",
    )  # fmt: skip


def _add_what_is_asked(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--clones", type=Path, help="where the clones lie, if they were moved")
    parser.add_argument("--tasks", metavar="A,B", help="only these tasks")
    parser.add_argument(
        "--most-items",
        type=int,
        metavar="N",
        help="of each known state, filtered and unfiltered, to try things out",
    )
