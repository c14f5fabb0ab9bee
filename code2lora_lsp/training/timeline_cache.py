"""Timelines of many clones, kept on disk: reading them costs more than training on them."""

import json
from collections.abc import Iterable
from pathlib import Path

from rich.progress import track
from safetensors.torch import load_file, save_file

from code2lora_lsp.errors import ConfigError, GitReadFailed
from code2lora_lsp.training.splits import Split, split_of
from code2lora_lsp.training.timelines import Item, Timeline, TimelineReader


def load_timelines(
    clones: Path, names: Iterable[str], split: Split, reader: TimelineReader, cache: Path
) -> list[Timeline]:
    """Timelines of those of ``names`` that belong to a split.

    ``clones`` holds bare clones, ``OWNER+NAME/repo`` each. What earlier runs of the same encoder
    left in ``cache`` is read instead of the clone.

    Raises:
        ConfigError: there is no clone of that split.
    """
    places = [(name, clones / name.replace("/", "+") / "repo") for name in sorted(names)]
    wanted = [(name, path) for name, path in places if split_of(name) is split and path.is_dir()]
    if not wanted:
        raise ConfigError(f"{clones} holds no clone of the {split.value} split that is named")
    progress = track(wanted, f"reading {split.value} repositories")
    found = (_cached(cache, name, git_dir, reader) for name, git_dir in progress)
    return [timeline for timeline in found if timeline and any(timeline.items)]


def _cached(cache: Path, name: str, git_dir: Path, reader: TimelineReader) -> Timeline | None:
    stem = f"{name.replace('/', '+')}-{reader.encoder.encoder_id}"
    tensors, items = cache / f"{stem}.safetensors", cache / f"{stem}.json"
    if tensors.is_file() and items.is_file():
        stored = load_file(tensors)
        rows = [tuple(Item(tuple(i), n) for i, n in row) for row in json.loads(items.read_text())]
        return Timeline(name, stored["snapshot"], stored["diffs"], tuple(rows))
    try:
        timeline = reader.read(git_dir, name)
    except GitReadFailed as error:
        print(f"{name} is left out: {error}")
        return None
    if timeline is not None:
        cache.mkdir(parents=True, exist_ok=True)
        save_file({"snapshot": timeline.snapshot, "diffs": timeline.diffs}, tensors)
        listed = [[[i.token_ids, i.n_prompt] for i in row] for row in timeline.items]
        items.write_text(json.dumps(listed))
    return timeline
