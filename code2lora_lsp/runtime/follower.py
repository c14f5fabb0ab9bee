"""What a tracker asks of whatever turns commits into knowledge: the ledger or the hypernetwork."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from code2lora_lsp.cancellation import Cancellation
from code2lora_lsp.history.repository import Repository
from code2lora_lsp.neural.lora import LoraAdapter
from code2lora_lsp.runtime.knowledge import Knowledge


@dataclass(frozen=True)
class FollowPoint:
    """How far a run has come.

    Attributes:
        commit_id: what the knowledge of this point stands for.
        behind: units still to come; 0 is the end of the run.
        total: units of the whole run.
        unit: what is counted, such as ``commit``.
        knowledge: computes what is known at this point; ask only for what is published, and
            before the next point.
        n_changed: at the end, tokens of the blocks that came or went in this run; ``None`` where
            blocks are not what is followed.
        is_anew: at the end, whether the run began anew: under a new ladder, from another anchor.
    """

    commit_id: str
    behind: int
    total: int
    unit: str
    knowledge: Callable[[], Knowledge]
    n_changed: int | None = None
    is_anew: bool = False

    @property
    def commits_behind(self) -> int | None:
        """``None`` where other things than commits are counted, and some are to come."""
        return self.behind if self.unit == "commit" or not self.behind else None

    @property
    def progress(self) -> str:
        return f"{self.unit} {self.total - self.behind:,} of {self.total:,}"


@dataclass(frozen=True)
class Edited:
    """What is known with files as they lie on disk.

    Attributes:
        knowledge: the commit's own where no file differs.
        paths: the tracked files that differ from the commit's.
    """

    knowledge: Knowledge
    paths: frozenset[str]


class Follower(Protocol):
    """Follows one repository on its tracker's thread."""

    def plan(self, head: str, cancellation: Cancellation) -> Any | None:
        """What has to be done to know ``head``; ``None`` if no commit touches source yet.

        Raises:
            GitReadFailed: git did not answer.
        """

    def run(
        self, plan: Any, cancellation: Cancellation, on_snapshot: Callable[[], None]
    ) -> Iterator[FollowPoint]:
        """Do it. The last point, and at least one, is the wanted commit's.

        Args:
            plan: from this follower's ``plan``.
            cancellation: checked between small pieces of work; what is done by then is kept.
            on_snapshot: called before a whole tree is read.

        Raises:
            FollowError: the run stops; what was stored stays valid.
            Cancelled: ``cancellation`` was set.
        """

    def edited(
        self, head: str, texts: Mapping[str, bytes | None], cancellation: Cancellation
    ) -> Edited | None:
        """HEAD's knowledge with the content of some files in place of the commit's.

        Nothing of it is kept. ``None`` where commits alone can be followed, or ``head`` is not
        what the last run ended with.

        Args:
            head: what the last run ended with.
            texts: path with forward slashes → content on disk; ``None`` is gone.
            cancellation: as in ``run``.
        """


class Following(Protocol):
    """Models loaded once and shared by all trackers; all of it immutable."""

    @property
    def engine_is_busy(self) -> Callable[[], bool]:
        """True while a completion is being decoded; a run steps aside."""

    @property
    def checkpoint_id(self) -> str:
        """Changes with what is followed with."""

    @property
    def recipe_id(self) -> str:
        """Which text of a repository is read, and how."""

    def follower(self, repository: Repository) -> Follower:
        """For one repository and one thread."""

    def apart(self, state_root: Path) -> "Following":
        """The same models with states in another folder."""

    def exported(self, adapter: LoraAdapter, rank: int) -> tuple[LoraAdapter, float]:
        """One of its adapters at no more than a rank, if it can be cut down, and the part kept."""
