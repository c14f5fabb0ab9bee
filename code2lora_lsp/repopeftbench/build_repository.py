"""One clone → the items of every task, each with the state of the repository it is asked of.

| task | known commit | hidden |
|---|---|---|
| knowledge | HEAD | a fifth of the files at most, tests and production |
| added-lines | parent of the commit whose lines are asked | files that hold the lines |
| evolution | the commit that brings the assertions (published rule) | test files that hold them |
| static | HEAD | every test file (published rule) |

Near duplicates of a hidden file are hidden with it.
"""

import time
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import TypeVar

from code2lora_lsp.errors import ConfigError, GitReadFailed
from code2lora_lsp.history.git_process import GitCommand
from code2lora_lsp.history.kept_commits import (
    KeptCommit,
    is_python_test_file,
    read_kept_commits,
)
from code2lora_lsp.history.repository import Repository
from code2lora_lsp.repopeftbench.added_lines import AddedLines
from code2lora_lsp.repopeftbench.arms.arm import Target
from code2lora_lsp.repopeftbench.build_plan import TASKS, BuildPlan, Clone
from code2lora_lsp.repopeftbench.evolution_track import EVALUATION_CAP, evaluation_items, items_of
from code2lora_lsp.repopeftbench.gap_items import AskedFiles, holds_secret
from code2lora_lsp.repopeftbench.hidden_files import choose_hidden_files
from code2lora_lsp.repopeftbench.identifiers import IdentifierFrequency
from code2lora_lsp.repopeftbench.item_folder import BuiltRepository
from code2lora_lsp.repopeftbench.items import InRepoSplit, Item
from code2lora_lsp.repopeftbench.knowledge import knowledge_items
from code2lora_lsp.repopeftbench.source_tree import SourceTree, TreeReader
from code2lora_lsp.repopeftbench.splits import (
    chronological_splits,
    cross_repository_split,
    history_begins,
)
from code2lora_lsp.repopeftbench.static_track import Snapshot, static_items
from code2lora_lsp.repopeftbench.strata import Known
from code2lora_lsp.repopeftbench.tree_facts import TreeFacts
from code2lora_lsp.repopeftbench.windows import Encode, Windows

_T = TypeVar("_T")


_Targets = list[tuple[str, Target, list[Item]]]
"""Task, the state it is asked of, items."""


def build_repository(
    clone: Clone, frequency: IdentifierFrequency, encode: Encode, plan: BuildPlan
) -> BuiltRepository:
    """Every task of one clone.

    Raises:
        GitReadFailed, NotARepository: it cannot be read at all. A task that cannot be is named
            in ``failed_tasks`` with the reason.
        ConfigError: history begins too early, or no task gives an item.
    """
    started_s = time.perf_counter()
    begins = history_begins(clone.git_dir)
    if plan.after is not None and begins <= plan.after:
        raise ConfigError(f"history begins {begins.date()}, not after {plan.after.date()}")
    builder = _Builder(clone, frequency, encode, plan)
    targets = [one for task in plan.tasks for one in builder.build(task)]
    if not targets:
        raise ConfigError(f"no task gave an item: {builder.failed or builder.dropped}")
    return BuiltRepository(
        repository=clone.repository,
        commit_id=builder.tip,
        targets=targets,
        dropped=builder.dropped,
        facts={
            "cross_repo_split": cross_repository_split(clone.repository),
            "history_begins": begins.isoformat(),
        },
        failed_tasks=builder.failed,
        seconds=time.perf_counter() - started_s,
    )


class _Builder:
    """The tasks of one clone, over trees that are read once."""

    def __init__(
        self, clone: Clone, frequency: IdentifierFrequency, encode: Encode, plan: BuildPlan
    ) -> None:
        self._clone, self._frequency, self._plan = clone, frequency, plan
        self._repository = Repository.at_git_dir(clone.git_dir)
        self._reader, self._facts, self._windows = (
            TreeReader(clone.git_dir), TreeFacts(), Windows(encode)
        )  # fmt: skip
        self.tip = self._repository.head().commit_id or ""
        self.dropped: dict[str, Counter[str]] = {}
        self.failed: dict[str, str] = {}

    def build(self, task: str) -> _Targets:
        """Targets with items. A partial clone lacks what only some tasks read: see ``failed``."""
        try:
            return [(task, target, items) for target, items in self._build(task) if items]
        except GitReadFailed as error:
            self.failed[task] = str(error)
            return []

    def _build(self, task: str) -> list[tuple[Target, list[Item]]]:
        """What was passed over, and why, goes to ``dropped``."""
        dropped = self.dropped[task] = Counter()
        if task == "knowledge":
            return self._knowledge(dropped)
        if task == "added-lines":
            return self._added_lines(dropped)
        if task == "evolution":
            return self._evolution(dropped)
        if task == "static":
            return self._static(dropped)
        raise ConfigError(f"task {task!r} is none of {', '.join(TASKS)}")

    def _knowledge(self, dropped: Counter[str]) -> list[tuple[Target, list[Item]]]:
        tree, name = self._reader.read(self.tip), self._clone.repository
        hidden = choose_hidden_files(tree, name, self._facts, self._frequency, self._plan.hidden)
        dropped.update(hidden.dropped)
        texts = {path: text for path, text in tree.texts.items() if path not in hidden.gaps}
        place = self._repository.first_parent_count(self.tip) - 1
        items, not_taken = knowledge_items(
            AskedFiles(name, self.tip, place, tree.texts),
            hidden.gaps,
            Known(hidden.known, texts),
            self._frequency,
            self._windows,
            self._plan.knowledge,
        )
        dropped.update(not_taken)
        return [(self._target(self.tip, hidden.gaps), items)]

    def _added_lines(self, dropped: Counter[str]) -> list[tuple[Target, list[Item]]]:
        added = AddedLines(
            self._clone.repository,
            self._clone.git_dir,
            self._reader,
            self._facts,
            self._frequency,
            self._windows,
            self._plan.added_lines,
        )
        return added.build(self.tip, dropped)

    def _evolution(self, dropped: Counter[str]) -> list[tuple[Target, list[Item]]]:
        kept = [_first_questions(commit) for commit in self._kept_commits()]
        splits = chronological_splits(len(kept))
        testing = [i for i, split in enumerate(splits) if split is InRepoSplit.TEST]
        found = []
        for index in evenly(testing, self._plan.n_evolution_commits):
            commit, tree = kept[index], self._reader.read(kept[index].commit_id)
            new = list(items_of(commit, self._clone.repository, index, splits[index]))
            first = evaluation_items(new)
            items = [item for item in first if item.path in tree.texts]
            dropped["file not among the sources read"] += len(first) - len(items)
            target = self._target(commit.commit_id, self._with_copies(tree, items))
            found.append((target, _without_secrets(items, dropped)))
        return found

    def _kept_commits(self) -> Iterable[KeptCommit]:
        limit = self._plan.evolution_history
        path = self._repository.first_parent_ids(self.tip, limit + 1 if limit else None)
        since = path[limit] if limit and len(path) > limit else None
        git = GitCommand(self._repository.git_dir, self._repository.common_dir)
        return read_kept_commits(git, self.tip, since)

    def _static(self, dropped: Counter[str]) -> list[tuple[Target, list[Item]]]:
        tree = self._reader.read(self.tip)
        tests = {path for path in tree.texts if is_python_test_file(path)}
        snapshot = Snapshot(self._clone.repository, self.tip, self._plan.seed)
        items, not_taken = static_items(snapshot, [(path, tree.texts[path]) for path in tests])
        dropped.update(not_taken)
        hidden = tests | self._facts.copies(tree).copies_of(tests)
        return [(self._target(self.tip, hidden), _without_secrets(items, dropped))]

    def _with_copies(self, tree: SourceTree, items: Sequence[Item]) -> frozenset[str]:
        paths = frozenset(item.path for item in items)
        return paths | self._facts.copies(tree).copies_of(paths)

    def _target(self, known_commit_id: str, hidden: Iterable[str]) -> Target:
        clone = self._clone
        return Target(
            clone.repository, clone.git_dir, known_commit_id, frozenset(hidden), self._plan.seed
        )


def evenly(values: Sequence[_T], n: int) -> list[_T]:
    """At most ``n`` of them, evenly spread, in order."""
    n = min(n, len(values))
    return [values[(2 * i + 1) * len(values) // (2 * n)] for i in range(n)]


def _first_questions(commit: KeptCommit) -> KeptCommit:
    """The commit with the files that its first questions are from; the rest is not kept."""
    left, files = EVALUATION_CAP, []
    for file in commit.files:
        if left > 0:
            files.append(file)
            left -= len(file.assertions)
    return KeptCommit(commit.commit_id, tuple(files))


def _without_secrets(items: Iterable[Item], dropped: Counter[str]) -> list[Item]:
    kept = []
    for item in items:
        if holds_secret(item):
            dropped["holds a secret"] += 1
        else:
            kept.append(item)
    return kept
