"""The ledger follows real histories: exact, bounded, never through a secret."""

import random
import sys

import pytest
import torch

from code2lora_lsp.cancellation import Cancellation, Cancelled
from code2lora_lsp.errors import GitReadFailed
from code2lora_lsp.runtime import ledger_writer
from code2lora_lsp.runtime.ledger_state import KEPT_PER_REPOSITORY
from code2lora_lsp.runtime.ledger_writer import writer_fingerprint
from tests.gitrepo import GitRepo
from tests.runtime.ledger_following import (
    LedgerFollowing,
    assert_is_its_tree,
    assert_same_bits,
    fresh,
    function,
    source,
)  # fmt: skip

NAMES = ("prices", "totals", "orders", "carts", "owners", "stamps")


def rebased(repo):
    repo.branch("topic", at="HEAD~3")
    repo.commit("topic.py", source(7, 8))
    repo.rebase("main")


def amended(repo):
    repo.amend("m0.py", source(9))


def reset(repo):
    repo.reset("HEAD~2")


def switched(repo):
    repo.branch("other", at="HEAD~4")
    repo.commit("other.py", source(1, 2))


def merged(repo):
    repo.branch("side", at="HEAD~2")
    repo.commit("side.py", source(5))
    repo.switch("main")
    repo.merge("side")


def reverted(repo):
    repo.git("revert", "--no-edit", "HEAD")


def renamed(repo):
    repo.move("m0.py", "package/m0.py")
    repo.commit()


def removed(repo):
    repo.commit("m1.py", None)


def emptied(repo):
    repo.commit({"m0.py": None, "m1.py": None, "m2.py": None})


def made_a_link(repo):
    repo.commit("m0.py", None)
    (repo.root / "m0.py").symlink_to("m1.py")
    repo.git("add", "m0.py")
    repo.commit()


@pytest.mark.parametrize(
    "event",
    [rebased, amended, reset, switched, merged, reverted, renamed, removed, emptied, made_a_link],
    ids=lambda event: event.__name__,
)
def test_the_state_after_any_event_is_that_of_the_tree_written_from_nothing(
    repo, following, tmp_path, event
):
    following.state()
    event(repo)
    assert_is_its_tree(following.state(), repo, tmp_path)


@pytest.mark.parametrize("seed", range(4))
def test_random_histories_end_in_the_bits_of_their_tree(repo, tmp_path, seed):
    """Also where only a share of the blocks is written, and where only some HEADs are seen."""
    draw = random.Random(seed)
    budget = {"most_tokens": draw.choice([600, 2_000, 100_000])}
    following = LedgerFollowing(repo, tmp_path / "states", **budget)
    for turn in range(12):
        path = draw.choice(["m0.py", "m1.py", "p/a.py", "p/b.py"])
        name, numbers = draw.choice(NAMES), draw.sample(range(9), draw.randint(1, 6))
        kind = draw.choice(["edit", "edit", "edit", "revert", "branch", "merge", "amend"])
        if kind == "revert":
            repo.git("read-tree", "-u", "--reset", "HEAD~1")  # a merge too
            repo.commit()
        elif kind == "branch":
            repo.branch(f"b{turn}", at=draw.choice(["HEAD", "HEAD~2"]))
        elif kind == "merge":
            repo.branch(f"b{turn}", at="HEAD")
            repo.commit(f"only_{turn}.py", source(*numbers, name=name))
            repo.switch("main")
            repo.git("merge", "-q", "--no-ff", "-X", "theirs", "-m", "merge", f"b{turn}")
        elif kind == "amend":
            repo.amend(path, source(*numbers, name=name))
        else:
            repo.commit(path, source(*numbers, name=name))
        if draw.random() < 0.7:
            following.points()
    assert_is_its_tree(following.state(), repo, tmp_path, **budget)


def test_a_commit_writes_its_own_blocks_and_no_other(repo, following):
    following.state()
    text = source(*range(40), name="totals")
    repo.commit("big.py", text)
    following.state()
    changed = text.replace("item.totals + 7 ", "item.totals + 77 ")
    repo.commit("big.py", changed)
    written = following.written_by(following.points)
    assert [block.text for block in written] == [
        function("totals", 7), function("totals", 7).replace("+ 7 ", "+ 77 "),
    ]  # fmt: skip
    repo.write("m9.py", source(1))
    repo.commit()
    following.state()
    repo.move("m9.py", "moved.py")
    repo.commit()
    assert len(following.written_by(following.points)) == 4, "a path is part of a block"


def test_the_same_head_and_a_restart_write_nothing(repo, following, tmp_path):
    first = following.state()
    assert following.written_by(following.points) == []
    again = LedgerFollowing(repo, tmp_path / "states")
    assert_same_bits(again.state(), first)
    assert again.written == []
    assert again.follower._state.step == first.step
    assert again.knowledge().knowledge_id == following.knowledge().knowledge_id


def test_a_branch_switch_back_reads_what_was_stored(repo, following):
    following.state()
    switched(repo)
    following.state()
    repo.switch("main")
    assert following.written_by(following.points) == []


def test_a_commit_without_source_writes_nothing_and_stands_for_itself(repo, following):
    first = following.knowledge()
    repo.commit("README.md", "words\n")
    assert following.written_by(following.points) == []
    second = following.knowledge()
    assert second.commit_id == repo.head
    assert torch.equal(*(next(iter(k.adapter.pairs.values())).a for k in (first, second)))


def test_a_tree_that_changes_altogether_is_written_anew_because_that_is_cheaper(repo, following):
    following.state()
    repo.commit({f"m{n}.py": source(*range(3), name="owners") for n in range(3)})
    written = following.written_by(following.points)
    n_blocks = 3 * 4
    assert len([b for b in written if "owners" in b.text or "import" in b.text]) >= n_blocks
    assert not [b for b in written if "prices" in b.text], "nothing old was written to be removed"


def test_a_damaged_state_is_rebuilt(repo, following, tmp_path):
    first = following.state()
    (path,) = (tmp_path / "states").rglob("*.safetensors")
    content = bytearray(path.read_bytes())
    content[-20] ^= 1
    path.write_bytes(content)
    again = LedgerFollowing(repo, tmp_path / "states")
    assert_same_bits(again.state(), first)
    assert again.written


def test_a_state_that_contradicts_its_tree_is_found_out_and_written_anew(repo, following, tmp_path):
    """As if rules of redaction had changed without a new name: ids differ on removal."""
    state = following.state()
    block_id, block = next(iter(state.blocks.known.items()))
    wrong = dict(state.blocks.known)
    del wrong[block_id]
    wrong["f" * 32] = block
    changed = type(state.blocks)(wrong)
    following.follower._states.save(
        type(state)(**{**vars(state), "blocks": changed, "written": changed})
    )
    again = LedgerFollowing(repo, tmp_path / "states")
    emptied(repo)
    repo.commit("m0.py", source(1))
    assert_is_its_tree(again.state(), repo, tmp_path)


@pytest.mark.skipif(sys.platform == "darwin", reason="its file systems refuse such names")
def test_a_file_whose_name_is_no_utf_8_is_left_out_until_it_is_renamed(repo, following, tmp_path):
    nameless = "package/caf\udce9.py"
    repo.commit({nameless: source(6, 7), "m0.py": source(8)})
    assert_is_its_tree(following.state(), repo, tmp_path)
    headers = {block.header for block in following.written}
    assert "# m0.py\n" in headers
    assert not any("caf" in header for header in headers)
    repo.move(nameless, "package/café.py")
    repo.commit()
    assert_is_its_tree(following.state(), repo, tmp_path)
    assert "# package/café.py\n" in {block.header for block in following.written}


def test_states_of_another_writer_are_not_read(repo, following, tmp_path, monkeypatch):
    following.state()
    monkeypatch.setattr(ledger_writer, "RULES", "ledger-state-0")
    again = LedgerFollowing(repo, tmp_path / "states")
    assert_same_bits(again.state(), following.state())
    assert again.written


def test_all_that_can_change_a_bit_is_in_the_writers_fingerprint(monkeypatch):
    cpu = torch.device("cpu")
    names = {writer_fingerprint("nano", device=cpu), writer_fingerprint("nano2", device=cpu)}
    changes = [
        (torch, "__version__", "1.0"),
        (torch, "get_num_threads", lambda: 64),
        (torch.backends.cpu, "get_cpu_capability", lambda: "ABACUS"),
        (ledger_writer.platform, "machine", lambda: "pdp11"),
        (ledger_writer, "REDACTION", "redacted1"),
    ]
    for where, name, value in changes:
        with monkeypatch.context() as patch:
            patch.setattr(where, name, value)
            names.add(writer_fingerprint("nano", device=cpu))
    assert len(names) == 2 + len(changes)


def test_only_the_newest_states_of_a_repository_are_kept(repo, following, tmp_path):
    other = GitRepo(tmp_path / "other")
    other.commit("x.py", source(3, name="other"))
    LedgerFollowing(other, tmp_path / "states").state()
    for number in range(KEPT_PER_REPOSITORY + 2):
        repo.commit("n.py", source(number, name="stamps"))
        following.state()
    kept = following.store.keys("ledger")
    assert len(kept) == KEPT_PER_REPOSITORY + 1
    assert repo.head in kept
    assert other.head in kept


def test_a_commit_that_was_collected_is_no_start(repo, following, tmp_path):
    repo.branch("gone")
    repo.commit("gone.py", source(1, 2, 3))
    following.state()
    repo.switch("main")
    repo.commit("kept.py", source(4))
    repo.git("branch", "-D", "gone")
    repo.git("reflog", "expire", "--expire=now", "--all")
    repo.gc()
    assert_is_its_tree(following.state(), repo, tmp_path)
    again = LedgerFollowing(repo, tmp_path / "states")
    assert again.written_by(again.points) == []


def test_a_missing_blob_of_head_stops_the_run_and_leaves_the_last_state(repo, following):
    good = following.state()
    repo.commit("broken.py", source(1))
    blob = repo.git("rev-parse", "HEAD:broken.py")
    path = repo.git_dir / "objects" / blob[:2] / blob[2:]
    path.chmod(0o644)
    path.unlink()
    with pytest.raises(GitReadFailed, match=blob):
        following.points()
    assert following.follower._state is good
    repo.reset("HEAD~1")
    assert following.written_by(following.points) == []


SECRET = "ghp_" + "a1B2c3D4e5" * 4


def test_a_secret_reaches_neither_ledger_nor_table(repo, tmp_path):
    repo.commit(
        {
            "leaky.py": f'TOKEN = "{SECRET}"\n\n\ndef call():\n    return TOKEN\n',
            ".ssh/helper.py": "inside = 'a folder of secrets'\n",
            "private/plan.py": "outside = 'what the user excludes'\n",
        }
    )
    following = LedgerFollowing(repo, tmp_path / "states", exclude=("private/",))
    following.state()
    read = "".join(block.header + block.text for block in following.written)
    assert "REDACTED" in read
    for hidden in (SECRET, SECRET[10:30], ".ssh", "excludes"):
        assert hidden not in read
    contents = {"leaky.py": f'OTHER = "{SECRET}"\n'.encode(), ".ssh/helper.py": b"x = 1\n"}
    found = following.follower.edited(repo.head, contents, Cancellation())
    assert found.paths == {"leaky.py"}
    assert SECRET[10:30] not in "".join(block.text for block in following.written)
    stored = b"".join(path.read_bytes() for path in (tmp_path / "states").rglob("*.*"))
    assert SECRET.encode() not in stored


def test_above_the_budget_a_share_is_written_that_only_a_power_of_two_changes(repo, tmp_path):
    repo.commit("big.py", source(*range(60), name="carts"))
    whole = fresh(repo, tmp_path)
    total = whole.blocks.n_tokens
    following = LedgerFollowing(repo, tmp_path / "states", most_tokens=total // 3)
    state = following.state()
    assert 0 < state.written.n_tokens < total / 2
    assert state.blocks.n_tokens == total, "every block is known, and counted by the table"
    assert state.table.memory_id == whole.table.memory_id
    before = set(state.written.known)
    repo.commit("more.py", source(61, 62, name="carts"))
    after = following.state()
    kept = {i for i in before if i in after.blocks.known}
    assert kept == before == set(after.written.known) & before
    assert_is_its_tree(after, repo, tmp_path, "again", most_tokens=total // 3)
    repo.commit("twice.py", source(*range(120), name="owners"))
    assert_is_its_tree(following.state(), repo, tmp_path, "twice", most_tokens=total // 3)


def test_above_its_own_budget_the_table_counts_a_share_and_the_shelf_holds_it(repo, tmp_path):
    repo.commit("big.py", source(*range(60), name="carts"))
    budget = {"most_table_tokens": fresh(repo, tmp_path).blocks.n_tokens // 3}
    following = LedgerFollowing(repo, tmp_path / "states", **budget)
    state = following.state()
    assert 0 < len(state.shelf.blocks) < len(state.blocks.known) / 2
    assert state.written == state.blocks
    repo.commit("more.py", source(61, 62, 63, 64, 65, name="carts"))
    after = following.state()
    assert_is_its_tree(after, repo, tmp_path, **budget)
    restarted = LedgerFollowing(repo, tmp_path / "states", **budget)
    assert restarted.written_by(lambda: assert_same_bits(restarted.state(), after)) == []


class AfterSomeBlocks(Cancellation):
    """Cancels at the n-th check."""

    def __init__(self, n_checks):
        super().__init__()
        self.left = n_checks

    def check(self):
        self.left -= 1
        if self.left < 0:
            self.cancel("enough")
        super().check()


@pytest.mark.parametrize("first", [8, 12, 20])
@pytest.mark.parametrize("second", [5, 9, 15])
def test_an_interrupted_run_goes_on_from_there_also_to_another_commit(
    repo, following, tmp_path, monkeypatch, first, second
):
    monkeypatch.setattr(ledger_writer, "GROUP_TOKENS", 1)  # keep each block at once
    with pytest.raises(Cancelled):
        following.points(AfterSomeBlocks(first))
    n_kept = len(following.follower._state.written.known) if following.follower._state else 0
    repo.commit("m0.py", source(*range(6), name="stamps"))
    with pytest.raises(Cancelled):
        following.points(AfterSomeBlocks(second))
    repo.commit({"m1.py": None, "new.py": source(1, name="owners")})
    assert_is_its_tree(following.state(), repo, tmp_path)
    if first > 8:
        assert n_kept
