"""Which diff stands for a commit: against its first parent, or the kept commit before it."""

from collections.abc import Collection, Sequence

from code2lora_lsp.errors import GitReadFailed
from code2lora_lsp.history.git_process import GitCommand
from code2lora_lsp.history.walk import DiffRequest


def source_requests(
    git: GitCommand, commit_ids: Sequence[str], shallow_ids: Collection[str], empty_tree_id: str
) -> list[DiffRequest]:
    """Against the first parent, a root against the empty tree.

    Raises:
        GitReadFailed: a commit is not here, or one of ``shallow_ids``, whose parent is not.
    """
    requests = []
    for commit_id, tree_id, parents in _commits(git, commit_ids):
        if commit_id in shallow_ids:
            raise GitReadFailed(
                f"commit {commit_id} is the boundary of a shallow clone: its parent is not "
                "here, so it has no diff. Start from its snapshot, or run "
                "`git fetch --unshallow`."
            )
        requests.append(
            DiffRequest.between(parents[0], commit_id)
            if parents
            else DiffRequest.from_empty(commit_id, tree_id, empty_tree_id)
        )
    return requests


def kept_requests(
    git: GitCommand, commit_ids: Sequence[str], before: Sequence[str | None], empty_tree_id: str
) -> list[DiffRequest]:
    """Against ``before``, the kept commit before each one; ``None`` is the empty tree.

    Raises:
        GitReadFailed: the first commit is not here.
    """
    first = {commit_id: tree_id for commit_id, tree_id, _ in _commits(git, commit_ids[:1])}
    return [
        DiffRequest.from_empty(commit_id, first[commit_id], empty_tree_id)
        if previous is None
        else DiffRequest.between(previous, commit_id)
        for commit_id, previous in zip(commit_ids, before, strict=True)
    ]


def _commits(git: GitCommand, commit_ids: Sequence[str]) -> list[tuple[str, str, list[str]]]:
    """Id, tree and parents of each commit, in the order given."""
    stdin = "".join(commit_id + "\n" for commit_id in commit_ids).encode()
    arguments = ("log", "--no-walk=unsorted", "--format=%H %T %P", "--stdin")
    answer = git.run(*arguments, stdin=stdin)[1].decode("ascii")
    commits = [(words[0], words[1], words[2:]) for words in map(str.split, answer.splitlines())]
    if [commit_id for commit_id, _, _ in commits] != list(commit_ids):
        raise GitReadFailed(
            f"git knows {len(commits)} of {len(commit_ids)} commits asked for in "
            f"{git.git_dir}. Ask for full, distinct commit ids."
        )
    return commits
