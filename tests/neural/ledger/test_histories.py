"""A ledger carried along any history is the ledger of the tree it ends at, bit for bit."""

import hashlib

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from code2lora_lsp.errors import ShapeMismatch
from code2lora_lsp.neural.decoder import Decoder
from code2lora_lsp.neural.ledger.statistics import Grid, no_statistics, statistics_of
from code2lora_lsp.neural.ledger.writes import write
from code2lora_lsp.text.blocks import blocks_of_tree, changed_blocks
from tests.fakes import TINY, ByteTokenizer, random_weights
from tests.neural.ledger.made_up import GRID, INNER, WIDTH, random_writes

torch.set_num_threads(1)

PATHS = ("a.py", "pkg/b.py", "pkg/c.py", "d.py")
DEFINITIONS = [
    "import os", "X = 1", "def f(a):\n    return a", "def f(a):\n    return a + 1",
    "class A:\n    b = 1", "class A:\n    b = 2\n\n    def m(self):\n        pass",
    "@d\ndef g(): pass", "# note", "def broken(:",
]  # fmt: skip
EMPTY = no_statistics(WIDTH, INNER, GRID)


def made_up_write(block):
    seed = int(hashlib.sha256(block.block_id.encode()).hexdigest()[:8], 16)
    return statistics_of(random_writes(seed, 1 + seed % 9, scale=2.0 ** (seed % 7 - 3)), GRID)


def fold(before, removed, added, write):
    for block in added:
        before = before + write(block)
    for block in removed:
        before = before - write(block)
    return before


def static(tree, write=made_up_write, empty=EMPTY):
    return fold(empty, (), blocks_of_tree(tree).elements(), write)


def step(ledger, before, after, write=made_up_write):
    change = changed_blocks(before, after)
    return fold(ledger, change.removed, change.added, write)


SOURCES = st.lists(st.sampled_from(DEFINITIONS), max_size=5).map("\n\n\n".join)
N = st.integers(0, 10_000)
COMMITS = st.one_of(
    st.tuples(st.just("edit"), st.sampled_from(PATHS), SOURCES),
    st.tuples(st.just("delete"), st.sampled_from(PATHS)),
    st.tuples(st.just("rename"), st.sampled_from(PATHS), st.sampled_from(PATHS)),
    st.tuples(st.just("revert to"), N),
    st.tuples(st.just("hop to"), N),
    st.tuples(st.just("merge"), N, st.booleans()),
)


def tree_after(commit, at, trees):
    """The tree a commit leads to from ``trees[at]``."""
    kind, *details = commit
    tree = dict(trees[at])
    if kind == "edit":
        tree[details[0]] = details[1]
    elif kind == "delete":
        tree.pop(details[0], None)
    elif kind == "rename" and details[0] in tree:
        tree[details[1]] = tree.pop(details[0])
    elif kind == "revert to":
        tree = dict(trees[details[0] % len(trees)])
    elif kind == "merge":
        other = trees[details[0] % len(trees)]
        tree = {**other, **tree} if details[1] else {**tree, **other}
    return tree


@settings(deadline=None)
@given(st.lists(COMMITS, max_size=25))
def test_evo_is_static_bit_for_bit_after_any_history(commits):
    trees, ledgers, at = [{}], [EMPTY], 0
    for commit in commits:
        if commit[0] == "hop to":  # another branch: the working tree goes there in one change
            target = commit[1] % len(trees)
            assert step(ledgers[at], trees[at], trees[target]).equals(ledgers[target])
            at = target
            continue
        after = tree_after(commit, at, trees)
        ledgers.append(step(ledgers[at], trees[at], after))
        trees.append(after)
        at = len(trees) - 1
        assert ledgers[at].equals(static(after))


def test_a_change_that_is_missed_is_seen():
    before, after = {"a.py": DEFINITIONS[2]}, {"a.py": DEFINITIONS[3]}
    assert not static(before).equals(static(after))
    assert step(static(before), before, after).equals(static(after))


@pytest.mark.parametrize("n_files", [2, 60])
def test_a_commit_writes_its_changed_blocks_however_large_the_tree(n_files):
    source = "\n\n\n".join(f"def f{i}():\n    return {i}" for i in range(8))
    tree = {f"m{i}.py": source for i in range(n_files)}
    edited = {**tree, "m1.py": source.replace("return 3", "return 33")}
    written = []

    def counting(block):
        written.append(block)
        return made_up_write(block)

    step(static(tree), tree, edited, counting)
    assert [block.text.split()[1] for block in written] == ["f3():", "f3():"]


def test_a_late_commit_writes_as_much_as_an_early_one():
    tree = {"a.py": DEFINITIONS[0], "d.py": "X = 0"}
    ledger = static(tree)
    writes = []

    def counting(block):
        writes[-1] += 1
        return made_up_write(block)

    for commit in range(300):
        writes.append(0)
        after = {**tree, "d.py": f"X = {commit + 1}"}
        ledger, tree = step(ledger, tree, after, counting), after
    assert set(writes) == {2}
    assert ledger.equals(static(tree))


def test_removing_what_was_never_written_is_refused():
    change = changed_blocks({"a.py": DEFINITIONS[2]}, {})
    with pytest.raises(ShapeMismatch, match="more was removed"):
        fold(EMPTY, change.removed, change.added, made_up_write)


def test_evo_is_static_with_a_real_decoder_too():
    decoder, tokenizer = Decoder(TINY, random_weights(TINY)), ByteTokenizer()
    grid = Grid(2.0**-12, 2.0**-12)

    def written(block):
        ids = (tokenizer.encode(block.header), tokenizer.encode(block.text))
        return statistics_of(write(decoder, *ids), grid)

    empty = no_statistics(TINY.width, TINY.intermediate_width, grid)
    first = {"a.py": "\n\n\n".join(DEFINITIONS[:5]), "d.py": DEFINITIONS[5]}
    second = {"a.py": "\n\n\n".join(DEFINITIONS[3:6]), "b.py": DEFINITIONS[5]}
    there = step(static(first, written, empty), first, second, written)
    assert there.equals(static(second, written, empty))
    assert step(there, second, first, written).equals(static(first, written, empty))
