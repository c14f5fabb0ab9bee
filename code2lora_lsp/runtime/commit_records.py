"""What is kept of every commit that was followed, as JSON beside the states. No torch.

Layout: ``<state root>/followed/<16 hex of the work tree's path>.json``, the oldest commit first.
"""

import hashlib
import json
import logging
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from code2lora_lsp.config import camel
from code2lora_lsp.neural.atomic_file import write_text

log = logging.getLogger(__name__)

FORMAT = "code2lora-followed-1"
MOST_RECORDS = 1_000


@dataclass(frozen=True)
class CommitRecord:
    """One commit whose knowledge was published and that HEAD rested on.

    Attributes:
        parent: the commit followed before it, with any checkpoint.
        checkpoint: what it was followed with; distances are between adapters of the same one.
        time: of the commit, ISO 8601 with its zone.
        subject: first line of its message, secrets replaced.
        n_tokens: of the blocks that came or went since ``parent``.
        distance: ‖ΔW − ΔW′‖ / ‖ΔW′‖, ΔW′ being ``parent``'s update.
        reference_cosine: of ΔW and the reference's.
        reanchored: the tree was read anew, or a fold began at another anchor.
        step_s: seconds from the beginning of the run to the publication.
        without_nats, with_nats: mean −log p of scored tokens, without and with what was known at
            ``parent``.
    """

    commit: str
    parent: str | None
    checkpoint: str
    time: str
    subject: str
    n_tokens: int | None = None
    distance: float | None = None
    reference_cosine: float | None = None
    reanchored: bool = False
    step_s: float = 0.0
    without_nats: float | None = None
    with_nats: float | None = None
    n_scored: int = 0


@dataclass(frozen=True)
class Followed:
    """Records of one work tree.

    Attributes:
        reference: commit of the first adapter kept with the newest checkpoint.
    """

    reference: str | None = None
    records: tuple[CommitRecord, ...] = ()

    def of(self, commit: str, checkpoint: str) -> CommitRecord | None:
        """The record of a commit followed with a checkpoint."""
        return next(
            (r for r in reversed(self.records) if (r.commit, r.checkpoint) == (commit, checkpoint)),
            None,
        )

    def has(self, commit: str | None) -> bool:
        """Whether a commit is written down, with any checkpoint."""
        return any(record.commit == commit for record in self.records)

    @property
    def newest_first(self) -> list[CommitRecord]:
        """By the time of the commits, whenever they were followed."""
        return sorted(self.records, key=lambda record: _seconds(record.time), reverse=True)

    def with_record(self, record: CommitRecord) -> "Followed":
        """With one more, or in place of the one of the same commit and checkpoint."""
        known = self.of(record.commit, record.checkpoint)
        if known is not None:
            records = tuple(record if one is known else one for one in self.records)
        else:
            records = (*self.records, record)[-MOST_RECORDS:]
        return replace(self, records=records)


def followed_path(root: Path, work_tree: Path) -> Path:
    """``root`` is the folder of the states."""
    key = hashlib.sha256(str(work_tree).encode("utf-8", "surrogateescape")).hexdigest()[:16]
    return root / "followed" / f"{key}.json"


def read_followed(path: Path) -> Followed:
    """What is kept; nothing where that is nothing, or damaged."""
    try:
        return _decoded(json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return Followed()
    except (OSError, ValueError, KeyError, TypeError) as error:
        log.warning("%s cannot be read (%r); it is begun anew", path, error)
        return Followed()


def write_followed(path: Path, followed: Followed) -> None:
    """Replace what is kept.

    Raises:
        OSError: the disk refuses.
    """
    rows = [asdict(record) for record in followed.records]
    facts = {"format": FORMAT, "reference": followed.reference, "records": rows}
    write_text(path, json.dumps(facts, ensure_ascii=False, indent=0) + "\n")


def records_json(records: Sequence[CommitRecord]) -> list[dict[str, Any]]:
    """As ``code2lora/history`` and ``adapt --history --format json`` give them."""
    return [{camel(name): value for name, value in asdict(one).items()} for one in records]


def _seconds(time: str) -> float:
    """Git writes UTC as ``Z``, which Python reads from 3.11 on; 0 for what is no time."""
    try:
        return datetime.fromisoformat(time.replace("Z", "+00:00")).timestamp()
    except ValueError:
        return 0.0


def _decoded(raw: Any) -> Followed:
    if raw["format"] != FORMAT:
        raise ValueError(f"format {raw['format']!r} is not {FORMAT!r}")
    names = [item.name for item in fields(CommitRecord)]
    records = tuple(CommitRecord(**{name: row[name] for name in names}) for row in raw["records"])
    return Followed(raw["reference"], records)
