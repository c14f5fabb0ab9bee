"""Objects that are not in this clone: what of the stored states can still be used."""

import pytest

from tests.gitrepo import GitRepo
from tests.runtime.ledger_following import LedgerFollowing, assert_is_its_tree, source


@pytest.fixture
def repo(tmp_path):
    repo = GitRepo(tmp_path / "work")
    repo.commit("a.py", source(1, 2))
    return repo


def lose(repo, name):
    """Remove one object, as if it had never been fetched."""
    object_id = repo.git("rev-parse", name)
    path = repo.git_dir / "objects" / object_id[:2] / object_id[2:]
    path.chmod(0o644)
    path.unlink()


def test_a_stored_state_whose_tree_is_not_here_is_passed_over(repo, tmp_path):
    following = LedgerFollowing(repo, tmp_path / "states")
    lost = repo.head
    following.state()
    repo.commit("b.py", source(*range(20)))
    following.state()
    lose(repo, f"{lost}^{{tree}}")
    repo.commit("c.py", source(3))
    again = LedgerFollowing(repo, tmp_path / "states")
    written = again.written_by(again.points)
    assert all("c.py" in block.header for block in written), "from the other stored state"
    assert_is_its_tree(again.state(), repo, tmp_path)


def test_where_no_stored_tree_is_here_head_is_written_from_nothing(repo, tmp_path):
    LedgerFollowing(repo, tmp_path / "states").state()
    lost = repo.head
    repo.commit("b.py", source(3))
    lose(repo, f"{lost}^{{tree}}")
    assert_is_its_tree(LedgerFollowing(repo, tmp_path / "states").state(), repo, tmp_path)
