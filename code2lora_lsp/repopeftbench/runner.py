"""Ask every arm every item, once: resumable, and split over processes by known state."""

import hashlib
import os
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

from code2lora_lsp.errors import ConfigError, EngineError, FollowError, SetupError
from code2lora_lsp.neural.lora import LoraAdapter
from code2lora_lsp.neural.peft_format import save_peft
from code2lora_lsp.repopeftbench.arms.arm import Arm, CannotPrepare, Cost, NotRun, Prepared, Target
from code2lora_lsp.repopeftbench.items import Item
from code2lora_lsp.repopeftbench.progress import Announcer, announcing
from code2lora_lsp.repopeftbench.results import (
    Origin,
    adapter_folder,
    crossed_path,
    forget_trouble,
    items_digest,
    own_path,
    read_origin,
    state_name,
    write_not_run,
    write_trouble,
    writing_answers,
)
from code2lora_lsp.repopeftbench.scored import is_unfiltered

ITEMS_AT_ONCE = 8
"""Items handed to an arm together; each answer is on disk before the next eight are asked."""


@dataclass(frozen=True)
class Asked:
    """A known state of a repository and what is asked of it."""

    task: str
    target: Target
    items: Sequence[Item]

    @property
    def state(self) -> str:
        """Its name on disk."""
        return state_name(self.target.repository, self.task, self.target.known_commit_id)


@dataclass(frozen=True)
class Shard:
    """Which of ``n_shards`` equal parts of the known states this process answers."""

    index: int = 0
    n_shards: int = 1

    def of(self, asked: Sequence[Asked]) -> list[Asked]:
        """Every n-th one: the same split in every process and after every restart."""
        return list(asked[self.index :: self.n_shards])


def this_shard() -> Shard:
    """This process's place among those that torchrun or accelerate started; else the whole.

    Raises:
        ConfigError: launched in parts, and accelerate is not installed.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        return Shard()
    try:
        from accelerate import PartialState
    except ImportError as error:
        raise ConfigError(
            'several processes need accelerate: pip install "code2lora-lsp[bench]"'
        ) from error
    import torch

    state = PartialState(cpu=not torch.cuda.is_available())
    return Shard(state.process_index, state.num_processes)


@dataclass(frozen=True)
class Plan:
    """What a run is to answer.

    Attributes:
        folder: where the answers go.
        asked: every known state once.
        model: fingerprint of the backbone; answers of another one are never mixed in.
        crossed: arms whose preparation for each repository also answers every other's items.
        n_crossed_items: at most so many items of each other repository and task.
    """

    folder: Path
    asked: Sequence[Asked]
    arms: Sequence[Arm]
    model: str
    crossed: Collection[str] = frozenset()
    n_crossed_items: int = 50


@dataclass(frozen=True)
class _File:
    """One file of answers that is still to be written."""

    path: Path
    repository: str
    task: str
    items: Sequence[Item]


def run(plan: Plan, shard: Shard | None = None) -> list[NotRun]:
    """Answer all that is not yet answered; returns what could not be, with reasons.

    Raises:
        LeakFound: an arm was about to read an answer; nothing is reported from such a run.
        ConfigError: the folder holds answers to other items or of another model.
    """
    shard = shard or this_shard()
    not_run = [NotRun(arm.name, why) for arm in plan.arms if (why := arm.why_not())]
    if shard.index == 0:
        write_not_run(plan.folder, not_run, {arm.name for arm in plan.arms})
    absent = {arm.arm for arm in not_run}
    arms = [arm for arm in plan.arms if arm.name not in absent]
    mine = shard.of(plan.asked)
    # State by state: what one arm read of a repository, the next one finds remembered.
    todo = [
        (arm, one, files) for one in mine for arm in arms if (files := _missing(plan, arm, one))
    ]
    with announcing(sum(len(f.items) for *_, files in todo for f in files)) as announcer:
        for arm, one, files in todo:
            announcer.begin(f"{arm.name} on {one.target.repository}, {one.task}")
            trouble = _answer_all(plan, arm, one, files, announcer)
            if trouble:
                not_run.append(NotRun(arm.name, trouble, (one.state,)))
    return not_run


def _missing(plan: Plan, arm: Arm, donor: Asked) -> list[_File]:
    return [file for file in _files(plan, arm, donor) if not _is_there(plan, arm, donor, file)]


def _files(plan: Plan, arm: Arm, donor: Asked) -> Iterator[_File]:
    own = donor.target.repository
    yield _File(own_path(plan.folder, arm.name, donor.state), own, donor.task, donor.items)
    if arm.name not in plan.crossed or donor is not _newest(plan, own, donor.task):
        return
    same_task = [one for one in plan.asked if one.task == donor.task]
    for other in dict.fromkeys(one.target.repository for one in same_task):
        if other != own:
            items = [i for one in same_task if one.target.repository == other for i in one.items]
            path = crossed_path(plan.folder, arm.name, own, other, donor.task)
            yield _File(path, other, donor.task, crossed_items(items, plan.n_crossed_items))


def _newest(plan: Plan, repository: str, task: str) -> Asked:
    """The state whose preparation answers for other repositories: the last one of its task."""
    return [o for o in plan.asked if (o.target.repository, o.task) == (repository, task)][-1]


def crossed_items(items: Sequence[Item], n_most: int) -> list[Item]:
    """``chosen_items`` less those taken as they come: they say little about a repository."""
    return chosen_items([item for item in items if not is_unfiltered(item)], n_most)


def chosen_items(items: Sequence[Item], n_most: int) -> list[Item]:
    """The same pseudo-random choice every time, in the items' order."""
    by_hash = sorted(items, key=lambda i: hashlib.sha256(i.item_id.encode()).digest())[:n_most]
    chosen = {item.item_id for item in by_hash}
    return [item for item in items if item.item_id in chosen]


def _is_there(plan: Plan, arm: Arm, donor: Asked, file: _File) -> bool:
    there = read_origin(file.path)
    if there is None:
        return False
    now = _origin(plan, arm, donor, file, there.cost)
    if there != now:
        names = [f.name for f in fields(Origin) if getattr(there, f.name) != getattr(now, f.name)]
        raise ConfigError(
            f"{file.path} answers other items or is of another model: its {', '.join(names)} "
            "changed since; use another folder, or remove that file"
        )
    return True


def _origin(plan: Plan, arm: Arm, donor: Asked, file: _File, cost: Cost) -> Origin:
    return Origin(
        arm=arm.name, repository=file.repository, task=file.task, donor=donor.target.repository,
        known_commit_id=donor.target.known_commit_id, items_digest=items_digest(file.items),
        model=plan.model, recipe=str(getattr(arm, "recipe_key", "")), cost=cost,
    )  # fmt: skip


def _answer_all(
    plan: Plan, arm: Arm, donor: Asked, files: Sequence[_File], announcer: Announcer
) -> str:
    """Prepare once and write every file; the trouble met, or ""."""
    forget_trouble(plan.folder, arm.name, donor.state)
    try:
        prepared = arm.prepare(donor.target)
        _keep_adapter(plan, arm, donor, prepared)
        for file in files:
            _answer_file(plan, arm, donor, prepared, file, announcer)
    except (CannotPrepare, SetupError, FollowError, EngineError) as error:
        reason = str(error)
        write_trouble(plan.folder, arm.name, donor.state, reason)
        return reason
    return ""


def _keep_adapter(plan: Plan, arm: Arm, donor: Asked, prepared: Prepared) -> None:
    """For the geometry of the report; what is made of another arm's adapters is not kept again."""
    adapter = getattr(prepared, "adapter", None)
    if isinstance(adapter, LoraAdapter) and "/" not in arm.name:
        save_peft(adapter, adapter_folder(plan.folder, arm.name, donor.state), plan.model)


def _answer_file(
    plan: Plan, arm: Arm, donor: Asked, prepared: Prepared, file: _File, announcer: Announcer
) -> None:
    origin = _origin(plan, arm, donor, file, prepared.cost)
    with writing_answers(file.path, origin) as append:
        for start in range(0, len(file.items), ITEMS_AT_ONCE):
            asked = file.items[start : start + ITEMS_AT_ONCE]
            for item, answer in zip(asked, prepared.answer(asked), strict=True):
                append(item, answer)
            announcer.advance(len(asked))
