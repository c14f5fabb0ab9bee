"""Golden cases of what a raw completion becomes, and properties that hold for all of them."""

import json
from pathlib import Path

import pytest

from code2lora_lsp.text.extent import is_finished, is_left_open, without_open_end
from code2lora_lsp.text.fim import as_read, common_newline
from code2lora_lsp.text.gap import Gap
from code2lora_lsp.text.trim import trim, with_newline

CURSOR = "‸"
CASES = [
    pytest.param(case, id=f"{path.stem}: {case['name']}")
    for path in sorted((Path(__file__).parent / "golden").glob("*.json"))
    for case in json.loads(path.read_text(encoding="utf-8"))
]
every_case = pytest.mark.parametrize("case", CASES)


def gap_of(case):
    before, after = as_read(case["at"].split(CURSOR))
    return Gap(before, after, case.get("max_lines", 1), case.get("language", "python"))


def test_there_are_at_least_three_hundred_cases():
    assert len(CASES) >= 300
    assert len({case.id for case in CASES}) == len(CASES)


@every_case
def test_raw_becomes(case):
    shown = with_newline(trim(case["raw"], gap_of(case)), common_newline(case["at"]))
    assert shown == case["shown"]


@every_case
def test_what_is_called_finished_is_final(case):
    """More text does not change the answer, so that decoding may stop there."""
    gap, raw = gap_of(case), case["raw"]
    ends = [end for end in range(len(raw) + 1) if is_finished(raw[:end], gap)]
    if ends:
        assert trim(raw[: ends[0]], gap) == trim(raw, gap)
        assert ends == list(range(ends[0], len(raw) + 1)), "once finished, always finished"


@every_case
def test_trimming_twice_changes_nothing(case):
    gap = gap_of(case)
    shown = trim(case["raw"], gap)
    assert trim(shown, gap) == shown


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
        ("x = ", "1\ny = f(2", "\n", True),
        ("", "", "", False),
    ],
)
def test_text_that_ends_inside_what_it_opened_is_left_open(before, raw, after, is_open):
    assert is_left_open(raw, Gap(before, after)) is is_open


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("f(a)\ng(b, c", "f(a)"),
        ('f(a)\ng(\n    "b', "f(a)\ng("),
        ("f(a)\ng(b)", "f(a)\ng(b)"),
        ("f(a", ""),
    ],
)
def test_lines_that_stop_inside_what_they_opened_are_left_out(text, kept):
    assert without_open_end(text, Gap("", "\n", 8)) == kept
