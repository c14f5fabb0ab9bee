"""The ledger's rival on equal terms: what it reads, where it is trained, what it refuses."""

from dataclasses import replace

import pytest

from code2lora_lsp.errors import ModelMismatch
from code2lora_lsp.neural.ledger.writes import written_projection
from code2lora_lsp.neural.lora import PROJECTION_NAMES
from code2lora_lsp.repopeftbench.arms import matched_lora
from code2lora_lsp.repopeftbench.arms.gradient import TrainingPlan
from code2lora_lsp.repopeftbench.arms.ledger import LedgerPlan, TreeLedger
from code2lora_lsp.repopeftbench.arms.matched_lora import (
    MATCHED_PLAN,
    MATCHED_PLAN_7,
    MatchedLoraArm,
)
from tests.repopeftbench.tiny_bench import SMALL

PLAN = TrainingPlan(n_steps=2, rows_per_step=1, row_tokens=64, rank=2, alpha=4.0)


@pytest.fixture
def matched(scorer, model_folder):
    def make(most_tokens=80_000, *, is_everywhere=False, plan=PLAN):
        ledger = TreeLedger(scorer.model, model_folder, None, LedgerPlan(most_tokens=most_tokens))
        return ledger, MatchedLoraArm(
            ledger, model_folder, scorer.model.tokenizer, plan, is_everywhere=is_everywhere
        )

    return make


@pytest.mark.parametrize("most_tokens", [60, 80_000])
def test_it_reads_the_very_blocks_that_the_ledger_writes(matched, garage, monkeypatch, most_tokens):
    seen = []
    monkeypatch.setattr(matched_lora, "train_lora", lambda _, files, *__: seen.extend(files))
    ledger, arm = matched(most_tokens)
    arm.adapter(garage)
    written = [block.text for block in ledger._blocks(garage)]
    assert "\n".join(file.text for file in seen) == "\n".join(written)
    assert {file.repository for file in seen} == {garage.repository}
    assert not {file.path for file in seen} & garage.hidden_paths


def test_a_smaller_budget_leaves_text_out(matched, garage):
    few, all_ = (matched(n)[0].written_texts(garage) for n in (60, 80_000))
    assert sum(map(len, few.values())) < sum(map(len, all_.values()))


def test_it_trains_the_projection_that_the_ledger_writes(matched, garage):
    ledger, arm = matched()
    assert list(arm.adapter(garage).pairs) == [written_projection(ledger.decoder)]


def test_the_other_one_trains_every_projection_of_every_layer(matched, garage):
    _, arm = matched(is_everywhere=True)
    assert len(arm.adapter(garage).pairs) == len(PROJECTION_NAMES) * SMALL.n_layers


def test_its_plans_read_everything_three_times():
    for plan in (MATCHED_PLAN, MATCHED_PLAN_7):
        assert plan.steps_for(80_000) == round(3 * 80_000 / 2048)


def test_other_text_places_or_rates_are_other_recipes(matched):
    arms = [
        matched()[1],
        matched(60)[1],
        matched(is_everywhere=True)[1],
        matched(plan=replace(PLAN, rank=3))[1],
    ]
    assert len({arm.recipe_key for arm in arms}) == len(arms)


def test_equal_targets_get_equal_adapters(matched, garage):
    assert len({matched()[1].adapter(garage).adapter_id for _ in range(2)}) == 1


def test_a_backbone_without_a_place_for_the_ledger_has_only_the_other_one(matched, monkeypatch):
    def refuse(_):
        raise ModelMismatch("no down_proj here")

    monkeypatch.setattr(type(matched()[0].decoder), "ledger_site", property(refuse), raising=True)
    assert matched()[1].why_not() == "no down_proj here"
    assert matched(is_everywhere=True)[1].why_not() is None
