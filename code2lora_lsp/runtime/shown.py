"""What was shown of a document last, and what is left of it while the user types just that."""

import re
from dataclasses import dataclass, replace

from code2lora_lsp.runtime.question import Question
from code2lora_lsp.text.gap import Gap
from code2lora_lsp.text.trim import trim

N_DOCUMENTS = 32
_CLOSED_BY_EDITOR = re.compile(r"[)\]}\"'`]{1,3}")


@dataclass(frozen=True)
class Shown:
    """Suggestions at one gap, the first one preferred; true until the user departs from them all.

    Attributes:
        is_asked_for: by hand, so that it holds all lines and alternatives there are.
    """

    adapter_id: str | None
    gap: Gap
    texts: tuple[str, ...]
    confidence: float
    log_probability: float
    is_asked_for: bool

    def left_for(self, question: Question) -> "Shown | None":
        """What is still to be typed of them at another cursor, if anything; while typing of one.

        What is typed may be all of one: by hand, word by word, or with brackets that the editor
        closed at once.
        """
        gap = question.gap
        if question.is_asked_for and not self.is_asked_for:
            return None  # more was asked for than was shown
        if not gap.before.startswith(self.gap.before):
            return None
        typed = gap.before[len(self.gap.before) :]
        rests = [text[len(typed) :] for text in self.texts if text.startswith(typed)]
        if gap.after != self.gap.after:
            rests = [trim(rest, gap) for rest in rests] if self._is_closed_by_editor(gap) else []
        left = tuple(dict.fromkeys(rest for rest in rests if rest))
        return replace(self, texts=left if question.is_asked_for else left[:1]) if left else None

    def _is_closed_by_editor(self, gap: Gap) -> bool:
        """Whether nothing but brackets or quotes came in behind the cursor."""
        if not gap.after.endswith(self.gap.after):
            return False
        come = gap.after[: len(gap.after) - len(self.gap.after)]
        return _CLOSED_BY_EDITOR.fullmatch(come) is not None


class ShownTexts:
    """The last suggestions of each document. Owned by the engine's thread."""

    def __init__(self) -> None:
        self._of: dict[str, Shown] = {}

    def remember(self, uri: str, shown: Shown) -> None:
        self._of.pop(uri, None)
        self._of[uri] = shown
        while len(self._of) > N_DOCUMENTS:
            del self._of[next(iter(self._of))]

    def left_for(self, question: Question, adapter_id: str | None) -> Shown | None:
        """What is left of a document's last suggestions, if they are of the adapter bound now."""
        shown = self._of.get(question.request.document.uri)
        if shown is None or shown.adapter_id != adapter_id:
            return None
        return shown.left_for(question)

    def forget(self) -> None:
        self._of.clear()
