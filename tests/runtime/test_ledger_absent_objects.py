"""Objects that are not in this clone: what of the stored states can still be used."""

import re
import shlex

import pytest

from code2lora_lsp.errors import GitReadFailed
from code2lora_lsp.history.repository import Repository
from code2lora_lsp.recipe import SOURCE_V1
from tests.gitrepo import GitRepo
from tests.runtime.ledger_following import LedgerFollowing, assert_is_its_tree, source


@pytest.fixture
def partial(small_repo, tmp_path):
    """A clone with the blobs of the top folder alone."""
    small_repo.commit({"pkg/b.py": source(3), "pkg/c.py": source(4)})
    small_repo.git("config", "uploadpack.allowFilter", "true")
    small_repo.git("config", "uploadpack.allowAnySHA1InWant", "true")
    where = str(tmp_path / "partial")
    small_repo.git("clone", "-q", "--filter=blob:none", "--sparse", small_repo.root.as_uri(), where)
    return GitRepo(tmp_path / "partial")


def follow(repo, tmp_path):
    LedgerFollowing(repo, tmp_path / "partial states").state()


def read_snapshot(repo, tmp_path):
    Repository.discover(repo.root).snapshot(repo.head, SOURCE_V1)


def lose(repo, name):
    """Remove one object, as if it had never been fetched."""
    object_id = repo.git("rev-parse", name)
    path = repo.git_dir / "objects" / object_id[:2] / object_id[2:]
    path.chmod(0o644)
    path.unlink()


def test_a_stored_state_whose_tree_is_not_here_is_passed_over(small_repo, tmp_path):
    following = LedgerFollowing(small_repo, tmp_path / "states")
    lost = small_repo.head
    following.state()
    small_repo.commit("b.py", source(*range(20)))
    following.state()
    lose(small_repo, f"{lost}^{{tree}}")
    small_repo.commit("c.py", source(3))
    again = LedgerFollowing(small_repo, tmp_path / "states")
    written = again.written_by(again.points)
    assert all("c.py" in block.header for block in written), "from the other stored state"
    assert_is_its_tree(again.state(), small_repo, tmp_path)


def test_where_no_stored_tree_is_here_head_is_written_from_nothing(small_repo, tmp_path):
    LedgerFollowing(small_repo, tmp_path / "states").state()
    lost = small_repo.head
    small_repo.commit("b.py", source(3))
    lose(small_repo, f"{lost}^{{tree}}")
    assert_is_its_tree(
        LedgerFollowing(small_repo, tmp_path / "states").state(), small_repo, tmp_path
    )


@pytest.mark.parametrize("read", [follow, read_snapshot])
def test_a_partial_clone_is_followed_after_the_commands_its_error_names(
    small_repo, partial, tmp_path, read
):
    with pytest.raises(GitReadFailed, match="partial") as failure:
        read(partial, tmp_path)
    commands = re.findall("`git ((?:fetch|config) [^`]+)`", str(failure.value))
    assert len(commands) == 2
    for command in commands:
        partial.git(*shlex.split(command))
    read(partial, tmp_path)
    small_repo.commit("pkg/d.py", source(5))
    partial.git("pull", "-q")
    read(partial, tmp_path)
