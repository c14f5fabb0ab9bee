"""What became of suggestions, as counts on disk: they hold no text and go nowhere."""

import json
import logging
from dataclasses import asdict, dataclass, fields
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from code2lora_lsp.config import Settings, state_root
from code2lora_lsp.neural.atomic_file import write_text

log = logging.getLogger(__name__)

FORMAT = "code2lora-metrics-1"


@dataclass(frozen=True)
class AcceptanceCounts:
    """Suggestions shown, and what was taken of them.

    Attributes:
        accepted: as a whole; ``accepted_words`` and ``accepted_lines`` are steps on the way.
        judged: acceptances that were looked at 30 s later; ``kept`` of them were as accepted.
    """

    shown: int = 0
    accepted: int = 0
    accepted_words: int = 0
    accepted_lines: int = 0
    judged: int = 0
    kept: int = 0

    def __add__(self, other: "AcceptanceCounts") -> "AcceptanceCounts":
        ours, theirs = asdict(self), asdict(other)
        return AcceptanceCounts(**{name: n + theirs[name] for name, n in ours.items()})

    def __bool__(self) -> bool:
        return any(asdict(self).values())


@dataclass(frozen=True)
class Kept:
    """AcceptanceCounts since a time (ISO 8601, UTC)."""

    since: str
    counts: AcceptanceCounts


def counts_path(settings: Settings) -> Path:
    return state_root(settings) / "metrics.json"


def read_counts(path: Path) -> Kept | None:
    """What is kept; ``None`` where nothing is, or it is damaged."""
    try:
        return _decoded(json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        log.warning("%s cannot be read (%r); counting begins anew", path, error)
        return None


def add_counts(path: Path, more: AcceptanceCounts) -> None:
    """Add to what is kept. Two servers that do so at the same instant may lose one addition.

    Raises:
        OSError: the disk refuses.
    """
    now = datetime.now(timezone.utc).isoformat(timespec="seconds")
    kept = read_counts(path) or Kept(now, AcceptanceCounts())
    facts = {"format": FORMAT, "since": kept.since, "counts": asdict(kept.counts + more)}
    write_text(path, json.dumps(facts, indent=2) + "\n")


def _decoded(raw: Any) -> Kept:
    if raw["format"] != FORMAT:
        raise ValueError(f"format {raw['format']!r} is not {FORMAT!r}")
    counts = {item.name: int(raw["counts"][item.name]) for item in fields(AcceptanceCounts)}
    return Kept(str(raw["since"]), AcceptanceCounts(**counts))
