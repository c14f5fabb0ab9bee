"""The embedded models' shapes, from one table.

Qwen2 architecture, so that transformers, peft and llama.cpp load them.
"""

import dataclasses

from transformers import Qwen2Config

from code2lora_lsp.training.tokenizer import SPECIAL_TOKENS, VOCABULARY_SIZE


@dataclasses.dataclass(frozen=True)
class Shape:
    """What differs between models; widths are multiples of 256, heads are 64 wide."""

    hidden: int
    layers: int
    kv_heads: int
    feed_forward: int


SHAPES = {
    "nano": Shape(hidden=256, layers=4, kv_heads=2, feed_forward=768),
    "small": Shape(hidden=512, layers=5, kv_heads=4, feed_forward=1536),
}
HEAD_WIDTH = 64
CONTEXT_TOKENS = 2048


def qwen2_config(name: str) -> Qwen2Config:
    """Return the transformers configuration of a named model.

    Raises:
        KeyError: no such model in ``SHAPES``.
    """
    shape = SHAPES[name]
    return Qwen2Config(
        vocab_size=VOCABULARY_SIZE,
        hidden_size=shape.hidden,
        intermediate_size=shape.feed_forward,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.hidden // HEAD_WIDTH,
        num_key_value_heads=shape.kv_heads,
        head_dim=HEAD_WIDTH,
        max_position_embeddings=CONTEXT_TOKENS,
        rope_parameters={"rope_type": "default", "rope_theta": 10_000.0},
        rms_norm_eps=1e-6,
        tie_word_embeddings=True,
        use_cache=True,
        bos_token_id=None,
        eos_token_id=SPECIAL_TOKENS.index("<|endoftext|>"),
        pad_token_id=SPECIAL_TOKENS.index("<|fim_pad|>"),
    )
