"""What is written down of followed commits: once each, honestly, and read again after a restart."""

import json
from dataclasses import replace

import pytest

from code2lora_lsp.cancellation import Cancellation
from code2lora_lsp.history.repository import Repository
from code2lora_lsp.neural.lora import delta_cosine, relative_distance
from code2lora_lsp.runtime import commit_records
from code2lora_lsp.runtime.commit_journal import Arrival, CommitJournal
from code2lora_lsp.runtime.commit_records import Followed, followed_path, read_followed
from code2lora_lsp.runtime.line_scoring import LineScores
from code2lora_lsp.runtime.tree_texts import TreeTexts
from tests.gitrepo import GitRepo
from tests.runtime.ledger_following import source, tiny_models


@pytest.fixture
def repo(tmp_path):
    repo = GitRepo(tmp_path / "work")
    repo.commit("a.py", source(*range(8)))
    return repo


class Server:
    """A journal and a follower, as a tracker has them."""

    def __init__(self, repo, states, **models):
        self.repo, self.repository = repo, Repository.discover(repo.root)
        self.path = followed_path(states, self.repository.root)
        self.told = []
        self.journal = CommitJournal(states, self.repository.root, self.told.append)
        self.models = tiny_models(states, **models)
        self.follower = self.models.follower(self.repository)
        self.knowledge = None

    def follow(self):
        """Follow HEAD; what can be scored of it."""
        plan = self.follower.plan(self.repo.head, Cancellation())
        *_, point = self.follower.run(plan, Cancellation(), lambda: None)
        self.knowledge = point.knowledge()
        arrival = Arrival(point, self.knowledge, 0.25)
        return self.journal.arrived(arrival, self.repository, self.models, Cancellation())

    @property
    def kept(self):
        return read_followed(self.path)


@pytest.fixture
def server(repo, tmp_path):
    return Server(repo, tmp_path / "states")


def test_the_first_commit_has_nothing_before_it(server, repo):
    assert server.follow() is None
    (record,) = server.kept.records
    assert (record.commit, record.parent) == (repo.head, None)
    assert (record.distance, record.reference_cosine) == (None, pytest.approx(1, abs=1e-4))
    assert server.kept.reference == repo.head
    assert record.reanchored
    assert record.n_tokens > 0
    assert record.step_s == 0.25


def test_a_commit_is_measured_against_the_one_before_it(server, repo):
    server.follow()
    first = server.knowledge
    repo.commit({"b.py": source(9)}, message="Add b")
    server.follow()
    record = server.kept.records[-1]
    assert (record.parent, record.subject) == (first.commit_id, "Add b")
    distance = relative_distance(server.knowledge.adapter, first.adapter)
    assert record.distance == pytest.approx(distance, rel=1e-4) != 0
    cosine = delta_cosine(server.knowledge.adapter, first.adapter)
    assert record.reference_cosine == pytest.approx(cosine, abs=1e-5)
    assert not record.reanchored
    assert record.time.startswith("2023-11-14T")
    added = sum(map(len, TreeTexts(server.repository).at(repo.head, ["b.py"]).values()))
    assert 0 < record.n_tokens <= added + 20


def test_a_commit_is_written_down_once(server, repo):
    server.follow()
    repo.commit("b.py", source(9))
    first = server.follow()
    assert first is not None
    assert server.follow() is None
    assert len(server.kept.records) == 2


def test_what_is_scored_was_not_known_before(server, repo):
    server.follow()
    parent = repo.head
    new = "def never_seen_before(kiln):\n    return kiln.glaze\n"
    repo.commit("b.py", new)
    unscored = server.follow()
    assert [passage.text for passage in unscored.passages] == [new]
    assert unscored.before.commit_id == parent
    assert unscored.commit == repo.head


def test_scores_are_written_into_the_record(server, repo):
    server.follow()
    repo.commit("b.py", source(9))
    server.journal.scored(server.follow(), LineScores(2.0, 1.25, 400))
    record = server.kept.records[-1]
    assert (record.without_nats, record.with_nats, record.n_scored) == (2.0, 1.25, 400)
    assert server.kept.records[0].n_scored == 0


def test_every_commit_that_is_written_down_is_told_and_again_when_it_is_scored(server, repo):
    server.follow()
    server.follow()
    first = repo.head
    assert server.told == [first]
    repo.commit("b.py", source(9))
    unscored = server.follow()
    server.journal.scored(unscored, LineScores(2.0, 1.25, 400))
    assert server.told == [first, repo.head, repo.head]


def test_what_the_disk_refuses_is_not_told(server):
    server.path.mkdir(parents=True)
    server.follow()
    assert server.told == []


def test_an_amended_commit_is_not_scored_by_what_knew_most_of_it(server, repo):
    server.follow()
    repo.commit("b.py", source(9))
    server.follow()
    repo.amend("b.py", source(9, 10))
    assert server.follow() is None
    record = server.kept.records[-1]
    assert record.distance is not None
    assert record.n_scored == 0


def test_after_a_commit_that_vanished_the_next_ones_are_written_down_as_ever(server, repo):
    server.follow()
    repo.commit("b.py", source(9))
    server.follow()
    vanished = repo.head
    repo.amend("b.py", source(9, 10))
    amended = repo.head
    repo.git("reflog", "expire", "--expire=now", "--all")
    repo.gc()
    assert server.follow() is None, "what was known before may hold most of it"
    repo.commit("c.py", source(11))
    assert [passage.text for passage in server.follow().passages] == [source(11)]
    parents = [record.parent for record in server.kept.records[-2:]]
    assert parents == [vanished, amended]


def test_another_branch_is_not_scored_but_measured(server, repo):
    server.follow()
    repo.branch("other")
    repo.commit("other.py", source(20))
    server.follow()
    repo.switch("main")
    server.follow()
    repo.commit("b.py", source(9))
    assert server.follow().before.commit_id == server.kept.records[0].commit
    assert server.kept.records[-1].parent == server.kept.records[0].commit


def test_after_a_restart_what_was_known_before_is_made_again(server, repo, tmp_path):
    server.follow()
    before = server.knowledge
    repo.commit("b.py", source(9))
    later = Server(repo, tmp_path / "states")
    unscored = later.follow()
    assert unscored.before.adapter_id == before.adapter_id
    record = later.kept.records[-1]
    assert record.parent == before.commit_id
    assert record.distance > 0
    assert record.reference_cosine < 1


def test_distances_are_not_taken_across_checkpoints(server, repo, tmp_path):
    server.follow()
    repo.commit("b.py", source(9))
    other = Server(repo, tmp_path / "states")
    other.models = replace(other.models, population=replace(other.models.population, n_tokens=1))
    other.follow()
    record = other.kept.records[-1]
    assert (record.distance, record.n_scored) == (None, 0)
    assert other.kept.reference == repo.head


def test_a_secret_in_a_subject_is_not_kept(server, repo):
    secret = "ghp_" + "a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8"
    repo.commit({"b.py": source(9)}, message=f"Use {secret}")
    server.follow()
    assert secret not in server.path.read_text()
    assert server.kept.records[-1].subject.startswith("Use ")


def test_a_damaged_file_is_begun_anew(server):
    server.path.parent.mkdir(parents=True)
    server.path.write_text('{"format": "code2lora-followed-1", "records": [{}]}')
    server.follow()
    assert len(server.kept.records) == 1
    assert json.loads(server.path.read_text())["format"] == commit_records.FORMAT


def test_no_more_than_the_newest_records_are_kept(server, monkeypatch):
    server.follow()
    monkeypatch.setattr(commit_records, "MOST_RECORDS", 3)
    followed = Followed()
    (record,) = server.kept.records
    for number in range(5):
        followed = followed.with_record(
            type(record)(f"{number:040x}", None, "c", record.time, record.subject)
        )
    assert [one.commit[-1] for one in followed.records] == ["2", "3", "4"]
