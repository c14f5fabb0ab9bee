"""What every arm of the benchmark is: something that answers the same items, at a stated cost."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from code2lora_lsp.errors import Code2LoraError
from code2lora_lsp.repopeftbench.items import Item


class CannotPrepare(Code2LoraError):
    """An arm that runs here cannot be prepared for this one target; the message says why."""


@dataclass(frozen=True)
class Target:
    """One repository at one commit: all that an arm may read before it answers.

    An arm reads the tree of ``known_commit_id`` and its ancestors, never a later commit. Files in
    ``hidden_paths`` hold items and are left out of everything an arm writes, indexes or trains on.

    Attributes:
        repository: ``owner/name``.
        git_dir: its bare or ordinary git directory.
        known_commit_id: the newest commit an arm may read.
        hidden_paths: paths in that tree that hold items.
        seed: of every random choice an arm makes here.
    """

    repository: str
    git_dir: Path
    known_commit_id: str
    hidden_paths: frozenset[str] = frozenset()
    seed: int = 3407


@dataclass(frozen=True)
class Answer:
    """What an arm made of one item.

    Attributes:
        text: greedy completion as decoded, not yet post-processed.
        target_nats: summed -log p of the target's tokens.
        n_target_tokens: how many those are.
        identifier_nats: the part of ``target_nats`` on the item's identifier; None without one.
        token_nats: -log p of each target token.
        prompt_tokens: tokens read for this item, the prompt's additions included.
        seconds: wall time of reading the prompt and decoding ``text``.
    """

    text: str
    target_nats: float
    n_target_tokens: int
    identifier_nats: float | None
    token_nats: tuple[float, ...]
    prompt_tokens: int
    seconds: float


@dataclass(frozen=True)
class Cost:
    """What preparing an arm for one target took.

    Attributes:
        seconds: wall time.
        n_commits: commits stepped through, for arms that follow history.
        stored_bytes: what has to be kept for this repository.
    """

    seconds: float
    n_commits: int = 0
    stored_bytes: int = 0


class Prepared(Protocol):
    """An arm made ready for one target."""

    @property
    def cost(self) -> Cost:
        """What preparing took."""

    def answer(self, items: Sequence[Item]) -> list[Answer]:
        """One answer per item, in order."""


class Arm(Protocol):
    """One way to complete code in a repository."""

    @property
    def name(self) -> str:
        """Name in tables, such as ``bm25-3`` or ``code2lora-evo``."""

    def why_not(self) -> str | None:
        """Why this arm cannot run on this machine, naming what is missing; None when it can."""

    def prepare(self, target: Target) -> Prepared:
        """Read, index or adapt to one target.

        Raises:
            LeakFound: what would be read holds an item's answer.
            CannotPrepare: this target lacks what the arm needs, such as a history long enough.
        """


@dataclass(frozen=True)
class NotRun:
    """An arm that could not run; it stays in every table with its reason."""

    arm: str
    reason: str
    notes: tuple[str, ...] = field(default=())
