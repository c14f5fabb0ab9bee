"""Which tokens of a commit's blocks are news, and which of them spell a name nobody can see."""

import json
import keyword
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import IntFlag
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from code2lora_lsp.text.blocks import Block

SHORTEST_CHARS = 4

_NAMES = re.compile(rb"[A-Za-z_]\w*")


class Mark(IntFlag):
    """Of one token.

    A ``NAME`` has at least four characters, is no keyword, and stands nowhere above it in its
    block or the block's header. ``RARE``: few training repositories have it. ``KNOWN``: the tree
    before the commit has it.
    """

    FRESH = 1
    NAME = 2
    RARE = 4
    KNOWN = 8


@dataclass(frozen=True)
class NameFacts:
    """What the marks of a name are decided by.

    Attributes:
        common: names of many training repositories.
        in_tree: how many blocks of the tree hold each name.
    """

    common: frozenset[bytes]
    in_tree: Counter[bytes]

    def mark(self, name: bytes) -> Mark:
        mark = Mark.NAME if name in self.common else Mark.NAME | Mark.RARE
        return mark | Mark.KNOWN if self.in_tree[name] > 0 else mark


def common_names(path: Path) -> frozenset[bytes]:
    """The names a file of ``repopeftbench.identifiers`` lists: those of three repositories on."""
    listed = json.loads(path.read_text(encoding="utf-8"))["repositories"]
    return frozenset(name.encode() for name in listed)


def names_of(block: Block) -> frozenset[bytes]:
    """Every word of a block that can be a name."""
    return frozenset(word for word in _NAMES.findall(block.text.encode()) if _is_name(word))


def _is_name(word: bytes) -> bool:
    return len(word) >= SHORTEST_CHARS and not keyword.iskeyword(word.decode())


class FreshLines:
    """Finds the lines that a commit's removed blocks do not account for; moved ones are old."""

    def __init__(self, removed: Iterable[Block]) -> None:
        self._old = Counter(
            line.strip() for block in removed for line in block.text.split("\n") if line.strip()
        )

    def of(self, block: Block) -> list[bool]:
        """Whether each line of an added block is news; blank ones never are. Ask once a block."""
        return [self._is_fresh(line.strip()) for line in block.text.split("\n")]

    def _is_fresh(self, line: str) -> bool:
        if not line:
            return False
        if self._old[line] > 0:
            self._old[line] -= 1
            return False
        return True


def token_marks(
    block: Block, pieces: Sequence[bytes], fresh_lines: Sequence[bool], facts: NameFacts
) -> NDArray[np.int8]:
    """One ``Mark`` per token of a block's text.

    Args:
        block: an added one.
        pieces: what each token stands for; together they are the text.
        fresh_lines: one per line of the text.
        facts: of the tree before the commit.

    Raises:
        ValueError: the pieces are not the text; the tokenizer changes what it reads.
    """
    text = block.text.encode()
    if sum(map(len, pieces)) != len(text):
        raise ValueError(f"{len(pieces)} tokens stand for other bytes than a block of {len(text)}")
    at_byte = np.zeros(len(text) + 1, np.int8)
    is_break = np.frombuffer(text, np.uint8) == ord("\n")
    line_of = np.concatenate([[0], np.cumsum(is_break)])  # of each byte, and of the end
    at_byte[np.asarray(fresh_lines)[line_of]] |= Mark.FRESH
    seen = set(_NAMES.findall(block.header.encode()))
    for found in _NAMES.finditer(text):
        name = found[0]
        if name not in seen and _is_name(name):
            at_byte[found.start() : found.end()] |= facts.mark(name)
        seen.add(name)
    ends = np.cumsum([len(piece) for piece in pieces])
    last = np.maximum(ends - 1, 0)  # a token's leading blank is not yet the name
    marks: NDArray[np.int8] = at_byte[last]
    return marks
