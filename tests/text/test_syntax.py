"""What is open at a place, in several languages, and in every file of this project."""

from pathlib import Path

import pytest

from code2lora_lsp.text.syntax import Scanner, open_at_end, syntax_of

PROJECT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("language", "text", "still_open"),
    [
        ("python", "x = f(a, [b", ["(", "["]),
        ("python", 'f(")", b', ["("]),
        ("python", '"""Do:\n1) this', ['"""']),
        ("python", "x = 'it\\'s (", ["'"]),
        ("python", "x = 'it\\\n(", ["'"]),
        ("python", "# don't \\\nx = (", ["("]),
        ("python", "x = 'abc\nf(", ["("]),
        ("python", 'f"{foo(', ['f"', "{", "("]),
        ("python", 'f"{{(', ['f"']),
        ("python", 'f"{x["a"]}" + (', ["("]),
        ("python", "x = (1\ndef f(:", ["("]),
        ("python", "class A:\n    x = (1\n    def f(self, ", ["("]),
        ("python", "f(a)\nx = 1", []),
        ("javascript", "x = `a ${f(", ["f`", "{", "("]),
        ("javascript", "// don't\nf(", ["("]),
        ("c", "/* ( */ {", ["{"]),
        ("c", "*/ f(", ["("]),
        ("rust", "fn f<'a>(", ["("]),
        ("markdown", "It's (", ["("]),
    ],
)
def test_what_is_open_at_the_end(language, text, still_open):
    assert list(open_at_end(text, syntax_of(language))) == still_open


def test_nothing_is_open_at_the_end_of_a_file_that_is_whole():
    paths = [*PROJECT.glob("code2lora_lsp/**/*.py"), *PROJECT.glob("tests/text/*.py")]
    assert len(paths) > 100
    for path in paths:
        assert open_at_end(path.read_text(encoding="utf-8"), syntax_of("python")) == (), path


def test_what_is_to_stay_open_is_not_closed():
    scanner = Scanner(syntax_of("python"), ("(", "["))
    assert scanner.read("a]) + b", keep=1) == 2
    assert scanner.open == ["("]
    assert Scanner(syntax_of("python"), ('"',)).read('a" + "b', keep=1) == 1


def test_of_one_long_line_only_the_last_is_read():
    syntax = syntax_of("javascript")
    assert open_at_end("f(" + "x" * 50_000 + "[", syntax) == ("[",)


TRICKY = '''def f(a, b="(", *c):
    """Doc ( string
    with lines [ """ + f"{a!r} {{ {b['x']} }}" + 'it\\'s' + "\\
    goes on ("
    total = [  # a ( comment
        a, \\
        (b + f'{c(
            1)}'
    return (
def g():
    x = {"a": (1,
'''


@pytest.mark.parametrize("language", ["python", "javascript", "rust", "plaintext"])
def test_what_is_open_is_the_same_whether_the_lines_above_are_remembered_or_read(language):
    syntax = syntax_of(language)
    for end in range(len(TRICKY) + 1):
        text = TRICKY[:end]
        scanner, position = Scanner(syntax), 0
        while (unopened := scanner.read(text[position:])) is not None:
            position += unopened + 1
        assert open_at_end(text, syntax) == tuple(scanner.open), text
