"""Nats, greedy text and prompts, held against transformers and against hand-made prompts."""

import math

import pytest
import torch

from code2lora_lsp.neural.session import DecodeSession
from code2lora_lsp.repopeftbench.arms.gradient import load_trainable
from code2lora_lsp.repopeftbench.prompts import Snippet, default_prompt_tokens
from code2lora_lsp.repopeftbench.scoring import Scorer, identifier_tokens
from tests.fakes import random_adapter
from tests.repopeftbench.tiny_bench import SMALL, garage_item, make_scorer, write_model


def answer(scorer, item, adapter=None, **prompt):
    scorer.bind(adapter)
    return scorer.answer(item, scorer.prompts.make(item, **prompt))


@torch.no_grad()
def reference_nats(folder, prompt, target_ids, adapter=None):
    """One pass of transformers over prompt and target."""
    model = load_trainable(folder)
    for projection, pair in (adapter.pairs if adapter else {}).items():
        model.get_submodule(projection.module_path).weight += pair.delta(adapter.scale)
    logits = model(torch.tensor([[*prompt, *target_ids]])).logits[0, len(prompt) - 1 : -1]
    log_p = logits.double().log_softmax(-1)
    return [-float(log_p[row, token]) for row, token in enumerate(target_ids)]


@pytest.mark.parametrize("adapter", [None, random_adapter(SMALL)])
def test_nats_are_those_of_transformers_with_and_without_an_adapter(
    scorer, model_folder, garage, adapter
):
    item = garage_item(garage)
    prompt = scorer.prompts.make(item)
    target_ids = scorer.model.tokenizer.encode(item.target)
    found = answer(scorer, item, adapter)
    assert found.token_nats == pytest.approx(
        reference_nats(model_folder, prompt, target_ids, adapter), abs=1e-4
    )
    assert found.target_nats == pytest.approx(math.fsum(found.token_nats))
    assert (found.n_target_tokens, found.prompt_tokens) == (len(target_ids), len(prompt))
    assert found.seconds > 0


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


def test_the_identifier_has_the_nats_of_the_tokens_that_touch_it(scorer, garage):
    item = garage_item(garage, target="x = ignite_sparkplug(14)")
    ids = scorer.model.tokenizer.encode(item.target)
    touched = identifier_tokens(scorer.model.tokenizer, ids, item)
    decode = scorer.model.tokenizer.decode
    assert decode([ids[i] for i in touched]).strip(" (") == "ignite_sparkplug"
    assert "ignite_sparkplug" not in decode([ids[i] for i in touched[1:]])
    assert "ignite_sparkplug" not in decode([ids[i] for i in touched[:-1]])
    found = answer(scorer, item)
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
        from code2lora_lsp.neural.session import Fed

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
    assert scorer.decode([1]) == shown


def test_decoding_of_an_answer_of_several_lines_goes_on_to_end_of_text(model_folder):
    scorer = make_scorer(model_folder)
    scorer._session = Planted(scorer, "one\ntwo\n")
    assert scorer.decode([1], stops_at_line=False) == "one\ntwo\n"


def test_decoding_ends_after_64_tokens(model_folder):
    scorer = make_scorer(model_folder)
    scorer._session = Planted(scorer, "q;" * 100)
    assert len(scorer.model.tokenizer.encode(scorer.decode([1]))) == 64


def test_greedy_text_is_the_likeliest_allowed_token_each_time(scorer, garage):
    scorer.bind(None)
    prompt = scorer.prompts.make(garage_item(garage))
    session = DecodeSession(scorer.model.backbone, 900)
    logits, ids = session.feed(prompt, lambda: None).logits, []
    while len(ids) < 64:
        likeliest = next(t for t in logits.argsort(descending=True).tolist() if t not in {4, 5, 6})
        if likeliest in {0, 1, 2, 3}:
            break
        ids.append(likeliest)
        logits = session.advance(likeliest)
    assert len(ids) > 3
    assert scorer.decode(prompt, stops_at_line=False) == scorer.model.tokenizer.decode(ids)


def test_prompts_have_the_order_of_the_model_and_the_form_of_the_item(tmp_path, scorer, garage):
    item, encode = garage_item(garage), scorer.model.tokenizer.encode
    prefix, suffix = encode(item.prefix), encode(item.suffix)
    assert scorer.prompts.make(item) == (1, 3, *suffix, 2, *prefix)
    psm = make_scorer(write_model(tmp_path, order="psm"))
    assert psm.prompts.make(item) == (1, *prefix, 3, *suffix, 2)
    plain = garage_item(garage, suffix="")
    assert scorer.prompts.make(plain) == (0, *prefix)
    asked = garage_item(garage, suffix="", strata={"form": "fim"})
    assert scorer.prompts.make(asked) == (1, 3, 2, *prefix)


def test_a_prompt_is_cut_at_its_left_and_a_stratum_cuts_it_further(model_folder, garage):
    scorer = make_scorer(model_folder, prompt_tokens=40)
    item = garage_item(garage, suffix="")
    ids = scorer.model.tokenizer.encode(item.prefix)
    assert scorer.prompts.make(item) == (0, *ids[-37:])
    short = garage_item(garage, suffix="", strata={"prefix": "32"})
    assert scorer.prompts.make(short) == (0, *ids[-32:])
    full = garage_item(garage, suffix="", strata={"prefix": "full"})
    assert scorer.prompts.make(full) == scorer.prompts.make(item)


def test_snippets_go_first_within_half_the_budget_and_the_last_is_kept_longest(
    model_folder, garage
):
    scorer = make_scorer(model_folder, prompt_tokens=200)
    encode = scorer.model.tokenizer.encode
    item = garage_item(garage, suffix="")
    snippets = [Snippet("far.py", "far = 1\n" * 50), Snippet("near.py", "near = 2")]
    ids = scorer.prompts.make(item, snippets)
    context = ids[1 : ids.index(6, ids.index(6) + 1)]
    near, here = (6, *encode("near.py\nnear = 2\n")), (6, *encode("garage/car.py\n"))
    assert ids[0] == 0
    assert context[: 1 + len(encode("ada/garage\n"))] == (5, *encode("ada/garage\n"))
    prefix = encode(item.prefix)
    end = len(ids) - len(prefix[-97:])
    assert ids[end - len(near) - len(here) : end] == (*near, *here)
    assert end - 1 == 100
    assert len(ids) <= 200


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
