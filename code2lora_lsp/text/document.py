"""The one view of a document that anything outside ``server`` ever sees."""

from dataclasses import dataclass


@dataclass(frozen=True)
class DocumentSnapshot:
    """Immutable view of one document version.

    Attributes:
        uri: the client's name for the document.
        version: the LSP document version this text belongs to.
        language_id: the client's language id, such as ``python``.
        text: the whole text, line endings as the client has them.
    """

    uri: str
    version: int
    language_id: str
    text: str

    def line_bounds(self, offset: int) -> tuple[int, int]:
        """Offsets (code points) of the start and end of the line holding ``offset``.

        The end is before the line break, be it LF, CRLF or CR.
        """
        start = max(self.text.rfind("\n", 0, offset), self.text.rfind("\r", 0, offset)) + 1
        ends = [at for at in (self.text.find(c, offset) for c in "\r\n") if at >= 0]
        return start, min(ends, default=len(self.text))
