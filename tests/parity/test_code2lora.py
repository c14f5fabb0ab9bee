"""Commit gru and lora head against the reference package: the same states, the same A and B."""

import pytest
import torch

from code2lora_lsp.neural.code2lora.commit_gru import CommitGru, CommitGruConfig
from code2lora_lsp.neural.code2lora.lora_head import LoraHead, LoraHeadConfig, pool_contexts
from tests.neural.tiny_code2lora import random_gru, random_head
from tests.parity.reference import (
    TOLERANCE,
    factor_difference,
    largest_difference,
    reference_gru,
    reference_head,
)


def filled(make, config):
    """A module with random weights: windows on one buffer, since 2.7 GB of them take long."""
    with torch.device("meta"):
        module = make(config)
    shapes = {name: tensor.shape for name, tensor in module.state_dict().items()}
    torch.manual_seed(5)
    block = torch.rand(1_048_573).mul_(2).sub_(1).mul_(1024**-0.5)  # prime: no two rows alike
    longest = max(shape.numel() for shape in shapes.values()) + 4099 * len(shapes)
    buffer = block.repeat(-(-longest // len(block)))
    state = {}
    for index, (name, shape) in enumerate(shapes.items()):
        values = buffer[4099 * index :][: shape.numel()].reshape(shape)
        norm_weight = len(shape) == 1 and name.endswith("weight")
        start = -2.0 if name.startswith("log_scale") else 1.0 if norm_weight else 0.0
        state[name] = values + start if start else values
    module.load_state_dict(state, assign=True)
    return module.eval()


@torch.no_grad()
def walk_difference(gru, n_steps, batch=2):
    """Largest difference of h_0 … h_n and of every context."""
    torch.manual_seed(1)
    theirs = reference_gru(gru)
    snapshot = torch.nn.functional.normalize(torch.randn(batch, gru.config.snapshot_width), dim=-1)
    ours, reference = gru.initial_state(snapshot), theirs.init_hidden(snapshot)
    worst = largest_difference(ours, reference)
    for _ in range(n_steps):
        diff = torch.randn(batch, gru.config.diff_width)
        before = ours
        ours, reference = gru.step(diff, ours), theirs.step(diff, reference)
        assert largest_difference(ours, before) > 1e-3
        worst = max(worst, largest_difference(ours, reference))
        worst = max(worst, largest_difference(gru.context(ours), theirs.context(reference)))
    return worst


def test_hidden_states_over_twelve_commits_are_the_reference_s():
    assert walk_difference(random_gru().eval(), n_steps=12) <= TOLERANCE


@pytest.mark.parametrize(("n_tasks", "task_id"), [(0, None), (3, None), (3, 2)])
@torch.no_grad()
def test_factors_are_the_reference_s(n_tasks, task_id):
    head = random_head(n_tasks=n_tasks)
    contexts = torch.randn(5, 20) * 3
    theirs = reference_head(head)(contexts, task_id=task_id)
    assert factor_difference(head(contexts, task_id), theirs) <= TOLERANCE


@torch.no_grad()
def test_one_task_per_row_is_the_reference_s():
    head = random_head(n_tasks=3)
    contexts, tasks = torch.randn(3, 20), torch.tensor([2, 0, 1])
    theirs = reference_head(head)(contexts, task_id=tasks)
    assert factor_difference(head(contexts, tasks), theirs) <= TOLERANCE


@torch.no_grad()
def test_several_contexts_per_repository_are_pooled_as_in_the_reference():
    head = random_head()
    contexts = torch.randn(2, 7, 20)
    theirs = reference_head(head)(contexts)
    assert factor_difference(head(pool_contexts(contexts)), theirs) <= TOLERANCE


def test_gradients_are_the_reference_s():
    head = random_head()
    theirs = reference_head(random_head())
    context = torch.randn(2, 20)
    factors, reference = head(context), theirs(context)
    sum((t**2).sum() for t in [*factors.a.values(), *factors.b.values()]).backward()
    sum((t**2).sum() for t in [*reference["A"].values(), *reference["B"].values()]).backward()
    expected = dict(theirs.named_parameters())
    for name, parameter in head.named_parameters():
        assert largest_difference(parameter.grad, expected[name].grad) <= TOLERANCE, name


def test_states_of_the_official_size_are_the_reference_s():
    gru = filled(CommitGru, CommitGruConfig())
    assert sum(p.numel() for p in gru.parameters()) == 33_583_104
    assert walk_difference(gru, n_steps=4, batch=1) <= TOLERANCE


@pytest.mark.slow
@torch.no_grad()
def test_factors_of_the_official_size_are_the_reference_s():
    head = filled(LoraHead, LoraHeadConfig())
    torch.manual_seed(2)
    context = torch.randn(1, 2048)
    factors = head(context)
    assert factors.a["down_proj"].shape == (1, 16, 8960)
    assert factors.b["gate_proj"].shape == (1, 8960, 16)
    assert factor_difference(factors, reference_head(head)(context)) <= TOLERANCE
