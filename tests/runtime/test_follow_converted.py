"""Files that git converts between the work tree and a commit, saved while they are followed."""

import pytest

from code2lora_lsp.runtime import working_tree
from tests.gitrepo import GitRepo
from tests.runtime.ledger_following import source
from tests.runtime.ledger_tracking import Followed

ROT13 = "tr a-zA-Z n-za-mN-ZA-M"
CLEAR = source(5, name="vault_entry")


@pytest.fixture
def repo(tmp_path):
    repo = GitRepo(tmp_path / "work")
    repo.commit("a.py", source(1, 2))
    return repo


@pytest.fixture
def follow(repo, tmp_path, monkeypatch):
    monkeypatch.setattr(working_tree, "SETTLE_S", 0.05)
    made = []

    def start():
        made.append(Followed(repo, tmp_path / "states"))
        made[-1].wait_current(repo.head)
        return made[-1]

    yield start
    for one in made:
        assert one.tracker.close(10.0)


def with_attributes(repo, line):
    """As ``git-crypt`` does: what is committed is another text than what lies on disk."""
    repo.git("config", "filter.crypt.clean", ROT13)
    repo.git("config", "filter.crypt.smudge", ROT13)
    repo.commit(".gitattributes", f"{line}\n")


def edited_with(repo, followed, path):
    """What is known to be edited after ``path`` and then an ordinary file were saved."""
    followed.tracker.saved(repo.root / path)
    file = repo.root / "a.py"
    file.write_text(file.read_text() + "\n\n" + source(7))
    followed.tracker.saved(file)
    return followed.wait_current(repo.head, edited=1).edited


def test_the_text_of_an_encrypted_file_on_disk_is_not_taken(repo, follow):
    with_attributes(repo, "k.py filter=crypt")
    repo.commit("k.py", CLEAR)
    assert "vault_entry" not in repo.git("show", "HEAD:k.py")
    followed = follow()
    (repo.root / "k.py").write_text(CLEAR + "\n\n" + source(6, name="vault_entry"))
    assert edited_with(repo, followed, "k.py") == {"a.py"}


@pytest.mark.parametrize("line", ["k.py working-tree-encoding=UTF-16LE", "k.py ident"])
def test_an_unchanged_file_that_git_converts_does_not_count_as_edited(repo, follow, line):
    with_attributes(repo, line)
    text = "# $Id$\n" + CLEAR
    repo.commit("k.py", text.encode("utf-16-le") if "UTF-16" in line else text)
    (repo.root / "k.py").unlink()
    repo.git("checkout", "--", "k.py")
    assert (repo.root / "k.py").read_bytes() != text.encode()
    assert edited_with(repo, follow(), "k.py") == {"a.py"}


def test_an_attribute_that_is_taken_back_leaves_a_file_as_it_is(repo, follow):
    with_attributes(repo, "*.py filter=crypt\na.py -filter\nk.py filter=crypt")
    repo.commit("k.py", CLEAR)
    assert edited_with(repo, follow(), "k.py") == {"a.py"}


@pytest.mark.parametrize("how", ["attributes", "autocrlf"])
def test_a_file_that_lies_on_disk_with_crlf_is_unchanged_until_it_is_changed(repo, follow, how):
    if how == "attributes":
        repo.commit(".gitattributes", "* text=auto eol=crlf\n")
    else:
        repo.git("config", "core.autocrlf", "true")
    repo.commit("k.py", CLEAR)
    for name in ("a.py", "k.py"):
        (repo.root / name).unlink()
    repo.git("checkout", "--", "a.py", "k.py")
    assert b"\r\n" in (repo.root / "k.py").read_bytes()
    followed = follow()
    assert edited_with(repo, followed, "k.py") == {"a.py"}
    file = repo.root / "k.py"
    file.write_bytes(file.read_bytes() + b"\r\n\r\nADDED = 1\r\n")
    followed.tracker.saved(file)
    assert followed.wait_current(repo.head, edited=2).edited == {"a.py", "k.py"}
