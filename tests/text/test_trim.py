"""Golden cases of what a raw completion becomes, and properties that hold for all of them."""

import pytest

from code2lora_lsp.text.extent import is_finished, is_left_open
from code2lora_lsp.text.gap import Gap
from code2lora_lsp.text.trim import trim, with_newline
from tests.marked import split_at_cursor

ONE_LINE = {
    # name: (source with cursor, raw completion, text to insert)
    "rest of a line": ("x = |\n", "1 + 2\ny = 3", "1 + 2"),
    "no line break yet": ("x = |", "compute(a)", "compute(a)"),
    "line ends here": ("x = 1|\n", "\ny = 2\n", ""),
    "block opener ends here": ("def f():|\n", "\n    return 1\n", ""),
    "empty": ("x = |", "", ""),
    "white space only": ("x = |", "   \n\n", ""),
    "trailing space": ("x = |\n", "1   \n", "1"),
    "trailing tab": ("x = |\n", "1\t\t\n", "1"),
    "space typed twice": ("x = |\n", " 1\n", "1"),
    "space typed once": ("x =|\n", " 1\n", " 1"),
    "tab typed, space proposed": ("x\t|\n", " = 1\n", "= 1"),
    "indentation may deepen": ("if x:\n    |\n", "    y()\n", "    y()"),
    "mid identifier": ("self.na|", "me = name\n", "me = name"),
    "identifier ends behind the cursor": ("self.na|me", "me", ""),
    "identifier goes on behind the cursor": ("self.na|me = 1", "me", ""),
    "identifier and more stand there": ("x = fo|o(a)\n", "o(a)\n", ""),
    "a word is not glued to the next": ("x = |old_value\n", "foo\n", ""),
    "single letter of a word is no overlap": ("x = |yes\n", "my + ", "my + "),
    "closing bracket stands there": ("print(|)\n", "value)\n", "value"),
    "two closing brackets stand there": ("print(len(|))\n", "value))\n", "value"),
    "one of two stands there": ("print(len(|)\n", "value))\n", "value)"),
    "nothing closed yet": ("print(len(|\n", "value))\n", "value))"),
    "one too many": ("print(|\n", "value))\n", "value)"),
    "far too many": ("print(|\n", "value)]}))\n", "value)"),
    "brackets of the rest close their own": ("f(|g(x))\n", "a, \n", "a, "),
    "string in the rest closes nothing": ("f(|, ')'\n", "a)\n", "a)"),
    "bracket of another kind": ("x = [|\n", "1, 2)\n", "1, 2"),
    "call goes on past the closed bracket": ("f(|)\n", "a, b).strip()\n", "a, b"),
    "own brackets are free": ("f(|)\n", "(a, b), [c]\n", "(a, b), [c]"),
    "bracket in a string": ("f(|)\n", '")", b\n', '")", b'),
    "bracket in a comment": ("x = 1  # note|\n", " 1) first\n", " 1) first"),
    "string opened before the cursor": ('f("|")\n', 'a) b")\n', "a) b"),
    "bracket opened lines above": ("f(\n    a,\n    b|\n", ")\n", ")"),
    "bracket closed by a later line only": ("f(\n    a,\n|\n", "    b,\n", "    b,"),
    "bracket opened in an earlier statement does not count": ("f(a)\nx = 1|\n", ")\n", ""),
    "subscript with its quote": ('d["|"]\n', 'key"]\n', "key"),
    "colon stands there": ("if x|:\n", " == 1:\n", " == 1"),
    "comma stands there": ("f(a|, b)\n", "bc, b)\n", "bc"),
    "space kept before a word": ("for |in items:\n", "x \n", "x "),
    "no space kept before a bracket": ("f(|)\n", "x \n", "x"),
    "overlap takes its space along": ("a = b |and c\n", "and c\n", ""),
    "repeats the next line": ("    |\n    total += value\n", "total += value\n", ""),
    "repeats the next line after a gap": ("|\n\nimport os\n", "import os\n", ""),
    "repeats the line above": ("x.append(1)\n|\n", "x.append(1)\n", ""),
    "completes to the line above": ("x.append(1)\nx.app|\n", "end(1)\n", ""),
    "extends the line above": ("x.append(1)\n|\n", "x.append(12)\n", "x.append(12)"),
    "pass may repeat": ("    pass\n    |\n", "pass\n", "pass"),
    "closing bracket may repeat": ("f(g(\n    1\n)\n|\n", ")\n", ")"),
    "umlaut": ('name = "|\n', 'Jürgen"\n', 'Jürgen"'),
    "cjk": ('name = "|"\n', '日本語"\n', "日本語"),
    "emoji": ("# 😋 |\n", "tasty 😋\n", "tasty 😋"),
    "emoji cut short": ("# |\n", "tasty \ufffd", "tasty"),
    "emoji overlap": ('x = "|😋"\n', 'a😋"\n', "a"),
    "combining mark": ('x = "e|"\n', '\u0301te"\n', "\u0301te"),
    "special token spelled out is text": ("x = |\n", '"<|endoftext|>"\n', '"<|endoftext|>"'),
    "form feed is no line break": ("x = |\n", "1\x0c2\n", "1\x0c2"),
    "end of file, no line break": ("return |", "x", "x"),
    "start of file": ("|", "import os\n", "import os"),
    "start of file, code below": ("|\nx = 1\n", "import os\n", "import os"),
    "escaped quote": ("x = '|\n", "it\\'s (fine'\n", "it\\'s (fine'"),
    "docstring opener": ('def f():\n    """|\n', "Do (a thing.\n", "Do (a thing."),
    "prose in an open docstring": ('def f():\n    """Do:\n    |\n', "1) this\n", "1) this"),
}

SEVERAL_LINES = {
    "block to its end": (
        "def f():|\n", "\n    a = 1\n    return a\n\n\ndef g():\n", "\n    a = 1\n    return a",
    ),
    "rest of the block": (
        "def f():\n    a = |\n", "1\n    return a\n\ndef g():\n    pass", "1\n    return a",
    ),
    "stops below an inner block": (
        "for x in y:\n    if x:|\n", "\n        a()\n    b()\n", "\n        a()",
    ),
    "keeps else": (
        "if x:|\n", "\n    a()\nelse:\n    b()\nc()\n", "\n    a()\nelse:\n    b()",
    ),
    "an identifier like else is none": ("if x:|\n", "\n    a()\nelsewhere()\n", "\n    a()"),
    "class body": (
        "class A:|\n", "\n    x = 1\n\n    def f(self):\n        pass\n\nclass B:",
        "\n    x = 1\n\n    def f(self):\n        pass",
    ),
    "blank lines inside": ("def f():|\n", "\n    a()\n\n    b()\n", "\n    a()\n\n    b()"),
    "tabs": ("def f():\n\tx = |\n", "1\n\treturn x\ndef g():\n", "1\n\treturn x"),
    "line limit": ("x = |\n", "1\ny = 2\nz = 3\nu = 4\nv = 5\nw = 6\n", "1\ny = 2\nz = 3\nu = 4"),
    "line limit from the next line on": (
        "x = 1|\n", "\na()\nb()\nc()\nd()\ne()\n", "\na()\nb()\nc()\nd()",
    ),
    "code behind the cursor makes it one line": ("x = |+ y\n", "a \nb\n", "a "),
    "closing marks behind it do not": ("f(|)\n", "\n    a,\n    b,\n)\n", "\n    a,\n    b,"),
    "closing line stands below": (
        "f(\n    a,|\n)\n", "\n    b,\n)\ng()\n", "\n    b,",
    ),
    "following code stands below": (
        "def f():\n    a()|\n    c()\n", "\n    b()\n    c()\n    d()\n", "\n    b()",
    ),
    "closing bracket at the left edge": (
        "x = [|\n", "\n    1,\n    2,\n]\ny = 1\n", "\n    1,\n    2,\n]\ny = 1",
    ),
    "continues a dictionary": (
        "class A:\n    d = {|\n", '\n        "a": 1,\n    }\n\nx = 1\n', '\n        "a": 1,\n    }',
    ),
    "too many brackets lines later": ("f(|\n", "\n    a\n)\n)\n", "\n    a\n)"),
    "nothing but line breaks": ("x = 1|\n", "\n\n\n", ""),
    "dedent at once": ("def f():\n    return 1|\n", "\n\n\ndef g():\n", ""),
    "blank line at the cursor": ("def f():\n    |\n", "return 1\n\ndef g():\n", "return 1"),
}  # fmt: skip

CASES = [
    *((name, 1, *case) for name, case in ONE_LINE.items()),
    *((name, 4, *case) for name, case in SEVERAL_LINES.items()),
]
by_name = pytest.mark.parametrize(
    ("max_lines", "marked", "raw", "expected"),
    [case[1:] for case in CASES],
    ids=[case[0] for case in CASES],
)


def make_gap(marked, max_lines):
    before, after = split_at_cursor(marked.replace("<|endoftext|>", "<endoftext>"))
    return Gap(before, after, max_lines)


def test_there_are_at_least_sixty_cases():
    assert len(CASES) >= 60


@by_name
def test_raw_becomes(max_lines, marked, raw, expected):
    assert trim(raw, make_gap(marked, max_lines)) == expected


@by_name
def test_decoding_is_left_open_as_soon_as_it_is_finished(max_lines, marked, raw, expected):
    """What ``is_finished`` calls final is final: more text does not change the answer."""
    gap = make_gap(marked, max_lines)
    ends = [end for end in range(len(raw) + 1) if is_finished(raw[:end], gap)]
    if ends:
        assert trim(raw[: ends[0]], gap) == expected
        assert ends == list(range(ends[0], len(raw) + 1)), "once finished, always finished"


@by_name
def test_trimming_twice_changes_nothing(max_lines, marked, raw, expected):
    gap = make_gap(marked, max_lines)
    assert trim(expected, gap) == expected


def test_single_lines_finish_at_the_line_break():
    gap = Gap("x = ", "\n", 1)
    assert not is_finished("1 + 2", gap)
    assert is_finished("1 + 2\n", gap)


def test_the_documents_line_break_comes_back():
    assert with_newline("a\n    b", "\r\n") == "a\r\n    b"
    assert with_newline("a\n    b", "\n") == "a\n    b"


@pytest.mark.parametrize(
    ("before", "raw", "after", "is_open"),
    [
        ("x = ", "f(1)", "\n", False),
        ("x = ", "f(1", "\n", True),
        ("x = ", "f(", "\n", False),
        ("x = ", "f(1,", "\n", False),
        ("x = ", "[0, 1", "\n", True),
        ("x = [", "0, 1", "\n", False),
        ("x = f(", "[0, 1", ")\n", False),
        ("x = ", '"abc', "\n", True),
        ("x = ", '"a(c"', "\n", False),
        ("x = ", '"""abc', "\n", False),
        ('x = "ab', "c(", "\n", False),
        ("x = ", "1  # (see", "\n", False),
        ("x = ", "f(1\n", "\n", False),
        ("", "", "", False),
    ],
)
def test_text_that_ends_inside_what_it_opened_is_left_open(before, raw, after, is_open):
    assert is_left_open(raw, Gap(before, after)) is is_open
