import math

import pytest
import torch

from code2lora_lsp.errors import ShapeMismatch
from code2lora_lsp.neural.code2lora.lora_head import LoraHead, LoraHeadConfig, pool_contexts
from tests.neural.tiny_code2lora import TYPE_DIMS, head_config, random_head


def loss(factors):
    torch.manual_seed(9)
    return sum((t * torch.randn(t.shape)).sum() for t in [*factors.a.values(), *factors.b.values()])


@pytest.mark.parametrize("n_tasks", [0, 2])
def test_every_trainable_tensor_of_the_head_gets_a_gradient_at_the_start(n_tasks):
    torch.manual_seed(0)
    head = LoraHead(head_config(n_tasks=n_tasks))
    loss(head(torch.randn(2, 20), 1 if n_tasks else None)).backward()
    silent = [n for n, p in head.named_parameters() if p.grad is None or not p.grad.abs().max() > 0]
    assert silent == []


def test_only_the_task_asked_for_gets_a_gradient():
    head = random_head(n_tasks=3)
    loss(head(torch.randn(1, 20), 2)).backward()
    assert head.task_embedding.weight.grad.abs().amax(dim=1).bool().tolist() == [False, False, True]


def test_a_log_scale_over_its_ceiling_gets_no_gradient():
    head = random_head()
    with torch.no_grad():
        head.log_scale_A["q_proj"].fill_(math.log(0.3) + 0.01)
        head.log_scale_B["q_proj"].fill_(math.log(0.3) - 0.01)
    loss(head(torch.randn(1, 20))).backward()
    assert head.log_scale_A["q_proj"].grad == 0
    assert head.log_scale_B["q_proj"].grad != 0


def test_factors_never_exceed_the_ceiling_and_are_not_zero():
    head = random_head()
    with torch.no_grad():
        for scale in [*head.log_scale_A.values(), *head.log_scale_B.values()]:
            scale.fill_(5.0)
    factors = head(torch.randn(4, 20) * 100)
    for name, (n_in, n_out) in TYPE_DIMS.items():
        assert factors.a[name].shape == (4, 4, n_in)
        assert factors.b[name].shape == (4, n_out, 4)
        for tensor in (factors.a[name], factors.b[name]):
            assert 0 < tensor.abs().max() <= 0.3


def test_the_trunk_output_has_the_norm_of_the_root_of_its_width():
    hidden = random_head()._trunk_output(torch.randn(5, 20), None)
    torch.testing.assert_close(hidden.norm(dim=-1), torch.full((5,), 4.0))


def test_state_dict_has_upstream_names():
    names = {k for i in (0, 2) for k in (f"trunk.{i}.weight", f"trunk.{i}.bias")}
    names |= {f"heads_{ab}.{t}.{k}" for ab in "AB" for t in TYPE_DIMS for k in ("weight", "bias")}
    names |= {f"log_scale_{ab}.{t}" for ab in "AB" for t in TYPE_DIMS}
    assert set(random_head().state_dict()) == names
    assert set(random_head(n_tasks=2).state_dict()) == names | {"task_embedding.weight"}


def test_the_published_configuration_has_the_published_number_of_weights():
    with torch.device("meta"):
        head = LoraHead(LoraHeadConfig())
    assert sum(p.numel() for p in head.parameters()) == 679_090_190


def test_a_batch_may_hold_several_tasks():
    head, contexts = random_head(n_tasks=2), torch.randn(2, 20)
    both = head(contexts, torch.tensor([1, 0]))
    first = head(contexts[:1], 1)
    second = head(contexts[1:])
    torch.testing.assert_close(both.a["k_proj"], torch.cat([first.a["k_proj"], second.a["k_proj"]]))
    assert not torch.allclose(first.a["k_proj"], head(contexts[:1], 0).a["k_proj"])


def test_an_unknown_task_is_refused():
    with pytest.raises(ShapeMismatch, match="task 2 is not one of 2"):
        random_head(n_tasks=2)(torch.randn(1, 20), 2)


def test_a_context_of_another_width_is_refused():
    with pytest.raises(ShapeMismatch, match=r"\[1, 21\]"):
        random_head()(torch.randn(1, 21))


def test_several_contexts_are_pooled_by_their_maximum():
    contexts = torch.tensor([[[1.0, -5.0], [-2.0, 3.0]]])
    assert pool_contexts(contexts).tolist() == [[1.0, 3.0]]
