import numpy as np
import pytest

from code2lora_lsp.training.ngram import BackOffModel

IDS = np.array([1, 2, 3, 4, 5, 1, 2, 3, 4, 6, 1, 2, 3, 7, 5, 2, 3, 4, 5] * 3)
MODEL = BackOffModel(IDS, 10)


@pytest.mark.parametrize("context", [[], [9], [3], [2, 3], [8, 1, 2, 3], [4, 1, 2, 3, 4]])
def test_every_distribution_sums_to_one_and_leaves_nothing_impossible(context):
    share = MODEL.distribution(context)
    assert share.sum() == pytest.approx(1.0)
    assert share.min() > 0


def test_a_context_predicts_what_followed_it():
    assert MODEL.distribution([1, 2, 3]).argmax() == 4
    assert MODEL.distribution([3, 7]).argmax() == 5


def test_an_unseen_context_backs_off_to_its_end():
    assert np.allclose(MODEL.distribution([9, 9, 9, 7]), MODEL.distribution([7]))


def test_smoothing_is_witten_and_bells():
    after_four = [IDS[i + 1] for i in range(len(IDS) - 1) if IDS[i] == 4]
    unigram = (np.bincount(IDS, minlength=10) + 1) / (len(IDS) + 10)
    distinct, count = len(set(after_four)), after_four.count(6)
    expected = (count + distinct * unigram[6]) / (len(after_four) + distinct)
    assert MODEL.distribution([4])[6] == pytest.approx(expected)


def test_ids_beyond_the_key_width_are_refused():
    with pytest.raises(ValueError, match="65536"):
        BackOffModel(IDS, 70_000)
