"""A running engine, a small repository, and what follows it, for every test that asks."""

import pytest

from tests.gitrepo import GitRepo
from tests.runtime.ledger_following import LedgerFollowing, source
from tests.runtime.ledger_tracking import Followed
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
def small_repo(tmp_path):
    """One commit of one file."""
    repo = GitRepo(tmp_path / "work")
    repo.commit("a.py", source(1, 2))
    return repo


@pytest.fixture
def following(repo, tmp_path):
    """A ledger follower of ``repo``."""
    return LedgerFollowing(repo, tmp_path / "states")


@pytest.fixture
def follow(tmp_path):
    """Starts to follow a repository, which is followed up to HEAD then; closed in the end."""
    made = []

    def start(repo, **settings):
        made.append(Followed(repo, tmp_path / "states", **settings))
        made[-1].wait_current(repo.head)
        return made[-1]

    yield start
    for one in made:
        assert one.tracker.close(10.0)
