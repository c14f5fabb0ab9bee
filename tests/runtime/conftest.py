"""A running engine, a small repository, and what follows it, for every test that asks."""

import pytest

from tests.gitrepo import GitRepo
from tests.runtime.ledger_following import LedgerFollowing, source
from tests.runtime.running_engine import WAIT_S, Running


@pytest.fixture
def start():
    running = []

    def make(*arguments, **named):
        running.append(Running(*arguments, **named))
        return running[-1].wait_ready()

    yield make
    for one in running:
        one.decoder.before_step = lambda: None
        assert one.engine.close(WAIT_S)


@pytest.fixture
def repo(tmp_path):
    """Six commits in three files."""
    repo = GitRepo(tmp_path / "work")
    for number in range(6):
        repo.commit(f"m{number % 3}.py", source(*range(number, number + 4)))
    return repo


@pytest.fixture
def following(repo, tmp_path):
    """A ledger follower of ``repo``."""
    return LedgerFollowing(repo, tmp_path / "states")
