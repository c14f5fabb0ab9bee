"""What a tracker does with the commits it reached, with a journal that only listens."""

import logging
from pathlib import Path
from types import SimpleNamespace

import pytest

from code2lora_lsp.cancellation import Cancellation, Cancelled
from code2lora_lsp.errors import GitReadFailed
from code2lora_lsp.runtime.journal_keeper import JournalKeeper
from code2lora_lsp.runtime.line_scoring import LineScores

REPOSITORY = SimpleNamespace(root=Path("/home/me/project"))
SCORES = LineScores(2.0, 1.0, 10)


class Journal:
    """Gives what it was made with; raises it, if it is an error."""

    def __init__(self, *answers):
        self.answers, self.arrivals, self.kept = list(answers), [], []

    def arrived(self, arrival, repository, models, cancellation):
        self.arrivals.append(arrival)
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def scored(self, unscored, scores):
        self.kept.append((unscored, scores))


class Kept:
    def __init__(self, *answers):
        self.journal, self.woken, self.works = Journal(*answers), [], []
        self.keeper = JournalKeeper(self.journal, lambda: self.woken.append(True))
        self.keeper.score = self.works.append

    def write_down(self):
        self.keeper.write_down(REPOSITORY, None, Cancellation())


def test_a_commit_is_written_down_once_and_nothing_before_it_was_reached():
    kept = Kept(None)
    kept.write_down()
    kept.keeper.reached("arrival")
    kept.write_down()
    kept.write_down()
    assert kept.journal.arrivals == ["arrival"]
    assert kept.works == []


def test_scores_are_written_when_they_are_taken_not_where_they_come_from():
    kept = Kept("unscored")
    kept.keeper.reached("arrival")
    kept.write_down()
    (work,) = kept.works
    work.on_done("unscored", SCORES)
    assert kept.woken == [True]
    assert kept.journal.kept == []
    kept.keeper.take_scores()
    kept.keeper.take_scores()
    assert kept.journal.kept == [("unscored", SCORES)]


def test_without_anyone_to_score_the_commit_is_written_down_all_the_same():
    kept = Kept("unscored")
    kept.keeper.score = None
    kept.keeper.reached("arrival")
    kept.write_down()
    assert kept.journal.arrivals == ["arrival"]


def test_a_failure_is_logged_and_costs_that_commit_alone(caplog):
    kept = Kept(GitReadFailed("gone"), None)
    kept.keeper.reached("first")
    with caplog.at_level(logging.WARNING):
        kept.write_down()
    assert "project: a commit is not in the journal: gone" in caplog.text
    kept.write_down()
    kept.keeper.reached("second")
    kept.write_down()
    assert kept.journal.arrivals == ["first", "second"]


def test_a_commit_whose_writing_was_cancelled_is_written_the_next_time():
    kept = Kept(Cancelled("HEAD moved"), None)
    kept.keeper.reached("arrival")
    with pytest.raises(Cancelled):
        kept.write_down()
    kept.write_down()
    assert kept.journal.arrivals == ["arrival", "arrival"]
