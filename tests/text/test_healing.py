from pathlib import Path

import pytest

from code2lora_lsp.text.healing import Healer
from code2lora_lsp.text.tokenizer import Tokenizer

NANO = Tokenizer.from_folder(Path(__file__).parents[2] / "models" / "nano")
HEALER = Healer(NANO)


@pytest.mark.parametrize(
    ("before", "typed"),
    [
        ("x = 1\nself.opti", ".opti"),
        ("def f(opti", "(opti"),
        ("return opti", " opti"),
        ("x = ", " "),
        ("if x:\n        ", "        "),
        ("if x:\n", ""),
        ("", ""),
        ("call()", "()"),
        ("naïve = größ", ""),
        ("x" * 60, ""),
    ],
)
def test_the_last_pre_token_is_taken_back(before, typed):
    assert HEALER.split(before) == (before.removesuffix(typed), typed)


@pytest.mark.parametrize("typed", [".opti", " ", "        ", "(self", "x", "qzxv_77"])
def test_only_tokens_that_lead_to_what_is_typed_may_come_until_it_is_written(typed):
    begun = HEALER.begin(typed)
    written = ""
    while (allowed := begun.allowed()) is not None:
        assert allowed
        for token_id in allowed:
            text = written + NANO.decode([token_id])
            assert text.startswith(typed) or typed.startswith(text)
        shortest = min(allowed, key=lambda i: len(NANO.decode([i])))
        begun.accept(shortest)
        written += NANO.decode([shortest])
    assert written == typed


def test_every_token_that_begins_with_it_may_come_first():
    everything = {i for i in range(NANO.vocabulary_size) if NANO.decode([i]).startswith("(self")}
    assert everything
    assert everything <= set(HEALER.begin("(self").allowed())


def test_special_tokens_stand_for_no_text():
    assert not NANO.special_ids() & NANO.token_bytes().keys()


@pytest.mark.parametrize("typed", [" ", "    "])
def test_white_space_that_is_typed_is_not_made_longer(typed):
    texts = {NANO.decode([i]) for i in HEALER.begin(typed).allowed()}
    assert typed in texts
    assert f"{typed}return" in texts or typed != " "
    assert not any(text.startswith(typed + blank) for text in texts for blank in " \t")


@pytest.mark.parametrize(
    ("typed", "rest"),
    [
        (" ", " # why"),
        ("    ", "    return 1"),
        ("    ", "return 1"),
        ("(opti", "ons)"),
        ("", " x"),
    ],
)
def test_what_stands_there_is_always_written_in_tokens_that_may_come(typed, rest):
    begun, ids = HEALER.begin(typed), HEALER.encode(typed, rest)
    for token_id in ids:
        allowed = begun.allowed()
        assert allowed is None or token_id in allowed
        begun.accept(token_id)
    assert NANO.decode(ids) == typed + rest
