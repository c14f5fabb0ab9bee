"""Gaps in a file: where a cursor may stand, and what of the text around it is read."""

import random
from collections.abc import Callable
from dataclasses import dataclass

from code2lora_lsp.text.healing import Healer
from code2lora_lsp.text.tokenizer import FimTokens, Tokenizer

Encode = Callable[[str], list[int]]


@dataclass(frozen=True)
class Coder:
    """What a tokenizer does for examples.

    Attributes:
        split: text before a cursor -> what stays in the prompt, and what is taken back.
    """

    encode: Encode
    split: Callable[[str], tuple[str, str]]
    control: FimTokens

    @classmethod
    def of(cls, tokenizer: Tokenizer) -> "Coder":
        return cls(tokenizer.encode, Healer(tokenizer).split, tokenizer.fim_tokens())


def head_within(encode: Encode, text: str, budget_tokens: int) -> list[int]:
    """Ids of the start of ``text`` within the budget, cut after a line end where there is one."""
    if budget_tokens == 0:
        return []
    near = text[: budget_tokens * 5]
    while near and len(ids := encode(near)) > budget_tokens:
        shorter = near[: int(len(near) * 0.8)]
        near = shorter[: shorter.rfind("\n") + 1] or shorter
    return ids if near else []


def cursor_in_line(text: str, line_start: int, line_end: int, rng: random.Random) -> int:
    """Choose a cursor in a line: where its code starts, after a separator, or anywhere."""
    line = text[line_start:line_end]
    code_start = len(line) - len(line.lstrip())
    way = rng.random()
    if way < 0.25:
        return line_start + code_start
    after = [i + 1 for i, char in enumerate(line) if i >= code_start and char in " .,=([{:"]
    if way < 0.65 and after:
        return line_start + rng.choice(after)
    return line_start + rng.randint(min(code_start, len(line)), len(line))
