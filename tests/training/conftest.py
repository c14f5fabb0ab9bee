import json
from pathlib import Path

import pytest

from code2lora_lsp.text.tokenizer import Tokenizer
from code2lora_lsp.training import model_configs
from code2lora_lsp.training.checkpoints import Progress, save_checkpoint
from code2lora_lsp.training.export import export
from code2lora_lsp.training.initial_weights import initial_model
from code2lora_lsp.training.model_configs import Shape
from code2lora_lsp.training.tokenizer import save_tokenizer, train_tokenizer

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def own_sources():
    """Real Python: the package's own files, without the empty ones."""
    texts = (path.read_text(encoding="utf-8") for path in sorted(ROOT.glob("code2lora_lsp/*/*.py")))
    return [text for text in texts if text]


@pytest.fixture(scope="session")
def tokenizer_folder(tmp_path_factory, own_sources):
    """A small tokenizer trained on the package itself."""
    folder = tmp_path_factory.mktemp("tokenizer")
    save_tokenizer(train_tokenizer(own_sources[:20], 600), folder, context_tokens=2048)
    return folder


@pytest.fixture(scope="session")
def tokenizer(tokenizer_folder):
    return Tokenizer.from_folder(tokenizer_folder)


@pytest.fixture
def exported(tmp_path, tokenizer_folder, own_sources, monkeypatch):
    """An untrained tiny model as a folder: (folder, manifest, weights)."""
    shape = Shape(hidden=128, layers=2, kv_heads=1, feed_forward=128)
    monkeypatch.setitem(model_configs.SHAPES, "tiny", shape)
    monkeypatch.setattr(model_configs, "VOCABULARY_SIZE", 600)
    weights = {n: p.detach() for n, p in initial_model("tiny", 0).named_parameters()}
    save_checkpoint(tmp_path / "checkpoint", weights, {}, Progress("tiny", 3, 4_000_000, 120.0))
    shard = tmp_path / "corpus" / "validation" / "ada+notes.jsonl"
    shard.parent.mkdir(parents=True)
    files = [
        {"path": f"{i}.py", "text": text}
        for i, text in enumerate(sorted(own_sources, key=len)[-4:])
    ]
    shard.write_text("".join(json.dumps(file) + "\n" for file in files))
    row = {"commit": "c0ffee", "licence": "MIT", "files": 4, "bytes": 5, "tokens": 6}
    rows = [
        row | {"repository": "ada/train", "split": "train"},
        row | {"repository": "ada/notes", "split": "validation"},
    ]
    (tmp_path / "corpus" / "manifest.json").write_text(json.dumps({"repositories": rows}))
    manifest = export(
        tmp_path / "checkpoint",
        tmp_path / "corpus",
        tokenizer_folder,
        tmp_path / "tiny",
        n_long_files=2,
        hardware="one abacus",
    )
    return tmp_path / "tiny", manifest, weights


@pytest.fixture
def exported_folder(exported):
    return exported[0]
