"""The followed commits of a repository for a terminal and for programs."""

import math
from collections.abc import Sequence
from typing import Any

from code2lora_lsp.runtime.commit_records import CommitRecord, Followed, records_json

SCHEMA_VERSION = 1
SUBJECT_CHARS = 36

_HEADER = (
    f"{'commit':8} {'date':10} {'subject':{SUBJECT_CHARS}} {'tokens':>8} {'distance':>8} "
    f"{'cosine':>6} {'step':>7} {'without':>7} {'with':>6} {'scored':>6}"
)

_ABOUT_ADAPTERS = (
    "distance: of the adapter from the one before it; cosine: with the first one kept; "
    "*: the tree was read anew"
)
_ABOUT_LINES = (
    "without, with: nats per token of lines the commit added, by the plain backbone and with "
    "what was known before it"
)


def followed_json(root: str, followed: Followed) -> dict[str, Any]:
    """The part of ``code2lora/history`` that is about a repository, every commit of it."""
    return {
        "schemaVersion": SCHEMA_VERSION,
        "root": root,
        "referenceCommit": followed.reference,
        "commits": records_json(followed.newest_first),
    }


def history_lines(followed: Followed) -> list[str]:
    """A table, the newest commit first, and what the lines of all of them say together."""
    records = followed.newest_first
    return [_HEADER, *map(_row, records), "", *_legend(records)]


def _row(record: CommitRecord) -> str:
    subject = record.subject
    if len(subject) > SUBJECT_CHARS:
        subject = subject[: SUBJECT_CHARS - 1] + "…"
    return (
        f"{record.commit[:8]} {record.time[:10]} {subject:{SUBJECT_CHARS}} "
        f"{_number(record.n_tokens, 8, ',d')} {_number(record.distance, 8, '.4f')} "
        f"{_number(record.reference_cosine, 6, '.3f')} {record.step_s:>5.1f} s"
        f"{'*' if record.reanchored else ' '}{_number(record.without_nats, 7, '.3f')} "
        f"{_number(record.with_nats, 6, '.3f')} {record.n_scored:>6}"
    ).rstrip()


def _number(value: float | None, width: int, form: str) -> str:
    return f"{'-' if value is None else format(value, form):>{width}}"


def _legend(records: Sequence[CommitRecord]) -> list[str]:
    legend = [_ABOUT_ADAPTERS, _ABOUT_LINES]
    scored = [record for record in records if record.n_scored]
    n_tokens = sum(record.n_scored for record in scored)
    if n_tokens:
        without = math.fsum((r.without_nats or 0.0) * r.n_scored for r in scored) / n_tokens
        known = math.fsum((r.with_nats or 0.0) * r.n_scored for r in scored) / n_tokens
        n_better = sum((r.with_nats or 0.0) < (r.without_nats or 0.0) for r in scored)
        legend.append(
            f"{n_tokens:,} tokens of {len(scored)} commits: {without:.3f} without, {known:.3f} "
            f"with; better in {n_better} of {len(scored)}"
        )
    else:
        legend.append(
            "no lines were scored yet; `--history 20` follows the newest 20 to fill a table"
        )
    return legend
