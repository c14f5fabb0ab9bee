"""Model folders whose tokenizer or manifest is not what it should be."""

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
