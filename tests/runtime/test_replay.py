"""The newest commits followed one by one, from nothing, with nothing left behind."""

import pytest

from code2lora_lsp.errors import FollowError
from code2lora_lsp.history.repository import Repository
from code2lora_lsp.runtime.model_loading import LoadedModel
from code2lora_lsp.runtime.replay import replay
from tests.fakes import ByteTokenizer
from tests.gitrepo import GitRepo
from tests.runtime.ledger_following import source, tiny_decoder, tiny_models


@pytest.fixture
def repo(tmp_path):
    repo = GitRepo(tmp_path / "work")
    repo.commit("a.py", source(*range(8)))
    repo.commit("README.md", "Prices.\n")
    for number in (20, 21, 22):
        repo.commit({f"m{number}.py": source(number)}, message=f"Add {number}")
    return repo


def score(work):
    work(LoadedModel(tiny_decoder(), ByteTokenizer(), "spm", "tiny"), lambda: None)


def replayed(repo, states, n_commits):
    repository = Repository.discover(repo.root)
    return replay(repository, tiny_models(states), score, n_commits, lambda *_: None)


def test_every_commit_but_the_one_before_them_is_scored(repo, tmp_path):
    followed = replayed(repo, tmp_path / "states", 2)
    assert [record.subject for record in followed.records] == ["Add 20", "Add 21", "Add 22"]
    assert [record.n_scored > 0 for record in followed.records] == [False, True, True]
    assert followed.reference == followed.records[0].commit
    assert [record.reanchored for record in followed.records] == [True, False, False]


def test_commits_without_source_are_passed_over(repo, tmp_path):
    followed = replayed(repo, tmp_path / "states", 10)
    assert [record.subject for record in followed.records] == [
        "change", "Add 20", "Add 21", "Add 22",
    ]  # fmt: skip


def test_nothing_is_left_behind(repo, tmp_path):
    replayed(repo, tmp_path / "states", 1)
    assert not (tmp_path / "states").exists()


def test_a_repository_without_source_is_refused(tmp_path):
    repo = GitRepo(tmp_path / "empty")
    repo.commit("README.md", "Nothing.\n")
    with pytest.raises(FollowError, match="no commit touches source"):
        replayed(repo, tmp_path / "states", 3)
