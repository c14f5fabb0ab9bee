"""Editing sessions for the keystroke benchmark: what a commit added, typed again."""

from itertools import pairwise

import pytest

from benchmarks.speed.edits import closers, sessions
from tests.gitrepo import GitRepo

OLD = "import os\n\n\ndef last():\n    return 0\n"
ADDED = "def first(value):\n    total = value + 1\n    print(total, value)\n    return total\n\n\n"
NEW = OLD.replace("def last", ADDED + "def last")


@pytest.fixture
def repo(tmp_path):
    repo = GitRepo(tmp_path / "repo")
    repo.commit("pkg/a.py", OLD)
    repo.commit("pkg/a.py", NEW)
    repo.commit("notes.txt", "nothing to type\n" * 9)
    return repo


def test_a_session_stands_where_the_commit_added_and_ends_with_what_it_added(repo):
    (session, *_) = sessions(repo.root, 5, most_keys=20)
    assert session.path == "pkg/a.py"
    assert session.before + session.target + session.after == NEW
    assert "def last" in session.after
    assert session.target.startswith(session.states[-1])


def test_a_key_adds_one_character_or_an_indentation_or_takes_a_slip_back(repo):
    (session, *_) = sessions(repo.root, 5, most_keys=60)
    assert 50 < len(session.states) <= 60
    for before, after in pairwise(session.states):
        if len(after) < len(before):
            assert after == before[:-1]
            assert not session.target.startswith(before), "only slips are taken back"
        else:
            come = after[len(before) :]
            assert after.startswith(before)
            assert len(come) == 1 or not come.strip()


def test_sessions_are_the_same_every_time(repo):
    assert sessions(repo.root, 5, 40) == sessions(repo.root, 5, 40)


def test_too_little_text_is_no_session(repo):
    assert sessions(repo.root, 5, most_keys=500) == []


@pytest.mark.parametrize(
    ("typed", "behind"),
    [("f(a[", "])"), ("f(a[0]", ")"), ("f()", ""), ("{'a': (1,\n  ", ")}"), (")", ""), ("", "")],
)
def test_brackets_left_open_are_closed_behind_the_cursor(typed, behind):
    assert closers(typed) == behind
