"""Gaps of hidden files to fit the sharp memory's gate on, asked as serving asks."""

import random
from collections.abc import Sequence
from dataclasses import dataclass

from code2lora_lsp.text.fim import Order
from code2lora_lsp.text.gaps import Coder, cursor_in_line, head_within

INFILLING_SHARE = 0.5
PREFIX_TOKENS = (48, 160, 512, 1000)
SUFFIX_TOKENS = (32, 128)
MOST_TARGET_TOKENS = 56
MOST_LINES = 3
CHARS_PER_TOKEN = 6


@dataclass(frozen=True)
class GateWindow:
    """One gap.

    Attributes:
        prompt: ids to read.
        before: ids of the text right before the gap, oldest first.
        target: ids to predict; with a suffix, the last one ends the completion.
    """

    prompt: tuple[int, ...]
    before: tuple[int, ...]
    target: tuple[int, ...]

    @property
    def n_tokens(self) -> int:
        """Read at once to predict the target."""
        return len(self.prompt) + len(self.target) - 1


def windows_of(
    texts: Sequence[str], n_windows: int, coder: Coder, order: Order, rng: random.Random
) -> list[GateWindow]:
    """``n_windows`` gaps of some files in turn; fewer where one comes out blank."""
    if not texts:
        return []
    asked = (_window(texts[index % len(texts)], coder, order, rng) for index in range(n_windows))
    return [window for window in asked if window is not None]


def _window(text: str, coder: Coder, order: Order, rng: random.Random) -> GateWindow | None:
    start, stop = _gap(text, rng)
    kept, typed = coder.split(text[:start])
    is_infilling = rng.random() < INFILLING_SHARE
    n_before, n_after = rng.choice(PREFIX_TOKENS), rng.choice(SUFFIX_TOKENS)
    before = tuple(coder.encode(kept[-n_before * CHARS_PER_TOKEN :])[-n_before:])
    target = tuple(coder.encode(typed + text[start:stop]))
    if not target or not text[start:stop].strip():
        return None
    if len(target) > MOST_TARGET_TOKENS:
        target = target[:MOST_TARGET_TOKENS]
    elif is_infilling:
        target = (*target, coder.control.end_of_text)
    control = coder.control
    if not is_infilling:
        return GateWindow((control.end_of_text, *before), before, target)
    after = tuple(head_within(coder.encode, text[stop:], n_after))
    if order == "spm":
        prompt = (control.prefix, control.suffix, *after, control.middle, *before)
    else:
        prompt = (control.prefix, *before, control.suffix, *after, control.middle)
    return GateWindow(prompt, before, target)


def _gap(text: str, rng: random.Random) -> tuple[int, int]:
    """From a cursor in some line to the end of that line or of one of the next."""
    ends = [index for index, char in enumerate(text) if char == "\n"]
    if not ends:
        return 0, len(text)
    line = rng.randrange(len(ends))
    line_start = ends[line - 1] + 1 if line else 0
    last = min(line + rng.randrange(MOST_LINES), len(ends) - 1)
    return cursor_in_line(text, line_start, ends[line], rng), ends[last]
