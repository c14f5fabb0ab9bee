"""Findings of the doctor, as lines for people or as JSON for programs."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from enum import Enum
from pathlib import Path

SCHEMA_VERSION = 1


class Verdict(Enum):
    """How one check ended."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"
    SKIP = "skip"


@dataclass(frozen=True)
class Finding:
    """One check's outcome.

    Attributes:
        check_id: stable name, such as ``backbone.tokens``.
        detail: what was seen.
        hint: what to do about it; empty when all is well.
        took_ms: wall time of the check.
    """

    check_id: str
    verdict: Verdict
    detail: str
    hint: str = ""
    took_ms: float = 0.0


def exit_code(findings: Sequence[Finding]) -> int:
    """0 usable and clean, 1 something to look at, 2 something is broken."""
    verdicts = {finding.verdict for finding in findings}
    return 2 if Verdict.FAIL in verdicts else 1 if Verdict.WARN in verdicts else 0


def as_json(findings: Sequence[Finding], version: str) -> str:
    """One JSON object; paths under the home folder are shortened, so it can be pasted."""
    rows = [
        {
            **asdict(finding),
            "verdict": finding.verdict.value,
            "detail": redact_home(finding.detail),
            "hint": redact_home(finding.hint),
            "took_ms": round(finding.took_ms, 1),
        }
        for finding in findings
    ]
    return json.dumps(
        {
            "schema_version": SCHEMA_VERSION,
            "version": version,
            "exit_code": exit_code(findings),
            "checks": rows,
        },
        indent=2,
    )


def redact_home(text: str) -> str:
    """``~`` instead of the user's home folder."""
    home = str(Path.home())
    return text.replace(home, "~") if len(home) > 1 else text
