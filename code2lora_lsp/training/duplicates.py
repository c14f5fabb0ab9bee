"""Exact and near duplicates of files across repositories, vendored copies included."""

import hashlib

SHINGLE_LINES = 3
LARGEST_SEEN_SHARE = 0.5


class DuplicateFilter:
    """Remembers the line shingles of accepted files; refuses files made mostly of remembered ones.

    Containment rather than symmetric similarity: a copy with additions of its own is still a copy.
    The order of calls decides which of two copies stays.
    """

    def __init__(self) -> None:
        """Start with nothing seen."""
        self._seen: set[bytes] = set()

    def accept(self, text: str) -> bool:
        """Return whether ``text`` is new, and remember it if so."""
        shingles = line_shingles(text, SHINGLE_LINES)
        seen = sum(shingle in self._seen for shingle in shingles)
        if not shingles or seen > LARGEST_SEEN_SHARE * len(shingles):
            return False
        self._seen.update(shingles)
        return True


def line_shingles(text: str, n_lines: int) -> set[bytes]:
    """Hashes of every run of ``n_lines`` code lines, without comments, blank lines, indentation.

    A shorter text is one run; one without code has none.
    """
    stripped = (line.strip() for line in text.splitlines())
    lines = [line for line in stripped if line and not line.startswith("#")]
    runs = ("\n".join(lines[i : i + n_lines]) for i in range(max(1, len(lines) - n_lines + 1)))
    return {hashlib.blake2b(run.encode(), digest_size=8).digest() for run in runs if run}
