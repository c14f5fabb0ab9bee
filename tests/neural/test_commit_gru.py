import pytest
import torch

from code2lora_lsp.errors import ShapeMismatch
from tests.neural.tiny_code2lora import random_gru


def test_every_trainable_tensor_of_the_gru_gets_a_gradient():
    gru = random_gru()
    state = gru.step(
        torch.randn(3, 24), gru.step(torch.randn(3, 24), gru.initial_state(torch.randn(3, 24)))
    )
    (gru.context(state) * torch.randn(3, 20)).sum().backward()
    silent = [n for n, p in gru.named_parameters() if p.grad is None or not p.grad.abs().max() > 0]
    assert silent == []


def test_state_dict_has_upstream_names():
    assert set(random_gru().state_dict()) == {
        *(f"diff_proj.{i}.{k}" for i in (0, 1) for k in ("weight", "bias")),
        *(f"repo_init_proj.{i}.{k}" for i in (0, 2) for k in ("weight", "bias")),
        *(f"gru.{k}_{s}h_l0" for k in ("weight", "bias") for s in "ih"),
        "output_norm.weight",
        "output_norm.bias",
    }


def test_steps_in_one_call_equal_steps_one_by_one():
    gru, diffs, snapshots = random_gru(), torch.randn(2, 5, 24), torch.randn(2, 24)
    state = gru.initial_state(snapshots)
    together = gru.steps(diffs, state)
    for t in range(5):
        state = gru.step(diffs[:, t], state)
        torch.testing.assert_close(together[:, t], state[0], atol=1e-6, rtol=0)


def test_a_step_leaves_the_given_state_unchanged():
    gru = random_gru()
    state = gru.initial_state(torch.randn(1, 24))
    before = state.clone()
    after = gru.step(torch.randn(1, 24), state)
    assert torch.equal(state, before)
    assert not torch.equal(after, before)


def test_each_row_of_a_batch_is_stepped_on_its_own():
    gru, diffs, snapshots = random_gru(), torch.randn(3, 24), torch.randn(3, 24)
    batched = gru.step(diffs, gru.initial_state(snapshots))
    alone = gru.step(diffs[1:2], gru.initial_state(snapshots[1:2]))
    torch.testing.assert_close(batched[:, 1:2], alone, atol=1e-6, rtol=0)


@pytest.mark.parametrize("shape", [(24,), (1, 23), (1, 1, 24)])
def test_a_wrong_shape_is_named(shape):
    gru = random_gru()
    with pytest.raises(ShapeMismatch, match=str(list(shape)).replace("[", r"\[")):
        gru.step(torch.zeros(shape), torch.zeros(1, 1, 20))
    with pytest.raises(ShapeMismatch):
        gru.initial_state(torch.zeros(shape))
