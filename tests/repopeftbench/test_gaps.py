"""Where a name has to be known."""

import pytest

from code2lora_lsp.repopeftbench.gaps import find_gaps
from code2lora_lsp.repopeftbench.windows import Windows

SOURCE = """from pkg.mod import First, second as other
import a.deep.module

def run(self):
    é = self.app.ensure_sync(view, 2, three)
    connect(
        host,
    )
    open_stream(name, mode="r", on_error=lambda: 0, **rest)
    ready()
    return [CONSTANT, f"{hidden.inside}"]
"""


def by_kind(source: str) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for gap in find_gaps(source):
        found.setdefault(gap.kind, []).append(source[gap.start : gap.stop])
    return found


def test_every_kind_is_found_with_its_target():
    found = by_kind(SOURCE)
    assert found["import"] == ["First", "second", "module"]
    assert found["attribute"] == ["app"]
    assert found["call"] == ["ensure_sync(view, 2", "connect(", "open_stream(name", "ready()"]
    assert found["keyword"] == ['mode="r"', "on_error=lambda: 0"]
    assert {"CONSTANT", "view", "self"} <= set(found["identifier"])


def test_a_gap_knows_its_function_line_and_byte_column():
    gap = next(gap for gap in find_gaps(SOURCE) if gap.identifier == "ensure_sync")
    line = SOURCE.split("\n")[gap.line - 1]
    assert (gap.function, gap.line) == ("run", 5)
    assert line.encode()[: gap.column].decode() == "    é = self.app."


def test_every_target_begins_with_a_name_of_the_text_and_no_place_is_asked_twice():
    gaps = find_gaps(SOURCE)
    assert all(SOURCE[gap.start : gap.stop].startswith(gap.identifier) for gap in gaps)
    assert len({gap.start for gap in gaps}) == len(gaps)
    assert [gap.start for gap in gaps] == sorted(gap.start for gap in gaps)


def test_a_long_keyword_value_is_not_part_of_the_target():
    assert by_kind(f"f(name='{'x' * 90}')")["keyword"] == ["name="]


def test_text_that_is_not_python_has_no_gap():
    assert find_gaps("def broken(:") == []
    assert find_gaps("x = '\0'") == []


def windows() -> Windows:
    return Windows(lambda text: [0] * len(text.split()))


def test_a_prefix_window_is_whole_lines_that_fit():
    text = "a b c\nd e\nf g h\n  i j"
    assert windows().before(text, 2) == "  i j"
    assert windows().before(text, 5) == "f g h\n  i j"
    assert windows().before(text, 9) == "d e\nf g h\n  i j"
    assert windows().before(text, 100) == text


def test_a_line_longer_than_the_budget_keeps_its_last_tokens():
    assert windows().before("first\na b c d e", 2) == " d e"


def test_a_suffix_window_holds_at_least_the_rest_of_the_line():
    text = " x y z\na b\nc d\n"
    assert windows().after(text, 1) == " x y z\n"
    assert windows().after(text, 5) == " x y z\na b\n"
    assert windows().after(text, 100) == text


@pytest.mark.parametrize("text", ["", "\n", "x"])
def test_short_texts_are_their_own_windows(text):
    assert windows().before(text, 5) == text
    assert windows().after(text, 5) == text
