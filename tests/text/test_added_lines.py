"""The lines a change added: what is new of them, and what stood around them."""

from hypothesis import given
from hypothesis import strategies as st

from code2lora_lsp.text.added_lines import MOST_LINES, added_passages

OLD = "import os\n\n\ndef first():\n    return 1\n"


def texts(before, after):
    return [passage.text for passage in added_passages(before, after)]


def test_an_added_line_stands_between_what_was_before_and_behind():
    new = OLD.replace("    return 1\n", "    total = 1\n    return total\n")
    (passage,) = added_passages({"a.py": OLD}, {"a.py": new})
    assert passage.text == "    total = 1\n    return total\n"
    assert (passage.before + passage.text + passage.after) == new
    assert passage.path == "a.py"


def test_a_new_file_is_added_from_its_first_line():
    (passage,) = added_passages({}, {"b.py": OLD})
    assert (passage.before, passage.text, passage.after) == ("", OLD, "")


def test_a_long_run_is_asked_for_in_parts_as_if_written_from_above():
    new = "".join(f"value_{n} = {n}\n" for n in range(2 * MOST_LINES + 3))
    passages = sorted(added_passages({}, {"b.py": new}), key=lambda p: len(p.before))
    assert [p.text.count("\n") for p in passages] == [MOST_LINES, MOST_LINES, 3]
    assert "".join(p.text for p in passages) == new
    assert passages[1].before == passages[0].text
    assert {p.after for p in passages} == {""}


def test_removed_and_unchanged_lines_are_not_added():
    assert texts({"a.py": OLD}, {"a.py": OLD}) == []
    assert texts({"a.py": OLD}, {"a.py": "import os\n"}) == []
    assert texts({"a.py": OLD}, {}) == []


def test_what_moved_to_another_file_is_not_new():
    moved = "    return compute_the_total(prices)\n"
    before = {"a.py": "def f():\n" + moved}
    after = {"a.py": "def f():\n    pass\n", "b.py": "def g():\n" + moved + "    more = 1\n"}
    assert sorted(texts(before, after)) == ["    more = 1\n", "    pass\n", "def g():\n"]


def test_a_renamed_file_adds_nothing():
    assert texts({"a.py": OLD}, {"b.py": OLD}) == []


def test_blank_lines_alone_are_nothing_to_ask_for():
    assert texts({"a.py": OLD}, {"a.py": OLD + "\n\n"}) == []


def test_the_order_depends_on_nothing_but_the_change():
    new = {f"{name}.py": f"{name} = 1\n" for name in "abcdef"}
    assert texts({}, new) == texts({}, dict(reversed(new.items())))


@given(st.lists(st.sampled_from("abcdef"), max_size=20), st.lists(st.sampled_from("abcdef")))
def test_every_passage_is_of_the_new_text(old, new):
    before, after = ("".join(line + "\n" for line in lines) for lines in (old, new))
    for passage in added_passages({"x": before}, {"x": after}):
        assert after.startswith(passage.before + passage.text)
        assert after.endswith(passage.after)
