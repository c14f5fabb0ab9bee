"""The sharp memory as an arm: it knows the known tree, and nothing that is hidden."""

from dataclasses import replace

import numpy as np
import pytest

from code2lora_lsp.neural.lora import LoraAdapter
from code2lora_lsp.neural.sharp.evidence import FEATURES
from code2lora_lsp.neural.sharp.gate import Gate, save_gate
from code2lora_lsp.repopeftbench.arms.adapter_arm import Adapting
from code2lora_lsp.repopeftbench.arms.arm import Cost
from code2lora_lsp.repopeftbench.arms.known_tree import KnownFile, KnownTree, read_known_tree
from code2lora_lsp.repopeftbench.arms.plain import BackboneArm
from code2lora_lsp.repopeftbench.arms.sharp import PreparedSharp, SharpArm, counted_of
from code2lora_lsp.runtime.model_folders import backbone_fingerprint
from tests.fakes import random_adapter
from tests.repopeftbench.tiny_bench import SMALL, garage_item


def write_gate(path, model_folder, logit=2.0):
    weights = np.zeros((2, len(FEATURES)))
    weights[:, 0] = logit
    save_gate(Gate(weights, backbone_fingerprint(model_folder)), path)
    return path


def write_gates(folder, model_folder):
    """Of the whole table, and of what is near."""
    return tuple(write_gate(folder / name, model_folder) for name in ("gate.json", "near.json"))


@pytest.fixture
def gate(model_folder, tmp_path):
    return write_gate(tmp_path / "gate.json", model_folder)


class Planted:
    """An adapter arm whose adapter is there already."""

    name, recipe_key = "planted", "planted"

    def why_not(self):
        return None

    def ready(self):
        pass

    def adapter(self, target):
        return random_adapter(SMALL, seed=3)

    def n_commits(self, target):
        return 4


def test_names_of_the_known_tree_become_likelier(scorer, model_folder, garage, gate):
    item = garage_item(garage, prefix="engine.ig", target="nite_sparkplug", suffix="")
    item = replace(item, identifier="")
    alone = BackboneArm(scorer).prepare(garage).answer([item])[0]
    sharp = SharpArm(scorer, model_folder, [gate]).prepare(garage)
    found = sharp.answer([item])[0]
    assert found.target_nats < alone.target_nats - 1
    assert found.prompt_tokens == alone.prompt_tokens
    assert found.text.startswith("nite_sparkplug")
    assert sharp.cost.stored_bytes > 0


def test_a_gate_that_believes_nothing_leaves_the_backbone(scorer, model_folder, garage, tmp_path):
    item = garage_item(garage)
    closed = write_gate(tmp_path / "closed.json", model_folder, logit=-50.0)
    alone = BackboneArm(scorer).prepare(garage).answer([item])[0]
    found = SharpArm(scorer, model_folder, [closed]).prepare(garage).answer([item])[0]
    assert found.token_nats == pytest.approx(alone.token_nats)
    assert found.text == alone.text


def test_hidden_files_are_neither_counted_nor_near(scorer, garage):
    tokenizer = scorer.model.tokenizer
    shown = read_known_tree(replace(garage, hidden_paths=frozenset()))
    extra = KnownFile("garage/hidden.py", "def secret_handshake():\n    pass\n")
    known, shelf = counted_of(read_known_tree(garage), tokenizer)
    assert known.n_tokens < counted_of(shown, tokenizer)[0].n_tokens
    files = read_known_tree(garage).files
    assert {block.path for block in shelf.blocks.values()} == {file.path for file in files}
    more, _ = counted_of(KnownTree(garage, (*files, extra)), tokenizer)
    assert more.memory_id != known.memory_id


def test_what_is_near_is_mixed_in_where_there_is_a_gate_for_it(
    scorer, model_folder, garage, tmp_path
):
    prefix = "def drive(engine, voltage, dry_run):\n    engine.ig"
    item = garage_item(garage, prefix=prefix, target="nite_sparkplug", suffix="", identifier="")
    gates = write_gates(tmp_path, model_folder)
    whole = SharpArm(scorer, model_folder, gates[:1])
    near = SharpArm(scorer, model_folder, gates)
    assert (whole.name, near.name) == ("sharp", "sharp-near")
    assert near.recipe_key.startswith(whole.recipe_key)
    assert near.recipe_key != whole.recipe_key
    answers = [arm.prepare(garage).answer([item])[0] for arm in (whole, near)]
    assert answers[1].target_nats < answers[0].target_nats
    assert answers[1].prompt_tokens == answers[0].prompt_tokens


def test_a_memory_is_asked_for_what_is_near_the_prompt(scorer, garage):
    item, asked = garage_item(garage), []

    class Asked:
        def near(self, in_sight):
            asked.append(tuple(in_sight))

    PreparedSharp(scorer, Cost(0.0), Asked(), None).answer([item])
    prompt = scorer.prompts.make(item, budget_tokens=scorer.prompt_budget(item.target))
    assert asked == [prompt.token_ids]


def test_beside_an_adapter_both_are_at_work_and_both_are_paid_for(
    scorer, model_folder, garage, gate
):
    item = garage_item(garage)
    adapting = Adapting(Planted(), scorer)
    both = SharpArm(scorer, model_folder, [gate], adapting)
    assert both.name == "planted-sharp"
    prepared = both.prepare(garage)
    adapted = adapting.prepare(garage)
    assert isinstance(prepared.adapter, LoraAdapter)
    assert prepared.cost.n_commits == 4
    assert prepared.cost.stored_bytes > adapted.cost.stored_bytes
    found = prepared.answer([item])[0]
    alone = SharpArm(scorer, model_folder, [gate]).prepare(garage).answer([item])[0]
    assert found.token_nats != alone.token_nats
    assert found.token_nats != adapted.answer([item])[0].token_nats


def test_without_a_gate_the_arm_says_why_it_cannot_run(scorer, model_folder, tmp_path):
    assert "does not exist" in SharpArm(scorer, model_folder, [tmp_path / "none.json"]).why_not()
    foreign = write_gate(tmp_path / "gate.json", model_folder)
    foreign.write_text(foreign.read_text().replace(backbone_fingerprint(model_folder), "f00"))
    assert "f00" in SharpArm(scorer, model_folder, [foreign]).why_not()
