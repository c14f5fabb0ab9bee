"""Answers on disk: one file of JSON lines per arm and known state, complete or absent.

```
answers/<arm>/<state>.jsonl                     prepared from the state that is asked about
crossed/<arm>/<donor>/<owner+name>.<task>.jsonl prepared from another repository, the donor
adapters/<arm>/<state>/                         PEFT folder, for arms that make an adapter
troubles/<arm>/<state>.json                     why this arm could not answer here
not_run.json                                    arms that cannot run on this machine
```

A state is ``owner+name.task@commit``. Processes and machines write different files of one folder,
so merging them is copying.
"""

import dataclasses
import hashlib
import json
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from code2lora_lsp.errors import ConfigError
from code2lora_lsp.neural.atomic_file import replacing, write_text
from code2lora_lsp.repopeftbench.arms.arm import Answer, Cost, NotRun
from code2lora_lsp.repopeftbench.items import Item

FORMAT = "repopeftbench-answers-1"

_ARM_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9@._:/-]*")


@dataclass(frozen=True)
class Origin:
    """Where a file of answers comes from: its first line.

    Attributes:
        repository: whose items were answered.
        task: which of its items.
        donor: whose history or files the arm was prepared from; ``repository`` for its own.
        known_commit_id: the newest commit of the donor that the arm could read.
        items_digest: of the items answered, in order.
        model: fingerprint of the backbone.
        recipe: changes whenever the arm would prepare something else; "" where nothing can.
        cost: of preparing the arm.
    """

    arm: str
    repository: str
    task: str
    donor: str
    known_commit_id: str
    items_digest: str
    model: str
    recipe: str
    cost: Cost

    @property
    def is_own(self) -> bool:
        return self.donor == self.repository


@dataclass(frozen=True)
class AnswerSet:
    """One file: the answers by item id, in the items' order."""

    origin: Origin
    answers: Mapping[str, Answer]


def state_name(repository: str, task: str, commit_id: str) -> str:
    """``owner+name.task@commit``."""
    return f"{file_name(repository)}.{task}@{commit_id[:12]}"


def own_path(folder: Path, arm: str, state: str) -> Path:
    """The file of answers of an arm prepared from ``state`` to the items asked of it.

    Raises:
        ConfigError: an arm's name cannot be a folder's.
    """
    return folder / "answers" / _arm_folder(arm) / f"{state}.jsonl"


def crossed_path(folder: Path, arm: str, donor: str, repository: str, task: str) -> Path:
    """The file of answers to another repository's items.

    Raises:
        ConfigError: an arm's name cannot be a folder's.
    """
    name = f"{file_name(repository)}.{task}.jsonl"
    return folder / "crossed" / _arm_folder(arm) / file_name(donor) / name


def adapter_folder(folder: Path, arm: str, state: str) -> Path:
    return folder / "adapters" / _arm_folder(arm) / state


def file_name(name: str) -> str:
    """``owner+name``, and ``arm+stale=5`` for ``arm/stale:5``: neither has a plus or = of its own.

    No file system dislikes these.
    """
    return name.replace("/", "+").replace(":", "=")


def _arm_folder(arm: str) -> str:
    if not _ARM_NAME.fullmatch(arm):
        raise ConfigError(f"arm name {arm!r}: use letters, digits and -._@:/")
    return file_name(arm)


def items_digest(items: Sequence[Item]) -> str:
    """16 hex digits of a SHA-256 over the items as JSON, in order."""
    digest = hashlib.sha256()
    for item in items:
        digest.update(json.dumps(item.to_json(), sort_keys=True).encode() + b"\n")
    return digest.hexdigest()[:16]


@contextmanager
def writing_answers(path: Path, origin: Origin) -> Iterator[Callable[[Item, Answer], None]]:
    """Give a function that appends one answer and flushes it; the file appears at the end."""
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8") as file:

        def append(line: Mapping[str, Any]) -> None:
            file.write(json.dumps(line) + "\n")
            file.flush()

        append({"format": FORMAT, **dataclasses.asdict(origin)})
        yield lambda item, answer: append({"item_id": item.item_id, **dataclasses.asdict(answer)})


def read_answers(path: Path) -> AnswerSet:
    """Read one complete file.

    Raises:
        ConfigError: it is not a file of answers.
    """
    try:
        with path.open(encoding="utf-8") as file:
            origin = _origin(json.loads(file.readline()))
            answers = dict(_answer(json.loads(line)) for line in file)
    except (ValueError, KeyError, TypeError) as error:
        raise ConfigError(
            f"{path} is not a file of answers ({error!r}); remove it and run again"
        ) from error
    return AnswerSet(origin, answers)


def read_origin(path: Path) -> Origin | None:
    """The first line of a complete file; None where there is no file yet.

    Raises:
        ConfigError: it is not a file of answers.
    """
    try:
        with path.open(encoding="utf-8") as file:
            return _origin(json.loads(file.readline()))
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError) as error:
        raise ConfigError(
            f"{path} is not a file of answers ({error!r}); remove it and run again"
        ) from error


def read_all_answers(folder: Path) -> list[AnswerSet]:
    """Every complete file of a run, own ones first, by arm, donor and repository."""
    own = sorted((folder / "answers").glob("*/*.jsonl"))
    crossed = sorted((folder / "crossed").glob("*/*/*.jsonl"))
    return [read_answers(path) for path in (*own, *crossed) if not path.name.startswith(".")]


def _origin(line: dict[str, Any]) -> Origin:
    if line.pop("format") != FORMAT:
        raise ValueError(f"not {FORMAT}")
    return Origin(**line | {"cost": Cost(**line["cost"])})


def _answer(line: dict[str, Any]) -> tuple[str, Answer]:
    item_id = line.pop("item_id")
    return item_id, Answer(**line | {"token_nats": tuple(line["token_nats"])})


def write_not_run(folder: Path, not_run: Sequence[NotRun], asked: Collection[str]) -> None:
    """Note which of the arms ``asked`` for cannot run here; what is known of others stays."""
    known = [arm for arm in _not_run(folder) if arm.arm not in asked]
    rows = [dataclasses.asdict(arm) for arm in (*known, *not_run)]
    write_text(folder / "not_run.json", json.dumps(rows, indent=1))


def _not_run(folder: Path) -> list[NotRun]:
    path = folder / "not_run.json"
    rows = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else []
    return [NotRun(row["arm"], row["reason"], tuple(row["notes"])) for row in rows]


def write_trouble(folder: Path, arm: str, state: str, reason: str) -> None:
    """Note why an arm has no answers for one state."""
    document = {"arm": arm, "state": state, "reason": reason}
    write_text(_trouble_path(folder, arm, state), json.dumps(document))


def forget_trouble(folder: Path, arm: str, state: str) -> None:
    _trouble_path(folder, arm, state).unlink(missing_ok=True)


def _trouble_path(folder: Path, arm: str, state: str) -> Path:
    return folder / "troubles" / _arm_folder(arm) / f"{state}.json"


def read_not_run(folder: Path) -> list[NotRun]:
    """Arms that did not run, and arms that could not answer for some states."""
    reasons: dict[tuple[str, str], list[str]] = {}
    for trouble in sorted((folder / "troubles").glob("*/*.json")):
        seen = json.loads(trouble.read_text(encoding="utf-8"))
        reasons.setdefault((seen["arm"], seen["reason"]), []).append(seen["state"])
    troubles = [NotRun(arm, why, tuple(where)) for (arm, why), where in reasons.items()]
    return _not_run(folder) + troubles
