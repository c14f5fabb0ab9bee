import json

import pytest
import torch
from safetensors.torch import load_file

from code2lora_lsp.text.gaps import Coder
from code2lora_lsp.training import model_configs
from code2lora_lsp.training.checkpoints import read_progress
from code2lora_lsp.training.initial_weights import initial_model
from code2lora_lsp.training.model_configs import Shape
from code2lora_lsp.training.packing import RowStream, SourceFile
from code2lora_lsp.training.pretraining import Place, Plan, Pretraining, Stage

PLAN = Plan(
    model="tiny", minutes=1.0, stages=(Stage(0.0, 64, 2),), n_warmup_steps=2, log_every_steps=1
)


@pytest.fixture(autouse=True)
def tiny(monkeypatch):
    shape = Shape(hidden=128, layers=2, kv_heads=1, feed_forward=128)
    monkeypatch.setitem(model_configs.SHAPES, "tiny", shape)
    monkeypatch.setattr(model_configs, "VOCABULARY_SIZE", 600)


class Clock:
    """Moves two seconds each time it is read."""

    def __init__(self):
        self.now_s = 0.0

    def __call__(self):
        self.now_s += 2.0
        return self.now_s


@pytest.fixture
def start(own_sources, tokenizer):
    files = [SourceFile("a/b", f"f{i}.py", text) for i, text in enumerate(own_sources[:10])]

    def at(state):
        return RowStream(files, Coder.of(tokenizer), state=state)

    heldout = at(None).rows(4, 64)
    return lambda output, plan=PLAN: Pretraining(plan, at, heldout, output, Place(), clock=Clock())


def weights_after(run):
    return {name: parameter.detach() for name, parameter in run.model.named_parameters()}


def test_a_resumed_run_takes_exactly_the_steps_of_an_uninterrupted_one(start, tmp_path):
    whole, part = tmp_path / "whole", tmp_path / "part"
    whole.mkdir()
    part.mkdir()
    long_plan = Plan(**(vars(PLAN) | {"minutes": 1e9}))
    uninterrupted = start(whole, long_plan)
    uninterrupted.run(stop_after_steps=6)
    start(part, long_plan).run(stop_after_steps=3)
    resumed = start(part, long_plan)
    resumed.run(stop_after_steps=3)
    expected = weights_after(uninterrupted)
    for name, weight in weights_after(resumed).items():
        assert torch.equal(weight, expected[name]), name


def test_the_schedule_reaches_its_end_on_the_clock_and_the_loss_falls(start, tmp_path):
    progress = start(tmp_path).run()
    log = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    steps = [line for line in log if "train_nats" in line]
    assert 20 < progress.n_steps < 40  # one minute of two-second steps
    assert steps[-1]["rate_scale"] < 0.05
    assert max(line["rate_scale"] for line in steps) > 0.9
    assert log[-1]["heldout_nats"] < steps[0]["train_nats"] - 0.5
    assert progress.n_tokens == progress.n_steps * 2 * 64


def test_rows_grow_from_stage_to_stage_and_scale_together():
    plan = Plan(stages=(Stage(0.0, 64, 4), Stage(0.5, 256, 1)), rows_scale=3)
    assert [plan.row_shape(share) for share in (0.0, 0.49, 0.5, 1.0)] == [
        (12, 64),
        (12, 64),
        (3, 256),
        (3, 256),
    ]


def test_a_checkpoint_holds_the_weights_and_where_each_stream_stands(start, tmp_path):
    run = start(tmp_path)
    run.run(stop_after_steps=2)
    saved = load_file(tmp_path / "checkpoint" / "model.safetensors")
    assert "lm_head.weight" not in saved  # tied
    for name, weight in weights_after(run).items():
        assert torch.equal(saved[name], weight)
    progress = read_progress(tmp_path / "checkpoint")
    assert progress.n_steps == 2
    assert progress.streams[0].n_examples >= 4


def test_every_parameter_gets_a_gradient(start, tmp_path):
    run = start(tmp_path)
    run._step(0.0)
    silent = [n for n, p in run.model.named_parameters() if not p.grad.any()]
    assert silent == []


def test_seeded_heads_look_one_and_two_tokens_back():
    model = initial_model("tiny", seed=0).eval()
    model.set_attn_implementation("eager")
    with torch.no_grad():
        out = model.model(torch.randint(0, 600, (1, 300)), output_attentions=True)
    heads = out.attentions[0][0]  # [H, T, T]
    assert heads[0].diagonal(-1).mean() > 0.9
    assert heads[1].diagonal(-2).mean() > 0.9


def test_a_fresh_model_already_predicts_repeated_tokens_better_than_new_ones():
    model = initial_model("nano", seed=0).eval()
    generator = torch.Generator().manual_seed(1)
    once = torch.stack([torch.randperm(600, generator=generator)[:100] for _ in range(4)])
    ids = torch.cat([once, once], dim=1)
    with torch.no_grad():
        logits = model(ids[:, :-1]).logits
    nats = torch.nn.functional.cross_entropy(
        logits.transpose(1, 2), ids[:, 1:], reduction="none"
    ).mean(0)
    assert nats[100:].mean() < nats[:99].mean() - 1.0
