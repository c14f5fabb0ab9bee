"""Intervals that know about repositories, ranks, and a permutation test that is fair."""

import itertools

import numpy as np
import pytest

from code2lora_lsp.repopeftbench.statistics import cluster_mean, own_ranks, permutation_p


def test_the_mean_is_over_items_and_the_interval_over_repositories():
    values = [1.0] * 90 + [0.0] * 10
    estimate = cluster_mean(values, ["a"] * 90 + ["b"] * 10)
    assert (estimate.value, estimate.n_items, estimate.n_repositories) == (0.9, 100, 2)
    assert (estimate.low, estimate.high) == (0.0, 1.0)


def test_one_repository_gives_no_interval():
    estimate = cluster_mean([1.0, 2.0], ["a", "a"])
    assert (estimate.value, estimate.low, estimate.high) == (1.5, None, None)


def test_the_same_seed_gives_the_same_interval_and_another_does_not():
    values = list(np.random.default_rng(0).normal(size=60))
    repositories = [f"r{index % 12}" for index in range(60)]
    first, again = cluster_mean(values, repositories), cluster_mean(values, repositories)
    assert first == again
    assert first.low != cluster_mean(values, repositories, seed=1).low
    assert first.low < first.value < first.high


def test_the_interval_covers_the_truth_about_as_often_as_it_says():
    random = np.random.default_rng(7)
    covered = 0
    for trial in range(120):
        of_repository = random.normal(size=20)
        values = (of_repository[:, None] + random.normal(size=(20, 5))).ravel()
        estimate = cluster_mean(values, np.repeat(np.arange(20), 5).tolist(), seed=trial)
        covered += estimate.low <= 0 <= estimate.high
    assert 102 <= covered <= 120


@pytest.mark.parametrize(
    ("values", "repositories"), [([], []), ([1.0], []), ([float("nan")], ["a"])]
)
def test_what_cannot_be_averaged_is_an_error(values, repositories):
    with pytest.raises(ValueError, match=r"values for|not a finite"):
        cluster_mean(values, repositories)


def test_own_is_ranked_among_all_adapters_and_ties_share_the_middle():
    nats = np.array([[1.0, 2.0, 3.0], [1.0, 2.0, 3.0], [5.0, 5.0, 5.0]])
    assert own_ranks(nats).tolist() == [1.0, 2.0, 2.0]


def test_a_generally_good_adapter_or_an_easy_repository_is_not_evidence():
    easy, good = np.arange(6.0)[:, None], np.arange(6.0)[None, :]
    assert permutation_p(10 * easy + 3 * good) == 1.0


def test_small_p_counts_every_permutation():
    nats = np.ones((4, 4)) - np.eye(4)
    assert permutation_p(nats) == 1 / 24


def test_many_repositories_draw_permutations_and_agree_with_all_of_them():
    nats = np.random.default_rng(3).normal(size=(8, 8)) - 1.5 * np.eye(8)
    rows = np.arange(8)
    sums = [nats[rows, list(p)].sum() for p in itertools.permutations(range(8))]
    exact = np.mean([total <= np.trace(nats) + 1e-9 for total in sums])
    assert permutation_p(nats) == pytest.approx(exact, abs=0.01)
    assert 0.0 < exact < 0.2
