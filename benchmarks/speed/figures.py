"""Figures of a run: one JSON line each as they come, and at the end a table and a plot."""

import json
import statistics
from collections import defaultdict
from pathlib import Path
from typing import TextIO

from benchmarks.speed.arms import Answer

REFERENCE = "generate"
"""Whose tokens count as right, and whose time as 1."""


class Figures:
    """Collects what was measured; times in milliseconds."""

    def __init__(self, lines: TextIO) -> None:
        self._lines = lines
        self._first: dict[tuple[str, str], list[float]] = defaultdict(list)
        self._total: dict[tuple[str, str], list[float]] = defaultdict(list)
        self._cpu: dict[tuple[str, str], list[float]] = defaultdict(list)
        self._tokens: dict[tuple[str, str, int], list[tuple[int, ...]]] = {}
        self._memory: dict[str, float] = {}
        self._product: list[tuple[str, float, str]] = []
        self._remarks: list[str] = []

    def answers(
        self, part: str, arm: str, number: int, answers: list[Answer], cpu_s: float
    ) -> None:
        """What one engine answered in one round of one part."""
        key = (part, arm)
        self._first[key] += [answer.first_s * 1e3 for answer in answers]
        self._total[key] += [answer.total_s * 1e3 for answer in answers]
        self._cpu[key].append(cpu_s * 1e3 / len(answers))
        self._tokens[(part, arm, number)] = [answer.tokens for answer in answers]
        for answer in answers:
            first_ms, total_ms = round(answer.first_s * 1e3, 3), round(answer.total_s * 1e3, 3)
            self._line(part=part, arm=arm, round=number, first_ms=first_ms, total_ms=total_ms)

    def memory(self, arm: str, peak_mb: float) -> None:
        self._memory[arm] = peak_mb
        self._line(part="memory", arm=arm, peak_mb=round(peak_mb, 1))

    def product(self, name: str, value: float, unit: str) -> None:
        self._product.append((name, value, unit))
        self._line(part="product", figure=name, value=round(value, 4), unit=unit)

    def remark(self, text: str) -> None:
        """Something that is missing, said in the table too."""
        self._remarks.append(text)
        self._line(part="remark", text=text)

    def table(self) -> str:
        """Medians, the best, the 95th percentile, and ratios; in Markdown."""
        parts = [self._part(part) for part in ("cold", "keystroke") if self._arms(part)]
        if self._product:
            rows = [f"| {name} | {value:.4g} {unit} |" for name, value, unit in self._product]
            parts.append("\n".join(["| product | |", "|---|---|", *rows]))
        parts += self._remarks
        return "\n\n".join(parts) + "\n"

    def plot(self, path: Path) -> None:
        """Median time to the first and to the last token of each engine."""
        import matplotlib as mpl

        mpl.use("Agg")
        from matplotlib import pyplot as plt

        parts = [part for part in ("cold", "keystroke") if self._arms(part)]
        if not parts:
            return
        figure, axes = plt.subplots(1, len(parts), figsize=(6 * len(parts), 3.2), squeeze=False)
        for axis, part in zip(axes[0], parts, strict=True):
            arms = self._arms(part)[::-1]
            for samples, label, colour in (
                (self._total, "last token", "#9ecae1"), (self._first, "first token", "#3182bd"),
            ):  # fmt: skip
                medians = [statistics.median(samples[(part, arm)]) for arm in arms]
                axis.barh(arms, medians, label=label, color=colour)
            axis.set_xscale("log")
            axis.set_xlabel("milliseconds, median")
            axis.set_title(part)
            axis.legend()
        figure.tight_layout()
        figure.savefig(path, dpi=120)

    def _arms(self, part: str) -> list[str]:
        return [arm for of_part, arm in self._total if of_part == part]

    def _part(self, part: str) -> str:
        head = f"| {part} | first ms | [best] | 95th | total ms | [best] | 95th |"
        rest = f" {REFERENCE} / total | CPU ms | equal tokens | MB |"
        rows = [self._row(part, arm) for arm in self._arms(part)]
        return "\n".join([head + rest, "|---" * 11 + "|", *rows])

    def _row(self, part: str, arm: str) -> str:
        first, total = self._first[(part, arm)], self._total[(part, arm)]
        reference = self._total.get((part, REFERENCE))
        ratio = statistics.median(reference) / statistics.median(total) if reference else 0.0
        cells = [
            arm, *_of(first), *_of(total), f"{ratio:.2f}x",
            f"{statistics.median(self._cpu[(part, arm)]):.1f}", self._agreement(part, arm),
            f"{self._memory.get(arm, 0.0):.0f}",
        ]  # fmt: skip
        return "| " + " | ".join(cells) + " |"

    def _agreement(self, part: str, arm: str) -> str:
        """How many answers have the reference's tokens, all of them."""
        pairs = [
            (one, other)
            for (of_part, of_arm, number), tokens in self._tokens.items()
            if (of_part, of_arm) == (part, arm)
            for one, other in zip(
                tokens, self._tokens.get((part, REFERENCE, number), []), strict=False
            )
            if one
        ]
        return f"{sum(a == b for a, b in pairs)} of {len(pairs)}" if pairs else "not seen"

    def _line(self, **fields: object) -> None:
        self._lines.write(json.dumps(fields) + "\n")
        self._lines.flush()


def _of(samples: list[float]) -> tuple[str, str, str]:
    ordered = sorted(samples)
    late = ordered[min(len(ordered) - 1, int(0.95 * len(ordered)))]
    return f"{statistics.median(ordered):.1f}", f"{ordered[0]:.1f}", f"{late:.1f}"
