"""A built benchmark on disk: ``items.jsonl`` and ``manifest.json``."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from code2lora_lsp.errors import ConfigError
from code2lora_lsp.neural.atomic_file import replacing, write_text
from code2lora_lsp.repopeftbench.arms.arm import Target
from code2lora_lsp.repopeftbench.items import Item

FORMAT = "repopeftbench-items-1"
ITEMS, MANIFEST = "items.jsonl", "manifest.json"
COUNTED_STRATA = ("filtered", "seen", "site", "prefix", "above", "form", "difficulty")


@dataclass(frozen=True)
class AskedTarget:
    """One known state of a repository and the items that are asked of it.

    Attributes:
        task: ``knowledge``, ``added-lines``, ``evolution`` or ``static``.
        item_ids: in the order of ``items.jsonl``.
    """

    task: str
    target: Target
    item_ids: tuple[str, ...]


@dataclass(frozen=True)
class BuiltRepository:
    """What one clone gave.

    Attributes:
        targets: with their items.
        dropped: task -> reason -> count.
        facts: more about the clone for the manifest, such as its splits.
        failed_tasks: task -> why it could not be built.
    """

    repository: str
    commit_id: str
    targets: Sequence[tuple[str, Target, Sequence[Item]]]
    dropped: Mapping[str, Mapping[str, int]]
    facts: Mapping[str, object]
    failed_tasks: Mapping[str, str]
    seconds: float


def write_folder(
    folder: Path,
    built: Sequence[BuiltRepository],
    refused: Mapping[str, str],
    options: Mapping[str, object],
) -> dict[str, Any]:
    """Write both files, the manifest last, and return it.

    Args:
        folder: made if needed.
        built: repositories in the order they are to have.
        refused: repository -> why it gave nothing.
        options: what the items depend on besides the repositories.

    Raises:
        ConfigError: two different items have one name.
    """
    items = [item for one in built for _, _, asked in one.targets for item in asked]
    twice = [name for name, n in Counter(item.item_id for item in items).items() if n > 1]
    if twice:
        raise ConfigError(f"{len(twice)} items are there twice, such as {twice[0]}: a clone twice?")
    with replacing(folder / ITEMS) as temporary:
        lines = (json.dumps(item.to_json(), ensure_ascii=False) + "\n" for item in items)
        with temporary.open("w", encoding="utf-8", errors="surrogatepass") as file:
            file.writelines(lines)
    manifest = {
        "format": FORMAT,
        "options": dict(options),
        "repositories": [_row(one) for one in built],
        "refused": dict(refused),
    }
    write_text(folder / MANIFEST, json.dumps(manifest, indent=1) + "\n")
    return manifest


def read_items(folder: Path) -> list[Item]:
    """The items, in order.

    Raises:
        ConfigError: the folder holds no built benchmark, or a line is damaged.
    """
    rows = read_manifest(folder)["repositories"]
    try:
        with (folder / ITEMS).open(encoding="utf-8", errors="surrogatepass") as file:
            items = [Item.from_json(json.loads(line)) for line in file]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigError(f"{folder / ITEMS} is damaged ({error}); build it again") from error
    expected = sum(row["items"] for row in rows)
    if len(items) != expected:
        raise ConfigError(
            f"{folder / ITEMS} holds {len(items)} items, its manifest says {expected}; "
            "build it again"
        )
    return items


def read_targets(folder: Path, clones: Path | None = None) -> list[AskedTarget]:
    """The known states with the names of their items, in the order of the items.

    Args:
        folder: of a built benchmark.
        clones: where ``owner+name`` or ``owner+name/repo`` lie now; as at building if not given.

    Raises:
        ConfigError: no built benchmark, or a repository is not where it is said to be.
    """
    return [
        AskedTarget(row["task"], _target(one, row, clones), tuple(row["item_ids"]))
        for one in read_manifest(folder)["repositories"]
        for row in one["targets"]
    ]


def read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest as it was written.

    Raises:
        ConfigError: it is absent, damaged or of another format.
    """
    path = folder / MANIFEST
    try:
        manifest: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        found = manifest["format"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigError(
            f"{path} is no manifest of a built benchmark ({error!r}); build one with "
            "`code2lora-lsp bench build`"
        ) from error
    if found != FORMAT:
        raise ConfigError(f"{path} has format {found!r}, this version reads {FORMAT!r}")
    return manifest


def clone_git_dir(folder: Path) -> Path:
    """The git directory of a clone: bare, ``repo`` inside it, or with a work tree.

    Raises:
        ConfigError: there is none.
    """
    for candidate in (folder / ".git", folder / "repo" / ".git", folder / "repo", folder):
        if (candidate / "HEAD").is_file():
            return candidate
    raise ConfigError(f"{folder} holds no git directory; give the path of a clone")


def _target(repository: Mapping[str, Any], row: Mapping[str, Any], clones: Path | None) -> Target:
    name = repository["repository"]
    git_dir = Path(repository["git_dir"])
    if clones is not None:
        git_dir = clone_git_dir(clones / name.replace("/", "+", 1))
    elif not (git_dir / "HEAD").is_file():
        raise ConfigError(f"{name} is no longer at {git_dir}; say where the clones lie now")
    hidden = frozenset(row["hidden_paths"])
    return Target(name, git_dir, row["known_commit_id"], hidden, int(row["seed"]))


def _row(one: BuiltRepository) -> dict[str, object]:
    items = [item for _, _, asked in one.targets for item in asked]
    return {
        "repository": one.repository,
        "git_dir": str(one.targets[0][1].git_dir),
        "commit": one.commit_id,
        **one.facts,
        "failed_tasks": dict(one.failed_tasks),
        "seconds": round(one.seconds, 2),
        "items": len(items),
        "counts": {
            task: _counts([i for name, _, asked in one.targets if name == task for i in asked])
            for task in dict.fromkeys(name for name, _, _ in one.targets)
        },
        "dropped": {task: dict(sorted(reasons.items())) for task, reasons in one.dropped.items()},
        "targets": [
            {
                "task": task,
                "known_commit_id": target.known_commit_id,
                "hidden_paths": sorted(target.hidden_paths),
                "seed": target.seed,
                "item_ids": [item.item_id for item in asked],
            }
            for task, target, asked in one.targets
        ],
    }


def _counts(items: Sequence[Item]) -> dict[str, dict[str, int]]:
    """Items by kind and by each stratum they have."""
    counts = {"kind": Counter(item.kind for item in items)}
    for name in COUNTED_STRATA:
        counts[name] = Counter(item.strata[name] for item in items if name in item.strata)
    return {name: dict(sorted(values.items())) for name, values in counts.items() if values}
