"""What a person sees in the terminal: findings in colour, bars for long work, quiet without one."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.text import Text

from code2lora_lsp.check.report import Finding, Verdict, exit_code, redact_home
from code2lora_lsp.runtime.api import (
    Event,
    Incident,
    Listener,
    ProgressBegan,
    ProgressEnded,
    ProgressMoved,
)

_MARKS = {
    Verdict.OK: ("✓", "green"),
    Verdict.WARN: ("!", "yellow"),
    Verdict.FAIL: ("✗", "red"),
    Verdict.SKIP: ("-", "dim"),
}
_SUMMARIES = {0: "all is well", 1: "usable, with remarks", 2: "not usable: see ✗ above"}


def print_finding(finding: Finding) -> None:
    """One finding, its remedy indented below it."""
    console = Console(highlight=False, soft_wrap=True)
    mark, colour = _MARKS[finding.verdict]
    line = Text.assemble((mark, colour), " ", (finding.check_id.ljust(12), "bold"), " ")
    console.print(line.append(redact_home(finding.detail)))
    if finding.hint:
        console.print(Text(f"    → {redact_home(finding.hint)}", style=colour))


def print_verdict(findings: Sequence[Finding]) -> None:
    """One last line for all of them."""
    total_s = sum(finding.took_ms for finding in findings) / 1000
    summary = _SUMMARIES[exit_code(findings)]
    Console(highlight=False).print(f"{len(findings)} checks in {total_s:.1f} s: {summary}")


@contextmanager
def progress_bars() -> Iterator[Listener]:
    """A listener that draws the backend's progress on stderr; silent without a terminal."""
    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[message]}"),
        TimeElapsedColumn(),
    )  # fmt: skip
    with Progress(
        *columns, console=console, transient=True, disable=not console.is_terminal
    ) as bar:
        tasks: dict[str, TaskID] = {}

        def listen(event: Event) -> None:
            if isinstance(event, ProgressBegan):
                tasks[event.token] = bar.add_task(event.title, total=100, message="")
            elif isinstance(event, ProgressMoved):
                bar.update(
                    tasks[event.token], completed=event.percentage or 0, message=event.message
                )
            elif isinstance(event, ProgressEnded):
                bar.remove_task(tasks.pop(event.token))
            elif isinstance(event, Incident):
                console.print(event.message, style="red" if event.is_error else "yellow")

        yield listen
