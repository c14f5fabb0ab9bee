"""The report's pictures, as PNG on white: dark text needs no guess about the viewer's theme."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from code2lora_lsp.errors import ConfigError
from code2lora_lsp.neural.atomic_file import replacing
from code2lora_lsp.repopeftbench.figure import Figure
from code2lora_lsp.repopeftbench.scored import BACKBONE

DPI = 150
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
"""Okabe and Ito's: distinct for colour-blind readers."""
MARKERS = "osD^vPX"
MOST_CELLS_WITH_NUMBERS = 8


def draw_all(figures: Sequence[Figure], folder: Path) -> list[tuple[str, str]]:
    """Draw what the figures allow; (title, file name) of each picture written.

    Raises:
        ConfigError: matplotlib is not installed.
    """
    try:
        import matplotlib as mpl
    except ImportError as error:
        raise ConfigError('plots need matplotlib: pip install "code2lora-lsp[bench]"') from error
    mpl.use("agg")
    style = {"axes.spines.top": False, "axes.spines.right": False, "font.size": 9}
    with mpl.rc_context(style):
        return [
            *_exact_match(figures, folder), *_matrices(figures, folder),
            *_staleness(figures, folder), *_cost_by_history(figures, folder),
        ]  # fmt: skip


def _exact_match(figures: Sequence[Figure], folder: Path) -> list[tuple[str, str]]:
    drawn = []
    scores = [f for f in figures if f.table == "scores" and f.metric == "exact_match"]
    for suite in dict.fromkeys(f.suite for f in scores):
        bars = sorted((f for f in scores if f.suite == suite), key=lambda f: f.value)
        picture, axes = _axes(6.4, 0.9 + 0.27 * len(bars))
        colours = ["#777777" if f.arm == BACKBONE else COLOURS[0] for f in bars]
        axes.barh([f.arm for f in bars], [100 * f.value for f in bars], color=colours, height=0.7)
        for place, bar in enumerate(bars):
            if bar.low is not None and bar.high is not None:
                axes.plot([100 * bar.low, 100 * bar.high], [place, place], color="black", lw=1.2)
            end = 100 * max(bar.value, bar.high or 0)
            axes.annotate(
                f"{100 * bar.value:.1f}", (end, place), (4, 0), textcoords="offset points",
                va="center", fontsize=8,
            )  # fmt: skip
        axes.set_xlim(0, max(1.0, *(112 * max(f.value, f.high or 0) for f in bars)))
        axes.set_ylim(-0.6, len(bars) - 0.4)
        axes.set_xlabel("exact match, % (published normalisation; line: 95 % interval)")
        axes.set_title(f"{suite}: exact match by arm (n = {max(f.n_items for f in bars)})")
        title = f"Exact match by arm, {suite}"
        drawn.append(_save(picture, folder, title, f"exact-match-{_name(suite)}.png"))
    return drawn


def _matrices(figures: Sequence[Figure], folder: Path) -> list[tuple[str, str]]:
    drawn = []
    cells = [f for f in figures if f.table == "matrix"]
    for suite, arm in dict.fromkeys((f.suite, f.arm) for f in cells):
        own = [f for f in cells if (f.suite, f.arm) == (suite, arm)]
        nats = {(f.repository, f.donor): f.value for f in own}
        names = list(dict.fromkeys(repository for repository, _ in nats))
        excess = [[nats[row, donor] - nats[row, row] for donor in names] for row in names]
        most = max(0.01, *(abs(value) for line in excess for value in line))
        side = 1.9 + 0.42 * len(names)
        picture, axes = _axes(max(5.2, side + 1.4), max(3.2, side))
        image = axes.imshow(excess, cmap="RdBu_r", vmin=-most, vmax=most)
        if len(names) <= MOST_CELLS_WITH_NUMBERS:
            _write_numbers(axes, excess, most)
        axes.set_xticks(range(len(names)), names, rotation=45, ha="right", rotation_mode="anchor")
        axes.set_yticks(range(len(names)), names)
        axes.spines[:].set_visible(False)
        axes.set_xlabel("prepared from")
        axes.set_ylabel("items of")
        picture.suptitle(f"{suite}, {arm}\nnats per item over its own (red: another's is worse)")
        picture.colorbar(image, ax=axes, shrink=0.8)
        title = f"Own versus other, {suite}, {arm}"
        name = f"own-versus-other-{_name(suite)}-{_name(arm)}.png"
        drawn.append(_save(picture, folder, title, name))
    return drawn


def _write_numbers(axes: Any, excess: Sequence[Sequence[float]], most: float) -> None:
    for row, line in enumerate(excess):
        for column, value in enumerate(line):
            colour = "white" if abs(value) > 0.6 * most else "black"
            axes.text(
                column, row, f"{value:.2f}", ha="center", va="center", color=colour, fontsize=7
            )


def _staleness(figures: Sequence[Figure], folder: Path) -> list[tuple[str, str]]:
    drawn = []
    points = [f for f in figures if f.table == "staleness" and f.metric == "asked_nats"]
    for suite in dict.fromkeys(f.suite for f in points):
        picture, axes = _axes(6.4, 3.6)
        arms = list(dict.fromkeys(f.arm for f in points if f.suite == suite))
        behind = sorted({_behind(f) for f in points if f.suite == suite})
        for place, arm in enumerate(arms):
            line = sorted((f for f in points if (f.suite, f.arm) == (suite, arm)), key=_behind)
            shift = 0.06 * (place - (len(arms) - 1) / 2)
            x = [behind.index(_behind(f)) + shift for f in line]
            low = [f.value - (f.value if f.low is None else f.low) for f in line]
            high = [(f.value if f.high is None else f.high) - f.value for f in line]
            axes.errorbar(
                x, [f.value for f in line], yerr=[low, high], label=arm, capsize=3,
                color=COLOURS[place % len(COLOURS)], marker=MARKERS[place % len(MARKERS)],
            )  # fmt: skip
        axes.axhline(0, color="#777777", lw=1, ls="--")
        axes.set_xticks(range(len(behind)), [str(k) for k in behind])
        axes.set_xlabel("commits behind")
        axes.set_ylabel("nats per item - backbone")
        axes.set_title(f"{suite}: what age costs (dashed: backbone)")
        axes.legend(frameon=False)
        title = f"Staleness, {suite}"
        drawn.append(_save(picture, folder, title, f"staleness-{_name(suite)}.png"))
    return drawn


def _behind(figure: Figure) -> int:
    return int(figure.stratum.partition("=")[2])


def _cost_by_history(figures: Sequence[Figure], folder: Path) -> list[tuple[str, str]]:
    """Seconds per commit against the length of history; a flat line is a constant cost."""
    history: dict[str, dict[str, dict[str, float]]] = {}
    for f in figures:
        if f.table == "history":
            history.setdefault(f.arm, {}).setdefault(f.repository, {})[f.metric] = f.value
    arms = {
        arm: sorted((c["n_commits"], c["prepare_seconds"]) for c in by.values() if c["n_commits"])
        for arm, by in history.items()
    }
    arms = {arm: points for arm, points in arms.items() if points}
    if not arms:
        return []
    picture, axes = _axes(6.4, 3.6)
    for place, (arm, points) in enumerate(arms.items()):
        axes.plot(
            [n for n, _ in points], [seconds / n for n, seconds in points], label=arm, ls="",
            color=COLOURS[place % len(COLOURS)], marker=MARKERS[place % len(MARKERS)],
        )  # fmt: skip
    lengths = [n for points in arms.values() for n, _ in points]
    if max(lengths) > 10 * min(lengths):
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter("{x:.0f}")
    axes.set_ylim(0, 1.15 * max(seconds / n for points in arms.values() for n, seconds in points))
    axes.set_xlabel("commits followed")
    axes.set_ylabel("seconds per commit")
    axes.set_title("Cost against length of history, one point per repository")
    axes.legend(frameon=False)
    return [_save(picture, folder, "Cost against history length", "cost-by-history.png")]


def _axes(width: float, height: float) -> tuple[Any, Any]:
    """A figure and its axes, inches."""
    from matplotlib.figure import Figure as Picture

    picture = Picture(figsize=(width, height), facecolor="white", layout="constrained")
    return picture, picture.subplots()


def _save(picture: Any, folder: Path, title: str, name: str) -> tuple[str, str]:
    with replacing(folder / name) as temporary:
        picture.savefig(temporary, dpi=DPI, format="png")
    return title, name


def _name(text: str) -> str:
    return "".join(c if c.isalnum() else "-" for c in text).lower()
