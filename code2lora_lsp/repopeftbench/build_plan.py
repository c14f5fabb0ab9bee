"""What is built, of what."""

import datetime as dt
from dataclasses import asdict, dataclass, field
from pathlib import Path

from code2lora_lsp.repopeftbench.added_lines import AddedLinesPlan
from code2lora_lsp.repopeftbench.hidden_files import HiddenFilePlan
from code2lora_lsp.repopeftbench.knowledge import KnowledgePlan

TASKS = ("knowledge", "added-lines", "evolution", "static")


@dataclass(frozen=True)
class Clone:
    """A local repository: ``owner/name`` and its git directory."""

    repository: str
    git_dir: Path


@dataclass(frozen=True)
class BuildPlan:
    """What is built of each clone.

    Attributes:
        n_evolution_commits: of the test split, evenly over time.
        evolution_history: newest first-parent commits the published stream is read from; 0 reads
            all, as published. Splits are of the commits read.
        after: only repositories whose history begins later (temporal OOD); None takes all.
    """

    tasks: tuple[str, ...] = TASKS
    hidden: HiddenFilePlan = field(default_factory=HiddenFilePlan)
    knowledge: KnowledgePlan = field(default_factory=KnowledgePlan)
    added_lines: AddedLinesPlan = field(default_factory=AddedLinesPlan)
    n_evolution_commits: int = 4
    evolution_history: int = 200
    after: dt.datetime | None = None
    seed: int = 3407

    def to_json(self) -> dict[str, object]:
        """For the manifest."""
        return asdict(self) | {"after": self.after and self.after.isoformat()}
