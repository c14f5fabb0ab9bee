"""The static track: what the authors' builder does, by hand-made cases."""

import pytest

from code2lora_lsp.repopeftbench.items import InRepoSplit
from code2lora_lsp.repopeftbench.static_track import Balance, Snapshot, difficulty, static_items

SNAPSHOT = Snapshot("a/b", "c" * 40)


def items_in(source: str, balance: Balance | None = None):
    return static_items(SNAPSHOT, [("tests/test_a.py", source)], balance)


WHOLE = '''"""A docstring that is left out."""
import pytest
from pkg import thing

LIMIT = 3


@pytest.fixture
def made():
    return thing(LIMIT)


def test_other():
    assert thing(1) == 1


class TestThing(Base):
    size = 4

    def setUp(self):
        self.x = thing(2)

    def helper(self):
        return 5

    def test_earlier(self):
        assert made == "left out"

    @pytest.mark.slow
    def test_it(self, made):
        y = self.helper()
        assert made.value(y) == [
            LIMIT]

    def tearDown(self):
        self.x = None
'''

PREFIX = """import pytest
from pkg import thing

LIMIT = 3

def made():
    return thing(LIMIT)

class TestThing(Base):
    size = 4

    def setUp(self):
        self.x = thing(2)

    def helper(self):
        return 5

    @pytest.mark.slow
    def test_it(self, made):
        y = self.helper()

    def tearDown(self):
        self.x = None
        assert made.value(y) == """


def test_the_prefix_is_the_file_without_its_other_tests():
    items, _ = items_in(WHOLE)
    [item] = [item for item in items if item.function == "test_it"]
    assert item.prefix == PREFIX
    assert item.target == "[ LIMIT]"
    assert item.commit_id == SNAPSHOT.commit_id


def test_a_blank_line_stands_before_the_assertions_own_line():
    items, _ = items_in("import x\n\n\ndef test_a():\n    y = 1\n    assert y == 2\n")
    assert [item.prefix for item in items] == [
        "import x\n\ndef test_a():\n    y = 1\n\n    assert y == "
    ]


def test_long_prefixes_lose_their_top():
    body = "".join(f"    x{n} = {n}\n" for n in range(900))
    [item] = items_in(f"import y\n\n\ndef test_a():\n{body}    assert x0 == 0\n")[0]
    assert item.prefix.count("\n") == 599
    assert item.prefix.endswith("    x899 = 899\n\n    assert x0 == ")


@pytest.mark.parametrize(
    ("line", "target"),
    [
        ("assert f(x) < limit", "limit"),
        ("assert_equal(f(x))", "f(x))"),
        ("np.testing.assert_allclose(f(x), wanted)", "wanted)"),
        ("self.assertEqual(f(x), wanted)", "wanted)"),
        ("self.assertTrue(f(x))", "f(x))"),
        ("self.assertRaises(Wrong, f)", "Wrong)"),
        ("self.assertRaisesRegex(Wrong, 'why', f)", "Wrong, 'why')"),
        ("pytest.raises(Wrong, match='why')", "Wrong, match='why')"),
        ("pytest.approx(limit, abs=1)", "limit, abs=1)"),
    ],
)
def test_each_kind_is_cut_where_its_target_begins(line, target):
    [item] = items_in(f"def test_a(self):\n    {line}\n")[0]
    assert item.target == target
    assert item.prefix.split("\n")[-1] == "    " + line[: line.index(target[:4])]


@pytest.mark.parametrize(
    "line", ["assert f(x)", "self.assertEqual(x)", "a.mock.assert_x(1)", "f()"]
)
def test_what_is_no_comparison_or_has_no_target_is_not_asked(line):
    assert items_in(f"def test_a(self):\n    {line}\n") == ([], {})


def test_dropped_pairs_are_counted_by_reason():
    long = "1" * 501
    source = f"def test_a():\n    assert x == {long}\n    f(, )\nassert x == 1\n"
    source = source.replace("    f(, )\n", "    assert g('(,', 1) == 2\n")
    items, dropped = items_in(source)
    assert items == []
    assert dropped == {
        "target over 500 characters": 1, "outside a function": 1, "malformed prefix": 1,
    }  # fmt: skip


def test_functions_files_and_repositories_are_capped_shorter_targets_first():
    body = "".join(f"    assert x == {'9' * (n + 1)}\n" for n in range(8))
    source = "".join(f"def test_{name}():\n{body}\n" for name in "abcdef")
    items, dropped = items_in(source)
    assert (
        sorted({item.target for item in items}, key=len) == ["9", "99", "999", "9999", "99999"][:4]
    )
    assert len(items) == 4
    assert dropped == {"balance": 44}
    two, _ = items_in(source, Balance(per_repository=2))
    assert [item.target for item in two] == ["9", "99"]


def test_difficulties_are_kept_in_proportion():
    numbers = "".join(f"def test_n{n}():\n    assert x == {n}\n" for n in range(15))
    names = "".join(f"def test_v{n}():\n    assert x == name{n}\n" for n in range(5))
    items, _ = items_in(numbers + names, Balance(per_repository=8))
    found = [item.strata["difficulty"] for item in items]
    assert (found.count("numeric_literal"), found.count("variable")) == (6, 2)


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("True)", "bool_literal"), ("None", "none_literal"), ("b'x'", "string_literal"),
        ("-1.5e3", "numeric_literal"), ("[1]", "collection"), ("f(x)", "func_call"),
        ("name)", "variable"), ("a + b", "complex_expr"),
    ],
)  # fmt: skip
def test_difficulty_is_read_from_the_first_characters(target, expected):
    assert difficulty(target) == expected


def test_splits_are_eight_to_one_to_one_and_the_same_every_time():
    source = "".join(f"def test_{n}():\n    assert x == {n}\n" for n in range(20))
    first, _ = items_in(source)
    splits = [item.in_repo_split for item in first]
    assert [splits.count(split) for split in InRepoSplit] == [16, 2, 2]
    assert items_in(source)[0] == first
    assert len({item.item_id for item in first}) == 20
