import hashlib
import json

import pytest
import torch
from transformers import Qwen2Config

from code2lora_lsp.neural.weights import load_backbone_weights
from code2lora_lsp.text.tokenizer import fim_order
from code2lora_lsp.training import model_configs
from code2lora_lsp.training.checkpoints import Progress, save_checkpoint
from code2lora_lsp.training.export import export
from code2lora_lsp.training.initial_weights import initial_model
from code2lora_lsp.training.model_configs import Shape


@pytest.fixture
def exported(tmp_path, tokenizer_folder, own_sources, monkeypatch):
    shape = Shape(hidden=128, layers=2, kv_heads=1, feed_forward=128)
    monkeypatch.setitem(model_configs.SHAPES, "tiny", shape)
    monkeypatch.setattr(model_configs, "VOCABULARY_SIZE", 600)
    weights = {n: p.detach() for n, p in initial_model("tiny", 0).named_parameters()}
    save_checkpoint(tmp_path / "checkpoint", weights, {}, Progress("tiny", 3, 4_000_000, 120.0))
    shard = tmp_path / "corpus" / "validation" / "ada+notes.jsonl"
    shard.parent.mkdir(parents=True)
    files = [{"path": f"{i}.py", "text": text} for i, text in enumerate(own_sources[:4])]
    shard.write_text("".join(json.dumps(file) + "\n" for file in files))
    row = {"commit": "c0ffee", "licence": "MIT", "files": 4, "bytes": 5, "tokens": 6}
    rows = [
        row | {"repository": "ada/train", "split": "train"},
        row | {"repository": "ada/notes", "split": "validation"},
    ]
    (tmp_path / "corpus" / "manifest.json").write_text(json.dumps({"repositories": rows}))
    manifest = export(
        tmp_path / "checkpoint", tmp_path / "corpus", tokenizer_folder, tmp_path / "tiny",
        n_files=2, n_cursors=3, row_tokens=64,
    )  # fmt: skip
    return tmp_path / "tiny", manifest, weights


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
    assert set(validation["rest_of_line"]) == {"spm", "psm", "left_to_right"}


def test_the_card_lists_every_repository_with_commit_and_licence_under_its_use(exported):
    card = (exported[0] / "README.md").read_text()
    trained, measured = card.split("Measured on", maxsplit=1)
    assert "| ada/train | `c0ffee` | MIT |" in trained
    assert "| ada/notes | `c0ffee` | MIT |" in measured
    assert "4.0 M tokens" in card
