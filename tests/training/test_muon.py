import pytest
import torch
from torch import nn

from code2lora_lsp.training.muon import MuonAdamW, orthogonalize


@pytest.mark.parametrize("shape", [(32, 32), (96, 32), (32, 96)])
def test_orthogonalized_matrices_have_singular_values_near_one(shape):
    torch.manual_seed(0)
    values = torch.linalg.svdvals(orthogonalize(torch.randn(*shape)))
    assert values.min() > 0.5
    assert values.max() < 1.3


def test_embeddings_and_vectors_follow_adamw():
    torch.manual_seed(0)
    ours = {name: nn.Parameter(torch.randn(6, 4)) for name in ("embed", "norm")}
    theirs = [nn.Parameter(p.detach().clone()) for p in ours.values()]
    ours["norm"] = nn.Parameter(ours["norm"].detach()[0].clone())
    theirs[1] = nn.Parameter(theirs[1].detach()[0].clone())
    optimizer = MuonAdamW(ours, adam_rate=0.01)
    reference = torch.optim.AdamW(theirs, lr=0.01, betas=(0.9, 0.95), weight_decay=0.0)
    for _ in range(5):
        for mine, other in zip(ours.values(), theirs, strict=True):
            mine.grad = torch.randn_like(mine)
            other.grad = mine.grad.clone()
        optimizer.step(1.0)
        reference.step()
    for mine, other in zip(ours.values(), theirs, strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-4, atol=1e-6)


def test_a_rate_of_zero_moves_nothing():
    weight = nn.Parameter(torch.randn(4, 4))
    before = weight.detach().clone()
    weight.grad = torch.randn(4, 4)
    MuonAdamW({"weight": weight}).step(0.0)
    assert torch.equal(weight, before)
