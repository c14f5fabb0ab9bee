"""What the commands of ``code2lora-lsp bench`` do; see ``arguments`` for their options."""

import argparse
import itertools
import json
import sys
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from code2lora_lsp.config import Settings
from code2lora_lsp.errors import ConfigError
from code2lora_lsp.neural.atomic_file import write_text
from code2lora_lsp.neural.lora import LoraAdapter
from code2lora_lsp.neural.peft_format import load_peft
from code2lora_lsp.repopeftbench import build
from code2lora_lsp.repopeftbench.arguments import BUILD_OPTIONS
from code2lora_lsp.repopeftbench.arms.arm import Arm, NotRun, Target
from code2lora_lsp.repopeftbench.arms.registry import ArmOptions, Arms
from code2lora_lsp.repopeftbench.environment import describe, read_environment, write_environment
from code2lora_lsp.repopeftbench.figures import all_figures
from code2lora_lsp.repopeftbench.item_folder import read_items, read_manifest, read_targets
from code2lora_lsp.repopeftbench.items import Item
from code2lora_lsp.repopeftbench.metrics import choose_code_bleu
from code2lora_lsp.repopeftbench.own_versus_other import Adapters
from code2lora_lsp.repopeftbench.plots import draw_all
from code2lora_lsp.repopeftbench.report import (
    LEAST_GAIN_NATS,
    Report,
    as_markdown,
    demand_table,
)
from code2lora_lsp.repopeftbench.report_tables import ORACLE, WRONG
from code2lora_lsp.repopeftbench.results import (
    adapter_folder,
    read_all_answers,
    read_not_run,
    state_name,
)
from code2lora_lsp.repopeftbench.runner import (
    Asked,
    Plan,
    Shard,
    chosen_items,
    crossed_items,
    run,
    this_shard,
)
from code2lora_lsp.repopeftbench.scored import BACKBONE, is_unfiltered, score_all
from code2lora_lsp.repopeftbench.scoring import Scorer
from code2lora_lsp.runtime.ledger_folders import ledger_folder
from code2lora_lsp.runtime.ledger_models import POPULATION
from code2lora_lsp.runtime.model_folders import backbone_fingerprint, backbone_folder
from code2lora_lsp.runtime.model_loading import load_model

SHARED = "shared-lora"
"""Has one adapter for every repository: own and other are the same by construction."""


def run_bench(arguments: argparse.Namespace, settings: Settings) -> int:
    """Run one command; the exit code."""
    commands = {"build": _build, "demand": _demand, "run": _run, "report": _report}
    return commands[arguments.bench](arguments, settings)


def _build(arguments: argparse.Namespace, settings: Settings) -> int:
    given = [*arguments.clones, "--output", arguments.output]
    given += ["--model", backbone_folder(settings), *(["--final"] if arguments.final else [])]
    given += [] if arguments.frequency is None else ["--frequency", arguments.frequency]
    for name, *_ in BUILD_OPTIONS:
        value = getattr(arguments, name[2:].replace("-", "_"))
        given += [] if value is None else [name, value]
    build.main([str(argument) for argument in given])
    return 0


def _run(arguments: argparse.Namespace, settings: Settings) -> int:
    names = None if arguments.arms is None else arguments.arms.split(",")
    return 1 if _answer(arguments, settings, this_shard(), names) else 0


def _demand(arguments: argparse.Namespace, settings: Settings) -> int:
    """Backbone, oracle and wrong snippet; 1 when the oracle gains too little in some suite."""
    vars(arguments).update(
        crossed="", crossed_items=0, corpus=None, encoder=None, checkpoint=None,
        static_checkpoint=None, population=None,
    )  # fmt: skip
    _answer(arguments, settings, Shard(), [BACKBONE, ORACLE, WRONG])
    report = _read_report(arguments)
    print(
        demand_table(report)
        or "no demand test: no filtered item was answered by both oracle and backbone"
    )
    gains = report.of("differences", arm=ORACLE, against=BACKBONE, metric="asked_nats")
    return 0 if gains and all(-f.value >= LEAST_GAIN_NATS for f in gains) else 1


def _answer(
    arguments: argparse.Namespace, settings: Settings, shard: Shard, names: Sequence[str] | None
) -> bool:
    """Answer what is missing; whether something could not run."""
    folder = _run_folder(arguments)
    model_folder = backbone_folder(settings)
    model = load_model(model_folder, settings.model, lambda *_: None)
    fingerprint = backbone_fingerprint(model_folder)
    options = ArmOptions(
        scorer=Scorer(model), model_folder=model_folder, work_folder=folder / "work",
        corpus=arguments.corpus,
        checkpoint=arguments.checkpoint, static_checkpoint=arguments.static_checkpoint,
        encoder_folder=arguments.encoder,
        population=arguments.population or _own_population(model_folder),
        settings=settings.model,
    )  # fmt: skip
    if names is not None:  # a wrong one lists them all, also before there are items
        _arms(Arms(options), [name.partition("/other:")[0] for name in names])
    asked = _asked(arguments)
    arms = _arms(Arms(replace(options, targets=_one_per_repository(asked))), names)
    if shard.index == 0:
        facts = describe(model.name, fingerprint, str(model.backbone.device))
        write_environment(folder, facts)
    crossed = _crossed(arguments.crossed, arms)
    plan = Plan(folder, asked, arms, fingerprint, crossed, arguments.crossed_items)
    not_run = run(plan, shard)
    for arm in not_run:
        where = f" on {', '.join(arm.notes)}" if arm.notes else ""
        print(f"not run: {arm.arm}{where}: {arm.reason}", file=sys.stderr)
    return bool(not_run)


def _arms(known: Arms, names: Sequence[str] | None) -> list[Arm]:
    try:
        return [known.arm(name) for name in (known.names if names is None else names)]
    except ValueError as error:
        raise ConfigError(f"--arms: {error}") from error


def _crossed(given: str | None, arms: Sequence[Arm]) -> frozenset[str]:
    """Arms asked for by name, or all that make an adapter per repository."""
    if given is None:
        making = {arm.name for arm in arms if hasattr(arm, "adapter") and "/" not in arm.name}
        return frozenset(making - {SHARED})
    names = frozenset(name for name in given.split(",") if name)
    unknown = names - {arm.name for arm in arms}
    if unknown:
        raise ConfigError(f"--crossed: {', '.join(sorted(unknown))} not among the arms that run")
    return names


def _own_population(model_folder: Path) -> Path | None:
    """The statistics that the server follows with, if there are any for this backbone."""
    path = ledger_folder(model_folder) / POPULATION
    return path if path.is_file() else None


def _asked(arguments: argparse.Namespace) -> list[Asked]:
    """The known states and their items, less what the options leave out."""
    items = {item.item_id: item for item in read_items(arguments.items)}
    states = read_targets(arguments.items, arguments.clones)
    tasks = {state.task for state in states}
    wanted = tasks if arguments.tasks is None else set(arguments.tasks.split(","))
    if not wanted <= tasks:
        raise ConfigError(
            f"--tasks {','.join(sorted(wanted - tasks))}: these items have {', '.join(tasks)}"
        )
    asked = [
        Asked(state.task, state.target, [items[item_id] for item_id in state.item_ids])
        for state in states
        if state.task in wanted
    ]
    if arguments.most_items is None:
        return asked
    return [replace(one, items=_some(one.items, arguments.most_items)) for one in asked]


def _some(items: Sequence[Item], n_most: int) -> list[Item]:
    """At most so many that ask about the repository, and as many taken as they come."""
    plain = chosen_items([item for item in items if is_unfiltered(item)], n_most)
    return [*crossed_items(items, n_most), *plain]


def _one_per_repository(asked: Sequence[Asked]) -> list[Target]:
    """The newest known state of each; means and other repositories' snippets are made of them."""
    return list({one.target.repository: one.target for one in asked}.values())


def _run_folder(arguments: argparse.Namespace) -> Path:
    folder: Path = arguments.answers or arguments.items / "run"
    return folder


def _report(arguments: argparse.Namespace, settings: Settings) -> int:
    del settings  # a report is of what was answered, whatever is set now
    folder = _run_folder(arguments)
    report = _read_report(arguments)
    plots = draw_all(report.figures, folder)
    lines = "".join(json.dumps(figure.to_json()) + "\n" for figure in report.figures)
    write_text(folder / "results.jsonl", lines)
    write_text(folder / "report.md", as_markdown(report, plots))
    print(f"{folder / 'report.md'}: {len(report.figures)} numbers, {len(plots)} pictures")
    return 0


def _read_report(arguments: argparse.Namespace) -> Report:
    folder = _run_folder(arguments)
    sets = read_all_answers(folder)
    if not sets:
        raise ConfigError(f"{folder} holds no answers yet; make some with `bench run`")
    items = {item.item_id: item for item in read_items(arguments.items)}
    code_bleu = choose_code_bleu()
    scored = score_all(sets, items, code_bleu)
    figures = all_figures(scored, _adapters(arguments.items, folder, scored.own))
    not_run = [*_not_built(arguments.items), *read_not_run(folder)]
    return Report(figures, not_run, code_bleu.name, read_environment(folder))


def _not_built(items: Path) -> list[NotRun]:
    """Clones and tasks that gave no items: no arm was asked about them."""
    manifest = read_manifest(items)
    tasks = [
        (f"{one['repository']}, {task}", reason)
        for one in manifest["repositories"]
        for task, reason in one.get("failed_tasks", {}).items()
    ]
    return [NotRun("every arm", r, (what,)) for what, r in (*manifest["refused"].items(), *tasks)]


def _adapters(items: Path, folder: Path, arms: Iterable[str]) -> Adapters:
    """The adapter of each repository's newest state, per arm and task. Reads no clone."""
    found: dict[tuple[str, str], dict[str, LoraAdapter]] = {}
    for one in read_manifest(items)["repositories"]:
        for row, arm in itertools.product(one["targets"], arms):
            state = state_name(one["repository"], row["task"], row["known_commit_id"])
            place = adapter_folder(folder, arm, state)
            if place.is_dir():
                found.setdefault((arm, row["task"]), {})[one["repository"]] = load_peft(place)
    return found
