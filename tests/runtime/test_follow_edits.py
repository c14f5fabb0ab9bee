"""A tracker over the ledger: commits, saves, and what is on the way."""

import pytest

from code2lora_lsp.runtime import ledger_writer, working_tree
from code2lora_lsp.runtime import tracker as tracker_module
from code2lora_lsp.runtime.working_tree import WorkingTree
from tests.gitrepo import GitRepo
from tests.runtime.ledger_following import LedgerFollowing

TEXT = "import os\n\n\ndef first(items):\n    return [item.price for item in items]\n"
NEW = "\n\ndef second(items):\n    return sum(item.price for item in items)\n"


@pytest.fixture
def repo(tmp_path):
    repo = GitRepo(tmp_path / "work")
    for name in "abcd":
        repo.commit(f"{name}.py", TEXT.replace("first", f"first_{name}"))
    return repo


@pytest.fixture(autouse=True)
def _soon_settled(monkeypatch):
    monkeypatch.setattr(working_tree, "SETTLE_S", 0.05)


def memory_of_tree(repo, tmp_path):
    return LedgerFollowing(repo, tmp_path / "fresh").knowledge().sharp.memory_id


def test_a_saved_edit_is_known_and_gone_after_a_checkout(repo, follow):
    followed = follow(repo)
    committed = followed.wait_current(repo.head)
    file = repo.root / "a.py"
    file.write_text(file.read_text() + NEW)
    followed.tracker.saved(file)
    edited = followed.wait_current(repo.head, edited=1)
    assert edited.commit_id == committed.commit_id
    assert edited.edited == {"a.py"}
    assert edited.sharp.memory_id != committed.sharp.memory_id
    repo.git("checkout", "--", "a.py")  # nobody tells: it is seen by itself
    back = followed.wait_current(repo.head)
    assert back.knowledge_id == committed.knowledge_id
    assert followed.slot.previous == (), "edits are never rolled back to"


def test_a_commit_of_the_edit_makes_it_the_commits_own(repo, follow, tmp_path):
    followed = follow(repo)
    file = repo.root / "b.py"
    file.write_text(file.read_text() + NEW)
    followed.tracker.saved(file)
    edited = followed.wait_current(repo.head, edited=1)
    head = repo.commit("b.py", file.read_text())
    committed = followed.wait_current(head)
    assert committed.edited == frozenset()
    assert committed.sharp.memory_id == edited.sharp.memory_id == memory_of_tree(repo, tmp_path)
    assert followed.tracker.roll_back() == edited.commit_id


def test_an_edit_stays_known_across_a_commit_of_another_file(repo, follow):
    followed = follow(repo)
    file = repo.root / "a.py"
    file.write_text(file.read_text() + NEW)
    followed.tracker.saved(file)
    followed.wait_current(repo.head, edited=1)
    head = repo.commit("c.py", TEXT + NEW)
    assert followed.wait_current(head, edited=1).edited == {"a.py"}


def test_saves_of_what_is_not_tracked_or_not_ours_change_nothing(repo, follow, tmp_path):
    followed = follow(repo)
    committed = followed.wait_current(repo.head)
    (repo.root / "fresh.py").write_text(NEW)
    (repo.root / ".env").write_text("PASSWORD=x")
    outside = tmp_path / "outside.py"
    outside.write_text(NEW)
    for path in (repo.root / "fresh.py", repo.root / ".env", outside, repo.root / "absent.py"):
        followed.tracker.saved(path)
    file = repo.root / "a.py"
    file.write_text(file.read_text() + NEW)
    followed.tracker.saved(file)
    assert followed.wait_current(repo.head, edited=1).edited == {"a.py"}
    assert committed.edited == frozenset()


def test_edits_are_not_looked_at_when_switched_off(repo, follow):
    followed = follow(repo, working_tree=False)
    file = repo.root / "a.py"
    file.write_text(file.read_text() + NEW)
    followed.tracker.saved(file)
    head = repo.commit("c.py", TEXT + NEW)
    followed.wait_current(head)
    assert all(not known.edited for known in followed.published)


def test_a_tree_being_read_is_published_on_the_way_the_table_first(repo, follow, monkeypatch):
    monkeypatch.setattr(ledger_writer, "GROUP_TOKENS", 50)
    monkeypatch.setattr(tracker_module, "PUBLISH_EVERY_S", 0.0)
    followed = follow(repo)
    last = followed.wait_current(repo.head)
    assert followed.published[0].adapter is None
    assert followed.published[0].sharp.memory_id == last.sharp.memory_id
    assert followed.slot.previous == ()


def test_a_secret_file_or_a_link_out_of_the_tree_is_never_noted(repo, tmp_path):
    (tmp_path / "outside.py").write_text(NEW)
    (repo.root / "link.py").symlink_to(tmp_path / "outside.py")
    (repo.root / "id_rsa").write_text("key")
    seen = WorkingTree(repo.root)
    assert not seen.note(repo.root / "link.py")
    assert not seen.note(repo.root / "id_rsa")
    assert seen.note(repo.root / "a.py")
    assert seen.contents() == {"a.py": (repo.root / "a.py").read_bytes()}
    assert not seen.has_moved()
    (repo.root / "a.py").write_text("other")
    assert seen.has_moved()
