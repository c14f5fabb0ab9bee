"""Source → blocks: what belongs together, what an edit touches, what is too long."""

import textwrap

from hypothesis import given
from hypothesis import strategies as st

from code2lora_lsp.text.blocks import (
    LONG_CLASS_CHARS,
    MAX_BLOCK_CHARS,
    Block,
    blocks_of,
    blocks_of_tree,
    changed_blocks,
)

MODULE = '''"""A module."""

import os

LIMIT = 3


# Says how many.
# Twice.
@cached
def count(x):
    return x


class Small:
    def one(self):
        return 1


NAMES = [
    "a",
]
'''


def texts(source, path="a.py"):
    return [block.text for block in blocks_of(path, source)]


def test_definitions_and_what_stands_between_them_are_blocks():
    preamble, count, small, names = texts(MODULE)
    assert preamble == '"""A module."""\n\nimport os\n\nLIMIT = 3\n'
    assert count.startswith("# Says how many.\n# Twice.\n@cached\ndef count")
    assert small == "class Small:\n    def one(self):\n        return 1\n"
    assert names == 'NAMES = [\n    "a",\n]\n'


def test_every_block_says_where_it_stands():
    assert {block.header for block in blocks_of("pkg/a.py", MODULE)} == {"# pkg/a.py\n"}


def test_a_long_class_is_cut_into_methods_that_name_it():
    body = "".join(f"    def m{i}(self):\n        {'x = 1; ' * 60}\n\n" for i in range(6))
    source = f'@final\nclass Long(Base):\n    """Text."""\n\n    size = 1\n\n{body}'
    assert len(source) > LONG_CLASS_CHARS
    head, *methods = blocks_of("a.py", source)
    assert head.header == "# a.py\n"
    assert head.text == '@final\nclass Long(Base):\n    """Text."""\n\n    size = 1\n'
    assert [block.text.split("(")[0].strip() for block in methods] == [
        f"def m{i}" for i in range(6)
    ]
    assert {block.header for block in methods} == {"# a.py\nclass Long(Base):\n"}


def test_a_long_class_that_begins_with_a_method_keeps_its_first_line():
    body = "".join(f"    def m{i}(self):\n        {'x = 1; ' * 60}\n\n" for i in range(6))
    head, *methods = blocks_of("a.py", "class Long:\n" + body)
    assert head.text.startswith("class Long:\n")
    assert len(methods) >= 5


def test_text_that_is_no_python_is_cut_into_runs_of_lines():
    source = "def broken(:\n" * 1000
    found = texts(source)
    assert len(found) > 1
    assert "".join(found) == source
    assert max(map(len, found)) <= MAX_BLOCK_CHARS


def test_a_line_longer_than_a_block_is_cut():
    found = texts("x = '" + "a" * (3 * MAX_BLOCK_CHARS) + "'\n")
    assert len(found) == 4
    assert max(map(len, found)) <= MAX_BLOCK_CHARS


def test_a_blank_file_has_no_blocks():
    assert blocks_of("a.py", " \n\n\t\n") == []


def test_statements_on_one_line_stay_together():
    assert texts("x = 1; \ndef f(): pass\nclass A: pass\n") == [
        "x = 1; \n", "def f(): pass\n", "class A: pass\n",
    ]  # fmt: skip
    assert texts("if x:\n    pass; y = (\n 1); z = 2\n") == ["if x:\n    pass; y = (\n 1); z = 2\n"]


def test_an_id_depends_on_path_and_text_alone():
    one, same, renamed = (blocks_of(path, MODULE)[0].block_id for path in ("a.py", "a.py", "b.py"))
    assert one == same != renamed
    assert Block("# a\n", "b\n").block_id != Block("# a\nb\n", "").block_id


def test_an_edit_changes_the_block_it_touches_and_no_other():
    edited = MODULE.replace("return x", "return x + 1").replace("\n\n\nclass", "\n\n\n\nclass")
    change = changed_blocks(
        {"a.py": MODULE, "b.py": "y = 1\n"}, {"a.py": edited, "b.py": "y = 1\n"}
    )
    assert len(change.removed) == len(change.added) == 1
    assert "return x\n" in change.removed[0].text
    assert "return x + 1\n" in change.added[0].text


def test_a_rename_rewrites_the_file_and_a_copied_definition_counts_twice():
    change = changed_blocks({"a.py": MODULE}, {"b.py": MODULE})
    assert len(change.removed) == len(change.added) == 4
    twice = "def f():\n    pass\n\n\ndef f():\n    pass\n"
    assert list(blocks_of_tree({"a.py": twice}).values()) == [2]
    change = changed_blocks({"a.py": twice}, {"a.py": twice[:17]})
    assert (len(change.removed), len(change.added)) == (1, 0)


STATEMENTS = st.sampled_from(
    ["import os", "x = 1; y = 2", "# note", "", "def f(a):\n    return a", "class A:\n    b = 1",
     "@d\n# why\ndef g(): pass", '"""text\n\nmore"""', "class B: pass", "if x:\n    def h(): pass",
     "class Long:\n" + textwrap.indent("def m(self):\n    pass\n\n" * 120, "    "), "if (:"]
)  # fmt: skip


@given(st.lists(STATEMENTS, max_size=12))
def test_every_line_is_in_exactly_one_block_and_in_order(statements):
    source = "\n".join(statements)
    kept = [line for text in texts(source) for line in text.split("\n") if line.strip()]
    assert kept == [line for line in source.split("\n") if line.strip()]
