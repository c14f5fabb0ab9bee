"""Positions ↔ offsets."""

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lsprotocol import types

from code2lora_lsp.server.convert import (
    Encoding,
    Lines,
    count_code_points,
    count_units,
    split_lines,
)

U8, U16, U32 = Encoding.UTF8, Encoding.UTF16, Encoding.UTF32


def at(line, character):
    return types.Position(line=line, character=character)


@pytest.mark.parametrize(
    ("text", "encoding", "position", "offset"),
    [
        ("abc", U16, (0, 2), 2),
        ("a😀b", U16, (0, 3), 2),
        ("a😀b", U8, (0, 5), 2),
        ("a😀b", U32, (0, 2), 2),
        ("é漢b", U8, (0, 5), 2),
        ("é漢b", U16, (0, 2), 2),
        ("e\u0301b", U16, (0, 2), 2),
        ("a\r\nb", U16, (1, 1), 4),
        ("a\rb\nc", U16, (2, 1), 5),
        ("a\x0cb\u2028c\nd", U16, (1, 0), 6),
        ("a\n", U16, (1, 0), 2),
        ("", U16, (0, 0), 0),
    ],
)
def test_a_position_and_its_offset_are_two_names_of_one_place(text, encoding, position, offset):
    lines = Lines(text, encoding)
    assert lines.offset_at(at(*position)) == offset
    assert lines.position_at(offset) == at(*position)


@pytest.mark.parametrize(
    ("text", "encoding", "position", "offset"),
    [
        ("ab\ncd", U16, (0, 99), 2),
        ("ab\r\ncd", U16, (0, 3), 2),
        ("ab\ncd", U16, (7, 3), 5),
        ("ab\n", U16, (7, 3), 3),
        ("a😀b", U16, (0, 2), 1),
        ("a😀b", U8, (0, 3), 1),
    ],
)
def test_a_position_that_is_none_is_clamped(text, encoding, position, offset):
    assert Lines(text, encoding).offset_at(at(*position)) == offset


def test_an_offset_between_the_two_characters_of_a_line_break_is_the_line_end():
    assert Lines("ab\r\ncd", U16).position_at(3) == at(0, 2)


def test_an_offset_outside_the_text_is_clamped():
    lines = Lines("ab\ncd", U16)
    assert (lines.position_at(-1), lines.position_at(99)) == (at(0, 0), at(1, 2))


def test_an_unknown_encoding_is_utf_16():
    assert Encoding.of("utf-7") is Encoding.of(None) is U16
    assert Encoding.of("utf-8") is U8


texts = st.text(alphabet="ab\r\n\x0c\u2028é漢😀", max_size=12)
encodings = st.sampled_from(Encoding)
positions = st.builds(at, st.integers(0, 6), st.integers(0, 12))


@given(texts)
def test_lines_are_the_text(text):
    lines = split_lines(text)
    assert "".join(lines) == text
    assert not lines[-1].endswith(("\r", "\n"))
    assert all(line.endswith(("\r", "\n")) for line in lines[:-1])
    assert not any(a.endswith("\r") and b.startswith("\n") for a, b in pairwise(lines))


@given(texts, encodings)
def test_units_and_code_points_undo_each_other(text, encoding):
    for n in range(len(text) + 1):
        assert count_code_points(text, count_units(text[:n], encoding), encoding) == n
    if encoding is not U32:
        assert count_units(text, encoding) * (2 if encoding is U16 else 1) == len(
            text.encode(encoding.value + ("-le" if encoding is U16 else ""))
        )


@settings(max_examples=400)
@given(texts, st.lists(st.tuples(positions, positions, texts), max_size=4), encodings)
def test_edits_in_place_equal_edits_of_the_whole_text(text, edits, encoding):
    lines = Lines(text, encoding)
    for start, end, new in edits:
        whole = Lines(lines.text(), encoding)
        low, high = sorted((whole.offset_at(start), whole.offset_at(end)))
        expected = whole.text()[:low] + new + whole.text()[high:]
        lines.replace(types.Range(start, end), new)
        assert lines.text() == expected
        assert lines._lines == split_lines(expected)
