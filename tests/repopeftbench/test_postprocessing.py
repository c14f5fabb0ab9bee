"""Parity with the reference package, and the oddities by name."""

import pytest
from c2l import metrics as published
from hypothesis import given, settings
from hypothesis import strategies as st

from code2lora_lsp.repopeftbench.metrics import (
    edit_similarity,
    exact_match,
    smoothed_bleu,
)
from code2lora_lsp.repopeftbench.postprocessing import (
    normalised,
    plain_prediction,
    published_prediction,
    published_reference,
)

PIECES = st.sampled_from(
    ["x", "foo", "1", "'a, b'", "#", "\n", ", ", ",", " ,", " ", ":", "\t", "(", ")", "[1]",
     "<|fim_middle|>", "<|fim_prefix|>", "é", "0x1f", "1.5e3", '"q"', "\r", "\u00a0"]
)  # fmt: skip
TEXTS = st.lists(PIECES, max_size=12).map("".join)


@given(prediction=TEXTS, target=TEXTS)
@settings(max_examples=600, deadline=None)
def test_every_string_is_compared_as_the_reference_package_compares_it(prediction, target):
    cleaned = published_prediction(prediction, target)
    reference = published_reference(target)
    assert cleaned == published.postprocess_prediction(prediction, target)
    assert reference == published.strip_comments(target)
    assert normalised(prediction) == published.normalize_for_match(prediction)
    assert exact_match(cleaned, reference) == published.exact_match(cleaned, reference)
    assert edit_similarity(cleaned, reference) == published.edit_similarity(cleaned, reference)
    if cleaned and reference and cleaned != reference:
        ours = smoothed_bleu(cleaned, reference)
        theirs = published._ngram_bleu(
            published._tokenize_code(cleaned), published._tokenize_code(reference)
        )
        assert ours == pytest.approx(theirs, abs=1e-12)


@pytest.mark.parametrize(
    ("text", "target", "compared"),
    [
        (" 3  # three\nassert y == 4", "3", "3"),
        ("'#fff'", "'#fff'", "'"),
        ("3, 'message')", "3)", "3"),
        ("(1, 2)\nmore", "(1, 2)", "(1, 2)"),
        ("value or other", "value", "value"),
        ("a\nb\nc", "a\nb", "a\nb\nc"),
        ("<|fim_middle|>x", "x", "x"),
        ("x, y", "# only a comment", "x, y"),
    ],
)
def test_the_published_rules_look_at_the_target(text, target, compared):
    assert published_prediction(text, target) == compared


def test_spaces_around_commas_and_a_trailing_colon_do_not_count():
    assert exact_match("f(a , b):", "f(a,b)")
    assert not exact_match("f(a, c)", "f(a, b)")


def test_the_plain_prediction_is_only_cut_to_the_target_s_lines():
    assert plain_prediction(" x  # why\nrest", "x") == "x  # why"
    assert plain_prediction("a\n  b\nc", "a\n  b") == "a\n  b"
