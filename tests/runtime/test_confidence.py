"""The calibration of a model: what it says, and that only its own is read."""

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from code2lora_lsp.errors import ModelMismatch
from code2lora_lsp.runtime.confidence import (
    FILE,
    Calibration,
    load_calibration,
    save_calibration,
)

ONE = Calibration(0.5, 1.5)
log_ps = st.lists(st.floats(-20, 0), max_size=20)


@given(log_ps, st.floats(-20, 0))
def test_one_more_token_never_makes_a_suggestion_likelier(before, more):
    for one in (ONE, Calibration()):
        assert 0 <= one.probability([*before, more]) <= one.probability(before) <= 1


def test_it_is_the_logistic_of_what_the_model_says():
    p = math.exp(-0.3)
    logit = 0.5 + 1.5 * math.log(p / (1 - p))
    assert ONE.probability([-0.1, -0.2]) == pytest.approx(1 / (1 + math.exp(-logit)))
    assert ONE.probability([-1e9]) == pytest.approx(0)
    assert ONE.probability([]) > 0.99


def test_a_model_without_one_is_taken_at_its_word(tmp_path):
    found = load_calibration(tmp_path, "abc")
    assert found.probability([math.log(0.5), math.log(0.5)]) == pytest.approx(0.25)


def test_what_is_saved_is_read_again(tmp_path):
    save_calibration(ONE, tmp_path, "abc", {"fitted_on": {}})
    assert load_calibration(tmp_path, "abc") == ONE


@pytest.mark.parametrize(
    "change",
    [
        {"backbone": "another"},
        {"format": "code2lora-confidence-9"},
        {"weights": {"bias": 1.0}},
        {"weights": {"bias": 0.0, "slope": -1.0}},
    ],
)
def test_one_of_another_model_or_damaged_is_refused_by_name(tmp_path, change):
    save_calibration(ONE, tmp_path, "abc", {})
    path = tmp_path / FILE
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(ModelMismatch, match=FILE):
        load_calibration(tmp_path, "abc")
