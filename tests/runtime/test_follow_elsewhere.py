"""A git directory that moves, or goes away and comes back, while its work tree is followed."""

import shutil

import pytest

from code2lora_lsp.runtime import tracker as tracker_module
from code2lora_lsp.runtime.api import FollowState
from tests.gitrepo import GitRepo
from tests.runtime.ledger_following import source


@pytest.fixture(autouse=True)
def _soon_tried_again(monkeypatch):
    monkeypatch.setattr(tracker_module, "FIRST_RETRY_S", 0.1)
    monkeypatch.setattr(tracker_module, "LONGEST_RETRY_S", 0.2)


def test_a_git_directory_moved_out_of_the_work_tree_is_followed_there(small_repo, follow, tmp_path):
    followed = follow(small_repo)
    small_repo.git("init", "-q", f"--separate-git-dir={tmp_path / 'apart.git'}")
    followed.wait_current(small_repo.commit("b.py", source(3)))
    followed.wait_current(small_repo.commit("b.py", source(3, 4)))


def test_a_submodule_is_followed_into_the_directory_that_absorbs_it(small_repo, follow, tmp_path):
    outer = GitRepo(tmp_path / "outer")
    outer.commit("top.py", source(9))
    inner = GitRepo(outer.root / "inner")
    inner.commit("a.py", source(1, 2))
    outer.git("submodule", "add", "-q", "./inner", "inner")
    followed = follow(inner)
    outer.git("submodule", "absorbgitdirs")
    assert (inner.root / ".git").is_file()
    followed.wait_current(inner.commit("b.py", source(3)))


def test_a_repository_deleted_and_made_anew_is_followed_again(small_repo, follow):
    followed = follow(small_repo)
    old = followed.slot.current
    shutil.rmtree(small_repo.root / ".git")
    followed.wait(lambda s: s.state is FollowState.FAILED)
    assert followed.slot.current is old, "what was known stays"
    anew = GitRepo(small_repo.root)
    followed.wait_current(anew.commit("c.py", source(5)))


def test_without_its_git_directory_a_work_tree_is_not_taken_for_the_one_around_it(
    small_repo, follow, tmp_path
):
    inner = GitRepo(small_repo.root / "inner")
    inner.commit("b.py", source(5))
    followed = follow(inner)
    shutil.rmtree(inner.root / ".git")
    followed.wait(lambda s: s.state is FollowState.FAILED)
    small_repo.commit("c.py", source(6))
    followed.tracker.refresh()
    followed.wait(lambda s: "no work tree any more" in s.detail)
    assert followed.tracker.status.head != small_repo.head


def test_an_edit_is_still_known_after_the_git_directory_moved(small_repo, follow, tmp_path):
    followed = follow(small_repo)
    file = small_repo.root / "a.py"
    file.write_text(file.read_text() + "\n\n" + source(7))
    followed.tracker.saved(file)
    followed.wait_current(small_repo.head, edited=1)
    small_repo.git("init", "-q", f"--separate-git-dir={tmp_path / 'apart.git'}")
    head = small_repo.commit({"b.py": source(3)})
    assert followed.wait_current(head, edited=1).edited == {"a.py"}
