"""A small project with habits of its own: enough of them for a ledger to take a step."""

from collections.abc import Iterator

PARTS = ("quarry", "kiln", "glaze", "mould", "slip", "bisque", "trivet", "pugmill")


def module(part: str, n_functions: int = 6) -> str:
    """One file; all of a project's are alike, so that some of it predicts the rest."""
    lines = [f'"""The {part} of the pottery."""', "", "from pottery.ledgerbook import KilnTicket"]
    for number in range(n_functions):
        lines += [
            "", "",
            f"def fire_{part}_{number}(kiln_ticket, clay_batches):",
            f'    """Fire the {part} at cone {number}."""',
            "    for clay_batch in clay_batches:",
            f"        kiln_ticket.stamp_batch(clay_batch, cone={number})",
            f"    return kiln_ticket.close_ticket(clay_batches, part={part!r})",
        ]  # fmt: skip
    return "\n".join(lines) + "\n"


def pottery() -> dict[str, str]:
    """Path → source, about 4,000 tokens."""
    return dict(_pottery())


def _pottery() -> Iterator[tuple[str, str]]:
    for part in PARTS:
        yield f"pottery/{part}.py", module(part)
    yield "tests/test_quarry.py", module("quarry").replace("def fire", "def test_fire")
