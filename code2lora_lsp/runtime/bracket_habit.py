"""Whether the editor closes brackets by itself, as seen from one request to the next.

What it puts behind the cursor makes another text behind it, and that stands first in the prompt:
all of it would have to be read on the key that opens a bracket. Where it is known to come, it is
read before.
"""

from dataclasses import dataclass

from code2lora_lsp.text.syntax import OPENERS

LIKELIEST = ")"


@dataclass(frozen=True)
class Place:
    """Between two texts of a document."""

    uri: str
    path: str | None
    before: str
    after: str


class BracketHabit:
    """Owner: the engine's thread."""

    def __init__(self) -> None:
        self._last: Place | None = None
        self._editor_closes = False

    def saw(self, place: Place) -> None:
        """A request came for this place."""
        last, self._last = self._last, place
        if last is None or last.uri != place.uri:
            return
        typed = place.before[len(last.before) :]
        if typed in OPENERS and place.before.startswith(last.before):
            if place.after == OPENERS[typed] + last.after:
                self._editor_closes = True
            elif place.after == last.after:
                self._editor_closes = False

    @property
    def next_place(self) -> Place | None:
        """With the text behind the cursor that the next bracket would make; if that is known."""
        last = self._last
        if last is None or not self._editor_closes:
            return None
        return Place(last.uri, last.path, last.before, LIKELIEST + last.after)
