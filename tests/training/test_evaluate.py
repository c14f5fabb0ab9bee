import json

import numpy as np
import pytest

from code2lora_lsp.training.cursors import Cursor
from code2lora_lsp.training.evaluate import notes_of
from code2lora_lsp.training.gap_metrics import fill, measure
from code2lora_lsp.training.ngram import BackOffModel
from code2lora_lsp.training.predictors import IdentifierCache, ModelPredictor, NgramPredictor

LINE = Cursor(
    "line", "a/b", "f.py", "import os\n\n\ndef f(a):\n    return os.pa", "th.join(a)", "\n"
)
CALL = Cursor("arguments", "a/b", "f.py", "x = f(", "a, b=1", ")\n")
NAME = Cursor("identifier", "a/b", "f.py", "value = 1\nprint(", "value", ")\n")


class Fixed:
    """Says one text, token by token of one character, as far as it is wanted."""

    def __init__(self, text, nats=2.0):
        self.text, self.nats = text, nats

    def complete(self, before, after, is_enough):
        said = ""
        for character in self.text:
            said += character
            if is_enough(said):
                break
        return said

    def gap_nats(self, before, target, after):
        return self.nats

    def text_nats(self, text):
        return self.nats


@pytest.mark.parametrize(
    ("cursor", "text", "is_exact"),
    [
        (LINE, "th.join(a)", True),
        (LINE, "th.join(a)  \nx = 1", True),
        (LINE, "th.join(a, a)", False),
        (LINE, "th.join(a", False),
        (CALL, "a, b=1", True),
        (CALL, "a, b=1)\n", True),
        (CALL, "a, b=12", False),
        (NAME, "value", True),
        (NAME, "value)", True),
        (NAME, "values", False),
        (NAME, "val", False),
    ],
)
def test_a_gap_is_filled_exactly_or_not(cursor, text, is_exact):
    assert fill(Fixed(text), cursor).is_exact is is_exact


@pytest.mark.parametrize(("text", "parses"), [("th.sep", True), ("th.join(a", False)])
def test_a_completed_line_parses_or_not(text, parses):
    assert fill(Fixed(text), LINE).is_valid is parses
    assert fill(Fixed(text), CALL).is_valid is None


def test_a_summary_counts_by_kind_and_repository_with_an_interval():
    others = [Cursor("line", f"a/{i}", "f.py", "x = ", "1", "\n") for i in range(6)]
    summary, _ = measure(Fixed("1", nats=8.0), [*others, LINE], [("a/b", "x = 1\n" * 4)])
    assert summary["line"]["exact_match"]["mean"] == pytest.approx(6 / 7)
    assert summary["line"]["exact_match"]["low"] < 6 / 7
    assert summary["line"]["bits_per_byte"] == pytest.approx(7 * 8 / 0.6931472 / 16)
    assert summary["left_to_right_bits_per_byte"] == pytest.approx(8 / 0.6931472 / 24)
    assert summary["by_repository"]["a/b"] == {"line": 0.0, "arguments": None, "identifier": None}


def test_the_cache_answers_with_the_name_used_most_and_has_no_probabilities():
    cache = IdentifierCache()
    assert fill(cache, NAME).completion == "print"  # of equals the last one
    busy = Cursor("identifier", "a/b", "f.py", "value = 1\nprint(value, ", "value", ")\n")
    assert fill(cache, busy).is_exact
    assert measure(cache, [NAME], [])[0]["identifier"]["bits_per_byte"] is None


@pytest.mark.parametrize("typed", ["for item in", "for item in ", "for item in it"])
def test_a_5_gram_goes_on_as_its_text_did_wherever_the_cursor_stands(tokenizer, typed):
    line = "for item in items:"
    ids = np.array(tokenizer.encode(f"{line}\n    use(item)\n" * 30))
    plain = NgramPredictor(BackOffModel(ids, tokenizer.vocabulary_size), tokenizer, 0.0)
    gap = Cursor("line", "a/b", "f.py", typed, line.removeprefix(typed), "\n")
    outcome = fill(plain, gap)
    assert outcome.is_exact
    assert outcome.nats < 1.0


def test_what_is_typed_in_several_tokens_still_has_a_cost(tokenizer):
    ids = np.array(tokenizer.encode("for item in items:\n    use(item)\n" * 30))
    plain = NgramPredictor(BackOffModel(ids, tokenizer.vocabulary_size), tokenizer, 0.0)
    for typed in ("x = zq", "x = zqv", "            "):
        assert np.isfinite(plain.gap_nats(typed, "wertyuiop()", "\n"))
        assert np.isfinite(plain._typed_nats([], "zqvx_77"))


def test_a_cache_makes_the_files_own_names_likelier(tokenizer):
    ids = np.array(tokenizer.encode("for item in items:\n    use(item)\n" * 30))
    model = BackOffModel(ids, tokenizer.vocabulary_size)
    before = "zebra = zebra + 1\nzebra = zebra *"
    plain = NgramPredictor(model, tokenizer, 0.0).gap_nats(before, " zebra", "")
    assert NgramPredictor(model, tokenizer).gap_nats(before, " zebra", "") < plain - 2


def test_a_model_folder_is_asked_as_served_or_by_the_prefix_alone(exported_folder):
    infilling, by_prefix = (
        ModelPredictor(exported_folder, "spm"),
        ModelPredictor(exported_folder, None),
    )
    fim = infilling.tokenizer.fim_tokens()
    assert infilling._prompt("a = 1\n", "\nb")[:2] == [fim.prefix, fim.suffix]
    plain = by_prefix._prompt("a = 1\n", "\nb")
    assert plain == [fim.end_of_text, *by_prefix.tokenizer.encode("a = 1\n")]
    assert by_prefix.gap_nats("a = ", "1", "\n") != infilling.gap_nats("a = ", "1", "\n")
    json.dumps(measure(infilling, [LINE, CALL, NAME], [("a/b", "x = 1\n")])[0])


def test_a_note_is_of_a_model_that_is_measured():
    models = ["nano=models/nano", "before=old@prefix"]
    assert notes_of(["before=asked by x = 1"], models) == {"before": "asked by x = 1"}
    with pytest.raises(ValueError, match="a note on 'after', want one of before, nano"):
        notes_of(["after=?"], models)
