"""Published questions ↔ an item folder, so that the authors' sets run as ours do.

``python -m code2lora_lsp.repopeftbench.published_items import QUESTIONS.parquet CLONES OUT`` makes
an item folder of a published table; clones lie at ``CLONES/owner+name`` (bare, with ``repo``
inside, or with a work tree). ``… export ITEMS OUT.parquet`` writes the assertion items of a folder
in the published columns.
"""

import argparse
import re
import sys
from collections import Counter
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path

from code2lora_lsp.errors import Code2LoraError, ConfigError
from code2lora_lsp.repopeftbench.arms.arm import Target
from code2lora_lsp.repopeftbench.item_folder import (
    BuiltRepository,
    clone_git_dir,
    read_items,
    write_folder,
)
from code2lora_lsp.repopeftbench.items import InRepoSplit, Item, Track
from code2lora_lsp.repopeftbench.published_format import read_questions, write_questions
from code2lora_lsp.repopeftbench.source_tree import TreeReader
from code2lora_lsp.repopeftbench.tree_facts import TreeFacts

SEED = 3407
_REPOSITORY = re.compile(r"[A-Za-z0-9][\w.-]*/[\w-][\w.-]*")


def import_questions(
    questions: Path,
    clones: Path,
    output: Path,
    *,
    track: Track = Track.EVOLUTION,
    splits: Sequence[InRepoSplit] = tuple(InRepoSplit),
) -> dict[str, object]:
    """Write an item folder: one target per commit, its test files and their copies hidden.

    Only rows of ``splits`` are taken. A repository without a clone, or whose clone lacks a commit,
    is named under ``refused``.

    Raises:
        ConfigError: the table cannot be read, or no repository could be used.
    """
    wanted = [one for one in read_questions(questions, track) if one.in_repo_split in splits]
    wanted.sort(key=lambda item: item.repository)
    built: list[BuiltRepository] = []
    refused: dict[str, str] = {}
    for name, group in groupby(wanted, key=lambda item: item.repository):
        result = _repository(name, list(group), clones)
        if isinstance(result, str):
            refused[name] = result
        else:
            built.append(result)
    if not built:
        raise ConfigError(f"no repository of {questions} could be used: {refused or 'no rows'}")
    return write_folder(output, built, refused, {"published": questions.name})


def _repository(name: str, items: list[Item], clones: Path) -> BuiltRepository | str:
    """Its targets, or why it cannot be used."""
    if not _REPOSITORY.fullmatch(name):  # it becomes part of a path
        return "not of the form owner/name"
    try:
        git_dir = clone_git_dir(clones / name.replace("/", "+", 1))
        return _targets(name, git_dir, items)
    except Code2LoraError as error:
        return f"{type(error).__name__}: {error}"


def _targets(name: str, git_dir: Path, items: list[Item]) -> BuiltRepository:
    reader, facts, dropped = TreeReader(git_dir), TreeFacts(), Counter[str]()
    distinct = list({item.item_id: item for item in items}.values())
    dropped["the same question again"] = len(items) - len(distinct)
    distinct.sort(key=lambda item: item.commit_index)
    targets = []
    for commit_id, group in groupby(distinct, key=lambda item: item.commit_id):
        asked, tree = list(group), reader.read(commit_id)
        paths = {item.path for item in asked} & tree.texts.keys()
        hidden = paths | facts.copies(tree).copies_of(paths)
        target = Target(name, git_dir, commit_id, frozenset(hidden), SEED)
        targets.append((asked[0].track.value, target, asked))
    return BuiltRepository(
        repository=name,
        commit_id=distinct[-1].commit_id,
        targets=targets,
        dropped={targets[0][0]: +dropped},
        facts={},
        failed_tasks={},
        seconds=0.0,
    )


def export_questions(folder: Path, output: Path) -> int:
    """Write the evolution and static items of a folder; returns how many.

    Raises:
        ConfigError: the folder has none.
    """
    items = [item for item in read_items(folder) if item.track is not Track.KNOWLEDGE]
    if not items:
        raise ConfigError(f"{folder} holds no assertion items; build the evolution or static task")
    write_questions(output, items)
    return len(items)


def main(arguments: list[str] | None = None) -> None:
    """Parse arguments; import or export."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    reading = commands.add_parser("import")
    reading.add_argument("questions", type=Path)
    reading.add_argument("clones", type=Path)
    reading.add_argument("output", type=Path)
    reading.add_argument("--track", type=Track, default=Track.EVOLUTION)
    reading.add_argument("--splits", default="test", help="comma-separated: train, val, test")
    writing = commands.add_parser("export")
    writing.add_argument("items", type=Path)
    writing.add_argument("output", type=Path)
    options = parser.parse_args(arguments)
    try:
        if options.command == "export":
            print(f"{export_questions(options.items, options.output)} questions: {options.output}")
            return
        splits = [InRepoSplit(name) for name in options.splits.split(",")]
        where = options.questions, options.clones, options.output
        manifest = import_questions(*where, track=options.track, splits=splits)
        print(f"{options.output}: refused {manifest['refused'] or 'none'}")
    except (Code2LoraError, ValueError) as error:
        sys.exit(f"{type(error).__name__}: {error}")


if __name__ == "__main__":
    main()
