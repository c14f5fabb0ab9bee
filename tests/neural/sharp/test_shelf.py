"""Blocks by themselves: kept as exactly as the table keeps its counts, and found by resemblance."""

import math
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from code2lora_lsp.errors import ShapeMismatch
from code2lora_lsp.neural.sharp.shelf import Shelf, ShelvedBlock


def block(path, *texts):
    return ShelvedBlock(path, tuple(np.array(text, np.int32) for text in texts))


def shelf_of(**blocks):
    return Shelf({}).with_changes(blocks.items())


WHEELS = block("wheels.py", [1, 2, 3, 4])
TYRES = block("wheels.py", [1, 2, 9])
ENGINE = block("engine.py", [5, 6, 7, 8])
COMMON = block("misc.py", [1, 5, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29])


def test_a_block_is_as_often_there_as_it_came_less_as_it_went():
    rng = np.random.default_rng(0)
    known = {f"{n}": block(f"{n % 3}.py", rng.integers(0, 50, 8)) for n in range(6)}
    shelf, wanted = Shelf({}), Counter()
    for _ in range(60):
        added = rng.choice(sorted(known), rng.integers(0, 4)).tolist()
        wanted.update(added)
        here = sorted(wanted.elements())
        removed = rng.permutation(here)[: rng.integers(0, 4)].tolist()
        wanted.subtract(removed)
        wanted = +wanted
        shelf = shelf.with_changes([(i, known[i]) for i in added], [(i, known[i]) for i in removed])
        assert {i: found.n_times for i, found in shelf.blocks.items()} == wanted
    anew = Shelf({}).with_changes([(i, known[i]) for i in wanted.elements()])
    assert anew.shelf_id == shelf.shelf_id
    assert anew.with_changes([("0", known["0"])]).shelf_id != shelf.shelf_id


def test_a_block_that_is_not_there_cannot_go():
    with pytest.raises(ShapeMismatch, match=r"a block of wheels\.py"):
        shelf_of(a=ENGINE).with_changes([], [("b", WHEELS)])


def test_blocks_are_found_by_what_they_share_with_the_text():
    shelf = shelf_of(a=ENGINE, b=WHEELS, c=COMMON, d=TYRES)
    assert shelf.like([3, 4], 9) == ["b"]
    assert shelf.like([5, 6], 1) == ["a"]
    assert shelf.like([5, 6], 9) == ["a", "c"]
    assert shelf.like([2], 9) == ["d", "b"], "the smaller one is more like it"


def test_of_blocks_alike_that_of_the_likest_file_comes_first():
    beside = block("near.py", [7, 8, 9])
    shelf = shelf_of(a=block("far.py", [1, 2, 3]), b=block("near.py", [1, 2, 3]), c=beside)
    assert shelf.like([1, 2, 3, 7], 2) == ["b", "c"]


@pytest.mark.parametrize("seed", range(8))
def test_scores_are_those_of_the_equation(seed):
    rng = np.random.default_rng(seed)
    texts = [rng.integers(0, 40, rng.integers(1, 30)) for _ in range(16)]
    shelf = shelf_of(**{f"{n:02}": block(f"{n % 5}.py", text) for n, text in enumerate(texts)})
    in_sight = rng.integers(0, 40, 12).tolist()
    seen = set(in_sight)

    def summed(tokens, all_of_them, small):
        def idf(token):
            n = sum(token in other for other in all_of_them)
            return math.log1p((len(all_of_them) - n + 0.5) / (n + 0.5))

        return sum(map(idf, tokens & seen)) / math.sqrt(len(tokens) + small)

    of_blocks = {i: set(found.texts[0].tolist()) for i, found in shelf.blocks.items()}
    of_files = {}
    for i, found in shelf.blocks.items():
        of_files.setdefault(found.path, set()).update(of_blocks[i])
    scores = {
        i: summed(of_files[found.path], list(of_files.values()), 20) ** 2
        * summed(of_blocks[i], list(of_blocks.values()), 5)
        for i, found in shelf.blocks.items()
    }  # fmt: skip
    likest = sorted(filter(scores.get, scores), key=scores.__getitem__, reverse=True)
    assert shelf.like(in_sight, 99) == likest
    assert shelf.like(in_sight, 5) == likest[:5]


@pytest.mark.parametrize("in_sight", [[], [30], [-1, 10**9]])
def test_nothing_resembles_a_text_that_shares_nothing(in_sight):
    assert shelf_of(a=ENGINE, b=WHEELS).like(in_sight, 9) == []
    assert Shelf({}).like([1], 9) == []


def test_blocks_without_tokens_are_no_trouble():
    shelf = shelf_of(a=block("a.py", []), b=WHEELS)
    assert shelf.like([1, 2, 3], 9) == ["b"]
    assert shelf_of(a=block("a.py", [])).like([1], 9) == []


def test_of_blocks_that_resemble_it_alike_the_first_by_id_are_taken():
    shelf = shelf_of(**{i: block(f"{i}.py", [1, 2, 3]) for i in "fbdace"}, z=WHEELS)
    assert shelf.like([1, 2, 3], 4) == ["a", "b", "c", "d"]
    assert shelf.like([4], 4) == ["z"]


def test_the_order_blocks_came_in_changes_nothing():
    one = shelf_of(a=WHEELS, b=replace(WHEELS, path="x.py"), c=ENGINE)
    other = shelf_of(c=ENGINE, b=replace(WHEELS, path="x.py"), a=WHEELS)
    assert one.like([1, 2, 5], 9) == other.like([1, 2, 5], 9)
    assert one.shelf_id == other.shelf_id
