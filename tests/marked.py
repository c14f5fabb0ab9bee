"""One cursor marker in source strings: ``value = compu|te(x)``."""

CURSOR = "|"


def split_at_cursor(marked: str) -> tuple[str, str]:
    """Text before and after the one cursor marker."""
    before, found, after = marked.partition(CURSOR)
    assert found, f"no {CURSOR} in {marked!r}"
    assert CURSOR not in after, f"two {CURSOR} in {marked!r}"
    return before, after


def at_cursor(marked: str) -> tuple[str, int]:
    """The source without its marker, and the marker's offset."""
    before, after = split_at_cursor(marked)
    return before + after, len(before)
