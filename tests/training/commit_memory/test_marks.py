"""Which tokens of a commit are news, and which names nobody can see."""

from collections import Counter

import pytest

from code2lora_lsp.text.blocks import Block
from code2lora_lsp.training.commit_memory.marks import (
    FreshLines,
    Mark,
    NameFacts,
    common_names,
    names_of,
    token_marks,
)

TEXT = "def load(path):\n    return frobnicate(path, shallow)\n"
PIECES = [b"def", b" load", b"(path", b"):\n", b"    return", b" frob", b"nicate", b"(path",
          b", ", b"shallow", b")\n"]  # fmt: skip


def marks_of(block, pieces, fresh, common=(), known=()):
    facts = NameFacts(frozenset(common), Counter(known))
    return [Mark(int(mark)) for mark in token_marks(block, pieces, fresh, facts)]


def test_a_line_that_only_moved_is_not_news():
    old = Block("# a.py\n", "x = 1\ny = 2\n")
    new = Block("# b.py\n", "if x:\n    y = 2\n\ny = 2\n")
    assert FreshLines([old]).of(new) == [True, False, False, True, False]


def test_a_name_is_out_of_sight_only_where_it_stands_first():
    found = marks_of(Block("# a.py\n", TEXT), PIECES, [True, True, False])
    assert found[2] == Mark.FRESH | Mark.NAME | Mark.RARE
    assert found[7] == Mark.FRESH
    assert found[5] == found[6] == Mark.FRESH | Mark.NAME | Mark.RARE


def test_names_of_the_header_are_in_sight():
    found = marks_of(Block("# shallow.py\n", TEXT), PIECES, [True, True, False])
    assert found[9] == Mark.FRESH


def test_a_common_name_and_a_known_one_are_told_apart():
    found = marks_of(
        Block("# a.py\n", TEXT), PIECES, [False, True, False], common=[b"path"], known=[b"shallow"]
    )
    assert found[2] == Mark.NAME
    assert found[9] == Mark.FRESH | Mark.NAME | Mark.RARE | Mark.KNOWN


def test_short_words_and_keywords_are_no_names():
    assert names_of(Block("", "return abc(lambda x_y_z: None, café)\n")) == {b"x_y_z"}


def test_tokens_that_are_not_the_text_are_refused():
    with pytest.raises(ValueError, match="other bytes"):
        marks_of(Block("# a.py\n", TEXT), PIECES[:-1], [True, True, False])


def test_every_listed_name_is_common(tmp_path):
    path = tmp_path / "names.json"
    path.write_text('{"format": "x", "least": 3, "repositories": {"append": 120, "Kernel": 3}}')
    assert common_names(path) == {b"append", b"Kernel"}
