import random

import pytest

from code2lora_lsp.text.gaps import Coder, head_within
from code2lora_lsp.training import fim_examples
from code2lora_lsp.training.fim_examples import Window, next_example

TEXT = "".join(
    f"def function_{i}(first, other):\n    value = call(first, [other, {i}])\n    return value\n\n"
    for i in range(60)
)


@pytest.fixture
def only_fim(monkeypatch):
    monkeypatch.setattr(fim_examples, "FIM_SHARE", 1.0)


def example(tokenizer, seed, *, budget=300, offset=0, text=TEXT, header=""):
    window = Window(header, text, offset, len(text))
    return next_example(window, budget, Coder.of(tokenizer), random.Random(seed))


def between(ids, start, stop):
    first = ids.index(start) + 1
    return ids[first : ids.index(stop, first)]


@pytest.mark.parametrize("seed", range(40))
def test_suffix_first_holds_suffix_then_prefix_and_middle_as_one_text(
    tokenizer, only_fim, monkeypatch, seed
):
    monkeypatch.setattr(fim_examples, "SPM_SHARE", 1.0)
    ids, following = example(tokenizer, seed, budget=2000)
    fim = tokenizer.fim_tokens()
    assert ids[:2] == [fim.prefix, fim.suffix]
    suffix = tokenizer.decode(between(ids, fim.suffix, fim.middle))
    seen = tokenizer.decode(between(ids, fim.middle, fim.end_of_text))
    assert seen + suffix in TEXT
    assert ids.index(fim.end_of_text) == len(ids) - 1
    assert TEXT[following - 1] == "\n"


@pytest.mark.parametrize("seed", range(40))
def test_prefix_first_holds_prefix_suffix_middle(tokenizer, only_fim, monkeypatch, seed):
    monkeypatch.setattr(fim_examples, "SPM_SHARE", 0.0)
    ids, _ = example(tokenizer, seed, budget=2000)
    fim = tokenizer.fim_tokens()
    prefix = tokenizer.decode(between(ids, fim.prefix, fim.suffix))
    suffix = tokenizer.decode(between(ids, fim.suffix, fim.middle))
    middle = tokenizer.decode(between(ids, fim.middle, fim.end_of_text))
    assert prefix + middle + suffix in TEXT


def test_a_middle_begins_where_a_pre_token_does_as_in_serving(tokenizer, only_fim, monkeypatch):
    monkeypatch.setattr(fim_examples, "SPM_SHARE", 1.0)
    monkeypatch.setattr(fim_examples, "HEALED_SHARE", 1.0)
    fim, whole = tokenizer.fim_tokens(), tokenizer.encode(TEXT)
    for seed in range(40):
        ids, _ = example(tokenizer, seed, budget=2000)
        seen = between(ids, fim.middle, fim.end_of_text)
        starts = [i for i, token in enumerate(whole) if token == seen[0]]
        n = max(1, len(seen) - 4)  # the end of the gap may cut the last word short
        assert any(whole[i : i + n] == seen[:n] for i in starts)


def test_examples_fit_their_budget_and_cover_the_file_in_order(tokenizer):
    for seed in range(5):
        offset, n_examples = 0, 0
        while offset < len(TEXT):
            ids, following = example(tokenizer, f"{seed}/{offset}", budget=200, offset=offset)
            assert len(ids) <= 200
            assert following > offset
            offset, n_examples = following, n_examples + 1
        assert n_examples > 5


def test_plain_text_ends_with_end_of_text_only_at_the_end_of_the_file(tokenizer, monkeypatch):
    monkeypatch.setattr(fim_examples, "FIM_SHARE", 0.0)
    end = tokenizer.fim_tokens().end_of_text
    assert end not in example(tokenizer, 1, budget=100)[0]
    assert example(tokenizer, 1, budget=100, text="x = 1\n")[0][-1] == end


def test_a_header_stands_before_the_text(tokenizer, monkeypatch):
    monkeypatch.setattr(fim_examples, "FIM_SHARE", 0.0)
    assert tokenizer.decode(example(tokenizer, 1, header="# a.py\n")[0]).startswith(
        "# a.py\ndef function_0"
    )


def test_a_suffix_is_cut_after_a_line_end_within_its_budget(tokenizer):
    ids = head_within(tokenizer.encode, TEXT, 60)
    assert 20 < len(ids) <= 60
    assert tokenizer.decode(ids).endswith("\n")
    assert head_within(tokenizer.encode, TEXT, 0) == []
