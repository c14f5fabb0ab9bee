"""What one answer scores."""

import builtins
import sys
import types

import pytest

from code2lora_lsp.repopeftbench.arms.arm import Answer
from code2lora_lsp.repopeftbench.items import InRepoSplit, Item, Track
from code2lora_lsp.repopeftbench.metrics import (
    SCORES,
    CodeBleu,
    begins_with_target,
    choose_code_bleu,
    scores_of,
    smoothed_bleu,
)


def item(target, identifier=""):
    return Item(
        "i", "a/b", "c", 0, InRepoSplit.TEST, Track.KNOWLEDGE, "attribute", "m.py", "", 1, 0, "",
        target, identifier=identifier,
    )  # fmt: skip


def answer(text, **fields):
    given = {
        "target_nats": 6.0, "n_target_tokens": 3, "identifier_nats": None, "token_nats": (2.0,) * 3,
        "prompt_tokens": 40, "seconds": 0.5,
    }  # fmt: skip
    return Answer(text, **(given | fields))


@pytest.mark.parametrize(
    ("text", "target", "begins"),
    [
        ("ensure_sync(app)", "ensure_sync", True),
        ("ensure_sync_all(app)", "ensure_sync", False),
        (" f(a, b)", "f(a,", True),
        ("f(ab)", "f(a", False),
        ("x", "x", True),
        ("x", "xy", False),
        ("x", "", False),
        ("größer", "gr", False),
    ],
)
def test_an_answer_that_writes_on_after_the_target_begins_with_it(text, target, begins):
    assert begins_with_target(text, target) is begins


def test_one_answer_gets_every_score():
    code_bleu = CodeBleu("fixed", lambda prediction, reference: 0.25)
    scores = scores_of(item("run", "run"), answer("run_all()", identifier_nats=1.5), code_bleu)
    assert set(scores) == set(SCORES)
    assert scores["exact_match"] == scores["plain_match"] == scores["target_first"] == 0.0
    assert scores["edit_similarity"] == pytest.approx(2 * 3 / (3 + 9))
    assert (scores["code_bleu"], scores["nats_per_token"]) == (0.25, 2.0)
    assert (scores["target_nats"], scores["identifier_nats"]) == (6.0, 1.5)


def test_scores_that_do_not_exist_are_absent_and_not_zero():
    scores = scores_of(
        item("x"), answer("x  # it", n_target_tokens=0), CodeBleu("none", lambda *_: 0.0)
    )
    assert "identifier_nats" not in scores
    assert "nats_per_token" not in scores
    assert (scores["exact_match"], scores["plain_match"]) == (1.0, 0.0)


def test_bleu_is_one_for_equal_tokens_and_falls_with_brevity():
    assert smoothed_bleu("f( a )", "f(a)") == pytest.approx(1.0)
    assert smoothed_bleu("f", "f(a, b)") < smoothed_bleu("f(a", "f(a, b)") < 1


def test_code_bleu_never_compares_an_empty_string():
    def fail(prediction, reference):
        raise AssertionError((prediction, reference))

    code_bleu = CodeBleu("strict", fail)
    assert [code_bleu.score(*pair) for pair in [("", "x"), (" ", ""), ("x ", "x")]] == [0, 0, 1]


def test_the_package_is_used_where_it_works(monkeypatch):
    def calc_codebleu(references, predictions, lang):
        assert lang == "python"
        return {"codebleu": 0.5 if references == ["b"] and predictions == ["a"] else 0.0}

    package = types.ModuleType("codebleu")
    package.calc_codebleu = calc_codebleu
    monkeypatch.setitem(sys.modules, "codebleu", package)
    chosen = choose_code_bleu()
    assert (chosen.name, chosen.score("a", "b")) == ("codebleu", 0.5)


@pytest.mark.parametrize(
    ("failure", "named"),
    [
        (ModuleNotFoundError("No module named 'codebleu'", name="codebleu"), "no module codebleu"),
        (TypeError("an integer is required\nmore"), "TypeError: an integer is required"),
    ],
)
def test_the_fallback_says_why_the_package_is_not_used(monkeypatch, failure, named):
    real = builtins.__import__

    def without(name, *rest):
        if name == "codebleu":
            raise failure
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    chosen = choose_code_bleu()
    assert chosen.name == f"smoothed 4-gram BLEU (codebleu: {named})"
    assert chosen.compare is smoothed_bleu
