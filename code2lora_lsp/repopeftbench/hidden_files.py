"""Which files are held back, so that what they ask can still be learnt from the rest."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, zip_longest

from code2lora_lsp.history.diff import is_test_path
from code2lora_lsp.repopeftbench.gaps import Gap, find_gaps
from code2lora_lsp.repopeftbench.identifiers import IdentifierFrequency, is_askable
from code2lora_lsp.repopeftbench.source_tree import SourceTree
from code2lora_lsp.repopeftbench.splits import shuffled
from code2lora_lsp.repopeftbench.tree_facts import TreeFacts
from code2lora_lsp.text.source_filters import is_own_source_path, reason_to_drop


@dataclass(frozen=True)
class HiddenFilePlan:
    """How many files are hidden.

    Attributes:
        largest_share: of the tree's source files; at least one file is hidden.
        most_files: never more than this.
        most_mined: at most so many files are looked at.
    """

    largest_share: float = 0.2
    most_files: int = 40
    most_mined: int = 400
    seed: int = 3407


@dataclass(frozen=True)
class HiddenFiles:
    """Files that hold items, with their gaps, and what is known without them.

    Attributes:
        gaps: hidden path -> its gaps.
        known: occurrences of each name in the files that are not hidden.
        dropped: reason -> how many files were passed over.
    """

    gaps: Mapping[str, Sequence[Gap]]
    known: Counter[str]
    dropped: Counter[str]


def choose_hidden_files(
    tree: SourceTree,
    repository: str,
    facts: TreeFacts,
    frequency: IdentifierFrequency,
    plan: HiddenFilePlan,
) -> HiddenFiles:
    """Production files and tests in turns, in an order only the seed decides.

    A file is hidden only if it asks for a rare name that other files have, and if no other file
    is a near duplicate of it, which would give its answers away.
    """
    known, copies = facts.known_counts(tree, hidden=()), facts.copies(tree)
    room = min(plan.most_files, max(1, int(plan.largest_share * len(tree.texts))))
    hidden: dict[str, Sequence[Gap]] = {}
    dropped: Counter[str] = Counter()
    for path in _candidates(tree, repository, plan, dropped):
        if len(hidden) >= room:
            break
        gaps, own = find_gaps(tree.texts[path]), facts.counts_of(tree, path)
        elsewhere = {gap.identifier for gap in gaps if known[gap.identifier] > own[gap.identifier]}
        if not any(is_askable(name) and frequency.is_rare(name) for name in elsewhere):
            dropped["asks for nothing rare that other files have"] += 1
        elif copies.copies_of([path]):
            dropped["has a near duplicate in the tree"] += 1
        else:
            hidden[path] = gaps
            known.subtract(own)
    return HiddenFiles(hidden, +known, dropped)


def _candidates(
    tree: SourceTree, repository: str, plan: HiddenFilePlan, dropped: Counter[str]
) -> Iterator[str]:
    paths = [path for path in sorted(tree.texts) if path.endswith(".py")]
    sampled = shuffled(paths, f"{plan.seed}/hidden/{repository}")[: plan.most_mined]
    worth = [path for path in sampled if _is_worth_asking(path, tree.texts[path], dropped)]
    tests = [path for path in worth if is_test_path(path)]
    production = [path for path in worth if not is_test_path(path)]
    turns = chain.from_iterable(zip_longest(production, tests))
    return (path for path in turns if path is not None)


def _is_worth_asking(path: str, text: str, dropped: Counter[str]) -> bool:
    reason = reason_to_drop(text) if is_own_source_path(path) else "vendored or generated"
    if reason is not None:
        dropped[f"file: {reason}"] += 1
    return reason is None
