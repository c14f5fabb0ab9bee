"""The Evo trainer: gradients reach everything, through many commits, and the loss falls."""

import itertools
from dataclasses import replace

import pytest
import torch

from code2lora_lsp.neural.decoder import Decoder
from code2lora_lsp.neural.lora import LoraAdapter, LoraPair, Projection
from code2lora_lsp.training.evo import evaluate
from code2lora_lsp.training.evo_model import EvoModel
from code2lora_lsp.training.evo_scores import mean_cosine
from code2lora_lsp.training.evo_training import train
from code2lora_lsp.training.timelines import pad_items
from tests.training import tiny_evo
from tests.training.tiny_evo import CONFIG, PLAN, adapted, timeline


@pytest.fixture(scope="module")
def language_model():
    return tiny_evo.language_model()


@pytest.fixture
def model():
    return EvoModel(CONFIG, PLAN)


@pytest.fixture
def backbone(language_model):
    yield adapted(language_model)
    for module in language_model.modules():
        module._forward_hooks.clear()


def test_the_gradient_reaches_every_tensor_through_several_steps(model, backbone):
    contexts = model.roll(timeline(1), start=2, n_steps=4)
    ids, targets = pad_items(timeline(1).items[5], 0)
    backbone.losses(ids, targets, model.head(contexts[-1:])).sum().backward()
    silent = [n for n, p in model.named_parameters() if p.grad is None or not p.grad.any()]
    assert silent == ["gru.repo_init_proj.0.weight", "gru.repo_init_proj.0.bias",
                      "gru.repo_init_proj.2.weight", "gru.repo_init_proj.2.bias"]  # fmt: skip
    model.zero_grad()
    from_start = model.roll(timeline(1), start=0, n_steps=4)
    backbone.losses(ids, targets, model.head(from_start[-1:])).sum().backward()
    still = [n for n, p in model.named_parameters() if p.grad is None or not p.grad.any()]
    assert still == ["gru.repo_init_proj.0.weight"]  # its input, the empty tree, is zero


def test_rolling_in_two_pieces_is_rolling_at_once(model):
    whole = model.roll(timeline(2), start=0, n_steps=9)
    piece = model.roll(timeline(2), start=4, n_steps=5)
    assert torch.allclose(whole[4:], piece, atol=1e-6)


def test_the_adapted_backbone_computes_what_serving_will(model, backbone, language_model):
    """The same numbers as the decoder with the emitted adapter merged."""
    context = model.roll(timeline(3), 0, 3)[-1:]
    factors = model.head(context)
    item = timeline(3).items[0][0]
    ids, targets = pad_items([item], 0)
    nats = backbone.losses(ids, targets, factors).item()
    pairs = {
        Projection(layer, name): LoraPair(factors.a[name][0].detach(), factors.b[name][0].detach())
        for layer in range(2)
        for name in factors.a
    }
    decoder = Decoder(CONFIG, language_model.state_dict())
    weights = decoder.merged(LoraAdapter(pairs, PLAN.alpha / PLAN.rank))
    cache = decoder.new_cache(32)
    cache.rebind(weights.adapter_id)
    served, position = 0.0, 0
    for position, target in enumerate(targets[0].tolist()):
        logits = decoder.decode_one(item.token_ids[position], cache, weights)
        if target >= 0:
            served -= torch.log_softmax(logits, -1)[target].item()
    assert nats == pytest.approx(served, abs=1e-4)


def test_without_factors_the_backbone_is_the_plain_one(backbone, language_model):
    ids, targets = pad_items([timeline(1).items[0][0]], 0)
    with torch.no_grad():
        wanted = torch.nn.functional.cross_entropy(
            language_model(ids).logits[0], targets[0], reduction="sum"
        )
        assert backbone.losses(ids, targets, None).item() == pytest.approx(wanted.item(), abs=1e-4)


def test_training_lowers_the_loss_and_own_beats_other_where_the_diffs_tell(model, backbone):
    timelines = [timeline(seed) for seed in range(1, 5)]
    before = evaluate(model, backbone, timelines, timelines, 0)
    plan = replace(PLAN, minutes=5.0, repositories_per_step=4, learning_rate=3e-2)
    seconds = itertools.count()  # one per look at the clock: 300 steps
    lines = train(model, backbone, timelines, plan, 0, clock=lambda: float(next(seconds)))
    losses = [line["loss"] for line in lines]
    after = evaluate(model, backbone, timelines, timelines, 0)
    assert losses[-1] < losses[0] - 0.3
    assert after["own_nats"] < before["none_nats"] - 0.3
    assert after["own_nats"] < after["other_nats"] - 0.1


def test_the_collapse_alarm_is_one_for_equal_updates_and_low_for_unrelated_ones(model):
    torch.manual_seed(1)
    same = model.head(torch.randn(1, 12).expand(3, 12))
    assert mean_cosine(same) == pytest.approx(1.0, abs=1e-4)
    for tensors in (same.a, same.b):
        for name in tensors:
            tensors[name] = torch.randn_like(tensors[name])
    assert abs(mean_cosine(same)) < 0.2
