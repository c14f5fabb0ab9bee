"""Muon for matrices (Jordan et al. 2024), AdamW for the rest: one optimizer with savable state."""

import torch
from torch import Tensor, nn

from code2lora_lsp.training.ranks import ALONE, Ranks

_NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)
_NEWTON_SCHULZ_STEPS = 5


def orthogonalize(matrix: Tensor) -> Tensor:
    """Push the singular values of a matrix towards 1 by a quintic Newton-Schulz iteration.

    Args:
        matrix: [R, C], multiplied in its own dtype.
    """
    a, b, c = _NEWTON_SCHULZ
    tall = matrix.shape[0] > matrix.shape[1]
    x = matrix.T if tall else matrix
    x = x / (x.norm() + 1e-7)
    for _ in range(_NEWTON_SCHULZ_STEPS):
        gram = x @ x.T
        x = a * x + (b * gram + c * gram @ gram) @ x
    result: Tensor = x.T if tall else x
    return result


class MuonAdamW:
    """Steps parameters in place from their ``.grad``: matrices by Muon, all else by AdamW.

    Embeddings are matrices in shape only and belong to AdamW, as do norms and biases.

    With several ranks each orthogonalises its share of the matrices and a sum gathers them;
    gradients must already be equal on all ranks.
    """

    def __init__(
        self,
        named_parameters: dict[str, nn.Parameter],
        *,
        muon_rate: float = 0.012,
        adam_rate: float = 0.003,
        momentum: float = 0.95,
        betas: tuple[float, float] = (0.9, 0.95),
        weight_decay: float = 0.01,
        compute_dtype: torch.dtype = torch.float32,
    ) -> None:
        """Sort parameters into the two kinds; state starts at zero."""
        self._matrices = {
            n: p for n, p in named_parameters.items() if p.dim() == 2 and "embed" not in n
        }
        self._others = {n: p for n, p in named_parameters.items() if n not in self._matrices}
        self._muon_rate, self._adam_rate, self._momentum = muon_rate, adam_rate, momentum
        self._betas, self._weight_decay, self._dtype = betas, weight_decay, compute_dtype
        self._device = next(iter(named_parameters.values())).device
        self.n_steps = 0
        self.state = {f"momentum.{n}": torch.zeros_like(p) for n, p in self._matrices.items()}
        for name, parameter in self._others.items():
            self.state[f"mean.{name}"] = torch.zeros_like(parameter)
            self.state[f"square.{name}"] = torch.zeros_like(parameter)

    @torch.no_grad()
    def step(self, rate_scale: float, ranks: Ranks = ALONE) -> None:
        """Take one step with both learning rates multiplied by ``rate_scale``."""
        self.n_steps += 1
        self._step_matrices(rate_scale, ranks)
        self._step_others(rate_scale)

    def _step_matrices(self, rate_scale: float, ranks: Ranks) -> None:
        sizes = [parameter.numel() for parameter in self._matrices.values()]
        flat = torch.zeros(sum(sizes), device=self._device)
        places = flat.split(sizes)
        for index, (name, parameter) in enumerate(self._matrices.items()):
            gradient, buffer = _gradient(parameter), self.state[f"momentum.{name}"]
            buffer.lerp_(gradient, 1 - self._momentum)
            if index % ranks.count == ranks.rank:
                ahead = gradient.lerp(buffer, self._momentum)  # Nesterov
                places[index].copy_(orthogonalize(ahead.to(self._dtype)).flatten())
        ranks.sum(flat)
        for parameter, place in zip(self._matrices.values(), places, strict=True):
            rows, columns = parameter.shape
            rate = self._muon_rate * rate_scale * max(1.0, rows / columns) ** 0.5
            parameter.mul_(1 - rate * self._weight_decay)
            parameter.add_(place.view_as(parameter), alpha=-rate)

    def _step_others(self, rate_scale: float) -> None:
        rate = self._adam_rate * rate_scale
        correct_mean, correct_square = (1 - beta**self.n_steps for beta in self._betas)
        for name, parameter in self._others.items():
            mean, square = self.state[f"mean.{name}"], self.state[f"square.{name}"]
            gradient = _gradient(parameter)
            mean.lerp_(gradient, 1 - self._betas[0])
            square.lerp_(gradient.square(), 1 - self._betas[1])
            scale = (square / correct_square).sqrt_().add_(1e-8)
            parameter.addcdiv_(mean, scale, value=-rate / correct_mean)


def _gradient(parameter: nn.Parameter) -> Tensor:
    """The gradient that a step needs every parameter to have."""
    assert parameter.grad is not None
    return parameter.grad
