"""Extraction on a real repository with a tiny backbone: the ledger follows, tokens are kept."""

from collections import Counter

import pytest
import torch

from code2lora_lsp.errors import GitReadFailed, ModelMismatch
from code2lora_lsp.history.repository import Repository as GitRepository
from code2lora_lsp.neural.commit_memory import Metric, OutputHead, nats_of
from code2lora_lsp.neural.ledger.population import PopulationSum
from code2lora_lsp.neural.ledger.readout import ReadoutPlan
from code2lora_lsp.runtime.block_writer import BlockWriter
from code2lora_lsp.runtime.model_loading import load_model
from code2lora_lsp.text.blocks import Block, blocks_of
from code2lora_lsp.training.commit_memory.extraction import FeaturePlan
from code2lora_lsp.training.commit_memory.features import read_repository
from code2lora_lsp.training.commit_memory.history import HistoryReader
from code2lora_lsp.training.commit_memory.inputs import N_LIVE, Telling, prepared
from code2lora_lsp.training.commit_memory.ledger_track import LedgerTrack, TrackPlan
from code2lora_lsp.training.commit_memory.marks import Mark
from code2lora_lsp.training.commit_memory.reading import BlockReader
from code2lora_lsp.training.commit_memory.stored import load_repository, save_repository
from tests.gitrepo import GitRepo
from tests.repopeftbench.tiny_bench import CAR, ENGINE, PANTRY, SETTINGS, WHEELS, write_model


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return load_model(write_model(tmp_path_factory.mktemp("models") / "tiny"), SETTINGS, print)


@pytest.fixture(scope="module")
def population(model):
    writer = BlockWriter(model.backbone, model.tokenizer)
    sums = PopulationSum(model.backbone.ledger_site.width, model.backbone.ledger_site.inner_width)
    for text in (ENGINE, CAR, WHEELS, PANTRY):
        for block in blocks_of("a.py", text):
            sums.add(writer.writes(block))
    return sums.population("tiny")


@pytest.fixture(scope="module")
def repo(tmp_path_factory):
    repo = GitRepo(tmp_path_factory.mktemp("repo"))
    for n in range(5):
        repo.commit(f"garage/part{n}.py", f"def part_{n}(bolts):\n    return bolts * {n}\n")
    repo.commit("garage/engine.py", ENGINE)
    repo.commit("README.txt", "nothing to read here\n")
    repo.commit("garage/wheels.py", WHEELS)
    repo.commit("garage/wheels.py", WHEELS + "\n\ndef puncture_tyre():\n    return inflate_all()\n")
    repo.commit("garage/part0.py", None)
    return repo


@pytest.fixture(scope="module")
def stored(model, population, repo):
    plan = FeaturePlan(n_commits=4, items=20, writes=6)
    return read_repository(
        model, "tiny", population, repo.git_dir, "ada/garage", frozenset({b"return"}), plan
    )


def test_blocks_read_together_are_blocks_read_alone(model):
    blocks = [*blocks_of("a.py", ENGINE), *blocks_of("b.py", CAR), Block("# c.py\n", "x = 1\n")]
    writer = BlockWriter(model.backbone, model.tokenizer)
    together = BlockReader(model.backbone, model.tokenizer).read(blocks)
    for block, states in zip(blocks, together, strict=True):
        alone = writer.writes(block)
        assert torch.equal(states.next_ids, alone.next_ids)
        assert torch.allclose(states.keys, alone.keys, atol=1e-4)
        assert torch.allclose(states.outputs, alone.outputs, atol=1e-4)


def test_a_stretch_begins_in_the_middle_and_skips_what_changes_no_block(repo):
    history = HistoryReader(GitRepository.at_git_dir(repo.git_dir))
    stretch = history.stretch(4)
    assert {block.header for block in stretch.blocks} == {
        f"# garage/part{n}.py\n" for n in range(5)
    }
    added = [[block.header for block in commit.added] for commit in history.commits(stretch)]
    wheels = "# garage/wheels.py\n"
    assert [set(one) for one in added] == [{"# garage/engine.py\n"}, {wheels}, {wheels}, set()]


def test_a_repository_of_one_commit_cannot_be_followed(tmp_path):
    repo = GitRepo(tmp_path)
    repo.commit("a.py", "x = 1\n")
    with pytest.raises(GitReadFailed, match="1 commits touch source"):
        HistoryReader(GitRepository.at_git_dir(repo.git_dir)).stretch(5)


def test_a_ledger_that_followed_is_the_ledger_of_the_tree(model, population):
    """Blocks that came and went leave nothing; rounding of batched reading aside."""
    reader = BlockReader(model.backbone, model.tokenizer)
    first, later = blocks_of("a.py", ENGINE), blocks_of("b.py", CAR)
    track = LedgerTrack(model.backbone, reader, population, TrackPlan())
    track.start(Counter(first))
    track.step = 0.1  # a random backbone gains nothing from any
    track.change([], [])
    before = track.update.clone()
    pairs = list(zip(later, reader.read(later), strict=True))
    track.change([], pairs)
    assert not torch.allclose(track.update, before, rtol=1e-3)
    assert track.held([*later, later[0]]) == later
    track.change(pairs, [])
    assert torch.allclose(track.update, before, rtol=1e-3, atol=1e-5)
    assert track.held(later) == []


def test_a_tree_above_its_budget_is_written_in_part(model, population):
    reader = BlockReader(model.backbone, model.tokenizer)
    blocks = Counter(blocks_of("a.py", ENGINE) + blocks_of("b.py", CAR) + blocks_of("c.py", WHEELS))
    n_all = sum(len(reader.text_ids(block)) for block in blocks)
    track = LedgerTrack(model.backbone, reader, population, TrackPlan(tree_tokens=n_all // 2 + 20))
    track.start(blocks)
    assert 0 < track.n_tokens <= n_all // 2 + 20


def test_only_fresh_tokens_are_kept_and_no_more_than_asked(stored):
    features = stored.features
    assert stored.card["n_commits"] == features.n_commits == 4
    assert ((features.marks & Mark.FRESH) != 0).all()
    for commit in range(features.n_commits):
        rows = features.rows(commit)
        assert int(features.is_item[rows].sum()) <= 20
        assert int(features.is_write[rows].sum()) <= 6
    assert (features.is_item | features.is_write).all()
    assert len(features.next_ids[features.rows(3)]) == 0  # the commit that only removes


def test_a_name_of_the_tree_is_known_and_one_that_comes_is_not(model, stored):
    pieces = model.tokenizer.token_bytes()
    features, rows = stored.features, stored.features.rows(2)
    known = [
        pieces[int(token)]
        for token, mark in zip(features.next_ids[rows], features.marks[rows], strict=True)
        if int(mark) & Mark.KNOWN
    ]
    spelled = b"".join(known)
    assert b"inflate_all".find(spelled.strip()[:3]) >= 0 or not known
    assert b"puncture" not in spelled


def test_the_most_surprising_tokens_are_written(model, stored):
    features, head = stored.features, OutputHead.of(model.backbone.ledger_site)
    rows = features.rows(0)
    nats = nats_of(features.before[rows].float(), features.next_ids[rows].long(), head)
    is_write = features.is_write[rows]
    assert float(nats[is_write].min()) >= float(nats[~is_write].max()) - 0.05


def test_stored_features_come_back_and_fit_only_their_backbone(stored, tmp_path):
    path = tmp_path / "a.safetensors"
    save_repository(stored, path)
    again = load_repository(path, "tiny")
    assert again.card == stored.card
    assert torch.equal(again.features.keys, stored.features.keys)
    with pytest.raises(ModelMismatch, match="of backbone tiny"):
        load_repository(path, "other")


def test_what_a_gru_is_told_is_standardised_over_training(stored, population):
    metric = Metric.of(population, ReadoutPlan())
    telling = Telling(metric, [stored.features])
    told = telling(stored.features)
    assert told.shape == (stored.features.n_commits, telling.width)
    assert torch.allclose(told.mean(0), torch.zeros(telling.width), atol=1e-4)
    assert not told[:, -N_LIVE:].any()


def test_an_update_over_white_keys_is_the_ledgers(stored, population):
    metric = Metric.of(population, ReadoutPlan())
    repository = prepared(stored, metric, Telling(metric, [stored.features]))
    items, features = repository.items[0], stored.features
    keys = features.keys[features.rows(0)][features.is_item[features.rows(0)]].float()
    by_white = items.keys @ repository.updates[-1].T
    assert torch.allclose(by_white, keys @ features.updates[-1].float().T, rtol=1e-2, atol=1e-3)
