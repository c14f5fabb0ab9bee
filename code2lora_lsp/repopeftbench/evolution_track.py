"""The published evolution track: assertions that commits bring (code2lora-spec, sections 4, 5)."""

from collections.abc import Iterator, Sequence

from code2lora_lsp.history.assertions import text_before
from code2lora_lsp.history.kept_commits import KeptCommit
from code2lora_lsp.repopeftbench.item_ids import with_id
from code2lora_lsp.repopeftbench.items import InRepoSplit, Item, Track

EVALUATION_CAP = 8
"""Questions per (repository, commit) in evaluation: the first ones, in stored order."""


def items_of(
    commit: KeptCommit, repository: str, commit_index: int, split: InRepoSplit
) -> Iterator[Item]:
    """One item per new assertion, in stored order: files as git lists them, breadth first."""
    for file in commit.files:
        lines = file.source.splitlines(keepends=True)
        for one in file.assertions:
            yield with_id(
                Item(
                    item_id="",
                    repository=repository,
                    commit_id=commit.commit_id,
                    commit_index=commit_index,
                    in_repo_split=split,
                    track=Track.EVOLUTION,
                    kind=one.kind,
                    path=file.path,
                    function=one.function,
                    line=one.line,
                    column=one.column,
                    prefix=text_before(lines, one),
                    target=one.target,
                )
            )


def evaluation_items(items: Sequence[Item], cap: int = EVALUATION_CAP) -> list[Item]:
    """What is asked of one commit: the first ``cap``, without a filter."""
    return list(items[:cap])
