from pathlib import Path

import pytest

from tests.gitrepo import GitRepo


@pytest.fixture
def repo(tmp_path: Path) -> GitRepo:
    return GitRepo(tmp_path / "repo")


def test_the_same_history_has_the_same_ids_everywhere(tmp_path: Path, repo: GitRepo) -> None:
    other = GitRepo(tmp_path / "other")
    assert [repo.commit("a.py", "x = 1\n"), repo.commit("a.py", "x = 2\n")] == [
        other.commit("a.py", "x = 1\n"),
        other.commit("a.py", "x = 2\n"),
    ]


def test_every_shape_of_repository_can_be_built(tmp_path: Path, repo: GitRepo) -> None:
    repo.commit({"a.py": "x = 1\n", "b.py": "y = 1\n"})
    repo.branch("side")
    repo.commit("b.py", None)
    repo.switch("main")
    repo.commit("a.py", "x = 2\n")
    merged = repo.merge("side")
    repo.tag("v1")
    tree = repo.worktree(tmp_path / "tree", "tree")
    shallow = repo.clone(tmp_path / "shallow", depth=1)
    sub = repo.submodule(shallow, "sub")
    repo.move("a.py", "pkg/a.py")
    amended = repo.amend()
    repo.detach("v1")
    repo.pack_refs()
    repo.gc()
    assert repo.head == merged == tree.head == shallow.head == sub.head != amended
    assert (tree.root / ".git").is_file()
    assert (sub.root / ".git").is_file()
