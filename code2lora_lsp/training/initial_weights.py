"""Weights a run starts from."""

import torch
from torch import Tensor
from transformers import Qwen2ForCausalLM

from code2lora_lsp.training.model_configs import HEAD_WIDTH, qwen2_config

PREVIOUS_TOKEN_STRENGTH = 5.66
N_PREVIOUS_TOKEN_FREQUENCIES = 8

COPY_PLANES = 12
MARK_SCALE, MATCH_SCALE, COPY_SCALE = 0.1, 2.0, 0.3
"""Of 54 combinations the one that predicts the second half of repeated random tokens best:
7.15 nats against 9.06 for the first half, before a single step of training."""


def initial_model(name: str, seed: int) -> Qwen2ForCausalLM:
    """Random weights; those that write into the residual stream start sqrt(2 L) smaller (GPT-2)."""
    torch.manual_seed(seed)
    config = qwen2_config(name)
    model = Qwen2ForCausalLM(config)
    with torch.no_grad():
        for parameter_name, parameter in model.named_parameters():
            if "o_proj" in parameter_name or "down_proj" in parameter_name:
                parameter.mul_((2 * config.num_hidden_layers) ** -0.5)
    seed_previous_token_heads(model)
    seed_copying_head(model)
    return model.train()


@torch.no_grad()
def seed_previous_token_heads(model: Qwen2ForCausalLM) -> None:
    """Make the query heads of the first key head of layer 0 look back one token, two tokens, ….

    Copying what followed an earlier occurrence needs a head that reads the previous token. Small
    models find it late: without this, none had formed after 3 M tokens. Qwen2's query and key
    biases can say it outright, since under rotary positions with frequencies w_f

        q . k = c^2 sum_f cos((distance - n) w_f)   for   k = R(w) e,  q = R(-(n - 1) w) e,

    which peaks at distance n. Only the fastest frequencies are used; the slow ones tell
    neighbours apart poorly. Training is free to change all of it.
    """
    attention, config = model.model.layers[0].self_attn, model.config
    half = HEAD_WIDTH // 2
    steps = torch.arange(N_PREVIOUS_TOKEN_FREQUENCIES)
    frequencies = config.rope_parameters["rope_theta"] ** (-steps / half)
    n_queries = config.num_attention_heads // config.num_key_value_heads
    attention.q_proj.weight[: n_queries * HEAD_WIDTH].zero_()
    attention.k_proj.weight[:HEAD_WIDTH].zero_()
    attention.k_proj.bias[:HEAD_WIDTH] = _turned(frequencies)
    for head in range(n_queries):
        rows = slice(head * HEAD_WIDTH, (head + 1) * HEAD_WIDTH)
        attention.q_proj.bias[rows] = _turned(-head * frequencies)


@torch.no_grad()
def seed_copying_head(model: Qwen2ForCausalLM) -> None:
    """Let head 0 of layer 1 copy what followed the last occurrence of the current token.

    The induction circuit of Olsson et al. (arXiv 2209.11895), written down instead of waited for.
    With random orthonormal projections R (read), N (note), W (what), rows of one basis:

        layer 0:  value = R x_prev, written as N^T R x_prev       (the previous-token head above)
        layer 1:  key = N x,  query = R x,  value = W x, written as W^T W x

    Key and query use only the slowest rotary planes, which turn too little to blur the match.
    """
    half = HEAD_WIDTH // 2
    planes = torch.arange(half - COPY_PLANES, half)
    rows = torch.cat([planes, planes + half])
    read, note, what = _projections(model.config.hidden_size, [len(rows), len(rows), HEAD_WIDTH])
    mark, match = model.model.layers[0].self_attn, model.model.layers[1].self_attn
    head = slice(0, HEAD_WIDTH)
    for matrix in (mark.v_proj, match.k_proj, match.q_proj):
        matrix.weight[head].zero_()
    mark.o_proj.weight[:, head].zero_()
    mark.v_proj.weight[: len(rows)] = read * MARK_SCALE
    mark.o_proj.weight[:, : len(rows)] = note.T
    match.k_proj.weight[rows] = note * MATCH_SCALE
    match.q_proj.weight[rows] = read * MATCH_SCALE
    match.v_proj.weight[head] = what * COPY_SCALE
    match.o_proj.weight[:, head] = what.T


def _projections(width: int, ranks: list[int]) -> tuple[Tensor, ...]:
    """Mutually orthogonal projections, each [rank, width] with orthonormal rows."""
    basis: Tensor = torch.linalg.qr(torch.randn(width, sum(ranks)))[0].T
    return tuple(torch.split(basis, ranks))


def _turned(angles: Tensor) -> Tensor:
    """A head vector [HEAD_WIDTH]: the unit vector turned by ``angles`` in the first planes."""
    half = HEAD_WIDTH // 2
    vector = torch.zeros(HEAD_WIDTH)
    vector[: len(angles)] = angles.cos() * PREVIOUS_TOKEN_STRENGTH
    vector[half : half + len(angles)] = angles.sin() * PREVIOUS_TOKEN_STRENGTH
    return vector
