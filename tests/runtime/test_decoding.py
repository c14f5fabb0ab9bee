"""One greedy decoder for all: what may be chosen, what a mixer changes, what a number is of."""

import math
from pathlib import Path

import pytest
import torch

from code2lora_lsp.runtime.decoding import Decoding
from code2lora_lsp.text.tokenizer import Tokenizer
from tests.fakes import FIM, FIRST_BYTE, ByteTokenizer

BYTES = ByteTokenizer()
N_LOGITS = BYTES.vocabulary_size + 3  # embeddings beyond the tokenizer's ids
BANNED = [FIM.pad, FIM.file_sep, FIM.repo_name, N_LOGITS - 1]
NANO = Tokenizer.from_folder(Path(__file__).parents[2] / "models" / "nano")


class Says:
    """Logits that say a text and then end-of-text; banned ids are likelier than anything."""

    def __init__(self, text):
        self._ids = [*BYTES.encode(text), FIM.end_of_text]
        self.advanced_by = []

    @property
    def logits(self):
        logits = torch.zeros(N_LOGITS)
        logits[self._ids[len(self.advanced_by)]] = 8.0
        logits[BANNED] = 20.0
        return logits

    def advance(self, token_id):
        self.advanced_by.append(token_id)
        return self.logits

    def write(self, mixer=None, prompt=()):
        decoding = Decoding(BYTES, N_LOGITS)
        return list(decoding.write(prompt, "", self.logits, self.advance, mixer))


class Wants:
    """A mixer that gives ``share`` to one token, wherever the context is as told."""

    def __init__(self, token_id, share=0.9, after=None):
        self.token_id, self.share, self.after = token_id, share, after
        self.contexts, self.sums = [], []

    def mixed(self, log_p, context):
        self.contexts.append(list(context))
        self.sums.append(float(log_p.exp().sum()))
        if self.after is not None and BYTES.decode(context) != self.after:
            return log_p
        mixture = log_p.exp() * (1 - self.share)
        mixture[self.token_id] += self.share
        return mixture.log()


def byte(character):
    return ord(character) + FIRST_BYTE


def text_of(written):
    return written[-1].text if written else ""


def test_the_likeliest_allowed_tokens_are_written_until_a_stop():
    says = Says("answer")
    written = says.write()
    assert [w.text for w in written] == ["a", "an", "ans", "answ", "answe", "answer"]
    assert [w.token_id for w in written] == BYTES.encode("answer")
    # 8 against the other bytes and the four stops, which may be chosen too
    expected = 8 - math.log(math.exp(8) + 259)
    assert [w.log_probability for w in written] == pytest.approx([expected] * 6, abs=1e-5)
    assert all(w.is_new for w in written)


def test_nothing_is_computed_before_it_is_asked_for():
    says = Says("answer")
    writing = Decoding(BYTES, N_LOGITS).write((), "", says.logits, says.advance)
    assert [next(writing).text, next(writing).text] == ["a", "an"]
    assert says.advanced_by == [byte("a")]


def test_a_mixer_changes_the_choice_and_its_log_probability():
    written = Says("answer").write(Wants(byte("x"), 0.9, after="an"))
    assert text_of(written) == "anxwer"
    assert math.exp(written[2].log_probability) == pytest.approx(0.9, abs=1e-3)
    backbone = 8 - math.log(math.exp(8) + 259)
    assert written[1].log_probability == pytest.approx(backbone, abs=1e-5)


def test_what_a_mixer_leaves_to_the_backbone_weighs_less():
    (first, *_) = Says("answer").write(Wants(byte("x"), 0.3))
    backbone = 1 / (1 + 259 * math.exp(-8))
    assert first.text == "a"
    assert math.exp(first.log_probability) == pytest.approx(0.7 * backbone, abs=1e-4)


@pytest.mark.parametrize("token_id", BANNED)
def test_a_mixer_never_brings_a_banned_token(token_id):
    mixer = Wants(token_id, 0.99)
    assert text_of(Says("answer").write(mixer)) == "answer"
    assert mixer.sums == pytest.approx([1.0] * 7), "banned ids have no share to begin with"


def test_a_mixer_may_bring_a_stop():
    assert text_of(Says("answer").write(Wants(FIM.end_of_text, after="ans"))) == "ans"


def test_a_mixer_that_breaks_the_numbers_is_told_of():
    class Broken:
        def mixed(self, log_p, context):
            return log_p * float("nan")

    with pytest.raises(ValueError, match="NaN"):
        Says("answer").write(Broken())


@pytest.mark.parametrize(
    "prompt",
    [
        [FIM.prefix, FIM.suffix, *BYTES.encode("after"), FIM.middle, *BYTES.encode("x = ")],
        [FIM.prefix, *BYTES.encode("x = "), FIM.suffix, *BYTES.encode("after"), FIM.middle],
        BYTES.encode("x = "),
    ],
)
def test_the_context_of_a_mixer_is_the_text_before_the_gap_and_what_was_written(prompt):
    mixer = Wants(byte("?"), 0.0)
    Says("abc").write(mixer, prompt)
    assert [BYTES.decode(c) for c in mixer.contexts] == ["x = ", "x = a", "x = ab", "x = abc"]
    assert not BYTES.special_ids() & {token for context in mixer.contexts for token in context}


def test_without_text_before_the_gap_the_context_begins_empty():
    mixer = Wants(byte("?"), 0.0)
    Says("").write(mixer, [FIM.prefix, FIM.suffix, *BYTES.encode("after"), FIM.middle])
    assert mixer.contexts == [[]]


def nano_writing(typed, wanted, mixer=None, n=12):
    """The first tokens when the model would rather write ``wanted`` than anything."""
    ids = iter(NANO.encode(wanted))

    def advance(_):
        logits = torch.zeros(NANO.vocabulary_size)
        logits[next(ids, 0)] = 9.0
        return logits

    writing = Decoding(NANO, NANO.vocabulary_size).write((), typed, advance(0), advance, mixer)
    return [written for written, _ in zip(writing, range(n), strict=False)]


@pytest.mark.parametrize("share", [None, 0.5, 0.999])
@pytest.mark.parametrize("typed", [".opti", " ", "        ", "qzxv_77"])
def test_the_first_tokens_agree_with_what_is_typed(typed, share):
    stranger = NANO.encode("elsewhere")[0]
    mixer = None if share is None else Wants(stranger, share)
    written, whole = nano_writing(typed, "elsewhere", mixer), ""
    for token in written:
        whole += NANO.decode([token.token_id])
        assert whole.startswith(typed) or typed.startswith(whole)
        assert token.is_new == (len(whole) >= len(typed))
        assert token.text == whole[len(typed) :]
        assert math.isfinite(token.log_probability)
    assert whole.startswith(typed)


def test_nats_are_those_of_the_mixture_and_none_for_what_is_typed():
    ids, mixer = NANO.encode(".options"), Wants(NANO.encode(".options")[-1], 0.5)
    decoding = Decoding(NANO, NANO.vocabulary_size)
    rows = torch.randn(len(ids), NANO.vocabulary_size, generator=torch.Generator().manual_seed(3))
    alone = list(decoding.nats((), ".opti", ids, rows))
    mixed = list(decoding.nats((), ".opti", ids, rows, mixer))
    allowed = decoding.healer.begin(".opti").allowed()
    first = rows[0].double()
    assert alone[0] == pytest.approx(float(first[allowed].logsumexp(0) - first[ids[0]]))
    assert math.exp(-mixed[-1]) == pytest.approx(0.5 + 0.5 * math.exp(-alone[-1]))
    assert mixer.contexts == [ids[:n] for n in range(len(ids))]
    assert mixer.sums == pytest.approx([1.0] * len(ids))
    (nothing,) = decoding.nats((), " ", NANO.encode(" ("), torch.zeros(1, NANO.vocabulary_size))
    assert 0 < nothing < math.log(NANO.vocabulary_size)
