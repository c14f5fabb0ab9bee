import json
import shutil
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from code2lora_lsp.training.model_configs import qwen2_config
from code2lora_lsp.training.tokenizer import SPECIAL_TOKENS, train_tokenizer

BY_LINE = train_tokenizer(["def f(self):\n    return  self.__name__ + '\\n'\n\n\n"] * 3, 320)
BY_LINE.encode_special_tokens = True  # text that spells one is only text


def ids_by_line(encode, text):
    lines = text.split("\n")
    kept = [line + "\n" for line in lines[:-1]] + ([lines[-1]] if lines[-1] else [])
    return [token for line in kept for token in encode(line)]


def test_encoding_by_line_equals_encoding_whole_on_real_files(tokenizer, own_sources):
    for text in own_sources:
        assert ids_by_line(tokenizer.encode, text) == tokenizer.encode(text)


@settings(max_examples=200, deadline=None)
@given(st.text(st.one_of(st.characters(codec="utf-8"), st.sampled_from("\n\r\t ab_().\x0c\u2028"))))
def test_encoding_by_line_equals_encoding_whole_and_decodes_back_on_any_text(text):
    def encode(part):
        return BY_LINE.encode(part).ids

    assert ids_by_line(encode, text) == encode(text)
    assert BY_LINE.decode(encode(text)) == unicodedata.normalize("NFC", text)


def test_special_tokens_are_named_as_in_qwen_and_come_first(tokenizer):
    fim = tokenizer.fim_tokens()
    ids = [
        fim.end_of_text,
        fim.prefix,
        fim.middle,
        fim.suffix,
        fim.pad,
        fim.repo_name,
        fim.file_sep,
    ]
    assert ids == list(range(7))
    assert tokenizer.vocabulary_size == 600


def test_no_token_goes_on_after_a_newline(tokenizer_folder):
    vocabulary = json.loads((tokenizer_folder / "tokenizer.json").read_text())["model"]["vocab"]
    assert not [piece for piece in vocabulary if "Ċ" in piece[:-1]]


@pytest.mark.parametrize("loader", [AutoTokenizer, PreTrainedTokenizerFast])
def test_transformers_loads_the_same_tokenizer_without_a_leading_token(
    loader, tokenizer_folder, tokenizer, own_sources, tmp_path
):
    qwen2_config("nano").save_pretrained(tmp_path)
    shutil.copytree(tokenizer_folder, tmp_path, dirs_exist_ok=True)
    loaded = loader.from_pretrained(tmp_path)
    for text in own_sources:
        assert loaded(text, split_special_tokens=True)["input_ids"] == tokenizer.encode(text)
    assert loaded.convert_tokens_to_ids(list(SPECIAL_TOKENS)) == list(range(7))
    assert (loaded.eos_token, loaded.pad_token) == (SPECIAL_TOKENS[0], SPECIAL_TOKENS[4])
    assert (
        json.loads((tokenizer_folder / "tokenizer_config.json").read_text())["add_bos_token"]
        is False
    )
