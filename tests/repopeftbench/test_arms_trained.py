"""Arms trained with gradients: what they learn, what they keep, and what they say is missing."""

import json
from dataclasses import replace

import pytest
import torch

from code2lora_lsp.neural.peft_format import load_peft
from code2lora_lsp.neural.weights import load_backbone_weights
from code2lora_lsp.repopeftbench.arms import free_memory
from code2lora_lsp.repopeftbench.arms.adapter_arm import Adapting
from code2lora_lsp.repopeftbench.arms.arm import CannotPrepare, Target
from code2lora_lsp.repopeftbench.arms.full_fine_tuning import (
    FineTunedModel,
    FineTunedRetrievalArm,
    FullFineTuningArm,
)
from code2lora_lsp.repopeftbench.arms.gradient import (
    TrainingPlan,
    held_out_loss,
    load_trainable,
    split_by_repository,
    train_lora,
)
from code2lora_lsp.repopeftbench.arms.plain import BackboneArm
from code2lora_lsp.repopeftbench.arms.trained_lora import PerRepositoryLoraArm, SharedLoraArm
from code2lora_lsp.training.packing import SourceFile
from tests.gitrepo import GitRepo
from tests.repopeftbench.tiny_bench import CAR, ENGINE, PANTRY, SETTINGS, WHEELS, garage_item

PLAN = TrainingPlan(n_steps=8, epochs=100, rows_per_step=2, row_tokens=96, rank=4, alpha=8.0)


def files(*texts, repository="ada/garage"):
    return [SourceFile(repository, f"f{i}.py", text) for i, text in enumerate(texts)]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    """Three training repositories, and a validation one that must stay unread."""
    folder = tmp_path_factory.mktemp("corpus")
    shards = {"train/a+one": ENGINE, "train/b+two": WHEELS, "train/c+three": CAR}
    for name, text in {**shards, "validation/d+four": PANTRY}.items():
        (folder / name).parent.mkdir(exist_ok=True)
        record = json.dumps({"path": "a.py", "text": text})
        (folder / f"{name}.jsonl").write_text(record + "\n")
    return folder


def test_steps_end_with_the_epochs_of_a_small_repository():
    plan = TrainingPlan(n_steps=40, epochs=2.0, rows_per_step=4, row_tokens=100)
    assert plan.steps_for(1_000_000) == 40
    assert plan.steps_for(1000) == 5
    assert plan.steps_for(10) == 1


def test_a_lora_learns_its_files_and_starts_alike_from_a_seed(scorer, model_folder):
    tokenizer = scorer.model.tokenizer
    plan = replace(PLAN, n_steps=16, learning_rate=1e-2)
    adapter = train_lora(model_folder, files(ENGINE, WHEELS), tokenizer, plan)
    again = train_lora(model_folder, files(ENGINE, WHEELS), tokenizer, plan)
    assert adapter.adapter_id == again.adapter_id
    assert {p.name for p in adapter.pairs} == {
        "q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj",
    }  # fmt: skip
    model = load_trainable(model_folder)
    before = held_out_loss(model, files(ENGINE, WHEELS), tokenizer, plan)
    for projection, pair in adapter.pairs.items():
        model.get_submodule(projection.module_path).weight += pair.delta(adapter.scale)
    assert held_out_loss(model, files(ENGINE, WHEELS), tokenizer, plan) < before - 0.2


def test_the_trained_model_is_the_scored_one(scorer, model_folder, garage):
    model, item = load_trainable(model_folder), garage_item(garage)
    prompt = scorer.prompts.make(item).token_ids
    with torch.no_grad():
        theirs = model(torch.tensor([prompt])).logits[0, -1]
    cache = scorer.model.backbone.new_cache(900)
    ours = scorer.model.backbone.prefill(prompt, cache)
    assert torch.allclose(theirs, ours, atol=1e-4)


def test_the_per_repository_lora_is_trained_on_the_known_tree_alone(
    scorer, model_folder, garage, monkeypatch
):
    from code2lora_lsp.repopeftbench.arms import trained_lora

    seen = []
    monkeypatch.setattr(trained_lora, "train_lora", lambda *a: seen.append(a[1]) or None)
    arm = PerRepositoryLoraArm(model_folder, scorer.model.tokenizer, PLAN)
    arm.adapter(garage)
    assert sorted(file.path for file in seen[0]) == ["garage/engine.py", "garage/wheels.py"]


def test_the_per_repository_lora_answers(scorer, model_folder, garage):
    arm = Adapting(PerRepositoryLoraArm(model_folder, scorer.model.tokenizer, PLAN), scorer)
    assert arm.why_not() is None
    item = garage_item(garage)
    found = arm.prepare(garage).answer([item])[0]
    assert found.target_nats != BackboneArm(scorer).prepare(garage).answer([item])[0].target_nats
    assert arm.prepare(garage).cost.seconds > 0


def test_a_tree_that_is_all_hidden_cannot_be_trained_on(scorer, model_folder, tmp_path):
    repo = GitRepo(tmp_path)
    repo.commit("a.py", "a = 1\n")
    target = Target("a/b", repo.git_dir, repo.head, frozenset({"a.py"}))
    with pytest.raises(CannotPrepare, match="no source to train on"):
        PerRepositoryLoraArm(model_folder, scorer.model.tokenizer, PLAN).adapter(target)


def shared_lora(scorer, model_folder, corpus, place, rates=(1e-3, 1e-2)):
    tokenizer = scorer.model.tokenizer
    return SharedLoraArm(model_folder, tokenizer, PLAN, corpus, place, rates)


def test_the_shared_lora_is_tuned_on_held_out_repositories_and_kept(
    scorer, model_folder, corpus, tmp_path, garage, pantry
):
    arm = shared_lora(scorer, model_folder, corpus, tmp_path / "lora")
    assert arm.why_not() is None
    assert arm.adapter(garage) is arm.adapter(pantry)
    facts = json.loads((tmp_path / "lora" / "training.json").read_text())
    losses = {float(k): v for k, v in facts["held_out_nats_by_learning_rate"].items()}
    assert set(losses) == {1e-3, 1e-2}
    assert losses[1e-2] != losses[1e-3]
    best = replace(PLAN, learning_rate=min(losses, key=losses.get))
    training, _ = split_by_repository(corpus_of(corpus), PLAN.seed)
    wanted = train_lora(model_folder, training, scorer.model.tokenizer, best)
    assert load_peft(tmp_path / "lora").adapter_id == wanted.adapter_id
    without_corpus = shared_lora(scorer, model_folder, None, tmp_path / "lora")
    assert without_corpus.why_not() is None
    assert without_corpus.adapter(garage).adapter_id == arm.adapter(garage).adapter_id


def corpus_of(folder):
    from code2lora_lsp.repopeftbench.arms.trained_lora import corpus_files

    found = corpus_files(folder)
    assert {file.repository for file in found} == {"a/one", "b/two", "c/three"}
    return found


def test_repositories_are_held_out_whole():
    many = [SourceFile(f"a/{i % 20}", f"{i}.py", "x\n") for i in range(60)]
    training, held_out = split_by_repository(many, seed=1)
    assert len({file.repository for file in held_out}) == 2
    assert not {f.repository for f in training} & {f.repository for f in held_out}
    with pytest.raises(ValueError, match="two or more"):
        split_by_repository(many[:1], seed=1)


def fine_tuned(scorer, model_folder, corpus, place):
    return FineTunedModel(model_folder, scorer, PLAN, corpus, place, SETTINGS)


def test_full_fine_tuning_trains_every_weight_saves_a_model_folder_and_answers(
    scorer, model_folder, corpus, tmp_path, garage
):
    model = fine_tuned(scorer, model_folder, corpus, tmp_path / "tuned")
    plain, retrieving = FullFineTuningArm(model), FineTunedRetrievalArm(model, 3)
    assert (plain.why_not(), retrieving.why_not()) == (None, None)
    assert retrieving.name == "full-fine-tuning-bm25-3"
    item = garage_item(garage)
    alone = plain.prepare(garage).answer([item])[0]
    with_snippets = retrieving.prepare(garage).answer([item])[0]
    assert with_snippets.prompt_tokens > alone.prompt_tokens
    before = BackboneArm(scorer).prepare(garage).answer([item])[0]
    assert alone.target_nats != before.target_nats
    old, new = (load_backbone_weights(f) for f in (model_folder, tmp_path / "tuned"))
    assert old.keys() == new.keys()
    # of the embedding only the rows that were read or scored move
    assert [n for n in old if torch.equal(old[n], new[n])] == []
    again = FullFineTuningArm(fine_tuned(scorer, model_folder, None, tmp_path / "tuned"))
    assert again.why_not() is None
    assert again.prepare(garage).answer([item])[0].token_nats == alone.token_nats


def test_training_arms_say_what_is_missing(scorer, model_folder, corpus, tmp_path, monkeypatch):
    (tmp_path / "train").mkdir()
    assert "no corpus folder" in shared_lora(scorer, model_folder, None, tmp_path / "x").why_not()
    few = shared_lora(scorer, model_folder, tmp_path, tmp_path / "x").why_not()
    assert "0 training repositories" in few
    assert "no folder was given" in shared_lora(scorer, model_folder, corpus, None).why_not()
    assert "no folder" in fine_tuned(scorer, model_folder, corpus, None).why_not()
    monkeypatch.setattr(free_memory, "free_bytes", lambda: 1000)
    arms = (
        shared_lora(scorer, model_folder, corpus, tmp_path / "x"),
        fine_tuned(scorer, model_folder, corpus, tmp_path / "x"),
        PerRepositoryLoraArm(model_folder, scorer.model.tokenizer, PLAN),
    )
    for arm in arms:
        assert "GiB of memory; 0.0 GiB are free" in arm.why_not()
    monkeypatch.setattr(free_memory, "free_bytes", lambda: None)
    assert [arm.why_not() for arm in arms] == [None] * 3


def test_weights_of_another_plan_or_backbone_are_refused(scorer, model_folder, corpus, tmp_path):
    shared = shared_lora(scorer, model_folder, corpus, tmp_path / "lora", (1e-3,))
    shared.ready()
    tuned = fine_tuned(scorer, model_folder, corpus, tmp_path / "tuned")
    assert tuned.scorer is tuned.scorer
    for arm in (
        shared_lora(scorer, model_folder, corpus, tmp_path / "lora", (1e-2,)),
        FineTunedModel(
            model_folder, scorer, replace(PLAN, n_steps=3), corpus, tmp_path / "tuned", SETTINGS
        ),
    ):
        assert "another backbone or training plan" in arm.why_not()


def test_training_leaves_the_global_random_state_as_it_was(scorer, model_folder):
    state = torch.get_rng_state()
    train_lora(model_folder, files(WHEELS), scorer.model.tokenizer, replace(PLAN, n_steps=1))
    assert torch.equal(torch.get_rng_state(), state)
