"""Next-commit lines: what commit t+1 adds, asked of whoever knows the tree of t."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from code2lora_lsp.cancellation import Cancellation
from code2lora_lsp.history.diff import CommitDiff
from code2lora_lsp.history.repository import Repository
from code2lora_lsp.repopeftbench.arms.arm import Target
from code2lora_lsp.repopeftbench.gap_items import AskedFiles
from code2lora_lsp.repopeftbench.gaps import Gap, find_gaps
from code2lora_lsp.repopeftbench.identifiers import IdentifierFrequency, is_askable
from code2lora_lsp.repopeftbench.items import Item
from code2lora_lsp.repopeftbench.knowledge import KnowledgePlan, knowledge_items
from code2lora_lsp.repopeftbench.leaks import shingles
from code2lora_lsp.repopeftbench.source_tree import TREE_RECIPE, SourceTree, TreeReader
from code2lora_lsp.repopeftbench.splits import shuffled
from code2lora_lsp.repopeftbench.strata import Known
from code2lora_lsp.repopeftbench.tree_facts import TreeFacts
from code2lora_lsp.repopeftbench.windows import Windows
from code2lora_lsp.text.source_filters import is_own_source_path, reason_to_drop
from code2lora_lsp.training.timelines import added_blocks

LONGEST_REST_CHARS = 120
"""Rests of lines longer than this are not asked for."""


@dataclass(frozen=True)
class AddedLinesPlan:
    """Which commits are asked about.

    Attributes:
        newest_share: of the first-parent commits, by time.
        n_commits: commits that give items; up to five times as many are tried.
        largest_share: of the known files that one commit may hide.
        per_commit: caps of one commit's items.
    """

    newest_share: float = 0.1
    n_commits: int = 4
    largest_share: float = 0.2
    per_commit: KnowledgePlan = field(
        default_factory=lambda: KnowledgePlan(n_filtered=15, n_unfiltered=4)
    )
    seed: int = 3407


@dataclass(frozen=True)
class AddedLines:
    """Builds the items of one repository's newest commits."""

    repository: str
    git_dir: Path
    reader: TreeReader
    facts: TreeFacts
    frequency: IdentifierFrequency
    windows: Windows
    plan: AddedLinesPlan

    def build(self, tip: str, dropped: Counter[str]) -> list[tuple[Target, list[Item]]]:
        """One target per commit that gives items; its known commit is the first parent.

        ``dropped`` is told how many commits and gaps were passed over, and why.

        Raises:
            GitReadFailed: a diff or a tree cannot be read.
        """
        repository = Repository.at_git_dir(self.git_dir)
        path = repository.first_parent_ids(tip)
        place = {commit_id: len(path) - 1 - back for back, commit_id in enumerate(path)}
        newest = set(path[: int(len(path) * self.plan.newest_share)])
        touching = repository.source_commit_ids(tip, TREE_RECIPE, limit=max(1, len(newest)))
        ids = [commit_id for commit_id in touching if commit_id in newest]
        tried = shuffled(ids, f"{self.plan.seed}/added/{self.repository}")
        tried = tried[: 5 * self.plan.n_commits]
        diffs = repository.commit_diffs(tried, TREE_RECIPE, Cancellation())
        built: list[tuple[Target, list[Item]]] = []
        for diff in diffs:
            if len(built) == self.plan.n_commits:
                break
            one = self._of_commit(diff, place[diff.commit_id], dropped)
            if one is not None:
                built.append(one)
        return sorted(built, key=lambda pair: pair[1][0].commit_index)

    def _of_commit(
        self, diff: CommitDiff, commit_index: int, dropped: Counter[str]
    ) -> tuple[Target, list[Item]] | None:
        rows = {path: lines for path, lines in _added_rows(diff) if is_own_source_path(path)}
        if diff.parent_id is None or not rows:
            dropped["commit: adds no source lines"] += 1
            return None
        after, before = self.reader.read(diff.commit_id), self.reader.read(diff.parent_id)
        files = {path: rows[path] for path in sorted(rows) if _is_worth_asking(after, path)}
        hidden = self._hidden(before, {path: after.texts[path] for path in files})
        if len(hidden) > self.plan.largest_share * len(before.texts):
            dropped["commit: touches too many of the files"] += 1
            return None
        target = Target(self.repository, self.git_dir, diff.parent_id, hidden, self.plan.seed)
        items = self._items(target, after, before, files, commit_index, dropped)
        if not any(item.strata["filtered"] == "yes" for item in items):
            dropped["commit: no line asks for a rare known name"] += 1
            return None
        return target, items

    def _hidden(self, before: SourceTree, asked: Mapping[str, str]) -> frozenset[str]:
        """Files of the known tree that are asked about, and near duplicates of what is asked."""
        copies = self.facts.copies(before)
        near = {path for text in asked.values() for path in copies.near(shingles(text))}
        present = near | (asked.keys() & before.texts.keys())
        return copies.copies_of(present) | present

    def _items(
        self,
        target: Target,
        after: SourceTree,
        before: SourceTree,
        files: Mapping[str, frozenset[int]],
        commit_index: int,
        dropped: Counter[str],
    ) -> list[Item]:
        counts = self.facts.known_counts(before, target.hidden_paths)
        texts = {p: t for p, t in before.texts.items() if p not in target.hidden_paths}
        gaps = {p: self._gaps(after.texts[p], rows, counts) for p, rows in files.items()}
        if not any(self._is_telling(gap, counts) for of_file in gaps.values() for gap in of_file):
            return []
        asked = AskedFiles(self.repository, after.commit_id, commit_index, after.texts)
        items, not_taken = knowledge_items(
            asked, gaps, Known(counts, texts), self.frequency, self.windows, self.plan.per_commit
        )
        dropped.update(not_taken)
        return items

    def _gaps(self, text: str, rows: frozenset[int], counts: Counter[str]) -> list[Gap]:
        """One gap per added line: from its first rare known name, else its first name, to its end.

        ``rows`` are 1-based line numbers.
        """
        by_line: dict[int, list[Gap]] = {}
        for gap in find_gaps(text):
            if gap.line in rows:
                by_line.setdefault(gap.line, []).append(gap)
        chosen = (self._most_telling(gaps, counts) for gaps in by_line.values())
        whole = (_to_line_end(gap, text) for gap in chosen)
        return [gap for gap in whole if gap.stop - gap.start <= LONGEST_REST_CHARS]

    def _most_telling(self, gaps: Sequence[Gap], counts: Counter[str]) -> Gap:
        return next((gap for gap in gaps if self._is_telling(gap, counts)), gaps[0])

    def _is_telling(self, gap: Gap, counts: Counter[str]) -> bool:
        name = gap.identifier
        return is_askable(name) and counts[name] > 0 and self.frequency.is_rare(name)


def _to_line_end(gap: Gap, text: str) -> Gap:
    end = text.find("\n", gap.start)
    return replace(gap, kind="added_line", stop=len(text) if end < 0 else end)


def _added_rows(diff: CommitDiff) -> Iterator[tuple[str, frozenset[int]]]:
    """Each changed file and the 1-based numbers of its added lines."""
    rows: dict[str, set[int]] = {}
    for block in added_blocks(diff.text):
        first = block.first_line + 1
        rows.setdefault(block.path, set()).update(range(first, first + len(block.lines)))
    for path, numbers in rows.items():
        yield path, frozenset(numbers)


def _is_worth_asking(tree: SourceTree, path: str) -> bool:
    """Present among the sources that are read, Python, and no data or generated file."""
    text = tree.texts.get(path)
    return path.endswith(".py") and text is not None and reason_to_drop(text) is None
