"""Where in a name the nats go."""

import pytest

from benchmarks.name_tokens import cells, split_nats
from code2lora_lsp.config import models_root
from code2lora_lsp.text.healing import Healer
from code2lora_lsp.text.tokenizer import Tokenizer
from tests.repopeftbench.made_up import an_answer, an_item

NAME = "inflate_tyre_slowly"


@pytest.fixture(scope="module")
def tokenizer():
    return Tokenizer.from_folder(models_root() / "nano")


def answered(tokenizer, item, first, each_other):
    """``each_other`` nats for every token but the name's first; what is behind it is free."""
    healer = Healer(tokenizer)
    written = healer.encode(healer.split(item.prefix)[1], item.target)
    n_name = len(tokenizer.encode(NAME))
    n_other = n_name - 1
    nats = (first, *[each_other] * n_other, *[0.0] * (len(written) - n_name))
    return an_answer(token_nats=nats), n_other


def test_a_names_first_token_is_counted_apart(tokenizer):
    item = an_item(prefix="x = car.", target=f"{NAME}(3)", identifier=NAME)
    answer, n_other = answered(tokenizer, item, 5.0, 0.5)
    assert n_other > 0
    assert split_nats(item, answer, tokenizer) == (5.0, 0.5 * n_other)


def test_what_stands_after_the_name_is_not_its(tokenizer):
    item = an_item(prefix="x = car.", target=f"{NAME}(3)", identifier=NAME)
    answer, _ = answered(tokenizer, item, 5.0, 0.5)
    dear = an_answer(token_nats=(*answer.token_nats[:-1], 9.0))
    assert split_nats(item, dear, tokenizer) == split_nats(item, answer, tokenizer)


def test_answers_of_another_tokenizer_are_refused(tokenizer):
    item = an_item(target=NAME, identifier=NAME)
    with pytest.raises(ValueError, match="answered with 40 tokens"):
        split_nats(item, an_answer(token_nats=(1.0,) * 40), tokenizer)


def test_a_row_is_a_mean_over_names_with_intervals_over_repositories(tokenizer):
    items = [
        an_item(repository=f"ada/{name}", prefix="car.", target=NAME, identifier=NAME)
        for name in ("one", "two")
    ]
    answers = {
        item.item_id: answered(tokenizer, item, first, 0.0)[0]
        for item, first in zip(items, (2.0, 4.0), strict=True)
    }
    first, rest, n_names = cells(items, answers, tokenizer)
    assert first == "3.00 [2.00, 4.00]"
    assert rest == "0.00 [0.00, 0.00]"
    assert n_names == "2 of 2"
