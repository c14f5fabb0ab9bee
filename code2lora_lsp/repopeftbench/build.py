"""Builds the benchmark: ``python -m code2lora_lsp.repopeftbench.build CLONES… --output OUT …``.

A clone is a path whose folder is named ``owner+name`` (bare, with ``repo`` inside, or with a work
tree), or ``owner/name=PATH``. Written to OUT: ``items.jsonl`` and ``manifest.json``; see
``item_folder``. Deterministic: the same commits, options and tokenizer give the same items.
"""

import argparse
import datetime as dt
import sys
from collections.abc import Sequence
from pathlib import Path

from code2lora_lsp.errors import Code2LoraError, ConfigError
from code2lora_lsp.neural.code2lora.checkpoint import file_sha256
from code2lora_lsp.repopeftbench.added_lines import AddedLinesPlan
from code2lora_lsp.repopeftbench.build_plan import TASKS, BuildPlan, Clone
from code2lora_lsp.repopeftbench.build_repository import build_repository
from code2lora_lsp.repopeftbench.hidden_files import HiddenFilePlan
from code2lora_lsp.repopeftbench.identifiers import IdentifierFrequency, embedded_table
from code2lora_lsp.repopeftbench.item_folder import BuiltRepository, clone_git_dir, write_folder
from code2lora_lsp.repopeftbench.knowledge import KnowledgePlan
from code2lora_lsp.repopeftbench.windows import Encode
from code2lora_lsp.text.tokenizer import Tokenizer
from code2lora_lsp.training.splits import Split, split_of


def build_items(
    clones: Sequence[Clone],
    output: Path,
    *,
    frequency: IdentifierFrequency,
    encode: Encode,
    plan: BuildPlan,
    tokenizer_sha256: str = "",
) -> dict[str, object]:
    """Build every clone, write the folder and return its manifest.

    A clone that cannot be read, or gives no item, is named with its reason under ``refused``.

    ``tokenizer_sha256`` is for the manifest: windows are measured by that tokenizer.

    Raises:
        ConfigError: no clone gave an item.
    """
    built: list[BuiltRepository] = []
    refused: dict[str, str] = {}
    for clone in sorted(clones, key=lambda clone: clone.repository):
        try:
            one = build_repository(clone, frequency, encode, plan)
        except Code2LoraError as error:
            refused[clone.repository] = f"{type(error).__name__}: {error}"
            print(f"{clone.repository}: refused, {refused[clone.repository]}", file=sys.stderr)
            continue
        n_items = sum(len(items) for _, _, items in one.targets)
        print(f"{clone.repository}: {n_items} items in {one.seconds:.1f} s", file=sys.stderr)
        for task, reason in one.failed_tasks.items():
            print(f"{clone.repository}: {task} failed, {reason}", file=sys.stderr)
        built.append(one)
    if not built:
        raise ConfigError(f"none of {len(clones)} clones gave an item: {refused}")
    options = plan.to_json() | {
        "tokenizer_sha256": tokenizer_sha256,
        "training_repositories": frequency.n_repositories,
    }
    return write_folder(output, built, refused, options)


def parse_clone(text: str) -> Clone:
    """A clone named by its folder ``owner+name`` or by ``owner/name=PATH``.

    Raises:
        ConfigError: the name cannot be told, or there is no git directory.
    """
    name, given, path = text.rpartition("=")
    folder = Path(path).absolute()
    if not given:
        named = folder.parent if folder.name == "repo" else folder
        name = named.name.replace("+", "/", 1)
    owner, slash, rest = name.partition("/")
    if not (owner and slash and rest) or "/" in rest:
        raise ConfigError(f"{text!r} does not say whose repository it is; give owner/name={path}")
    return Clone(name, clone_git_dir(folder))


def main(arguments: list[str] | None = None) -> None:
    """Parse arguments and build."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("clones", nargs="+", metavar="CLONE")
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--model", type=Path, required=True, help="folder of the backbone")
    parser.add_argument(
        "--frequency", type=Path, default=embedded_table(), help="made by `…identifiers`"
    )
    parser.add_argument("--tasks", default=",".join(TASKS), help="comma-separated")
    parser.add_argument("--per-repository", type=int, default=150, help="filtered knowledge items")
    parser.add_argument("--unfiltered", type=int, default=40)
    parser.add_argument("--added-commits", type=int, default=4)
    parser.add_argument("--evolution-commits", type=int, default=4)
    parser.add_argument("--evolution-history", type=int, default=200, help="commits; 0 is all")
    parser.add_argument("--after", type=dt.date.fromisoformat, help="history begins later (OOD)")
    parser.add_argument("--seed", type=int, default=3407)
    parser.add_argument("--final", action="store_true", help="also open reserved repositories")
    options = parser.parse_args(arguments)
    try:
        clones = [parse_clone(text) for text in options.clones]
        reserved = [c.repository for c in clones if split_of(c.repository) is Split.RESERVED]
        if reserved and not options.final:
            raise ConfigError(f"{reserved[0]} is reserved for the final report; see --final")
        build_items(
            clones,
            options.output,
            frequency=IdentifierFrequency.read(options.frequency),
            encode=Tokenizer.from_folder(options.model).encode,
            plan=_plan(options),
            tokenizer_sha256=file_sha256(options.model / "tokenizer.json"),
        )
    except Code2LoraError as error:
        sys.exit(f"{type(error).__name__}: {error}")


def _plan(options: argparse.Namespace) -> BuildPlan:
    seed, after = options.seed, options.after
    return BuildPlan(
        tasks=tuple(options.tasks.split(",")),
        hidden=HiddenFilePlan(seed=seed),
        knowledge=KnowledgePlan(options.per_repository, options.unfiltered, seed=seed),
        added_lines=AddedLinesPlan(n_commits=options.added_commits, seed=seed),
        n_evolution_commits=options.evolution_commits,
        evolution_history=options.evolution_history,
        after=after and dt.datetime.combine(after, dt.time(), dt.timezone.utc),
        seed=seed,
    )


if __name__ == "__main__":
    main()
