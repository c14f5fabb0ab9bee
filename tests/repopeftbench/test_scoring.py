"""Nats, greedy text and prompts, held against transformers and against hand-made prompts."""

import math
from dataclasses import replace

import pytest
import torch

from code2lora_lsp.neural.session import DecodeSession
from code2lora_lsp.repopeftbench.arms.gradient import load_trainable
from code2lora_lsp.repopeftbench.prompts import Prompt, Snippet, default_prompt_tokens
from code2lora_lsp.repopeftbench.scoring import Scorer, identifier_tokens
from tests.fakes import random_adapter
from tests.repopeftbench.tiny_bench import CAR, SMALL, garage_item, make_scorer, write_model


def answer(scorer, item, adapter=None):
    scorer.bind(adapter)
    return scorer.answer(item, scorer.prompts.make(item))


@torch.no_grad()
def reference_log_p(folder, prompt, written, adapter=None):
    """Log p after the prompt and after each written token but the last, by transformers."""
    model = load_trainable(folder)
    for projection, pair in (adapter.pairs if adapter else {}).items():
        model.get_submodule(projection.module_path).weight += pair.delta(adapter.scale)
    logits = model(torch.tensor([[*prompt, *written]])).logits[0, len(prompt) - 1 : -1]
    return logits.double().log_softmax(-1)


@pytest.mark.parametrize("adapter", [None, random_adapter(SMALL)])
def test_nats_are_those_of_transformers_with_and_without_an_adapter(
    published, model_folder, garage, adapter
):
    item = garage_item(garage)
    prompt = published.prompts.make(item).token_ids
    target_ids = published.model.tokenizer.encode(item.target)
    log_p = reference_log_p(model_folder, prompt, target_ids, adapter)
    found = answer(published, item, adapter)
    expected = [-float(row[token]) for row, token in zip(log_p, target_ids, strict=True)]
    assert found.token_nats == pytest.approx(expected, abs=1e-4)
    assert found.target_nats == pytest.approx(math.fsum(found.token_nats))
    assert (found.n_target_tokens, found.prompt_tokens) == (len(target_ids), len(prompt))
    assert found.seconds > 0


def test_what_is_typed_is_chosen_anew_and_costs_nothing(scorer, model_folder, garage):
    item = garage_item(garage, prefix=CAR[: CAR.index("ignite") + 3], target="ite_sparkplug(14)")
    item = replace(item, identifier="")
    prompt, tokenizer = scorer.prompts.make(item), scorer.model.tokenizer
    assert prompt.typed == ".ign"
    written = tokenizer.encode(".ignite_sparkplug(14)")
    log_p = reference_log_p(model_folder, prompt.token_ids, written)
    found, left = [], ".ign"
    for row, token in zip(log_p, written, strict=True):
        texts = ((i, tokenizer.decode([i])) for i in range(7, tokenizer.vocabulary_size))
        agreeing = [i for i, t in texts if t and (t.startswith(left) or left.startswith(t))]
        share = row[agreeing].logsumexp(0) if left else 0.0
        found.append(float(share - row[token]))
        left = left[len(tokenizer.decode([token])) :]
    assert answer(scorer, item).token_nats == pytest.approx(found, abs=1e-4)


def test_an_answer_goes_on_from_what_is_typed_and_does_not_repeat_it(scorer, garage):
    item = garage_item(garage, prefix="engine.ignite_spark", suffix="", identifier="")
    prompt = scorer.prompts.make(item)
    scorer.bind(None)
    typed = replace(prompt, typed="")
    assert prompt.typed.endswith("_spark")
    longer = scorer.decode(prompt, stops_at_line=False)
    free = scorer.decode(typed, stops_at_line=False)
    assert not free.startswith(prompt.typed)
    written = scorer.model.tokenizer.encode(prompt.typed + longer)
    assert math.isfinite(sum(scorer.target_nats(prompt, written)))


def test_an_adapter_changes_answers_and_leaves_no_trace(scorer, garage):
    item = garage_item(garage)
    before = answer(scorer, item)
    adapted = answer(scorer, item, random_adapter(SMALL))
    after = answer(scorer, item)
    assert abs(adapted.target_nats - before.target_nats) > 0.1
    assert (after.text, after.token_nats) == (before.text, before.token_nats)


def test_an_answer_does_not_depend_on_the_items_before_it(scorer, garage):
    first, second = garage_item(garage), garage_item(garage, "inflate_tyre", "(3)")
    alone = answer(scorer, second)
    answer(scorer, first)
    assert answer(scorer, second).token_nats == alone.token_nats


def test_end_of_text_is_scored_only_when_asked(model_folder, scorer, garage):
    item = garage_item(garage)
    plain, ended = answer(scorer, item), answer(make_scorer(model_folder, scores_end=True), item)
    assert ended.n_target_tokens == plain.n_target_tokens + 1
    assert ended.token_nats[:-1] == pytest.approx(plain.token_nats)


def test_the_identifier_has_the_nats_of_the_tokens_that_touch_it(scorer, published, garage):
    item = garage_item(garage, target="x = ignite_sparkplug(14)")
    ids = scorer.model.tokenizer.encode(item.target)
    touched = identifier_tokens(scorer.model.tokenizer, ids, item)
    decode = scorer.model.tokenizer.decode
    assert decode([ids[i] for i in touched]).strip(" (") == "ignite_sparkplug"
    assert "ignite_sparkplug" not in decode([ids[i] for i in touched[1:]])
    assert "ignite_sparkplug" not in decode([ids[i] for i in touched[:-1]])
    found = answer(published, item)
    share = sum(found.token_nats[i] for i in touched)
    assert found.identifier_nats == pytest.approx(share)
    assert 0 < share < found.target_nats


def test_an_identifier_after_characters_of_several_tokens_is_found(scorer, garage):
    item = garage_item(garage, target='"é€😀" + ignite_sparkplug')
    ids = scorer.model.tokenizer.encode(item.target)
    touched = identifier_tokens(scorer.model.tokenizer, ids, item)
    assert scorer.model.tokenizer.decode([ids[i] for i in touched]).strip() == item.identifier


def test_without_an_identifier_there_are_no_identifier_nats(scorer, garage):
    assert answer(scorer, garage_item(garage, identifier="")).identifier_nats is None


def test_an_identifier_that_is_not_in_the_target_is_refused(scorer, garage):
    with pytest.raises(ValueError, match="is not in"):
        answer(scorer, garage_item(garage, identifier="elsewhere"))


class Planted:
    """A session whose model says ``text`` and then end-of-text."""

    def __init__(self, scorer, text):
        self.capacity_tokens = 100
        self._ids = [*scorer.model.tokenizer.encode(text), 0]
        self._n_logits = scorer.model.backbone.vocabulary_size

    def reset(self):
        self._at = 0

    def feed(self, prompt, check):
        from code2lora_lsp.neural.reading import Fed

        return Fed(self._next(), 0)

    def advance(self, token):
        return self._next()

    def _next(self):
        logits = torch.zeros(self._n_logits)
        logits[self._ids[self._at]] = 5.0
        logits[5] = 9.0  # <|repo_name|> is likelier than anything, always
        self._at += 1
        return logits


@pytest.mark.parametrize(
    ("said", "shown"),
    [("one(2)\ntwo", "one(2)"), ("\n  one\ntwo", "\n  one"), ("one", "one"), ("", "")],
)
def test_decoding_ends_with_the_first_line_and_never_writes_a_special_token(
    model_folder, said, shown
):
    scorer = make_scorer(model_folder)
    scorer._session = Planted(scorer, said)
    assert scorer.decode(Prompt((1,))) == shown


def test_decoding_of_an_answer_of_several_lines_goes_on_to_end_of_text(model_folder):
    scorer = make_scorer(model_folder)
    scorer._session = Planted(scorer, "one\ntwo\n")
    assert scorer.decode(Prompt((1,)), stops_at_line=False) == "one\ntwo\n"


def test_decoding_ends_after_64_tokens(model_folder):
    scorer = make_scorer(model_folder)
    scorer._session = Planted(scorer, "q;" * 100)
    assert len(scorer.model.tokenizer.encode(scorer.decode(Prompt((1,))))) == 64


def test_greedy_text_is_the_likeliest_allowed_token_each_time(published, garage):
    scorer = published
    scorer.bind(None)
    prompt = scorer.prompts.make(garage_item(garage))
    session = DecodeSession(scorer.model.backbone, 900)
    logits, ids = session.feed(prompt.token_ids, lambda: None).logits, []
    while len(ids) < 64:
        likeliest = next(t for t in logits.argsort(descending=True).tolist() if t not in {4, 5, 6})
        if likeliest in {0, 1, 2, 3}:
            break
        ids.append(likeliest)
        logits = session.advance(likeliest)
    assert len(ids) > 3
    assert scorer.decode(prompt, stops_at_line=False) == scorer.model.tokenizer.decode(ids)


def ids_of(scorer, item, *snippets):
    return scorer.prompts.make(item, snippets).token_ids


def test_prompts_have_the_order_of_the_model_and_the_form_of_the_item(tmp_path, published, garage):
    item, encode = garage_item(garage), published.model.tokenizer.encode
    prefix, suffix = encode(item.prefix), encode(item.suffix)
    assert ids_of(published, item) == (1, 3, *suffix, 2, *prefix)
    psm = make_scorer(write_model(tmp_path, order="psm"), heals=False)
    assert ids_of(psm, item) == (1, *prefix, 3, *suffix, 2)
    assert ids_of(published, garage_item(garage, suffix="")) == (0, *prefix)
    asked = garage_item(garage, suffix="", strata={"form": "fim"})
    assert ids_of(published, asked) == (1, 3, 2, *prefix)


def test_a_healed_prompt_ends_before_the_word_being_typed(scorer, garage):
    item = garage_item(garage, suffix="")
    prompt = scorer.prompts.make(item)
    assert prompt.typed == "."
    assert prompt.token_ids == (0, *scorer.model.tokenizer.encode(item.prefix[:-1]))


def test_a_prompt_is_cut_at_its_left_and_a_stratum_cuts_it_further(model_folder, garage):
    scorer = make_scorer(model_folder, prompt_tokens=40, heals=False)
    item = garage_item(garage, suffix="")
    ids = scorer.model.tokenizer.encode(item.prefix)
    assert ids_of(scorer, item) == (0, *ids[-37:])
    short = garage_item(garage, suffix="", strata={"prefix": "32"})
    assert ids_of(scorer, short) == (0, *ids[-32:])
    full = garage_item(garage, suffix="", strata={"prefix": "full"})
    assert ids_of(scorer, full) == ids_of(scorer, item)


def test_snippets_go_first_within_half_the_budget_and_the_last_is_kept_longest(
    model_folder, garage
):
    scorer = make_scorer(model_folder, prompt_tokens=200, heals=False)
    encode = scorer.model.tokenizer.encode
    item = garage_item(garage, suffix="")
    ids = ids_of(scorer, item, Snippet("far.py", "far = 1\n" * 50), Snippet("near.py", "near = 2"))
    head = (0, 5, *encode("ada/garage\n"), 6, *encode("far.py\nfar"))
    near, here = (6, *encode("near.py\nnear = 2\n")), (6, *encode("garage/car.py\n"))
    assert ids[: len(head)] == head
    end = 101  # half of the budget, after the leading <|endoftext|>
    assert ids[end - len(near) - len(here) : end] == (*near, *here)
    assert ids[end:] == tuple(encode(item.prefix)[-97:])


def test_a_window_without_room_for_the_target_is_refused(model_folder, garage):
    scorer = make_scorer(model_folder)
    assert scorer.prompt_budget("x") == 1024 - 64
    assert scorer.prompt_budget("q;" * 100) <= 1024 - 200
    for bad in ("", "q;" * 600):
        with pytest.raises(ValueError, match="tokens, want 1 to"):
            scorer.prompt_budget(bad)
    with pytest.raises(ValueError, match="prompt_tokens 1000"):
        make_scorer(model_folder, prompt_tokens=1000)


def test_default_budgets_leave_room_to_decode():
    assert default_prompt_tokens(2048) == 1536
    assert default_prompt_tokens(512) == 448
    assert default_prompt_tokens(32768) == 32704


def test_the_widest_prompt_takes_the_whole_window(model_folder):
    wide = make_scorer(model_folder, prompt_tokens=40).widest()
    assert isinstance(wide, Scorer)
    assert wide.prompts.prompt_tokens == 960
