"""How well a predictor fills gaps: exactly right, parsing, and bits per byte; by repository."""

import math
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from code2lora_lsp.training.cursors import KINDS, Cursor, parsed
from code2lora_lsp.training.predictors import Predictor

N_RESAMPLES = 2000
_LEADING_NAME = re.compile(r"\w+")


@dataclass(frozen=True)
class Outcome:
    """What a predictor made of one gap.

    Attributes:
        is_valid: whether the file parses with the completed line; None for other kinds of gap.
        nats: -log p of the target; None where a predictor has no probabilities.
    """

    kind: str
    repository: str
    completion: str
    is_exact: bool
    is_valid: bool | None
    nats: float | None
    n_bytes: int


def fill(predictor: Predictor, cursor: Cursor) -> Outcome:
    """Complete one gap and compare."""
    enough, judge = _RULES[cursor.kind]
    raw = predictor.complete(cursor.before, cursor.after, enough(cursor.target))
    text = raw.split("\n", 1)[0]
    is_valid = None
    if cursor.kind == "line":
        is_valid = parsed(cursor.before + text + cursor.after) is not None
    return Outcome(
        cursor.kind,
        cursor.repository,
        text,
        judge(text, cursor.target),
        is_valid,
        predictor.gap_nats(cursor.before, cursor.target, cursor.after),
        len(cursor.target.encode()),
    )


def _line_is_enough(_: str) -> Callable[[str], bool]:
    return lambda text: "\n" in text


def _arguments_are_enough(target: str) -> Callable[[str], bool]:
    return lambda text: "\n" in text or len(text) > len(target)


def _name_is_enough(target: str) -> Callable[[str], bool]:
    return lambda text: "\n" in text or _name_of(text) != text or len(text) > len(target)


def _is_same_line(text: str, target: str) -> bool:
    return text.rstrip() == target.rstrip()


def _are_same_arguments(text: str, target: str) -> bool:
    """The model may stop before the bracket that stands there already, or write it."""
    return text == target or text.startswith(target + ")")


def _is_same_name(text: str, target: str) -> bool:
    return _name_of(text) == target


def _name_of(text: str) -> str:
    found = _LEADING_NAME.match(text)
    return found[0] if found else ""


_RULES: dict[str, tuple[Callable[[str], Callable[[str], bool]], Callable[[str, str], bool]]] = {
    "line": (_line_is_enough, _is_same_line),
    "arguments": (_arguments_are_enough, _are_same_arguments),
    "identifier": (_name_is_enough, _is_same_name),
}


def measure(
    predictor: Predictor, cursors: Sequence[Cursor], texts: Sequence[tuple[str, str]]
) -> tuple[dict[str, Any], list[Outcome]]:
    """Summary and outcomes; ``texts`` are (repository, text) to be read left to right.

    Kinds without a gap are left out of the summary.
    """
    outcomes = [fill(predictor, cursor) for cursor in cursors]
    read = [(predictor.text_nats(text), len(text.encode())) for _, text in texts]
    summary: dict[str, Any] = {"left_to_right_bits_per_byte": _bits_per_byte(read)}
    for kind in KINDS:
        of_kind = [outcome for outcome in outcomes if outcome.kind == kind]
        if not of_kind:
            continue
        summary[kind] = {
            "n": len(of_kind),
            "exact_match": _mean_by_repository(of_kind, lambda o: o.is_exact),
            "bits_per_byte": _bits_per_byte((o.nats, o.n_bytes) for o in of_kind),
        }
        if kind == "line":
            summary[kind]["parses"] = _mean_by_repository(of_kind, lambda o: bool(o.is_valid))
    summary["by_repository"] = {
        name: {kind: _share_exact(outcomes, name, kind) for kind in KINDS}
        for name in sorted({o.repository for o in outcomes})
    }
    return summary, outcomes


def _share_exact(outcomes: Sequence[Outcome], repository: str, kind: str) -> float | None:
    exact = [o.is_exact for o in outcomes if (o.repository, o.kind) == (repository, kind)]
    return sum(exact) / len(exact) if exact else None


def _bits_per_byte(read: Iterable[tuple[float | None, int]]) -> float | None:
    rows = list(read)
    known = [nats for nats, _ in rows if nats is not None]
    if not rows or len(known) < len(rows):
        return None
    return sum(known) / math.log(2) / sum(n for _, n in rows)


def _mean_by_repository(
    outcomes: Sequence[Outcome], of: Callable[[Outcome], bool]
) -> dict[str, float]:
    """Share over all gaps, and its 95 % interval from resampling whole repositories."""
    groups = [
        [of(outcome) for outcome in outcomes if outcome.repository == name]
        for name in sorted({outcome.repository for outcome in outcomes})
    ]
    sums, sizes = np.array([sum(g) for g in groups]), np.array([len(g) for g in groups])
    rows = np.random.default_rng(0).integers(0, len(groups), (N_RESAMPLES, len(groups)))
    shares = sums[rows].sum(1) / sizes[rows].sum(1)
    low, high = np.quantile(shares, [0.025, 0.975])
    return {"mean": float(sums.sum() / sizes.sum()), "low": float(low), "high": float(high)}
