"""The trackers of several repositories, without models: who is asked, and what all are given."""

import time
from dataclasses import replace

import pytest

from code2lora_lsp.config import FollowSettings, Settings
from code2lora_lsp.runtime.progress import Progress
from code2lora_lsp.runtime.trackers import Trackers
from tests.gitrepo import GitRepo


@pytest.fixture
def settings(tmp_path):
    return Settings(follow=FollowSettings(state_dir=str(tmp_path / "states")))


@pytest.fixture
def ended():
    return []


@pytest.fixture
def trackers(settings, ended):
    def ignore(_event):
        pass

    trackers = Trackers(settings, lambda: None, Progress(ignore), ignore, ended.append)
    yield trackers
    assert trackers.stop(trackers.end(), 10.0)


@pytest.fixture
def roots(tmp_path):
    """A repository, and one inside it."""
    outer = GitRepo(tmp_path / "outer")
    outer.commit("a.py", "x = 1\n")
    inner = GitRepo(outer.root / "inner")
    inner.commit("b.py", "y = 1\n")
    return outer.root, inner.root


def details(trackers, expected):
    until_s = time.monotonic() + 10
    while {one.detail for one in trackers.statuses} != expected and time.monotonic() < until_s:
        time.sleep(0.01)
    return {one.detail for one in trackers.statuses}


def test_a_file_belongs_to_the_innermost_repository(trackers, roots):
    outer, inner = roots
    for root in roots:
        trackers.open(root)
    assert trackers.holding(inner / "b.py") is trackers.at(inner)
    assert trackers.holding(outer / "a.py") is trackers.at(outer)
    assert trackers.holding(outer.parent / "c.py") is None
    assert trackers.close(inner)
    assert trackers.holding(inner / "b.py") is trackers.at(outer)


def test_repositories_opened_later_are_given_what_the_others_were(trackers, roots):
    outer, inner = roots
    trackers.open(outer)
    trackers.attach(None, "none were chosen", None)
    trackers.open(inner)
    assert details(trackers, {"none were chosen"}) == {"none were chosen"}


def test_other_settings_end_every_tracker_and_open_the_same_repositories(
    trackers, roots, settings, ended
):
    for root in roots:
        trackers.open(root)
    before = [trackers.at(root) for root in roots]
    trackers.reopen(replace(settings, follow=replace(settings.follow, enabled=False)))
    assert ended == [tracker.slot for tracker in before]
    assert trackers.statuses == ()
    trackers.reopen(settings)
    assert {one.root for one in trackers.statuses} == {str(root) for root in roots}
    assert not {trackers.at(root) for root in roots} & set(before)


def test_after_the_end_none_is_opened(trackers, roots):
    trackers.open(roots[0])
    assert trackers.stop(trackers.end(), 10.0)
    trackers.open(roots[1])
    assert trackers.statuses == ()
    assert not trackers.close(roots[1])
