"""A request in the form the model sees it: where the gap is, and how much may go into it."""

from dataclasses import dataclass, replace

from code2lora_lsp.runtime.api import CompletionRequest, Trigger
from code2lora_lsp.text.fim import as_read
from code2lora_lsp.text.gap import Gap


@dataclass(frozen=True)
class Question:
    """A request as the model reads it, with the selected item filled in.

    Attributes:
        start, end: offsets in the document between which the answer is put.
        typed: text put in front of what the model writes: the selected item, or nothing.
    """

    request: CompletionRequest
    gap: Gap
    start: int
    end: int
    typed: str

    @property
    def is_asked_for(self) -> bool:
        """By hand, not by typing."""
        return self.request.trigger is Trigger.INVOKED


def question_of(request: CompletionRequest, max_lines: int) -> Question:
    """The question a request asks.

    While typing one line is asked for, or up to ``max_lines`` where a block begins; by hand always
    as many.
    """
    text, start, end, typed = request.document.text, request.offset, request.offset, ""
    if request.selected_text is not None:
        start = start if request.selected_start is None else request.selected_start
        end = end if request.selected_end is None else request.selected_end
        typed = request.selected_text
    before, after = as_read((text[:start] + typed, text[end:]))
    gap = Gap(before, after, 1, request.document.language_id)
    if request.trigger is Trigger.INVOKED or gap.is_block_start:
        gap = replace(gap, max_lines=max_lines)
    return Question(request, gap, start, end, typed)
