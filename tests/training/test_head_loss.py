import torch
import torch.nn.functional as F  # noqa: N812 (torch's own convention)

from code2lora_lsp.training.head_loss import CHUNK_ROWS, head_loss


def test_loss_and_gradients_equal_full_cross_entropy():
    torch.manual_seed(0)
    n_rows = CHUNK_ROWS + 37
    hidden = torch.randn(n_rows, 16, requires_grad=True)
    embedding = torch.randn(50, 16, requires_grad=True)
    targets = torch.randint(0, 50, (n_rows,))
    targets[::5] = -100
    ours = head_loss(hidden, embedding, targets) * 3
    grads = torch.autograd.grad(ours, (hidden, embedding))
    full = F.cross_entropy(hidden @ embedding.T, targets) * 3
    expected = torch.autograd.grad(full, (hidden, embedding))
    torch.testing.assert_close(ours, full)
    torch.testing.assert_close(grads, expected)


def test_a_batch_of_padding_costs_nothing():
    loss = head_loss(torch.randn(3, 4), torch.randn(5, 4), torch.full((3,), -100))
    assert loss.item() == 0.0
