"""Files that git converts between the work tree and a commit, saved while they are followed."""

import pytest

from code2lora_lsp.runtime import working_tree
from tests.runtime.ledger_following import source

ROT13 = "tr a-zA-Z n-za-mN-ZA-M"
CLEAR = source(5, name="vault_entry")


@pytest.fixture(autouse=True)
def _soon_settled(monkeypatch):
    monkeypatch.setattr(working_tree, "SETTLE_S", 0.05)


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


def test_the_text_of_an_encrypted_file_on_disk_is_not_taken(small_repo, follow):
    with_attributes(small_repo, "k.py filter=crypt")
    small_repo.commit("k.py", CLEAR)
    assert "vault_entry" not in small_repo.git("show", "HEAD:k.py")
    followed = follow(small_repo)
    (small_repo.root / "k.py").write_text(CLEAR + "\n\n" + source(6, name="vault_entry"))
    assert edited_with(small_repo, followed, "k.py") == {"a.py"}


@pytest.mark.parametrize("line", ["k.py working-tree-encoding=UTF-16LE", "k.py ident"])
def test_an_unchanged_file_that_git_converts_does_not_count_as_edited(small_repo, follow, line):
    with_attributes(small_repo, line)
    text = "# $Id$\n" + CLEAR
    small_repo.commit("k.py", text.encode("utf-16-le") if "UTF-16" in line else text)
    (small_repo.root / "k.py").unlink()
    small_repo.git("checkout", "--", "k.py")
    assert (small_repo.root / "k.py").read_bytes() != text.encode()
    assert edited_with(small_repo, follow(small_repo), "k.py") == {"a.py"}


def test_an_attribute_that_is_taken_back_leaves_a_file_as_it_is(small_repo, follow):
    with_attributes(small_repo, "*.py filter=crypt\na.py -filter\nk.py filter=crypt")
    small_repo.commit("k.py", CLEAR)
    assert edited_with(small_repo, follow(small_repo), "k.py") == {"a.py"}


@pytest.mark.parametrize("how", ["attributes", "autocrlf"])
def test_a_file_that_lies_on_disk_with_crlf_is_unchanged_until_it_is_changed(
    small_repo, follow, how
):
    if how == "attributes":
        small_repo.commit(".gitattributes", "* text=auto eol=crlf\n")
    else:
        small_repo.git("config", "core.autocrlf", "true")
    small_repo.commit("k.py", CLEAR)
    for name in ("a.py", "k.py"):
        (small_repo.root / name).unlink()
    small_repo.git("checkout", "--", "a.py", "k.py")
    assert b"\r\n" in (small_repo.root / "k.py").read_bytes()
    followed = follow(small_repo)
    assert edited_with(small_repo, followed, "k.py") == {"a.py"}
    file = small_repo.root / "k.py"
    file.write_bytes(file.read_bytes() + b"\r\n\r\nADDED = 1\r\n")
    followed.tracker.saved(file)
    assert followed.wait_current(small_repo.head, edited=2).edited == {"a.py", "k.py"}
