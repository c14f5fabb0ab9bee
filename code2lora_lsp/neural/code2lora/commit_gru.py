"""One GRU step per commit: the recurrent half of the hypernetwork (Code2LoRA-Evo)."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from code2lora_lsp.errors import ShapeMismatch


@dataclass(frozen=True)
class CommitGruConfig:
    """Widths of a commit gru. The defaults are the published ones (code2lora-spec, section 3.2).

    Attributes:
        diff_width: 2E, width of one diff embedding (upstream: ``diff_input_dim``).
        snapshot_width: 2E, width of the repository embedding (upstream: ``repo_state_dim``).
        hidden_width: H of the hidden state (upstream: ``hidden_dim``).
    """

    diff_width: int = 2048
    snapshot_width: int = 2048
    hidden_width: int = 2048


class CommitGru(nn.Module):
    """Folds diff embeddings into a hidden state.

    Parameter names are upstream's: ``diff_proj.{0,1}``, ``repo_init_proj.{0,2}``, ``gru.*``,
    ``output_norm``. Everything is computed in float32; layer norms use eps 1e-5.
    """

    def __init__(self, config: CommitGruConfig) -> None:
        super().__init__()
        self.config = config
        width = config.hidden_width
        self.diff_proj = nn.Sequential(nn.Linear(config.diff_width, width), nn.LayerNorm(width))
        self.repo_init_proj = nn.Sequential(
            nn.Linear(config.snapshot_width, width), nn.GELU(), nn.LayerNorm(width)
        )
        self.gru = nn.GRU(width, width, num_layers=1, batch_first=True)
        self.output_norm = nn.LayerNorm(width)

    def initial_state(self, repository_embedding: Tensor) -> Tensor:
        """Start a hidden state from a snapshot of the repository.

            h_0 = LayerNorm(GELU(W_0 e_0 + b_0))        (Code2LoRA, section 3.3)

        Args:
            repository_embedding: e_0, [B, 2E], L2-normalised, [mean ‖ max] order.

        Returns:
            h_0, [1, B, H] float32; the leading axis is torch's layer axis.

        Raises:
            ShapeMismatch: the width differs from the configuration.
        """
        _check_width("repository embedding", repository_embedding, self.config.snapshot_width, 2)
        state: Tensor = self.repo_init_proj(repository_embedding.float())
        return state.unsqueeze(0)  # [1, B, H]

    def step(self, diff_embedding: Tensor, hidden_state: Tensor) -> Tensor:
        """Fold one commit into the hidden state.

            h_t = GRU(LayerNorm(W_d d_t + b_d), h_{t-1})        (Code2LoRA, section 3.3)

        Args:
            diff_embedding: d_t, [B, 2E], not L2-normalised, [max ‖ mean] order.
            hidden_state: h_{t-1}, [1, B, H] float32.

        Returns:
            h_t, [1, B, H] float32. The argument is unchanged.

        Raises:
            ShapeMismatch: a width differs from the configuration.
        """
        _check_width("diff embedding", diff_embedding, self.config.diff_width, 2)
        return self.steps(diff_embedding.unsqueeze(1), hidden_state).transpose(0, 1)

    def steps(self, diff_embeddings: Tensor, hidden_state: Tensor) -> Tensor:
        """Fold T commits of each of B repositories in one call; the same maths as ``step``.

        Args:
            diff_embeddings: d_1 … d_T, [B, T, 2E], oldest first.
            hidden_state: h_0, [1, B, H] float32.

        Returns:
            h_1 … h_T, [B, T, H] float32.

        Raises:
            ShapeMismatch: a width differs from the configuration.
        """
        _check_width("diff embeddings", diff_embeddings, self.config.diff_width, 3)
        _check_width("hidden state", hidden_state, self.config.hidden_width, 3)
        states, _ = self.gru(self.diff_proj(diff_embeddings.float()), hidden_state)
        assert isinstance(states, Tensor)
        return states  # [B, T, H]

    def context(self, hidden_state: Tensor) -> Tensor:
        """What the lora head reads: ctx_t = LayerNorm_out(h_t).

        The paper's equation leaves this norm out; its section D.5 and the released weights
        have it.

        Args:
            hidden_state: h_t, [1, B, H] float32.

        Returns:
            ctx_t, [B, H] float32.

        Raises:
            ShapeMismatch: the width differs from the configuration.
        """
        _check_width("hidden state", hidden_state, self.config.hidden_width, 3)
        normed: Tensor = self.output_norm(hidden_state[-1])
        return normed


def _check_width(what: str, tensor: torch.Tensor, width: int, n_axes: int) -> None:
    if tensor.ndim != n_axes or tensor.shape[-1] != width:
        raise ShapeMismatch(
            f"{what} is {list(tensor.shape)}; expected {n_axes} axes, the last of width {width}"
        )
