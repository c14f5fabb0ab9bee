"""A loop is cut to its first round; what only looks like one is left alone."""

import pytest

from code2lora_lsp.text.loops import loop_start


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("x = f(1, 1, 1, 1, 1, 1, ", "x = f(1, "),
        ("abcabcabc", "abc"),
        ("return ------------", "return -"),
        ("self.a.b.a.b.a.b.a.b", "self.a.b"),
    ],
)
def test_a_loop_keeps_its_first_round(text, kept):
    start = loop_start([ord(c) for c in text])
    assert text[:start] == kept


@pytest.mark.parametrize(
    "text", ["", "a", "[[[]]]", "        x", "abcabc", "f(a, b, c)", "aaaaaaa", "abababx"]
)
def test_what_is_no_loop_is_left_alone(text):
    assert loop_start([ord(c) for c in text]) is None
