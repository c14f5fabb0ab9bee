"""Reads repositories for the commit memory: ``python -m …commit_memory.features CLONES OUT NAME…``.

Each repository's tree in the middle of its history is written into a ledger, which then follows
its commits one by one. What is kept are the states of tokens that the commits add (``stored``):
commit t + 1 is asked under the ledger of commit t, and written once the ledger has taken it in.
"""

import argparse
import sys
import time
from pathlib import Path

import torch

from code2lora_lsp.config import ModelSettings
from code2lora_lsp.errors import ConfigError
from code2lora_lsp.history.repository import Repository
from code2lora_lsp.neural.ledger.population import Population, load_population
from code2lora_lsp.runtime.ledger_folders import ledger_folder
from code2lora_lsp.runtime.ledger_models import POPULATION
from code2lora_lsp.runtime.model_folders import backbone_fingerprint
from code2lora_lsp.runtime.model_loading import LoadedModel, load_model
from code2lora_lsp.training.commit_memory.extraction import (
    CommitExtractor,
    FeaturePlan,
    joined_rows,
    name_counts,
)
from code2lora_lsp.training.commit_memory.history import HistoryReader
from code2lora_lsp.training.commit_memory.ledger_track import LedgerTrack
from code2lora_lsp.training.commit_memory.marks import NameFacts, common_names
from code2lora_lsp.training.commit_memory.reading import BlockReader
from code2lora_lsp.training.commit_memory.stored import (
    UPDATES_EVERY,
    StoredRepository,
    save_repository,
)
from code2lora_lsp.training.splits import Split, split_of


def read_repository(
    model: LoadedModel,
    backbone: str,
    population: Population,
    git_dir: Path,
    name: str,
    common: frozenset[bytes],
    plan: FeaturePlan,
) -> StoredRepository:
    """Follow one repository.

    Args:
        model: read without adapter.
        backbone: its fingerprint.
        population: of the same backbone.
        git_dir: a bare clone.
        name: OWNER/NAME.
        common: names that are not rare, see ``marks``.
        plan: budgets.

    Raises:
        GitReadFailed: the clone cannot be read, or no two of its commits touch source.
    """
    history = HistoryReader(Repository.at_git_dir(git_dir))
    stretch = history.stretch(plan.n_commits)
    reader = BlockReader(model.backbone, model.tokenizer)
    track = LedgerTrack(model.backbone, reader, population, plan.track)
    track.start(stretch.blocks)
    card: dict[str, str | int | float] = {
        "repository": name, "split": split_of(name).value, "backbone": backbone,
        "start": stretch.start_id, "tree_tokens": track.n_tokens, "step": track.step,
    }  # fmt: skip
    pieces = model.tokenizer.token_bytes()
    names = NameFacts(common, name_counts(stretch.blocks))
    extractor = CommitExtractor(model.backbone, reader, pieces, track, names, plan)
    rows, updates = [], []
    for commit in history.commits(stretch):
        rows.append(extractor.take(commit))
        card["end"] = commit.commit_id
        if len(rows) % UPDATES_EVERY == 0:
            updates.append(track.update)
    updates = updates or [track.update]
    return StoredRepository(joined_rows(rows, updates), {**card, "n_commits": len(rows)})


def main() -> None:
    """Parse arguments; repositories that were read already are left as they are."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("clones", type=Path, help="bare clones, OWNER+NAME/repo each")
    parser.add_argument("output", type=Path, help="folder")
    parser.add_argument("names", nargs="+", help="OWNER/NAME")
    parser.add_argument("--model", type=Path, default=Path("models/nano"))
    parser.add_argument("--common-names", type=Path, required=True,
                        help="JSON made by repopeftbench.identifiers")  # fmt: skip
    parser.add_argument("--commits", type=int, default=FeaturePlan.n_commits)
    arguments = parser.parse_args()
    reserved = [name for name in arguments.names if split_of(name) is Split.RESERVED]
    if reserved:
        raise ConfigError(f"{', '.join(reserved)}: reserved repositories are not opened")
    model = load_model(arguments.model, ModelSettings(), lambda *_: None)
    fingerprint = backbone_fingerprint(arguments.model)
    population = load_population(ledger_folder(arguments.model) / POPULATION, fingerprint)
    common, plan = common_names(arguments.common_names), FeaturePlan(n_commits=arguments.commits)
    arguments.output.mkdir(parents=True, exist_ok=True)
    for name in arguments.names:
        path = arguments.output / f"{name.replace('/', '+')}.safetensors"
        if path.exists():
            continue
        started_s = time.process_time()
        git_dir = arguments.clones / name.replace("/", "+") / "repo"
        with torch.inference_mode():
            stored = read_repository(model, fingerprint, population, git_dir, name, common, plan)
        save_repository(stored, path)
        seconds = time.process_time() - started_s
        print(f"{stored.card}, {len(stored.features.keys)} tokens kept, {seconds:.0f} CPU s",
              file=sys.stderr, flush=True)  # fmt: skip


if __name__ == "__main__":
    main()
