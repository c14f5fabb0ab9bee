import pytest
import torch
import torch.nn.functional as F  # noqa: N812 (torch's own convention)

from code2lora_lsp.training.blocked_attention import (
    blocked_causal_attention,
    use_blocked_attention,
)
from code2lora_lsp.training.initial_weights import initial_model


@pytest.mark.parametrize("n_tokens", [1, 128, 300])
def test_outputs_and_gradients_are_those_of_causal_attention(n_tokens):
    torch.manual_seed(0)
    tensors = [torch.randn(3, n_tokens, 16, requires_grad=True) for _ in range(3)]
    weight = torch.randn(3, n_tokens, 16)
    ours = blocked_causal_attention(*tensors, 0.25)
    theirs = F.scaled_dot_product_attention(*tensors, is_causal=True, scale=0.25)
    torch.testing.assert_close(ours, theirs)
    expected = torch.autograd.grad((theirs * weight).sum(), tensors)
    for got, wanted in zip(
        torch.autograd.grad((ours * weight).sum(), tensors), expected, strict=True
    ):
        torch.testing.assert_close(got, wanted, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(("in_bfloat16", "tolerance"), [(False, 1e-4), (True, 0.1)])
def test_a_model_computes_the_same_with_it(in_bfloat16, tolerance):
    model = initial_model("nano", seed=0).eval()
    ids = torch.randint(0, 8000, (2, 200), generator=torch.Generator().manual_seed(0))
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16, enabled=in_bfloat16):
        before = model.model(input_ids=ids, use_cache=False).last_hidden_state
        use_blocked_attention(model)
        after = model.model(input_ids=ids, use_cache=False).last_hidden_state
    torch.testing.assert_close(after, before, atol=tolerance, rtol=tolerance)
