"""The engine's decoder as encoder: the vectors transformers gives for the same weights."""

import pytest
import transformers

from code2lora_lsp.neural import encoders as encoder_module
from code2lora_lsp.neural.decoder import Decoder
from code2lora_lsp.neural.encoder import embed_diff
from code2lora_lsp.neural.encoders import BackboneEncoder
from code2lora_lsp.recipe import SOURCE_V1
from tests.fakes import TINY, ByteTokenizer, random_weights

TOLERANCE = 1e-5
WINDOWS = ["def f(x):\n    return x\n" * 9, "x = 1", "class A: ...\n" * 5, "é🙂"]


class Reference:
    """A transformers Qwen2 model behind the decoder's interface."""

    def __init__(self, weights):
        config = transformers.Qwen2Config(
            vocab_size=TINY.vocabulary_size, hidden_size=TINY.width,
            intermediate_size=TINY.intermediate_width, num_hidden_layers=TINY.n_layers,
            num_attention_heads=TINY.n_heads, num_key_value_heads=TINY.n_kv_heads,
            max_position_embeddings=TINY.max_positions, rms_norm_eps=TINY.rms_norm_eps,
            rope_parameters={"rope_type": "default", "rope_theta": TINY.rope_theta},
            tie_word_embeddings=False,
        )  # fmt: skip
        self._model = transformers.Qwen2ForCausalLM(config).eval()
        self._model.load_state_dict(weights)

    def hidden_states(self, token_ids, attention_mask):
        return self._model.model(token_ids, attention_mask=attention_mask).last_hidden_state


def as_encoder(backbone):
    return BackboneEncoder(backbone, ByteTokenizer(), width=TINY.width, encoder_id="tiny")


@pytest.fixture(scope="module")
def encoders():
    weights = random_weights(TINY)
    return as_encoder(Decoder(TINY, weights)), as_encoder(Reference(weights))


def test_window_vectors_are_those_of_transformers(encoders):
    ours, theirs = (encoder.embed_windows(WINDOWS, 128) for encoder in encoders)
    assert ours.abs().max() > 0.1
    assert (ours - theirs).abs().max() <= TOLERANCE


def test_diff_embeddings_are_those_of_transformers(encoders):
    ours, theirs = (embed_diff("\n".join(WINDOWS) * 3, e, SOURCE_V1) for e in encoders)
    assert (ours - theirs).abs().max() <= TOLERANCE


def test_padding_does_not_change_a_vector(encoders, monkeypatch):
    together = encoders[0].embed_windows(WINDOWS, 128)
    monkeypatch.setattr(encoder_module, "MAX_BATCH_TOKENS", 1)
    alone = encoders[0].embed_windows(WINDOWS, 128)
    assert (together - alone).abs().max() <= TOLERANCE
