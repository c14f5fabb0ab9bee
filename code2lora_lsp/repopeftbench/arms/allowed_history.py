"""A history without what may not be read: hidden files, under their names of any time.

Hidden paths become exclusions of the repository, which hold for snapshots and for every commit's
diff. A file's text may also have come from elsewhere: from a file of another name in the anchor's
tree, from lines moved by a commit. Whatever is found to hold a hidden file's text is excluded too.
"""

import re
from collections import defaultdict
from collections.abc import Collection, Iterator
from dataclasses import dataclass

from code2lora_lsp.cancellation import Cancellation
from code2lora_lsp.history.discovery import locate_git_dir
from code2lora_lsp.history.repository import Repository
from code2lora_lsp.recipe import Recipe
from code2lora_lsp.repopeftbench.arms.arm import Target
from code2lora_lsp.repopeftbench.arms.known_tree import leak_check, tree_at
from code2lora_lsp.runtime.fold import FoldPlan, plan_from


@dataclass(frozen=True)
class AllowedHistory:
    """A repository that shows nothing hidden, and the fold through it up to the known commit."""

    repository: Repository
    plan: FoldPlan | None


def allowed_history(target: Target, recipe: Recipe) -> AllowedHistory:
    """Exclude until nothing in the planned fold holds a hidden file's text.

    Excluding changes which commits touch source, hence the plan, hence what is to be checked;
    each round excludes more paths, so it ends.

    Raises:
        LeakFound: the fold would step on a commit that is not the known one's ancestor.
        GitReadFailed: the history cannot be read.
    """
    hidden = set(target.hidden_paths)
    while True:
        repository = repository_without(target, hidden)
        plan = plan_from(repository, recipe, target.known_commit_id)
        if plan is None:
            return AllowedHistory(repository, None)
        leak_check(target).check_commits((plan.anchor, *plan.steps))
        found = set(_holding_hidden_text(target, repository, recipe, plan)) - hidden
        if not found:
            return AllowedHistory(repository, plan)
        hidden |= found


def repository_without(target: Target, paths: Collection[str]) -> Repository:
    """The target's repository less the files at exactly these paths."""
    patterns = ("/" + re.sub(r"([\\*?\[\]!# ])", r"\\\1", path) for path in sorted(paths))
    return Repository(locate_git_dir(target.git_dir), tuple(patterns))


def _holding_hidden_text(
    target: Target, repository: Repository, recipe: Recipe, plan: FoldPlan
) -> Iterator[str]:
    """Paths, in the anchor's tree or in a diff of the plan, that are copies of hidden files."""
    check, rules = leak_check(target), repository.rules(recipe)
    for path, text in tree_at(target, plan.anchor).texts.items():
        if rules.reads_snapshot(path) and check.reason_against(path, text):
            yield path
    for diff in repository.commit_diffs(plan.steps, recipe, Cancellation()):
        for path, text in texts_in_diff(diff.text).items():
            if check.reason_against(path, text):
                yield path


def texts_in_diff(diff_text: str) -> dict[str, str]:
    """Path → every line of its hunks, added, removed or around them."""
    texts: dict[str, list[str]] = defaultdict(list)
    path, in_hunk = "", False
    for row in diff_text.split("\n"):
        if row.startswith("diff --git "):
            in_hunk = False
        elif not in_hunk and row.startswith(("--- a/", "+++ b/")):
            path = row[6:].rstrip("\t")
        elif row.startswith("@@ "):
            in_hunk = True
        elif in_hunk and row[:1] in {"+", "-", " "}:
            texts[path].append(row[1:])
    return {path: "\n".join(lines) for path, lines in texts.items()}
