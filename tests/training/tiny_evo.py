"""A backbone of a few thousand numbers and repositories whose diffs give away what they repeat."""

import random

import torch
from transformers import Qwen2Config, Qwen2ForCausalLM

from code2lora_lsp.neural.decoder_config import DecoderConfig
from code2lora_lsp.training.adapted_backbone import AdaptedBackbone
from code2lora_lsp.training.evo_model import EvoPlan, projection_dims
from code2lora_lsp.training.timelines import Item, Timeline

CONFIG = DecoderConfig(
    vocabulary_size=40, width=16, intermediate_width=24, n_layers=2, n_heads=2, n_kv_heads=1,
    head_dim=8, max_positions=64, tied_embeddings=True,
)  # fmt: skip
PLAN = EvoPlan(
    rank=2, alpha=4.0, gru_width=12, head_width=8, n_commits=4, n_bptt=4, learning_rate=1e-2
)


def language_model():
    torch.manual_seed(0)
    model = Qwen2ForCausalLM(
        Qwen2Config(
            vocab_size=40, hidden_size=16, intermediate_size=24, num_hidden_layers=2,
            num_attention_heads=2, num_key_value_heads=1, head_dim=8,
            max_position_embeddings=64, tie_word_embeddings=True, rope_theta=10_000.0,
        )
    )  # fmt: skip
    model.model.embed_tokens.weight.data.mul_(20)  # random heads say next to nothing otherwise
    return model


def adapted(model=None):
    types = sorted(projection_dims(CONFIG))
    return AdaptedBackbone(model or language_model(), types, PLAN.alpha / PLAN.rank)


def timeline(seed, n_steps=9):
    """Each repository repeats a token of its own, which its diffs give away."""
    rng, own = random.Random(seed), 10 + seed
    items = tuple(
        (Item(tuple([rng.randrange(1, 8) for _ in range(5)] + [own, own, 0]), 5),)
        for _ in range(n_steps - 1)
    )
    diffs = torch.zeros(n_steps, 32)
    diffs[:, seed] = 3.0
    return Timeline(f"owner/{seed}", torch.zeros(32), diffs, (*items, ()))
