"""Where a fold starts is a function of the history alone, and never far back."""

import hashlib
import itertools

import pytest

from code2lora_lsp.recipe import PUBLISHED_V2, RECIPES, SOURCE_V1
from code2lora_lsp.runtime.fold import plan_fold

N = SOURCE_V1.anchor_interval


def commit_ids(count, seed=""):
    return [hashlib.sha1(f"{seed}{i}".encode()).hexdigest() for i in range(count)]


def reach(ids):
    return ids[-(2 * N + 1) :]


def test_no_stepped_commit_is_no_fold():
    assert plan_fold([], SOURCE_V1) is None


@pytest.mark.parametrize("length", [1, 2, N, N + 1, 2 * N, 2 * N + 1, 500, 3000])
def test_the_fold_ends_at_head_and_its_length_is_bounded(length):
    ids = commit_ids(length)
    plan = plan_fold(reach(ids), SOURCE_V1)
    assert [plan.anchor, *plan.steps][-1] == ids[-1]
    assert len(plan.steps) == min(length - 1, len(plan.steps))
    assert len(plan.steps) <= 2 * N
    if length > N:
        assert len(plan.steps) >= N


def test_a_young_repository_is_folded_from_its_first_commit():
    ids = commit_ids(N)
    assert plan_fold(ids, SOURCE_V1).anchor == ids[0]


def test_the_anchor_does_not_depend_on_how_much_older_history_is_known():
    ids = commit_ids(1000)
    assert plan_fold(ids, SOURCE_V1) == plan_fold(reach(ids), SOURCE_V1)


def test_the_next_commit_nearly_always_continues_the_same_fold():
    ids = commit_ids(2000)
    anchors = [plan_fold(reach(ids[:end]), SOURCE_V1).anchor for end in range(2 * N + 1, 2000)]
    moves = sum(a != b for a, b in itertools.pairwise(anchors))
    assert moves < len(anchors) * 4 / N


def test_the_published_stream_starts_at_the_first_kept_commit_and_steps_it_too():
    ids = commit_ids(300)
    plan = plan_fold(ids, PUBLISHED_V2)
    assert (plan.anchor, plan.steps) == (ids[0], tuple(ids))


def test_a_changed_rule_is_another_recipe():
    assert len(RECIPES) == 3
    assert PUBLISHED_V2.anchored(64).recipe_id != PUBLISHED_V2.recipe_id
    assert PUBLISHED_V2.anchored(64).recipe_id != PUBLISHED_V2.anchored(65).recipe_id
