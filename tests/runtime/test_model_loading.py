"""From a folder on disk to completions, with a tiny random model of each kind."""

import json

import pytest
import torch
from safetensors.torch import save_file

from code2lora_lsp.config import ModelSettings
from code2lora_lsp.errors import DeviceUnavailable, ModelMismatch, ModelMissing
from code2lora_lsp.neural.decoder import Decoder
from code2lora_lsp.neural.session import DecodeSession
from code2lora_lsp.neural.transformers_decoder import TransformersDecoder
from code2lora_lsp.runtime.model_loading import choose_device, load_model
from code2lora_lsp.training.tokenizer import train_tokenizer
from tests.fakes import TINY, random_weights

SETTINGS = ModelSettings(device="cpu", threads=1)


def write_model(folder, **config):
    train_tokenizer(["def f(a):\n    return a\n"], 264).save(str(folder / "tokenizer.json"))
    save_file(random_weights(TINY), folder / "model.safetensors", {"format": "pt"})
    raw = {
        "model_type": "qwen2", "vocab_size": TINY.vocabulary_size, "hidden_size": TINY.width,
        "intermediate_size": TINY.intermediate_width, "num_hidden_layers": TINY.n_layers,
        "num_attention_heads": TINY.n_heads, "num_key_value_heads": TINY.n_kv_heads,
        "max_position_embeddings": TINY.max_positions, **config,
    }  # fmt: skip
    (folder / "config.json").write_text(json.dumps(raw))
    return folder


def test_a_qwen2_folder_runs_on_our_decoder_in_psm_order(tmp_path):
    said = []
    model = load_model(write_model(tmp_path), SETTINGS, lambda message, _: said.append(message))
    assert isinstance(model.backbone, Decoder)
    assert (model.order, model.name) == ("psm", tmp_path.name)
    assert model.backbone.dtype is torch.float32
    assert said == ["reading the tokenizer", "reading the weights", "warming up"]
    (tmp_path / "manifest.json").write_text('{"fim_order": "spm"}')
    assert load_model(tmp_path, SETTINGS, lambda *_: None).order == "spm"


def test_another_architecture_runs_on_transformers_with_the_same_interface(tmp_path):
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        vocab_size=264, hidden_size=32, intermediate_size=64, num_hidden_layers=1,
        num_attention_heads=4, max_position_embeddings=128,
    )  # fmt: skip
    LlamaForCausalLM(config).save_pretrained(tmp_path)
    train_tokenizer(["x = 1\n"], 264).save(str(tmp_path / "tokenizer.json"))
    model = load_model(tmp_path, SETTINGS, lambda *_: None)
    assert isinstance(model.backbone, TransformersDecoder)
    session = DecodeSession(model.backbone, 64)
    first = session.feed([1, 2, 3, 4], lambda: None)
    again = session.feed([1, 2, 3, 4], lambda: None)
    assert again.reused_tokens == 4
    assert torch.allclose(first.logits, again.logits, atol=1e-5)


def test_a_folder_without_a_model_says_what_is_missing(tmp_path):
    with pytest.raises(ModelMissing, match=r"tokenizer\.json"):
        load_model(tmp_path, SETTINGS, lambda *_: None)


def test_sizes_that_do_not_match_the_weights_are_refused(tmp_path):
    with pytest.raises(ModelMismatch, match="but config"):
        load_model(write_model(tmp_path, hidden_size=48), SETTINGS, lambda *_: None)


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without CUDA")
def test_a_device_that_is_not_there_is_refused_and_auto_takes_what_is():
    with pytest.raises(DeviceUnavailable, match="use 'auto'"):
        choose_device(ModelSettings(device="cuda"))
    assert choose_device(ModelSettings())[0].type == "cpu"
