"""What a commit memory adds to the ledger: ``python -m …commit_memory.experiment FEATURES OUT``.

Constant gates are tuned on training repositories, the arms with parameters trained on them, and all
of them asked on validation repositories. Every piece is kept in OUT and not made twice.
"""

import argparse
import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import product
from pathlib import Path
from statistics import mean

import torch
from safetensors.torch import load_file, save_file

from code2lora_lsp.config import ModelSettings
from code2lora_lsp.neural.atomic_file import replacing, write_text
from code2lora_lsp.neural.commit_memory import (
    CommitMemory,
    CommitMemoryConfig,
    Metric,
    OutputHead,
)
from code2lora_lsp.neural.ledger.population import load_population
from code2lora_lsp.neural.ledger.readout import ReadoutPlan
from code2lora_lsp.runtime.ledger_folders import ledger_folder
from code2lora_lsp.runtime.ledger_models import POPULATION
from code2lora_lsp.runtime.model_folders import backbone_fingerprint
from code2lora_lsp.runtime.model_loading import load_model
from code2lora_lsp.training.commit_memory.evaluation import (
    Means,
    Scored,
    means_of,
    score,
    score_under_the_next,
    told_by_the_next,
    told_shuffled,
)
from code2lora_lsp.training.commit_memory.inputs import Repository, Telling, prepared
from code2lora_lsp.training.commit_memory.report import OWN_LATER, UNDER_ANOTHERS, table
from code2lora_lsp.training.commit_memory.stored import UPDATES_EVERY, load_repository
from code2lora_lsp.training.commit_memory.training import TrainingPlan, train
from code2lora_lsp.training.commit_memory.walk import Arm, World
from code2lora_lsp.training.splits import Split, split_of

BACKBONE = Arm("backbone", ledger=0.0)
LEDGER = Arm("ledger")
CONSTANT = Arm("ledger + fast, constant gates", gates="constant")
UNTRAINED = (
    BACKBONE,
    LEDGER,
    Arm("ledger, 1.5 times its step", ledger=1.5),
    Arm("fast alone, constant gates", ledger=0.0, gates="constant"),
    CONSTANT,
)
TRAINED = (
    Arm("ledger + fast, gru gates", gates="gru"),
    Arm("ledger + fast, constant gates, one style", gates="constant", style="constant"),
    Arm("ledger + fast, gru gates, gru style", gates="gru", style="gru"),
    Arm("one style alone", ledger=0.0, style="constant"),
    Arm("gru style alone", ledger=0.0, style="gru"),
)

GRID = {
    "step": (0.01, 0.03, 0.1, 0.3, 1.0), "decay": (0.8, 0.95, 0.99),
    "prior_tokens": (300.0, 3_000.0),
}  # fmt: skip
"""What constant gates are tuned on, in this order."""


@dataclass(frozen=True)
class Laboratory:
    """Everything an arm is trained and asked with."""

    world: World
    training: tuple[Repository, ...]
    validation: tuple[Repository, ...]
    feature_width: int

    @property
    def widths(self) -> tuple[int, int]:
        """D and F."""
        return len(self.world.metric.error_solver), len(self.world.metric.key_whitener)

    def new_memory(self, constants: dict[str, float], seed: int = 0) -> CommitMemory:
        torch.manual_seed(seed)
        width, inner_width = self.widths
        return CommitMemory(
            CommitMemoryConfig(self.feature_width, width, inner_width, **constants)  # type: ignore[arg-type]  # floats by name
        )


def laboratory(features: Path, model_folder: Path) -> Laboratory:
    """Load what was extracted.

    Raises:
        ModelMismatch: features of another backbone.
        ValueError: no repository of one of the splits.
    """
    model = load_model(model_folder, ModelSettings(device="cpu"), lambda *_: None)
    backbone = backbone_fingerprint(model_folder)
    population = load_population(ledger_folder(model_folder) / POPULATION, backbone)
    metric = Metric.of(population, ReadoutPlan())
    stored = [load_repository(path, backbone) for path in sorted(features.glob("*.safetensors"))]
    of_split = {
        split: [one for one in stored if split_of(one.name) is split]
        for split in (Split.TRAIN, Split.VALIDATION)
    }
    if not all(of_split.values()):
        raise ValueError(f"{features} lacks a split: {[one.name for one in stored]}")
    telling = Telling(metric, [one.features for one in of_split[Split.TRAIN]])
    training, validation = (
        tuple(prepared(one, metric, telling) for one in of_split[split]) for split in of_split
    )
    world = World(OutputHead.of(model.backbone.ledger_site), metric)
    return Laboratory(world, training, validation, telling.width)


def tune(laboratory: Laboratory) -> dict[str, float]:
    """Constant gates with the fewest nats per token on training repositories, beside the ledger.

    One of them at a time, the others as they are best so far.
    """
    best = {name: values[len(values) // 2] for name, values in GRID.items()}
    lowest = float("inf")
    for name, values in GRID.items():
        for value in values:
            constants = {**best, name: value}
            memory = laboratory.new_memory(constants)
            scored = score(memory, CONSTANT, laboratory.training, laboratory.world)
            nats = mean(one.means["token"] for one in scored)
            print(json.dumps({**constants, "nats": round(nats, 4)}), flush=True)
            if nats < lowest:
                lowest, best = nats, constants
    return best


def trained(
    laboratory: Laboratory, arm: Arm, constants: dict[str, float], plan: TrainingPlan, folder: Path
) -> CommitMemory:
    """An arm's memory, from the folder or trained and put there with its log."""
    memory = laboratory.new_memory(constants, plan.seed)
    stem = f"{arm.name.replace(' ', '-').replace(',', '')}-{plan.seed}"
    path = folder / f"{stem}.safetensors"
    if path.exists():
        memory.load_state_dict(load_file(path))
        return memory
    lines = []
    for line in train(memory, arm, laboratory.training, laboratory.world, plan):
        lines.append(json.dumps({name: round(value, 5) for name, value in line.items()}))
        if len(line) > 4:
            print(arm.name, lines[-1], flush=True)
    write_text(folder / f"{stem}.jsonl", "\n".join(lines) + "\n")
    with replacing(path) as temporary:
        save_file({name: t.contiguous() for name, t in memory.state_dict().items()}, temporary)
    return memory


def figures(laboratory: Laboratory, arm: Arm, memory: CommitMemory) -> dict[str, list[Means]]:
    """The arm's means by repository, and those of its controls."""
    world, asked = laboratory.world, laboratory.validation
    scored = score(memory, arm, asked, world)
    found = {arm.name: [one.means for one in scored]}
    if arm.has_gru:
        for name, told in _controls(scored):
            controlled = score(memory, arm, asked, world, told)
            found[f"{arm.name}: {name}"] = [one.means for one in controlled]
    if arm is not BACKBONE:
        under = score_under_the_next(memory, arm, asked, scored, world)
        found[arm.name + UNDER_ANOTHERS] = under
        found[arm.name + OWN_LATER] = [means_of(one.answers[UPDATES_EVERY:]) for one in scored]
    return found


def _controls(scored: Sequence[Scored]) -> Iterable[tuple[str, list[torch.Tensor]]]:
    yield "shuffled commits", told_shuffled(scored)
    yield "another's commits", told_by_the_next(scored)


def main() -> None:
    """Parse arguments; tune, train, ask."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("features", type=Path, help="folder that commit_memory.features wrote")
    parser.add_argument("output", type=Path)
    parser.add_argument("--model", type=Path, default=Path("models/nano"))
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--cpu-seconds", type=float, default=TrainingPlan.cpu_s, help="per arm")
    parser.add_argument("--learning-rate", type=float, default=TrainingPlan.learning_rate)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    arguments.output.mkdir(parents=True, exist_ok=True)
    bench = laboratory(arguments.features, arguments.model)
    constants = _constants(bench, arguments.output / "constants.json")
    untrained = bench.new_memory(constants)
    found: dict[str, list[list[Means]]] = {}
    for arm in UNTRAINED:
        _add(found, figures(bench, arm, untrained))
    plan = TrainingPlan(cpu_s=arguments.cpu_seconds, learning_rate=arguments.learning_rate)
    for arm, seed in product(TRAINED, range(arguments.seeds)):
        memory = trained(bench, arm, constants, replace(plan, seed=seed), arguments.output)
        _add(found, figures(bench, arm, memory))
    report = {
        "repositories": [one.name for one in bench.validation],
        "training": [one.name for one in bench.training],
        "constants": constants, "plan": asdict(plan), "arms": found,
    }  # fmt: skip
    write_text(arguments.output / "figures.json", json.dumps(report, indent=1))
    print("\n".join(table(found, LEDGER.name)))


def _add(found: dict[str, list[list[Means]]], more: dict[str, list[Means]]) -> None:
    for name, means in more.items():
        found.setdefault(name, []).append(means)


def _constants(bench: Laboratory, path: Path) -> dict[str, float]:
    if not path.exists():
        write_text(path, json.dumps(tune(bench)))
    constants: dict[str, float] = json.loads(path.read_text(encoding="utf-8"))
    return constants


if __name__ == "__main__":
    main()
