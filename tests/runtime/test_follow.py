"""Following real histories: the state after a commit is a function of its history alone."""

import hashlib
import threading
import time

import pytest
import torch

from code2lora_lsp.cancellation import Cancellation
from code2lora_lsp.config import FollowSettings
from code2lora_lsp.errors import GitReadFailed
from code2lora_lsp.history.repository import Repository
from code2lora_lsp.neural.code2lora.checkpoint import Code2LoraCheckpoint
from code2lora_lsp.neural.code2lora.commit_gru import CommitGru, CommitGruConfig
from code2lora_lsp.neural.code2lora.hypernetwork import Code2LoraEvo
from code2lora_lsp.neural.code2lora.lora_head import LoraHead, LoraHeadConfig
from code2lora_lsp.neural.code2lora.manifest import BackboneReference, CheckpointManifest
from code2lora_lsp.recipe import SOURCE_V1
from code2lora_lsp.runtime import models
from code2lora_lsp.runtime.api import FollowState, ProgressBegan, ProgressEnded
from code2lora_lsp.runtime.commit_journal import CommitJournal
from code2lora_lsp.runtime.embedder import HistoryEmbedder
from code2lora_lsp.runtime.fold import CommitFold
from code2lora_lsp.runtime.knowledge_slot import KnowledgeSlot
from code2lora_lsp.runtime.models import FollowModels
from code2lora_lsp.runtime.progress import Progress
from code2lora_lsp.runtime.state_store import StateStore
from code2lora_lsp.runtime.tracker import Tracker
from tests.gitrepo import GitRepo

WIDTH = 4


class WordEncoder:
    """Embeds a window by hashing its words; counts how many windows it was asked for."""

    width = WIDTH
    encoder_id = "words"

    def __init__(self):
        self.n_windows = 0

    def encode(self, text):
        return [int.from_bytes(hashlib.md5(w.encode()).digest()[:2]) for w in text.split()]

    def decode(self, token_ids):
        return " ".join(map(str, token_ids))

    def embed_windows(self, windows, max_tokens, cancellation=None):
        self.n_windows += len(windows)
        return torch.stack([self._embed(window) for window in windows]) if windows else (
            torch.zeros(0, WIDTH)
        )  # fmt: skip

    def _embed(self, window):
        digest = hashlib.md5(window.encode()).digest()
        return torch.tensor([b / 255 - 0.5 for b in digest[:WIDTH]])


def tiny_evo():
    torch.manual_seed(0)
    head = LoraHeadConfig(type_dims={"q_proj": (6, 6)}, context_width=8, hidden_width=5, rank=2)
    gru = CommitGruConfig(2 * WIDTH, 2 * WIDTH, 8)
    manifest = CheckpointManifest(
        kind="evo", recipe_id=SOURCE_V1.recipe_id, encoder="backbone", embedding_width=WIDTH,
        backbone=BackboneReference("tiny", 2), alpha=2.0, head=head, gru=gru,
    )  # fmt: skip
    return Code2LoraEvo(Code2LoraCheckpoint(manifest, LoraHead(head), CommitGru(gru)))


@pytest.fixture
def repo(tmp_path):
    repo = GitRepo(tmp_path / "work")
    for number in range(6):
        repo.commit(f"m{number % 3}.py", f"value_{number} = compute({number}, {number + 1})\n" * 3)
    return repo


class Following:
    """A fold over one repository with its own store and encoder."""

    def __init__(self, repo, store_root):
        self.repo = repo
        self.encoder = WordEncoder()
        self.store = StateStore(store_root, "tiny", SOURCE_V1.recipe_id)
        repository = Repository.discover(repo.root)
        embedder = HistoryEmbedder(repository, SOURCE_V1, self.encoder, self.store)
        self.fold = CommitFold(repository, SOURCE_V1, tiny_evo(), embedder, self.store)

    def points(self, cancellation=None):
        plan = self.fold.plan(self.repo.head)
        return list(self.fold.run(plan, cancellation or Cancellation()))

    def state(self):
        return self.points()[-1].hidden_state


def test_each_new_commit_is_one_step_and_one_diff(repo, tmp_path):
    following = Following(repo, tmp_path / "states")
    following.state()
    for number in range(5):
        before = following.encoder.n_windows
        repo.commit("new.py", f"fresh_{number} = other({number})\n")
        points = following.points()
        assert [p.behind for p in points] == [1, 0]
        assert following.encoder.n_windows - before == 1


def test_the_same_head_again_costs_nothing(repo, tmp_path):
    following = Following(repo, tmp_path / "states")
    first = following.state()
    before = following.encoder.n_windows
    assert torch.equal(following.state(), first)
    assert following.encoder.n_windows == before


def test_a_commit_without_source_changes_nothing(repo, tmp_path):
    following = Following(repo, tmp_path / "states")
    first = following.state()
    repo.commit("README.md", "words about it\n")
    assert torch.equal(following.state(), first)


def rebased(repo):
    repo.branch("topic", at="HEAD~3")
    repo.commit("topic.py", "topic = 1\n" * 4)
    repo.rebase("main")


def amended(repo):
    repo.amend("m0.py", "amended = 1\n" * 4)


def reset(repo):
    repo.reset("HEAD~2")


def switched(repo):
    repo.branch("other", at="HEAD~4")
    repo.commit("other.py", "other = 1\n" * 4)
    repo.switch("main")


def merged(repo):
    repo.branch("side", at="HEAD~2")
    repo.commit("side.py", "side = 1\n" * 4)
    repo.switch("main")
    repo.merge("side")


def reverted(repo):
    repo.git("revert", "--no-edit", "HEAD")


def detached(repo):
    repo.detach("HEAD~1")
    repo.commit("loose.py", "loose = 1\n" * 4)


@pytest.mark.parametrize(
    "event",
    [rebased, amended, reset, switched, merged, reverted, detached],
    ids=lambda e: e.__name__,
)
def test_fold_equals_replay_after_rebase_and_every_other_rewrite(repo, tmp_path, event):
    live = Following(repo, tmp_path / "live")
    live.state()
    event(repo)
    replay = Following(repo, tmp_path / "fresh")
    assert torch.equal(live.state(), replay.state())


def test_a_linked_worktree_shares_stored_states(repo, tmp_path):
    Following(repo, tmp_path / "states").state()
    tree = repo.worktree(tmp_path / "tree", "elsewhere")
    following = Following(tree, tmp_path / "states")
    following.state()
    assert following.encoder.n_windows == 0


@pytest.mark.parametrize("depth", [1, 2, 4])
def test_a_shallow_clone_is_folded_from_what_is_there(repo, tmp_path, depth):
    clone = repo.clone(tmp_path / "clone", depth=depth)
    points = Following(clone, tmp_path / "states").points()
    assert points[-1].commit_id == repo.head
    assert points[-1].total == max(0, depth - 2)


def test_states_of_text_redacted_by_other_rules_are_stored_elsewhere(tmp_path, monkeypatch):
    following = FollowModels(tiny_evo(), WordEncoder(), SOURCE_V1, "tiny", tmp_path)
    folders = {following.store(()).folder, following.store(("a.py",)).folder}
    monkeypatch.setattr(models, "REDACTION", "redacted1")
    folders |= {following.store(()).folder, following.store(("a.py",)).folder}
    assert len(folders) == 4


def test_failed_git_read_does_not_advance_the_state(repo, tmp_path):
    following = Following(repo, tmp_path / "states")
    good = following.points()[-1]
    repo.commit("broken.py", "about_to_break = 1\n")
    blob = repo.git("rev-parse", "HEAD:broken.py")
    path = repo.git_dir / "objects" / blob[:2] / blob[2:]
    path.chmod(0o644)
    path.unlink()
    with pytest.raises(GitReadFailed, match=r"(?i)git"):
        following.points()
    broken_head = repo.head
    assert not any(broken_head in p.name for p in following.store.folder.rglob("*.safetensors"))
    repo.reset("HEAD~1")
    assert torch.equal(following.state(), good.hidden_state)


def test_a_long_history_is_folded_from_an_anchor_at_a_bounded_distance(tmp_path):
    repo = GitRepo(tmp_path / "long")
    for number in range(150):
        repo.commit("a.py", f"line_{number} = {number}\n")
    following = Following(repo, tmp_path / "states")
    points = following.points()
    assert SOURCE_V1.anchor_interval <= points[-1].total <= 2 * SOURCE_V1.anchor_interval
    before = following.encoder.n_windows
    for number in range(3):
        repo.commit("a.py", f"again_{number} = {number}\n")
        live = following.points()[-1]
    assert following.encoder.n_windows - before <= 3 * 2
    assert torch.equal(live.hidden_state, Following(repo, tmp_path / "fresh").state())


class Followed:
    """A tracker on a real repository, with everything it reported."""

    def __init__(self, root, states, **settings):
        self.events = []
        self.statuses = []
        self.changed = threading.Condition()
        self.slot = KnowledgeSlot()
        self.encoder = WordEncoder()
        self.models = FollowModels(tiny_evo(), self.encoder, SOURCE_V1, "tiny", states)
        self.tracker = Tracker(
            root, FollowSettings(poll_s=0.2, **settings), self.slot, self._on_change,
            Progress(self.events.append), CommitJournal(states, root),
        )  # fmt: skip

    def _on_change(self):
        with self.changed:
            self.statuses.append(self.tracker.status)
            self.changed.notify_all()

    def wait(self, is_done, timeout_s=20.0):
        until_s = time.monotonic() + timeout_s
        with self.changed:
            while not is_done(self.tracker.status):
                assert time.monotonic() < until_s, self.tracker.status
                self.changed.wait(0.1)
        return self.tracker.status

    def wait_current(self, commit_id):
        return self.wait(lambda s: s.state is FollowState.CURRENT and s.adapter_commit == commit_id)


@pytest.fixture
def followed(repo, tmp_path):
    following = Followed(repo.root, tmp_path / "states")
    following.tracker.start()
    following.tracker.attach(following.models)
    yield following
    following.tracker.close(5.0)


def test_a_commit_publishes_a_new_adapter_for_that_commit(repo, followed):
    first = followed.wait_current(repo.head)
    repo.commit("next.py", "next_thing = 1\n" * 4)
    second = followed.wait_current(repo.head)
    assert second.adapter_id != first.adapter_id
    assert followed.slot.current.commit_id == repo.head
    assert second.commits_behind == 0
    assert second.drift is not None


def test_rolling_back_pins_the_adapter_until_a_refresh(repo, followed):
    first_head = repo.head
    followed.wait_current(first_head)
    second_head = repo.commit("next.py", "next_thing = 1\n" * 4)
    followed.wait_current(second_head)
    assert followed.tracker.roll_back() == first_head
    third_head = repo.commit("more.py", "more_things = 2\n" * 4)
    followed.wait(lambda s: s.head == third_head)
    followed.tracker.attach(followed.models)  # models come back after an unload
    settled = time.monotonic() + 0.5
    while time.monotonic() < settled:
        assert followed.tracker.status.state is FollowState.PINNED
        assert followed.slot.current.commit_id == first_head
        time.sleep(0.01)
    followed.tracker.refresh()
    followed.wait_current(third_head)


def test_rolling_back_without_an_earlier_adapter_does_nothing(repo, followed):
    followed.wait_current(repo.head)
    assert followed.tracker.roll_back() is None
    assert followed.tracker.status.state is FollowState.CURRENT


def test_a_broken_commit_is_reported_and_the_last_good_adapter_stays(repo, followed):
    good_head = repo.head
    followed.wait_current(good_head)
    tree = repo.git("rev-parse", "HEAD^{tree}")
    missing = tree[::-1]
    bad = repo.git(
        "hash-object", "-t", "commit", "-w", "--literally", "--stdin",
        stdin=f"tree {missing}\nparent {good_head}\nauthor a <a@b> 1 +0000\n"
        f"committer a <a@b> 1 +0000\n\nbroken\n".encode(),
    ).strip()  # fmt: skip
    (repo.git_dir / "refs" / "heads" / "main").write_text(bad + "\n")
    status = followed.wait(lambda s: s.state is FollowState.FAILED)
    assert status.detail
    assert followed.slot.current.commit_id == good_head
    (repo.git_dir / "refs" / "heads" / "main").write_text(good_head + "\n")
    followed.wait_current(good_head)


def test_an_unborn_branch_waits_for_its_first_commit(tmp_path):
    repo = GitRepo(tmp_path / "empty")
    following = Followed(repo.root, tmp_path / "states")
    following.tracker.start()
    following.tracker.attach(following.models)
    try:
        following.wait(lambda s: "no commit yet" in s.detail)
        following.wait_current(repo.commit("a.py", "first = 1\n" * 4))
    finally:
        following.tracker.close(5.0)


def test_a_folder_that_is_no_repository_is_reported_not_followed(tmp_path):
    following = Followed(tmp_path, tmp_path / "states")
    following.tracker.start()
    status = following.wait(lambda s: s.state is FollowState.FAILED)
    assert str(tmp_path) in status.detail
    following.tracker.close(5.0)


def test_two_trackers_on_one_repository_agree_and_share_their_states(repo, tmp_path):
    pair = [Followed(repo.root, tmp_path / "states") for _ in range(2)]
    for one in pair:
        one.tracker.start()
        one.tracker.attach(one.models)
    try:
        for number in range(5):
            head = repo.commit("shared.py", f"shared_{number} = 1\n" * 4)
            for one in pair:
                one.wait_current(head)
        assert pair[0].slot.current.adapter_id == pair[1].slot.current.adapter_id
    finally:
        for one in pair:
            one.tracker.close(5.0)
    shared = Following(repo, tmp_path / "nothing")
    shared.store = pair[0].models.store(())
    shared.fold._store = shared.store
    assert torch.equal(shared.state(), Following(repo, tmp_path / "fresh").state())
    assert shared.encoder.n_windows == 0


def test_progress_that_began_always_ends(repo, followed):
    followed.wait_current(repo.head)
    until_s = time.monotonic() + 5
    while time.monotonic() < until_s and not isinstance(followed.events[-1], ProgressEnded):
        time.sleep(0.01)
    began = [e.token for e in followed.events if isinstance(e, ProgressBegan)]
    ended = [e.token for e in followed.events if isinstance(e, ProgressEnded)]
    assert began
    assert began == ended


def test_closing_a_tracker_that_is_still_opening_leaves_no_thread_behind(repo, tmp_path):
    before = threading.active_count()
    for _ in range(5):
        following = Followed(repo.root, tmp_path / "states")
        following.tracker.start()
        assert following.tracker.close(10.0)
    until_s = time.monotonic() + 5
    while threading.active_count() > before and time.monotonic() < until_s:
        time.sleep(0.01)
    assert threading.active_count() <= before


def test_a_folder_that_becomes_a_repository_is_followed_after_a_refresh(tmp_path):
    following = Followed(tmp_path / "later", tmp_path / "states")
    following.tracker.start()
    following.tracker.attach(following.models)
    try:
        following.wait(lambda s: s.state is FollowState.FAILED)
        repo = GitRepo(tmp_path / "later")
        head = repo.commit("a.py", "first = 1\n" * 4)
        following.tracker.refresh()
        following.wait_current(head)
    finally:
        following.tracker.close(5.0)
