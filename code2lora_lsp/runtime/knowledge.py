"""What a repository publishes: an adapter, a sharp memory, or both; one immutable value."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

from code2lora_lsp.neural.lora import LoraAdapter, delta_cosine
from code2lora_lsp.neural.mixing import Mixer

STILL_READING = "the tree is still being read; try again when the status says it is current"


class Sharp(Protocol):
    """Exact continuations of a tree, to be mixed in while decoding (``neural.sharp``)."""

    def near(self, in_sight: Sequence[int]) -> Mixer:
        """What to mix in where ``in_sight`` is the prompt, token ids: of it and the tree only."""

    @property
    def memory_id(self) -> str:
        """Changes with what is remembered."""

    @property
    def size_bytes(self) -> int:
        """In memory."""


@dataclass(frozen=True)
class Knowledge:
    """What completions know of one repository at one commit.

    Attributes:
        commit_id: the commit it stands for.
        adapter: of the ledger or of the hypernetwork; ``None`` where no step helps.
        sharp: ``None`` where there is no table or no gate for it.
        edited: tracked files whose saved text, not the commit's, is in it.
        why_no_adapter: in words, where there is none.
    """

    commit_id: str
    adapter: LoraAdapter | None = None
    sharp: Sharp | None = None
    edited: frozenset[str] = frozenset()
    why_no_adapter: str = ""

    @property
    def adapter_id(self) -> str | None:
        return self.adapter.adapter_id if self.adapter else None

    @property
    def memory_id(self) -> str | None:
        return self.sharp.memory_id if self.sharp else None

    @cached_property
    def knowledge_id(self) -> str:
        """16 hex digits that change with the commit and with either part."""
        parts = (self.commit_id, self.adapter_id, self.memory_id, *sorted(self.edited))
        return hashlib.sha256("\0".join(map(str, parts)).encode()).hexdigest()[:16]

    @property
    def is_empty(self) -> bool:
        """Completions with it are the plain backbone's."""
        return self.adapter is None and self.sharp is None

    @property
    def sizes_bytes(self) -> dict[str, int]:
        """The size in memory of each part, by its id; equal parts are mostly shared."""
        parts = (
            self.adapter and (self.adapter.adapter_id, self.adapter.size_bytes),
            self.sharp and (self.sharp.memory_id, self.sharp.size_bytes),
        )
        return dict(part for part in parts if part)

    def drift_from(self, before: "Knowledge | None") -> float | None:
        """1 − cosine between both adapters' ΔW; ``None`` unless there are two."""
        if before is None or before.adapter is None or self.adapter is None:
            return None
        return 1.0 - delta_cosine(before.adapter, self.adapter)
