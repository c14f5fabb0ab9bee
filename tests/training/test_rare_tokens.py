"""Tokens of names that few repositories have and the prompt does not show."""

import json

import pytest

from code2lora_lsp.training.rare_tokens import RareNames
from code2lora_lsp.training.timelines import Item

PIECES = [b"ensure", b"_sync", b" value", b"(", b" frob", b"nicate", b" ensure", b"def", b" x1"]
END = len(PIECES)  # a special token: it stands for no text


@pytest.fixture
def rare(tmp_path):
    path = tmp_path / "names.json"
    path.write_text(json.dumps({"repositories": {"value": 9, "ensure": 4}}))
    return RareNames.from_file(path, dict(enumerate(PIECES)))


def marks(rare, prompt, target):
    return rare.marks(Item((*prompt, *target), len(prompt)))


def test_every_token_of_a_rare_name_is_marked_and_no_common_one(rare):
    assert marks(rare, (2,), (0, 1, 3, 2, END)) == [True, True, False, False, False]


def test_a_name_that_the_prompt_shows_is_not_marked(rare):
    assert marks(rare, (3, 4, 5, 3), (4, 5, 3)) == [False, False, False]


def test_what_stands_on_either_side_of_a_special_token_is_not_one_name(rare):
    assert marks(rare, (0, END, 1), (0, 1)) == [True, True]


def test_keywords_and_short_names_are_not_marked(rare):
    assert marks(rare, (), (7, 3, 8)) == [False, False, False]
