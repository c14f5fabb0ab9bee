"""Each repair of the published method changes what it says and nothing else."""

import random
from dataclasses import replace

import pytest
import torch

from code2lora_lsp.neural.code2lora.lora_head import LoraFactors
from code2lora_lsp.training.evo_model import EvoModel, projection_dims
from code2lora_lsp.training.evo_scores import batches, mean_update, score, under
from code2lora_lsp.training.evo_training import contexts_of, draw, own_versus_other, train
from code2lora_lsp.training.shared_lora import SharedLora, train_shared
from code2lora_lsp.training.whitening import TimelineWhitening, Whitening
from tests.training.tiny_evo import CONFIG, PLAN, adapted, timeline

TIMELINES = [timeline(seed) for seed in range(1, 5)]
SHORT = replace(PLAN, n_optimizer_steps=3)


@pytest.fixture
def backbone():
    return adapted()


def generic(seed=5):
    shared = SharedLora(projection_dims(CONFIG), PLAN.rank, seed)
    torch.manual_seed(seed)
    for pair in shared.b.values():
        pair.data.normal_(std=0.1)
    return shared.frozen()


def updates(factors):
    return {k: b @ factors.a[k] for k, b in factors.b.items()}


def drawn_by(plan, monkeypatch, model):
    """Every item that a training run asks for, in order, under whatever adapter."""
    seen = []

    def watching(ids, targets, factors):
        seen.append(ids)
        return losses(ids, targets, factors)

    backbone = adapted()
    losses = backbone.losses
    monkeypatch.setattr(backbone, "losses", watching)
    list(train(model, backbone, TIMELINES, plan, 0))
    return seen


def test_runs_of_one_seed_ask_for_the_same_items_whatever_is_repaired(monkeypatch):
    plain = drawn_by(SHORT, monkeypatch, EvoModel(CONFIG, SHORT))
    for plan in (replace(SHORT, n_bptt=1), replace(SHORT, method="static")):
        same = drawn_by(plan, monkeypatch, EvoModel(CONFIG, plan, generic()))
        assert all(torch.equal(a, b) for a, b in zip(plain, same, strict=True))
    contrasted = replace(SHORT, contrast_weight=0.5)
    twice = drawn_by(contrasted, monkeypatch, EvoModel(CONFIG, contrasted))
    assert all(torch.equal(a, b) for a, b in zip(plain, twice[::2], strict=True))
    assert all(torch.equal(a[::2], b) for a, b in zip(plain, twice[1::2], strict=True))


def test_a_run_ends_after_the_steps_it_was_given(backbone):
    lines = list(train(EvoModel(CONFIG, SHORT), backbone, TIMELINES, SHORT, 0))
    assert [line["step"] for line in lines] == [1, 2, 3]


def test_one_step_deep_sees_the_same_states_but_only_its_own_commit():
    deep, shallow = EvoModel(CONFIG, PLAN), EvoModel(CONFIG, replace(PLAN, n_bptt=1))
    one = timeline(1)
    diffs = one.diffs.clone().requires_grad_()
    for model, n_reached in ((deep, 4), (shallow, 1)):
        rolled = model.roll(replace(one, diffs=diffs), start=2, n_steps=4)
        assert torch.allclose(rolled, deep.roll(one, start=2, n_steps=4), atol=1e-6)
        (gradient,) = torch.autograd.grad(rolled[-1].square().sum() + rolled[-1].sum(), diffs)
        assert [i for i, row in enumerate(gradient) if row.any()] == list(range(6 - n_reached, 6))


def test_static_reads_the_snapshot_and_no_commit():
    model = EvoModel(CONFIG, replace(PLAN, method="static"))
    one = replace(timeline(1), snapshot=torch.arange(32.0))
    assert torch.equal(model.roll(one, 2, 3), torch.arange(32.0).expand(3, -1))
    assert not [name for name, _ in model.named_parameters() if not name.startswith("head.")]


def test_with_a_generic_adapter_the_head_starts_at_exactly_that_adapter():
    shared = generic()
    model = EvoModel(CONFIG, PLAN, shared)
    whole = updates(model.factors(torch.randn(3, PLAN.gru_width)))
    for name, update in updates(shared).items():
        assert torch.allclose(whole[name], update.expand(3, -1, -1), atol=1e-7)


def test_the_generic_adapter_stays_as_it_is_while_the_head_learns_an_addition(backbone):
    shared = generic()
    before = {k: v.clone() for k, v in shared.a.items()}
    model = EvoModel(CONFIG, SHORT, shared)
    list(train(model, backbone, TIMELINES, SHORT, 0))
    assert all(torch.equal(before[k], v) for k, v in shared.a.items())
    added = updates(model.head(model.roll(TIMELINES[0], 0, 2)))
    assert all(bool(update.any()) for update in added.values())


@pytest.mark.parametrize("method", ["evo", "static"])
@pytest.mark.parametrize("residual", [False, True])
def test_the_gradient_reaches_every_tensor_with_all_repairs(backbone, method, residual):
    plan = replace(PLAN, method=method, contrast_weight=0.5, n_optimizer_steps=2, weight_decay=0.0)
    model = EvoModel(CONFIG, plan, generic() if residual else None)
    snapshots = [replace(one, snapshot=torch.randn(32)) for one in TIMELINES]
    from_start = [replace(one, diffs=one.diffs[:5], items=one.items[:5]) for one in snapshots]
    before = {n: p.clone() for n, p in model.named_parameters()}
    list(train(model, backbone, from_start, plan, 0))
    assert [n for n, p in model.named_parameters() if torch.equal(before[n], p)] == []


def test_own_versus_other_is_ln_2_where_they_are_equal_and_nothing_where_own_is_far_better():
    equal = torch.tensor([3.0, 7.0])
    assert own_versus_other(equal, equal).item() == pytest.approx(0.6931, abs=1e-4)
    assert own_versus_other(equal, equal + 30).item() < 1e-9
    assert own_versus_other(equal + 30, equal).item() == pytest.approx(30.0)


def test_the_other_context_is_the_next_repository_s_after_as_many_commits():
    model = EvoModel(CONFIG, PLAN)
    drawn = draw(TIMELINES, PLAN, random.Random(1))
    own, other = contexts_of(model, drawn, PLAN.n_commits)
    first, second = drawn
    assert torch.equal(own[1], model.roll(first.timeline, first.start, 4)[first.items[1][0]])
    assert torch.equal(other[1], model.roll(second.timeline, second.start, 4)[first.items[1][0]])


def test_whitened_embeddings_have_no_mean_and_unit_variance_in_what_is_kept():
    torch.manual_seed(2)
    population = torch.randn(400, 6) @ torch.diag(torch.tensor([9.0, 4.0, 2.0, 1.0, 1e-3, 1e-3]))
    white = Whitening.of(population + 5.0)(population + 5.0)
    assert torch.allclose(white.mean(0), torch.zeros(6), atol=1e-4)
    values = torch.linalg.eigvalsh(white.T @ white / 400)
    assert torch.allclose(values[-2:], torch.ones(2), atol=1e-3)
    assert values[:2].abs().max() < 1e-3  # the faint directions are dropped, not blown up


def test_whitening_makes_alike_repositories_unlike_and_leaves_their_items():
    common = torch.full((32,), 4.0)
    raw = [
        replace(one, snapshot=common + torch.randn(32), diffs=one.diffs + 4) for one in TIMELINES
    ]
    white = TimelineWhitening.of(raw)(raw)
    cosine = torch.nn.functional.cosine_similarity
    assert cosine(raw[0].snapshot, raw[1].snapshot, dim=0) > 0.8
    assert cosine(white[0].snapshot, white[1].snapshot, dim=0) < 0.1
    assert cosine(white[0].diffs[0], white[1].diffs[0], dim=0) < 0.1
    assert [one.items for one in white] == [one.items for one in raw]


def test_one_lora_for_all_learns_what_all_share(backbone):
    asked = [batches(replace(TIMELINES[0], items=tuple(TIMELINES[0].items)), 0)]
    shared = SharedLora(projection_dims(CONFIG), PLAN.rank, seed=1)
    alone = under(backbone, asked[0], None)
    assert torch.allclose(under(backbone, asked[0], shared.frozen()), alone)  # B is zero
    plan = replace(PLAN, n_optimizer_steps=60)
    lines = list(train_shared(shared, backbone, TIMELINES, plan, 0))
    assert lines[-1]["loss"] < lines[0]["loss"] - 0.2
    assert under(backbone, asked[0], shared.frozen())[0] < alone[0]


def test_the_mean_update_is_the_mean_of_the_updates():
    torch.manual_seed(3)
    some = LoraFactors({"q": torch.randn(4, 2, 5)}, {"q": torch.randn(4, 3, 2)})
    assert torch.allclose(updates(mean_update(some))["q"][0], updates(some)["q"].mean(0), atol=1e-6)


def test_own_is_asked_as_of_the_commit_before_and_marked_tokens_are_counted_apart(backbone):
    one, two = TIMELINES[:2]
    mark_first = lambda item: [True] + [False] * (len(item.token_ids) - item.n_prompt - 1)  # noqa: E731
    asked = [batches(t, 0, mark_first) for t in (one, two)]
    model = EvoModel(CONFIG, PLAN)
    scores = score(model, backbone, TIMELINES, [one, two], asked)
    assert scores.n_tokens.tolist() == [[6, 2], [6, 2]]  # two items of three target tokens
    rolled = model.roll(one, 0, 9)
    expected = torch.zeros(2, dtype=torch.float64)
    for step in (6, 7):
        item = replace(one, items=((),) * step + (one.items[step],) + ((),) * (8 - step))
        expected += under(backbone, batches(item, 0, mark_first), model.factors(rolled[step][None]))
    assert torch.allclose(scores.own[0], expected, atol=1e-4)
    assert torch.allclose(scores.crossed[0, 0], scores.own[0])
    wanted = under(backbone, asked[0], model.factors(model.roll(two, 0, 9)[-1:]))
    assert torch.allclose(scores.crossed[0, 1], wanted, atol=1e-4)
