"""What a session keeps of earlier prompts, and when it lets go."""

import pytest
import torch

from code2lora_lsp.neural import reading as reading_module
from code2lora_lsp.neural.decoder import Decoder
from code2lora_lsp.neural.session import DecodeSession
from tests.fakes import TINY, random_adapter, random_weights

torch.set_num_threads(1)

PROMPT = tuple(range(20, 60))


class Counting(DecodeSession):
    """A session that counts the tokens it runs."""

    def __init__(self):
        decoder = Decoder(TINY, random_weights(TINY))
        super().__init__(decoder, 128)
        self.ran = 0
        plain = decoder.prefill

        def prefill(token_ids, *rest):
            self.ran += len(token_ids)
            return plain(token_ids, *rest)

        decoder.prefill = prefill

    def ask(self, tokens):
        """Tokens run for a prompt, and the logits after it."""
        before = self.ran
        logits = self.feed(tokens, lambda: None).logits
        return self.ran - before, logits


@pytest.fixture
def session():
    return Counting()


def fresh_logits(tokens, adapter=None):
    other = Counting()
    other.bind(adapter)
    return other.ask(tokens)[1]


def test_the_same_prompt_again_runs_nothing(session):
    n_first, first = session.ask(PROMPT)
    session.advance(7)
    n_again, again = session.ask(PROMPT)
    assert (n_first, n_again) == (len(PROMPT), 0)
    assert torch.equal(first, again)


def test_typing_what_was_decoded_runs_nothing_and_departing_from_it_one_token(session):
    session.ask(PROMPT)
    for token in (7, 8, 9):
        session.advance(token)
    for typed in ((7,), (7, 8)):
        n_run, logits = session.ask((*PROMPT, *typed))
        assert n_run == 0
        assert torch.allclose(logits, fresh_logits((*PROMPT, *typed)), atol=1e-4)
    n_run, logits = session.ask((*PROMPT, 7, 30))
    assert n_run == 1
    assert torch.allclose(logits, fresh_logits((*PROMPT, 7, 30)), atol=1e-4)


def test_what_came_after_a_departure_is_forgotten(session):
    session.ask(PROMPT)
    session.advance(7)
    session.advance(8)
    session.ask((*PROMPT, 9))
    session.advance(8)
    n_run, logits = session.ask((*PROMPT, 9, 8))
    assert n_run == 0
    assert torch.allclose(logits, fresh_logits((*PROMPT, 9, 8)), atol=1e-4)


def test_another_adapter_keeps_no_logits_even_where_it_keeps_keys_and_values(session):
    last = TINY.n_layers - 1
    whole = random_adapter()
    pairs = {one: pair for one, pair in whole.pairs.items() if str(one.name) == "down_proj"}
    adapter = type(whole)(
        {one: pair for one, pair in pairs.items() if one.layer == last}, scale=0.7
    )
    session.ask(PROMPT)
    session.bind(adapter)
    n_run, logits = session.ask(PROMPT)
    assert n_run == 1
    assert torch.allclose(logits, fresh_logits(PROMPT, adapter), atol=1e-4)
    session.reset()
    assert session.ask(PROMPT)[0] == len(PROMPT)


def test_kept_logits_stay_within_their_budget(monkeypatch):
    monkeypatch.setattr(reading_module, "KEPT_LOGITS_BYTES", 4 * TINY.vocabulary_size * 3)
    session = Counting()
    session.ask(PROMPT)
    for token in range(5):
        session.advance(token)
    assert len(session._now._logits) == 3
    assert session.ask((*PROMPT, 0, 1, 2, 3))[0] == 0
    assert session.ask(PROMPT)[0] == 1, "the oldest were let go"


def test_decoding_goes_where_it_went_without_running_and_elsewhere_by_running(session):
    session.ask(PROMPT)
    first = [session.advance(token) for token in (7, 8, 9)]
    session.ask(PROMPT)
    ran = session.ran
    again = [session.advance(token) for token in (7, 8)]
    assert session.ran == ran
    assert all(torch.equal(one, other) for one, other in zip(first[:2], again, strict=True))
    other = session.advance(30)
    assert session.ran == ran + 1
    assert torch.allclose(other, fresh_logits((*PROMPT, 7, 8, 30)), atol=1e-4)
    assert session.tokens == (*PROMPT, 7, 8, 30)
    assert session.room == 128 - len(PROMPT) - 3


def test_texts_that_take_turns_are_each_read_once(session):
    """The suffix stands first, so a bracket closed behind the cursor changes the first tokens."""
    plain, closed, twice = ((mark, *PROMPT) for mark in (100, 101, 102))
    for prompt in (plain, closed, twice):
        assert session.ask(prompt)[0] == len(prompt)
    for prompt in (closed, plain, twice, plain):
        n_run, logits = session.ask((*prompt, 7))
        assert n_run <= 1
        assert torch.allclose(logits, fresh_logits((*prompt, 7)), atol=1e-4)


def test_the_text_not_fed_for_longest_makes_room(session):
    first, second, third, fourth = ((mark, *PROMPT) for mark in range(100, 104))
    for prompt in (first, second, third, first, fourth):
        session.ask(prompt)
    assert session.ask(first)[0] == 0
    assert session.ask(third)[0] == 0
    assert session.ask(second)[0] == len(second)


def test_every_text_is_forgotten_with_its_adapter(session):
    for mark in (100, 101):
        session.ask((mark, *PROMPT))
    adapter = random_adapter()
    session.bind(adapter)
    for mark in (100, 101):
        n_run, logits = session.ask((mark, *PROMPT))
        assert n_run == len(PROMPT) + 1
        assert torch.allclose(logits, fresh_logits((mark, *PROMPT), adapter), atol=1e-4)


class Guessing(Counting):
    """Counts passes too, and runs guesses along."""

    def __init__(self, ahead_tokens=4, capacity=128):
        super().__init__()
        if capacity != 128:
            DecodeSession.__init__(self, self.backbone, capacity)
        self.backbone.ahead_tokens = ahead_tokens
        self.passes = []
        plain = self.backbone.decode_ahead

        def decode_ahead(token_ids, *rest):
            self.passes.append(tuple(token_ids))
            return plain(token_ids, *rest)

        self.backbone.decode_ahead = decode_ahead


def never():
    raise AssertionError("asked for a guess that nobody needs")


def test_a_guess_that_comes_true_runs_nothing_more():
    session = Guessing()
    session.ask(PROMPT)
    got = [session.advance(7, lambda: (8, 9))]
    ran = session.ran
    got += [session.advance(8, never), session.advance(9, never)]
    assert (session.ran, session.passes) == (ran, [(7, 8, 9)])
    for n, logits in enumerate(got):
        expected = fresh_logits((*PROMPT, *(7, 8, 9)[: n + 1]))
        assert torch.allclose(logits, expected, atol=1e-4)
    assert session.tokens == (*PROMPT, 7, 8, 9)


def test_a_wrong_guess_leaves_no_trace():
    session = Guessing()
    session.ask(PROMPT)
    session.advance(7, lambda: (8, 9, 10))
    session.advance(8, never)
    logits = session.advance(30, tuple)
    assert torch.allclose(logits, fresh_logits((*PROMPT, 7, 8, 30)), atol=1e-4)
    assert session.tokens == (*PROMPT, 7, 8, 30)
    n_run, logits = session.ask((*PROMPT, 7, 8, 9, 10))
    assert n_run == 2, "what was guessed behind another token is not taken for read"
    assert torch.allclose(logits, fresh_logits((*PROMPT, 7, 8, 9, 10)), atol=1e-4)


def test_what_was_only_guessed_is_known_when_it_is_typed():
    session = Guessing()
    session.ask(PROMPT)
    session.advance(7, lambda: (8, 9))
    assert session.tokens == (*PROMPT, 7)
    n_run, logits = session.ask((*PROMPT, 7, 8, 9))
    assert n_run == 0
    assert torch.allclose(logits, fresh_logits((*PROMPT, 7, 8, 9)), atol=1e-4)


def test_guesses_are_cut_to_what_is_worth_it_and_to_the_room():
    session = Guessing(ahead_tokens=2)
    session.ask(PROMPT)
    session.advance(7, lambda: (8, 9, 10, 11))
    assert session.passes == [(7, 8, 9)]
    small = Guessing(ahead_tokens=4, capacity=len(PROMPT) + 2)
    small.ask(PROMPT)
    small.advance(7, lambda: (8, 9, 10))
    assert small.passes == [(7, 8)]
    small.advance(30, never)
    assert small.room == 0


def test_without_tokens_to_run_ahead_nobody_is_asked_to_guess(session):
    session.ask(PROMPT)
    session.advance(7, never)


def test_a_guess_may_be_longer_than_the_logits_that_are_kept(monkeypatch):
    monkeypatch.setattr(reading_module, "KEPT_LOGITS_BYTES", 0)
    session = Guessing()
    session.ask(PROMPT)
    session.advance(7, lambda: (8, 9, 10, 11))
    for token in (8, 9, 10, 11):
        session.advance(token, never)
    assert session.tokens == (*PROMPT, 7, 8, 9, 10, 11)
