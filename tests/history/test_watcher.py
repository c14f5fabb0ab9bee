import errno
import logging
import threading
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path, PurePath

import pytest

from code2lora_lsp.cancellation import Cancellation
from code2lora_lsp.errors import FollowError
from code2lora_lsp.history.file_events import PROBE_NAME, FileEvents
from code2lora_lsp.history.repository import Repository
from code2lora_lsp.history.watcher import HeadMoved, HeadWatcher, WatchState
from code2lora_lsp.recipe import SOURCE_V1
from tests.gitrepo import GitRepo

NEVER_S = 3600.0
"""A poll interval that leaves a test to file events alone."""


@pytest.fixture
def repo(tmp_path: Path) -> GitRepo:
    return GitRepo(tmp_path / "repo")


@pytest.fixture
def followed(repo: GitRepo) -> GitRepo:
    repo.commit("a.py", "x = 1\n")
    repo.commit("a.py", "x = 2\n")
    return repo


def no_more_watches(events: FileEvents) -> None:
    raise OSError(errno.ENOSPC, "inotify watch limit reached")


@pytest.fixture(params=["events", "polling"])
def watch(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[GitRepo], list[HeadMoved]]]:
    """Start watching a repository, by events alone or by polling alone; returns the moves."""
    if request.param == "polling":
        monkeypatch.setattr(FileEvents, "start", no_more_watches)
    watchers: list[HeadWatcher] = []

    def start(repo: GitRepo) -> list[HeadMoved]:
        moves: list[HeadMoved] = []
        poll_s = NEVER_S if request.param == "events" else 0.02
        watchers.append(HeadWatcher(Repository.discover(repo.root), moves.append, poll_s))
        watchers[-1].start()
        return moves

    yield start
    for watcher in watchers:
        watcher.stop()


def eventually(condition: Callable[[], object], timeout_s: float = 10.0) -> None:
    give_up_s = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < give_up_s, "it did not happen in time"
        time.sleep(0.005)


def first_commit_after_clone(repo: GitRepo) -> None:
    repo.commit("b.py", "y = 1\n")


def amend(repo: GitRepo) -> None:
    repo.amend("a.py", "x = 3\n")


def reset(repo: GitRepo) -> None:
    repo.reset("HEAD~1")


def soft_reset(repo: GitRepo) -> None:
    repo.git("reset", "-q", "--soft", "HEAD~1")


def switch_branch(repo: GitRepo) -> None:
    repo.branch("old", "HEAD~1")


def switch_to_nested_branch(repo: GitRepo) -> None:
    repo.branch("feature/deep/er", switch=True)
    repo.commit("b.py", "y = 1\n")


def detach(repo: GitRepo) -> None:
    repo.detach("HEAD~1")


def commit_while_detached(repo: GitRepo) -> None:
    repo.detach()
    repo.commit("b.py", "y = 1\n")


def merge(repo: GitRepo) -> None:
    repo.git("branch", "side", "HEAD~1")
    repo.switch("side")
    repo.commit("b.py", "y = 1\n")
    repo.switch("main")
    repo.merge("side")


def fast_forward(repo: GitRepo) -> None:
    repo.branch("side")
    repo.commit("b.py", "y = 1\n")
    repo.switch("main")
    repo.merge("side", fast_forward=True)


def pull(repo: GitRepo) -> None:
    ahead = repo.clone(repo.root.parent / "ahead")
    ahead.commit("b.py", "y = 1\n")
    repo.git("pull", "-q", "--ff-only", ahead.root.as_uri(), "main")


def rebase(repo: GitRepo) -> None:
    repo.git("branch", "side", "HEAD~1")
    repo.commit("b.py", "y = 1\n")
    repo.switch("side")
    repo.commit("c.py", "z = 1\n")
    repo.rebase("main")


def cherry_pick(repo: GitRepo) -> None:
    repo.branch("side", "HEAD~1")
    repo.commit("b.py", "y = 1\n")
    repo.git("cherry-pick", "main")


def commit_after_packing(repo: GitRepo) -> None:
    repo.pack_refs()
    repo.commit("b.py", "y = 1\n")


def plumbing(repo: GitRepo) -> None:
    repo.git("update-ref", "refs/heads/main", "HEAD~1")


def orphan_branch(repo: GitRepo) -> None:
    repo.git("checkout", "-q", "--orphan", "fresh")
    repo.commit("b.py", "y = 1\n")


MOVES = [
    first_commit_after_clone,
    amend,
    reset,
    soft_reset,
    switch_branch,
    switch_to_nested_branch,
    detach,
    commit_while_detached,
    merge,
    fast_forward,
    pull,
    rebase,
    cherry_pick,
    commit_after_packing,
    plumbing,
    orphan_branch,
]


@pytest.mark.parametrize("move", MOVES, ids=lambda move: move.__name__)
def test_every_way_head_moves_is_reported(
    followed: GitRepo,
    watch: Callable[[GitRepo], list[HeadMoved]],
    move: Callable[[GitRepo], None],
) -> None:
    before = followed.head
    moves = watch(followed)
    move(followed)
    after = followed.head
    eventually(lambda: moves and moves[-1].current == after)
    assert moves[0].previous == before
    assert all(one.current == following.previous for one, following in pairwise(moves))


def test_the_first_commit_of_an_unborn_branch_is_reported(
    repo: GitRepo, watch: Callable[[GitRepo], list[HeadMoved]]
) -> None:
    moves = watch(repo)
    first = repo.commit("a.py", "x = 1\n")
    eventually(lambda: moves)
    assert moves == [HeadMoved(None, first, "main")]


def test_what_does_not_move_head_is_not_reported(
    followed: GitRepo, watch: Callable[[GitRepo], list[HeadMoved]]
) -> None:
    before = followed.head
    moves = watch(followed)
    followed.pack_refs()
    followed.gc()
    followed.tag("v1")
    followed.branch("other", "HEAD~1", switch=False)
    followed.branch("same")
    followed.write("a.py", "x = 9\n")
    followed.git("status")
    followed.git("stash", "-q")
    after = followed.commit("b.py", "y = 1\n")
    eventually(lambda: moves)
    assert moves == [HeadMoved(before, after, "same")]


def test_a_linked_work_tree_and_its_main_tree_are_followed_apart(
    tmp_path: Path, followed: GitRepo, watch: Callable[[GitRepo], list[HeadMoved]]
) -> None:
    tree = followed.worktree(tmp_path / "tree", "side")
    base = followed.head
    in_main, in_tree = watch(followed), watch(tree)
    side = tree.commit("b.py", "y = 1\n")
    eventually(lambda: in_tree)
    main = followed.commit("c.py", "z = 1\n")
    eventually(lambda: in_main)
    assert in_tree == [HeadMoved(base, side, "side")]
    assert in_main == [HeadMoved(base, main, "main")]


def test_a_submodule_is_followed_through_its_git_file(
    tmp_path: Path, followed: GitRepo, watch: Callable[[GitRepo], list[HeadMoved]]
) -> None:
    inner = GitRepo(tmp_path / "outer").submodule(followed, "sub")
    moves = watch(inner)
    after = inner.commit("b.py", "y = 1\n")
    eventually(lambda: moves)
    assert moves == [HeadMoved(followed.head, after, "main")]


def test_reading_git_makes_no_event(followed: GitRepo) -> None:
    repository, seen = Repository.discover(followed.root), list[PurePath]()
    events = FileEvents(repository.git_dir, repository.common_dir, seen.append)
    events.start()
    tip = followed.head
    ids = repository.source_commit_ids(tip, SOURCE_V1)
    list(repository.commit_diffs(ids, SOURCE_V1, Cancellation()))
    repository.snapshot(tip, SOURCE_V1)
    repository.head()
    followed.git("status")
    (repository.git_dir / PROBE_NAME).touch()
    eventually(lambda: seen)
    events.stop()
    assert {path.name for path in seen} == {PROBE_NAME}


def test_a_dead_observer_is_restarted(followed: GitRepo, caplog: pytest.LogCaptureFixture) -> None:
    moves: list[HeadMoved] = []
    watcher = HeadWatcher(Repository.discover(followed.root), moves.append, poll_s=0.02)
    watcher.start()
    dead = watcher._events._observer
    dead.stop()
    eventually(lambda: watcher._events.is_alive and watcher._events._observer is not dead)
    watcher._poll_s = NEVER_S
    followed.commit("b.py", "y = 1\n")
    eventually(lambda: moves)
    watcher.stop()
    assert "its thread died" in caplog.text


def test_an_observer_that_goes_deaf_is_restarted(
    followed: GitRepo, caplog: pytest.LogCaptureFixture
) -> None:
    moves: list[HeadMoved] = []
    watcher = HeadWatcher(Repository.discover(followed.root), moves.append, poll_s=0.02)
    watcher.start()
    watcher._events._handler._on_event = lambda path: None
    followed.commit("b.py", "y = 1\n")
    eventually(lambda: "it missed a move of HEAD" in caplog.text)
    watcher.stop()
    assert len(moves) == 1


def test_without_watches_it_polls_and_says_so_once(
    followed: GitRepo, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(FileEvents, "start", no_more_watches)
    moves: list[HeadMoved] = []
    watcher = HeadWatcher(Repository.discover(followed.root), moves.append, poll_s=0.02)
    watcher.start()
    assert watcher.state is WatchState.POLLING
    with pytest.raises(FollowError, match="gets no file events"):
        watcher.probe()
    for number in range(2):
        followed.commit("b.py", f"y = {number}\n")
        eventually(lambda: moves and moves[-1].current == followed.head)
    watcher.stop()
    assert watcher.state is WatchState.STOPPED
    [warning] = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert "fs.inotify.max_user_watches" in warning.getMessage()


def test_the_probe_measures_an_event_and_leaves_nothing_behind(followed: GitRepo) -> None:
    watcher = HeadWatcher(Repository.discover(followed.root), lambda moved: None, NEVER_S)
    watcher.start()
    assert watcher.state is WatchState.WATCHING
    assert 0 < watcher.probe(timeout_s=10) < 10
    assert not (followed.git_dir / PROBE_NAME).exists()
    watcher._events._handler._on_event = lambda path: None
    with pytest.raises(FollowError, match="no file event within"):
        watcher.probe(timeout_s=0.01)
    watcher.stop()


def test_a_listener_that_fails_does_not_end_the_watching(
    followed: GitRepo, caplog: pytest.LogCaptureFixture
) -> None:
    moves: list[HeadMoved] = []

    def listen(moved: HeadMoved) -> None:
        moves.append(moved)
        raise ValueError("a bug of the listener")

    watcher = HeadWatcher(Repository.discover(followed.root), listen, NEVER_S)
    watcher.start()
    for count in (1, 2):
        followed.commit("b.py", f"y = {count}\n")
        eventually(lambda count=count: len(moves) == count)
    watcher.stop()
    assert caplog.text.count("the listener failed on") == 2


def test_a_head_that_cannot_be_read_for_a_while_moves_nothing(
    followed: GitRepo, caplog: pytest.LogCaptureFixture
) -> None:
    moves: list[HeadMoved] = []
    watcher = HeadWatcher(Repository.discover(followed.root), moves.append, poll_s=0.02)
    before = watcher.start().commit_id
    head = followed.git_dir / "HEAD"
    whole = head.read_text()
    head.write_text("gibberish\n")
    eventually(lambda: "HEAD cannot be read" in caplog.text)
    assert moves == []
    head.write_text(whole)
    after = followed.commit("b.py", "y = 1\n")
    eventually(lambda: moves)
    watcher.stop()
    assert moves == [HeadMoved(before, after, "main")]
    assert caplog.text.count("HEAD cannot be read") == 1


def test_stopping_ends_every_thread(followed: GitRepo) -> None:
    before = set(threading.enumerate())
    moves: list[HeadMoved] = []
    watcher = HeadWatcher(Repository.discover(followed.root), moves.append, NEVER_S)
    watcher.start()
    assert set(threading.enumerate()) - before
    watcher.stop()
    followed.commit("b.py", "y = 1\n")
    assert set(threading.enumerate()) <= before
    assert moves == []
