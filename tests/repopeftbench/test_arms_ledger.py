"""The ledger as an arm: what it reads, what it writes, what it refuses."""

import json
from dataclasses import replace

import pytest
import torch

from code2lora_lsp.neural.decoder import Decoder
from code2lora_lsp.neural.ledger.population import save_population
from code2lora_lsp.neural.ledger.readout import ReadoutPlan, nats_with
from code2lora_lsp.neural.ledger.writes import written_projection
from code2lora_lsp.repopeftbench.arms.adapter_arm import Adapting
from code2lora_lsp.repopeftbench.arms.arm import CannotPrepare
from code2lora_lsp.repopeftbench.arms.known_tree import read_known_tree
from code2lora_lsp.repopeftbench.arms.ledger import LedgerArm, LedgerPlan, TreeLedger, _shuffled
from code2lora_lsp.runtime import one_shot_ledger
from code2lora_lsp.runtime.block_writer import BlockWriter
from code2lora_lsp.text.blocks import Block
from code2lora_lsp.training.population import population_of
from tests.gitrepo import GitRepo
from tests.repopeftbench.tiny_bench import CAR, ENGINE, PANTRY, SMALL, garage_item, make_pantry

torch.set_num_threads(1)

PLAN = LedgerPlan(ReadoutPlan(step=0.2, prior_tokens=50.0))
"""Few prior tokens: these repositories have a few hundred."""


SHOP = """import json


def read_prices(path):
    with open(path) as file:
        return {name: float(price) for name, price in json.load(file).items()}


class Till:
    def total(self, names):
        return sum(self.prices[name] for name in names)
"""


def write_population(corpus, model_folder):
    """Population statistics of two made-up training repositories, kept with their corpus."""
    (corpus / "train").mkdir(parents=True, exist_ok=True)
    for name, text in (("a+one", SHOP), ("b+two", PANTRY)):
        record = json.dumps({"path": "a.py", "text": text})
        (corpus / "train" / f"{name}.jsonl").write_text(record + "\n")
    path = corpus / "population.safetensors"
    save_population(population_of(corpus, model_folder, 300), path)
    return path


@pytest.fixture(scope="module")
def population(tmp_path_factory, model_folder):
    return write_population(tmp_path_factory.mktemp("corpus"), model_folder)


@pytest.fixture
def ledger(scorer, model_folder, population):
    return TreeLedger(scorer.model, model_folder, population, PLAN)


def update_of(arm, target):
    adapter = arm.adapter(target)
    (pair,) = adapter.pairs.values()
    return pair.delta(adapter.scale)


def test_the_adapter_makes_the_repositorys_own_code_likelier_than_anothers_does(
    ledger, garage, tmp_path
):
    arm, pantry = LedgerArm(ledger), make_pantry(tmp_path)
    own, other = update_of(arm, garage), update_of(arm, pantry)
    writes = BlockWriter(ledger.decoder, ledger._model.tokenizer).writes(Block("# b.py\n", ENGINE))
    nats = [nats_with(ledger.decoder, writes, update) for update in (own, None, other)]
    assert nats[0] < min(nats[1:]) - 0.02


def test_the_adapter_is_one_pair_of_the_last_down_proj_and_names_its_commit(ledger, garage):
    adapter = LedgerArm(ledger).adapter(garage)
    assert list(adapter.pairs) == [written_projection(ledger.decoder)]
    assert adapter.commit_id == garage.known_commit_id
    assert adapter.rank == SMALL.width


def test_equal_targets_get_equal_adapters(ledger, scorer, model_folder, population, garage):
    again = TreeLedger(scorer.model, model_folder, population, PLAN)
    ids = {LedgerArm(one).adapter(garage).adapter_id for one in (ledger, again)}
    assert len(ids) == 1
    assert LedgerArm(ledger, 4).adapter(garage).adapter_id not in ids


def test_a_low_rank_is_near_the_whole_and_a_rank_too_large_is_the_whole(ledger, garage):
    whole = update_of(LedgerArm(ledger), garage)
    distances = [
        float((update_of(LedgerArm(ledger, rank), garage) - whole).norm() / whole.norm())
        for rank in (1, 8, 64)
    ]
    assert distances[0] > distances[1] > distances[2]
    assert distances[2] < 1e-4


def test_hidden_files_are_not_written(ledger, garage):
    n_tokens = ledger.readout(garage).statistics.n_tokens
    shown = ledger.readout(replace(garage, hidden_paths=frozenset())).statistics.n_tokens
    n_hidden = len(ledger._model.tokenizer.encode(CAR))
    assert n_hidden * 0.9 < shown - n_tokens <= n_hidden
    assert {file.path for file in read_known_tree(garage).files}.isdisjoint(garage.hidden_paths)


def test_two_arms_of_one_ledger_write_a_tree_once(ledger, garage, monkeypatch):
    asked = []
    blocks = ledger._blocks
    monkeypatch.setattr(ledger, "_blocks", lambda target: asked.append(target) or blocks(target))
    LedgerArm(ledger).adapter(garage)
    LedgerArm(ledger, 4).adapter(garage)
    assert asked == [garage]


def test_the_shuffled_control_has_the_same_keys_and_errors_in_other_pairs(ledger, garage):
    own, shuffled = LedgerArm(ledger), LedgerArm(ledger, is_shuffled=True)
    assert shuffled.name == "ledger-shuffled"
    assert torch.equal(update_of(shuffled, garage), update_of(shuffled, garage))
    assert not torch.allclose(update_of(shuffled, garage), update_of(own, garage), rtol=0.1)
    before = ledger.writes(garage)
    after = _shuffled(before, garage.seed)
    assert torch.equal(after.keys, before.keys)
    assert torch.equal(after.errors.sort(0).values, before.errors.sort(0).values)
    moved = (after.errors != before.errors).any(1).float().mean()
    assert moved > 0.9


def test_no_more_tokens_are_written_than_asked_for(scorer, model_folder, population, garage):
    few = TreeLedger(scorer.model, model_folder, population, replace(PLAN, most_tokens=100))
    assert 100 <= few.readout(garage).statistics.n_tokens < 400
    many = TreeLedger(scorer.model, model_folder, population, PLAN)
    assert many.readout(garage).statistics.n_tokens > few.readout(garage).statistics.n_tokens


def test_where_every_step_does_harm_there_is_no_adapter(ledger, garage, monkeypatch):
    held_out = []

    def nothing_helps(decoder, direction, writes, step):
        held_out.append(writes.n_tokens)
        return 0.0

    monkeypatch.setattr(one_shot_ledger, "choose_step", nothing_helps)
    assert LedgerArm(ledger).adapter(garage) is None
    assert 0 < held_out[0] < 0.5 * ledger.readout(garage).statistics.n_tokens


def test_a_tree_without_source_cannot_be_prepared(ledger, garage, tmp_path):
    repo = GitRepo(tmp_path)
    repo.commit("empty.py", "\n")
    target = replace(garage, git_dir=repo.git_dir, known_commit_id=repo.head)
    with pytest.raises(CannotPrepare, match="0 tokens"):
        LedgerArm(ledger).adapter(replace(target, hidden_paths=frozenset()))


def test_why_not_names_what_is_missing(scorer, model_folder, population, tmp_path):
    def reason(path):
        return TreeLedger(scorer.model, model_folder, path, PLAN).why_not()

    assert reason(population) is None
    assert "--population" in reason(None)
    assert "does not exist" in reason(tmp_path / "absent.safetensors")
    (tmp_path / "bad.safetensors").write_bytes(b"no")
    assert "damaged" in reason(tmp_path / "bad.safetensors")


def test_the_recipe_key_follows_plan_population_and_rank(scorer, model_folder, population, ledger):
    other = TreeLedger(scorer.model, model_folder, population, replace(PLAN, most_tokens=7))
    keys = {
        LedgerArm(ledger).recipe_key, LedgerArm(ledger, 8).recipe_key, LedgerArm(other).recipe_key,
        LedgerArm(ledger, is_shuffled=True).recipe_key,
    }  # fmt: skip
    assert len(keys) == 4


def test_the_arm_answers_items_and_a_kept_adapter_is_the_same(scorer, ledger, garage, tmp_path):
    arm = Adapting(LedgerArm(ledger), scorer, tmp_path)
    (answer,) = arm.prepare(garage).answer([garage_item(garage)])
    (again,) = (
        Adapting(LedgerArm(ledger), scorer, tmp_path).prepare(garage).answer([garage_item(garage)])
    )
    assert answer.target_nats == again.target_nats
    assert isinstance(scorer.model.backbone, Decoder)
