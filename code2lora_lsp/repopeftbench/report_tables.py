"""What every table of a report is made of: cells, rows and the order of arms."""

from collections.abc import Iterable, Sequence

from code2lora_lsp.repopeftbench.figure import Figure
from code2lora_lsp.repopeftbench.scored import BACKBONE

ABSENT = "-"
ORACLE, WRONG = "nearest-snippet", "wrong-repository-snippet"
ARM_ORDER = (
    BACKBONE, "longer-prompt", "bm25-3", "bm25-8", "dense-3", "dense-8", "dependencies",
    "full-fine-tuning", "full-fine-tuning-bm25-3", "shared-lora", "per-repository-lora",
    "matched-lora", "matched-lora-7", "code2lora-static", "code2lora-evo",
    "unigram-cache", WRONG, ORACLE,
)  # fmt: skip


def arms_in_order(figures: Iterable[Figure]) -> list[str]:
    """As the paper lists them; then what it lacks, each arm followed by those derived of it."""
    return sorted({figure.arm for figure in figures}, key=_place)


def _place(arm: str) -> tuple[int, str, int, str]:
    source, _, derived = arm.partition("/")
    kind, _, detail = derived.partition(":")
    known = ARM_ORDER.index(source) if source in ARM_ORDER else len(ARM_ORDER)
    return (known, f"{source}/{kind}", int(detail) if detail.isdigit() else 0, detail)


def cell(figure: Figure | None, factor: float, digits: int) -> str:
    if figure is None:
        return ABSENT
    value = f"{figure.value * factor:.{digits}f}"
    if figure.low is None or figure.high is None:
        return value
    return f"{value} [{figure.low * factor:.{digits}f}, {figure.high * factor:.{digits}f}]"


def p_value(figure: Figure) -> str:
    return f"{figure.value:.4f}" if figure.value >= 0.0001 else "< 0.0001"


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(_escaped(text) for text in line)} |" for line in lines)


def _escaped(text: str) -> str:
    return " ".join(text.replace("|", "\\|").split())
