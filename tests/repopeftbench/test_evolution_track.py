"""The evolution track's items and its cap."""

from dataclasses import replace

from code2lora_lsp.history.git_process import GitCommand
from code2lora_lsp.history.kept_commits import read_kept_commits
from code2lora_lsp.repopeftbench.evolution_track import (
    evaluation_items,
    items_of,
)
from code2lora_lsp.repopeftbench.items import InRepoSplit, Item
from tests.gitrepo import GitRepo


def items_in(tmp_path, sources: dict[str, str]) -> list[Item]:
    repo = GitRepo(tmp_path / "repo")
    repo.commit(sources)
    [commit] = read_kept_commits(GitCommand(repo.git_dir, repo.git_dir), repo.head)
    return list(items_of(commit, "a/b", 5, InRepoSplit.TEST))


def test_the_prefix_is_the_whole_file_up_to_the_cut(tmp_path):
    source = "import x\n\n\ndef test_a():\n    y = 1\n    assert f(y) == [\n        1]\n"
    [item] = items_in(tmp_path, {"test_a.py": source})
    assert item.prefix == "import x\n\n\ndef test_a():\n    y = 1\n    assert f(y) == "
    assert (item.target, item.function, item.line, item.column) == ("[ 1]", "test_a", 6, 4)
    assert (item.commit_index, item.in_repo_split) == (5, InRepoSplit.TEST)


def test_only_new_assertions_are_asked(tmp_path):
    repo = GitRepo(tmp_path / "repo")
    repo.commit("test_a.py", "def test_a():\n    assert f() == 1\n")
    repo.commit("test_a.py", "def test_a():\n    assert f() == 1\n    assert g() == 2\n")
    repo.commit("a.py", "x = 1\n")
    kept = list(read_kept_commits(GitCommand(repo.git_dir, repo.git_dir), repo.head))
    targets = [[i.target for i in items_of(c, "a/b", 0, InRepoSplit.TRAIN)] for c in kept]
    assert targets == [["1"], ["2"]]


def many(n: int, *, path: str = "t.py", function: str = "test_a") -> list[Item]:
    base = Item(
        item_id="", repository="a/b", commit_id="c", commit_index=0,
        in_repo_split=InRepoSplit.TRAIN, track="evolution", kind="assert", path=path,
        function=function, line=1, column=0, prefix="", target="",
    )  # fmt: skip
    return [replace(base, line=line, target=f"value_{line}") for line in range(n)]


def test_evaluation_takes_the_first_eight_without_a_filter(tmp_path):
    items = [replace(item, target="1") for item in many(20)]
    assert evaluation_items(items) == items[:8]
