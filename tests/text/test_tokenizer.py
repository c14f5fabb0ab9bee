"""Model folders whose tokenizer or manifest is not what it should be."""

import json
from pathlib import Path

import pytest

from code2lora_lsp.errors import ModelMismatch, ModelMissing
from code2lora_lsp.text.tokenizer import Tokenizer, fim_order


def test_a_folder_without_a_tokenizer_is_missing_one(tmp_path):
    with pytest.raises(ModelMissing, match=r"tokenizer\.json"):
        Tokenizer.from_folder(tmp_path)


@pytest.mark.parametrize("content", [b"", b'{"version": "1.0", ', b"[]", b"\xff\xfe"])
def test_a_damaged_tokenizer_is_a_mismatch_with_a_remedy(tmp_path, content):
    (tmp_path / "tokenizer.json").write_bytes(content)
    with pytest.raises(ModelMismatch, match="copy the model folder again") as caught:
        Tokenizer.from_folder(tmp_path)
    assert str(tmp_path / "tokenizer.json") in str(caught.value)


@pytest.mark.parametrize("content", ["{", "[]"])
def test_a_damaged_manifest_is_a_mismatch_with_a_remedy(tmp_path, content):
    (tmp_path / "manifest.json").write_text(content)
    with pytest.raises(ModelMismatch, match="copy the model folder again"):
        fim_order(tmp_path)


@pytest.fixture
def careless(tmp_path):
    """nano's tokenizer, its markers declared ordinary as Qwen2.5-Coder's are."""
    folder = Path(__file__).parents[2] / "models" / "nano"
    document = json.loads((folder / "tokenizer.json").read_text())
    for token in document["added_tokens"]:
        token["special"] = token["content"] == "<|endoftext|>"
    (tmp_path / "tokenizer.json").write_text(json.dumps(document))
    return Tokenizer.from_folder(tmp_path)


def test_markers_declared_ordinary_are_special_all_the_same(careless):
    fim = careless.fim_tokens()
    assert careless.special_ids() == frozenset(range(7))
    assert fim.prefix not in careless.encode("text <|fim_prefix|> text")
    assert careless.decode([fim.prefix, *careless.encode("x"), fim.file_sep]) == "x"
    assert not careless.token_bytes().keys() & careless.special_ids()
