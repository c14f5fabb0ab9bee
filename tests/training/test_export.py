import hashlib
import json

import torch
from transformers import Qwen2Config

from code2lora_lsp.neural.weights import load_backbone_weights
from code2lora_lsp.text.tokenizer import fim_order


def test_the_folder_holds_a_model_that_loads_and_says_what_it_is(exported):
    folder, manifest, weights = exported
    loaded = load_backbone_weights(folder)
    assert loaded.keys() == weights.keys()
    for name, weight in weights.items():
        torch.testing.assert_close(loaded[name], weight, rtol=0, atol=0.03)
    assert Qwen2Config.from_pretrained(folder).hidden_size == 128
    assert fim_order(folder) == "spm"
    assert json.loads((folder / "manifest.json").read_text()) == manifest
    for name, digest in manifest["sha256"].items():
        assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == digest


def test_the_measured_loss_is_that_of_the_stored_weights(exported):
    validation = exported[1]["validation"]
    assert 5.0 < validation["heldout_nats_per_token"] < 8.0  # untrained: about ln 600
    assert 0.0 < abs(validation["quantisation_cost_nats_per_token"]) < 0.05
    assert list(validation["nats_by_position"])[-1] == "1024-2048"
    assert all(5.0 < nats < 9.0 for nats in validation["nats_by_position"].values())
