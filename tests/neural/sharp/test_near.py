"""What is near: mixed in behind the whole tree's counts, at the place that is asked about."""

import math

import numpy as np
import pytest
import torch

from code2lora_lsp.neural.sharp.evidence import Reader
from code2lora_lsp.neural.sharp.memory import SharpMemory
from code2lora_lsp.neural.sharp.near import N_BLOCKS, NearMemory, NearText, sharpened
from code2lora_lsp.neural.sharp.shelf import Shelf, ShelvedBlock
from code2lora_lsp.neural.sharp.table import NgramTable
from tests.neural.sharp.test_memory import V, gate_of, uniform

BLOCKS = {
    "here": ("here.py", [[1, 2, 3], [4, 2, 3]]),
    "there": ("there.py", [[5, 2, 7]]),
    "far": ("far.py", [[6, 2, 8]]),
}


def shelf_of(blocks):
    return Shelf({}).with_changes(
        (block_id, ShelvedBlock(path, tuple(np.array(text, np.int32) for text in texts)))
        for block_id, (path, texts) in blocks.items()
    )


def memory_of(blocks, *gates):
    texts = [text for _, texts in blocks.values() for text in texts]
    table = NgramTable.empty(V, "letters").with_changes(texts)
    return sharpened(table, shelf_of(blocks), gates or (gate_of(0.5), gate_of(0.5)))


def test_what_stands_in_similar_places_is_likelier_there_than_elsewhere():
    memory = memory_of(BLOCKS)
    after = {token: memory.near([token]).mixed(uniform(), [token, 2]).exp() for token in (1, 5, 6)}
    for token, next_id in ((1, 3), (5, 7), (6, 8)):
        others = [found[next_id] for other, found in after.items() if other != token]
        assert after[token][next_id] > max(others)


def test_it_is_a_table_of_the_near_blocks_mixed_into_what_the_whole_one_leaves():
    whole, near = gate_of(0.3, 0.6), gate_of(0.2, 0.7)
    memory = memory_of(BLOCKS, whole, near)
    chosen = memory.shelf.like([1, 5], N_BLOCKS)
    assert set(chosen) == {"here", "there"}
    texts = [text for block_id in chosen for text in BLOCKS[block_id][1]]
    table = NgramTable.empty(V, "letters").with_changes(texts)
    left = SharpMemory(memory.whole.table, whole).mixed(uniform(), [1, 2])
    found = memory.near([1, 5]).mixed(uniform(), [1, 2])
    assert torch.allclose(found, SharpMemory(table, near).mixed(left, [1, 2]))
    assert found.exp().sum() == pytest.approx(1.0)


@pytest.mark.parametrize("seed", range(20))
def test_texts_searched_say_what_a_table_of_them_says(seed):
    rng = np.random.default_rng(seed)
    texts = [rng.integers(0, 3, rng.integers(0, 30)).astype(np.int32) for _ in range(4)]
    table = NgramTable.empty(V, "letters").with_changes(texts)
    context = rng.integers(0, 4, rng.integers(0, 14)).tolist()
    found = NearText.of(texts, table.packing.longest).read(uniform(0, 2).numpy(), context)
    wanted = Reader(table).read(uniform(0, 2).numpy(), context)
    assert (found is None) == (wanted is None)
    if wanted is not None:
        for name in ("starts", "token_ids", "shares", "features"):
            assert np.array_equal(getattr(found, name), getattr(wanted, name))


def test_nothing_follows_a_text_into_the_next():
    text = NearText.of([np.array(ids, np.int32) for ids in ([1, 2], [3, 4])], 8)
    assert text.read(uniform().numpy(), [2]) is None
    assert text.read(uniform().numpy(), [-1]) is None
    assert text.read(uniform().numpy(), []) is None
    assert text.read(uniform().numpy(), [2, 3]).token_ids.tolist() == [4]


def test_tokens_that_may_not_come_stay_impossible():
    found = memory_of(BLOCKS).near([1]).mixed(uniform(3, 9), [1, 2])
    assert (found > -math.inf).nonzero().flatten().tolist() == [3, 9]
    assert found.exp().sum() == pytest.approx(1.0)


def test_where_nothing_resembles_the_text_the_whole_table_is_left_alone():
    memory = memory_of(BLOCKS)
    assert memory.near([9]) is memory.whole


def test_the_same_place_has_the_same_answer_whatever_was_asked_between():
    memory = memory_of(BLOCKS)
    before = memory.near([1])
    first = before.mixed(uniform(), [1, 2])
    memory.near([5])
    again = memory.near([1])
    assert again is not before, "only the last place is kept"
    assert torch.equal(again.mixed(uniform(), [1, 2]), first)
    assert memory.near([1, 9]) is again, "the same blocks are near"


def test_guesses_are_the_whole_trees():
    memory = memory_of(BLOCKS)
    assert memory.near([1]).likely([1, 2]) == memory.whole.likely([1, 2])


def test_without_a_gate_for_it_nothing_is_near():
    memory = memory_of(BLOCKS, gate_of(0.5))
    assert isinstance(memory, SharpMemory)
    assert memory.near([1]) is memory


def test_the_id_changes_with_blocks_and_gates():
    one = memory_of(BLOCKS)
    assert one.memory_id == memory_of(BLOCKS).memory_id
    moved = BLOCKS | {"far": ("moved.py", BLOCKS["far"][1])}
    others = [
        memory_of(BLOCKS, gate_of(0.5), gate_of(0.6)),
        memory_of(BLOCKS, gate_of(0.6), gate_of(0.5)),
        NearMemory(one.whole, shelf_of({**moved, "new": ("new.py", [[1]])}), one.gate),
    ]
    assert len({one.memory_id, *(other.memory_id for other in others)}) == 4
    assert one.size_bytes > one.whole.size_bytes
