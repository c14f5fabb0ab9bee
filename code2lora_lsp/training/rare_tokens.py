"""Which target tokens of an item spell a name that few repositories have and its prompt does not.

Only such tokens could show that an adapter knows its repository.
"""

import json
import keyword
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from code2lora_lsp.training.timelines import Item

SHORTEST_CHARS = 4

_NAMES = re.compile(rb"[A-Za-z_]\w*")


@dataclass(frozen=True)
class RareNames:
    """Tells rare names from common ones.

    Attributes:
        common: names of at least three training repositories.
        token_bytes: what each token stands for; special ones stand for nothing.
    """

    common: frozenset[bytes]
    token_bytes: Mapping[int, bytes]

    @classmethod
    def from_file(cls, path: Path, token_bytes: Mapping[int, bytes]) -> "RareNames":
        """``path``: a table of ``repopeftbench.identifiers``."""
        listed = json.loads(path.read_text(encoding="utf-8"))["repositories"]
        return cls(frozenset(name.encode() for name in listed), token_bytes)

    def marks(self, item: Item) -> list[bool]:
        """One per target token of the item: whether it is part of a rare name."""
        pieces = [self.token_bytes.get(token, b"") for token in item.token_ids]
        prompt = frozenset(_NAMES.findall(b" ".join(self._runs(item.token_ids[: item.n_prompt]))))
        target = b"".join(pieces[item.n_prompt :])
        spans = [
            found.span() for found in _NAMES.finditer(target)
            if found[0] not in prompt and self._is_rare(found[0])
        ]  # fmt: skip
        marks, end = [], 0
        for piece in pieces[item.n_prompt :]:
            start, end = end, end + len(piece)
            marks.append(any(start < high and low < end for low, high in spans))
        return marks

    def _runs(self, token_ids: tuple[int, ...]) -> list[bytes]:
        """The texts between special tokens, which part what lies on either side of the gap."""
        runs = [b""]
        for token in token_ids:
            piece = self.token_bytes.get(token)
            if piece is None:
                runs.append(b"")
            else:
                runs[-1] += piece
        return runs

    def _is_rare(self, name: bytes) -> bool:
        is_name = len(name) >= SHORTEST_CHARS and not keyword.iskeyword(name.decode())
        return is_name and name not in self.common
