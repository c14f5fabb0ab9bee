"""By repository, by time, and by when a history begins."""

import datetime as dt

import pytest

from code2lora_lsp.errors import GitReadFailed
from code2lora_lsp.repopeftbench.items import InRepoSplit
from code2lora_lsp.repopeftbench.splits import (
    chronological_splits,
    cross_repository_split,
    history_begins,
    random_splits,
)
from code2lora_lsp.training.splits import Split, split_of
from tests.gitrepo import GitRepo


def test_repositories_are_split_by_the_training_rule_under_the_published_names():
    names = {Split.TRAIN: "train", Split.VALIDATION: "cr_val", Split.RESERVED: "cr_test"}
    repositories = [f"owner/name{n}" for n in range(60)]
    assert {cross_repository_split(one) for one in repositories} == set(names.values())
    assert all(cross_repository_split(one) == names[split_of(one)] for one in repositories)


def test_commits_are_split_by_time():
    splits = chronological_splits(50)
    assert [splits.count(split) for split in InRepoSplit] == [40, 5, 5]
    assert splits == sorted(splits, key=list(InRepoSplit).index)


def test_random_splits_depend_on_the_seed_and_the_repository():
    first = random_splits(100, "a/b", 1)
    assert [first.count(split) for split in InRepoSplit] == [80, 10, 10]
    assert first == random_splits(100, "a/b", 1)
    assert first != random_splits(100, "a/b", 2)
    assert first != random_splits(100, "a/c", 1)


def test_a_history_begins_with_its_oldest_first_parent(tmp_path):
    repo = GitRepo(tmp_path / "repo")
    repo.commit("a.py", "x = 1\n")
    begins = dt.datetime.fromtimestamp(1_700_000_060, dt.timezone.utc)
    repo.commit("a.py", "x = 2\n")
    assert history_begins(repo.git_dir) == begins


def test_a_shallow_clone_does_not_tell_when_history_began(tmp_path):
    repo = GitRepo(tmp_path / "repo")
    repo.commit("a.py", "x = 1\n")
    repo.commit("a.py", "x = 2\n")
    shallow = repo.clone(tmp_path / "shallow", depth=1)
    with pytest.raises(GitReadFailed, match="git fetch --unshallow"):
        history_begins(shallow.git_dir)
