"""What completions get of a ledger: on the way, with edits, with a step, on a ladder."""

import torch

from code2lora_lsp.cancellation import Cancellation
from code2lora_lsp.neural.ledger.ladder import N_RUNGS, Ladder
from code2lora_lsp.runtime import ledger_reader, ledger_writer
from code2lora_lsp.runtime.knowledge import STILL_READING
from code2lora_lsp.runtime.ledger_models import no_sharp
from code2lora_lsp.runtime.ledger_reader import BESIDE_TABLE, NO_SOURCE, NO_STEP
from code2lora_lsp.text.blocks import Block
from code2lora_lsp.text.views import counted_texts
from tests.fakes import ByteTokenizer
from tests.gitrepo import GitRepo
from tests.runtime.ledger_following import (
    LedgerFollowing,
    assert_same_shelf,
    fresh,
    source,
    tiny_models,
)


def test_on_the_way_the_table_is_known_first_and_the_end_is_the_tree(repo, following, monkeypatch):
    monkeypatch.setattr(ledger_writer, "GROUP_TOKENS", 200)
    points = following.points()
    assert len(points) > 3
    assert [p.behind for p in points] == sorted((p.behind for p in points), reverse=True)
    assert {p.commit_id for p in points} == {repo.head}
    assert all(p.commits_behind is None for p in points[:-1])
    first, last = points[0].knowledge(), points[-1].knowledge()
    assert first.adapter is None
    assert first.why_no_adapter == STILL_READING
    assert first.sharp.memory_id == last.sharp.memory_id
    assert last.adapter is not None
    assert last.why_no_adapter == ""


def test_edits_are_known_and_leave_no_trace(repo, following, tmp_path):
    state, head = following.state(), repo.head
    committed = following.knowledge()
    edited = {"m0.py": source(77, 78, name="stamps").encode(), "untracked.py": b"x = 1\n"}
    found = following.follower.edited(head, edited, Cancellation())
    assert found.paths == found.knowledge.edited == {"m0.py"}
    assert found.knowledge.commit_id == head
    repo.commit("m0.py", edited["m0.py"])
    as_committed = LedgerFollowing(repo, tmp_path / "fresh").knowledge()
    assert found.knowledge.sharp.memory_id == as_committed.sharp.memory_id
    assert_same_shelf(found.knowledge.sharp.shelf, as_committed.sharp.shelf)
    repo.reset(head)
    assert following.follower._state is state
    back = following.follower.edited(
        head, {"m0.py": (repo.root / "m0.py").read_bytes()}, Cancellation()
    )
    assert back.paths == frozenset()
    assert back.knowledge.knowledge_id == committed.knowledge_id
    gone = following.follower.edited(head, {"m0.py": None}, Cancellation())
    assert gone.paths == {"m0.py"}
    assert following.follower.edited("0" * 40, edited, Cancellation()) is None


def test_a_step_stands_until_a_twentieth_of_the_ledger_moved(repo, following, monkeypatch):
    chosen = []
    choose = ledger_reader.choose_step
    monkeypatch.setattr(ledger_reader, "choose_step", lambda *a: (chosen.append(1), choose(*a))[1])
    repo.commit("big.py", source(*range(60), name="carts"))
    following.state()
    assert chosen == [1]
    repo.commit("m0.py", source(3, 4, 5, 7))
    following.state()
    assert chosen == [1]
    repo.commit("m1.py", source(*range(50, 62), name="owners"))
    following.state()
    assert chosen == [1, 1]


def test_beside_a_table_the_adapter_holds_back_and_an_export_does_not(repo, tmp_path):
    beside = LedgerFollowing(repo, tmp_path / "states").knowledge().adapter
    alone = LedgerFollowing(repo, tmp_path / "states", sharpen=no_sharp).knowledge().adapter
    (projection,) = alone.pairs
    whole = alone.pairs[projection].delta(alone.scale)
    assert torch.equal(beside.pairs[projection].delta(beside.scale), BESIDE_TABLE * whole)
    models = tiny_models(tmp_path / "states")
    full, kept = models.exported(beside, rank=1_000)
    assert torch.equal(full.pairs[projection].delta(full.scale), whole)
    assert kept == 1.0
    half, kept = models.exported(beside, rank=min(whole.shape) // 2)
    lost = (half.pairs[projection].delta(half.scale) - whole).norm()
    assert 0 < lost < 0.5 * whole.norm()
    assert 0.5 < kept < 1.0


def test_too_little_to_choose_a_step_on_is_no_adapter(tmp_path):
    repo = GitRepo(tmp_path / "small")
    repo.commit("a.py", "x = 1\n")
    known = LedgerFollowing(repo, tmp_path / "states").knowledge()
    assert known.adapter is None
    assert known.why_no_adapter == NO_STEP
    assert known.sharp.table.n_tokens == sum(map(len, counted_texts(Block("# a.py\n", "x = 1\n"))))
    empty = GitRepo(tmp_path / "empty")
    empty.commit("README.md", "words\n")
    known = LedgerFollowing(empty, tmp_path / "states").knowledge()
    assert known.adapter is None
    assert known.why_no_adapter == NO_SOURCE


def test_a_ladder_stays_until_four_tenths_of_the_ledger_moved(repo, following):
    repo.commit("big.py", source(*range(60), name="carts"))
    first = following.state()
    repo.commit("m0.py", source(3, 4, 5, 7))
    second = following.state()
    assert second.ladder is first.ladder
    assert 0 < second.n_since_ladder < 0.4 * second.statistics.n_tokens
    repo.commit("other.py", source(*range(60), name="owners"))
    third = following.state()
    assert third.ladder is not first.ladder
    assert not torch.equal(third.ladder.rungs[-1], first.ladder.rungs[-1])


def test_later_parts_are_written_under_what_the_earlier_ones_left(repo, following, tmp_path):
    state = following.state()
    rungs = [float(rung.float().norm()) for rung in state.ladder.rungs]
    assert len(rungs) == N_RUNGS - 1
    assert min(rungs) > 0
    flat = Ladder(tuple(torch.zeros_like(rung) for rung in state.ladder.rungs))
    alone = fresh(repo, tmp_path, "flat", ladder=flat)
    assert state.statistics.keys.equal(alone.statistics.keys)
    assert not state.statistics.values.equal(alone.statistics.values)


def test_the_table_knows_how_a_definition_will_be_used(repo, following):
    repo.commit("pkg/tools.py", "def sharpen(blade, *, angle=20):\n    return blade, angle\n")
    tokenizer, table = ByteTokenizer(), following.state().table
    *_, longest = table.find(tokenizer.encode("from pkg.tools import "))
    next_ids = set(table.rows.next_ids[longest.start : longest.stop].tolist())
    assert tokenizer.encode("s")[0] in next_ids
