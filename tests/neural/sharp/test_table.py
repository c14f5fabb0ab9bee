"""The n-gram table: exact under any history, and what it finds."""

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from code2lora_lsp.errors import ShapeMismatch
from code2lora_lsp.neural.sharp.table import NgramTable

V = 6
blocks = st.lists(st.integers(0, V - 1), max_size=14)
trees = st.lists(blocks, max_size=5)


def table_of(*added, vocabulary_size=V):
    return NgramTable.empty(vocabulary_size, "letters").with_changes(added)


def naive(tree, context):
    """What follows ``context`` in the blocks, counted one by one."""
    n = len(context)
    return Counter(
        block[i] for block in tree for i in range(n, len(block)) if block[i - n : i] == context
    )


def found_after(table, context):
    """Order -> what the table counts after the end of ``context``."""
    return {
        found.order: Counter(
            {
                int(token): int(table.rows.counts[found.start : found.stop][is_it].sum())
                for token in set(table.rows.next_ids[found.start : found.stop].tolist())
                for is_it in [table.rows.next_ids[found.start : found.stop] == token]
            }
        )
        for found in table.find(context)
    }


@given(tree=trees, context=st.lists(st.integers(0, V - 1), max_size=10))
def test_it_finds_what_counting_by_hand_finds_at_every_order(tree, context):
    table = table_of(*tree)
    wanted = {}
    for order in range(1, min(len(context), table.packing.longest) + 1):
        counted = naive(tree, context[-order:])
        if not counted:
            break
        wanted[order] = counted
    assert found_after(table, context) == wanted


@given(history=st.lists(trees, min_size=1, max_size=6))
@settings(max_examples=60)
def test_any_history_that_ends_in_a_tree_gives_the_bytes_of_that_tree(history):
    table, now = table_of(), Counter()
    for tree in history:
        then = Counter(tuple(block) for block in tree)
        added, removed = then - now, now - then
        table = table.with_changes(list(added.elements()), list(removed.elements()))
        now = then
    fresh = table_of(*history[-1])
    assert table.memory_id == fresh.memory_id
    assert table.rows.near.tobytes() == fresh.rows.near.tobytes()
    assert table.rows.far.tobytes() == fresh.rows.far.tobytes()
    assert table.rows.next_ids.tobytes() == fresh.rows.next_ids.tobytes()
    assert table.rows.counts.tobytes() == fresh.rows.counts.tobytes()


@given(tree=trees)
def test_every_token_is_counted_once(tree):
    assert table_of(*tree).n_tokens == sum(len(block) for block in tree)


def test_a_table_stays_what_it_was_when_another_is_made_of_it():
    before = table_of([1, 2, 3])
    named = before.memory_id
    before.with_changes([[4, 5]], [[1, 2, 3]])
    assert NgramTable(V, "letters", before.rows).memory_id == named


def test_a_context_does_not_reach_into_the_block_before():
    table = table_of([1, 2], [3, 4])
    assert table.find([1, 2]) == []
    assert found_after(table, [5, 3]) == {1: {4: 1}}


def test_what_is_no_token_matches_nothing_and_hides_what_is_older():
    table = table_of([1, 2, 3])
    assert list(found_after(table, [1, 99, 2])) == [1]
    assert list(found_after(table, [1, -1, 2])) == [1]
    assert table.find([V]) == []
    assert table.find([]) == []


@pytest.mark.parametrize("removed", [[[1, 2, 4]], [[1, 2, 3], [1, 2, 3]], [[2, 3]]])
def test_removing_what_is_not_there_is_refused(removed):
    with pytest.raises(ShapeMismatch, match="does not hold"):
        table_of([1, 2, 3]).with_changes([], removed)


@pytest.mark.parametrize("token", [-1, V, V + 1])
def test_an_id_that_is_no_token_is_refused(token):
    with pytest.raises(ShapeMismatch, match="token id"):
        table_of([1, token])


@pytest.mark.parametrize(("vocabulary_size", "longest"), [(8192, 8), (65_535, 8), (151_936, 6)])
def test_the_largest_ids_are_found_by_their_whole_context(vocabulary_size, longest):
    block = [vocabulary_size - 1 - index for index in range(longest + 1)]
    other = [vocabulary_size - 2, *block[1:]]
    table = table_of(block, other, vocabulary_size=vocabulary_size)
    found = found_after(table, block[:longest])
    assert max(found) == longest
    assert found[longest] == {block[-1]: 1}
    assert found[longest - 1] == {block[-1]: 2}
