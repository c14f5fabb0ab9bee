"""Prompts: exact formats, budgets, and windows that stay where they are while the user types."""

import itertools

import pytest
import tokenizers

from code2lora_lsp.errors import ModelMismatch
from code2lora_lsp.text.fim import PromptBuilder, as_read, common_newline, stop_ids
from code2lora_lsp.text.tokenizer import FIM_NAMES, Tokenizer
from code2lora_lsp.training.tokenizer import train_tokenizer
from tests.fakes import FIM, ByteTokenizer

URI = "file:///a.py"
BYTES = ByteTokenizer()
SOURCE = "".join(f"def function_{i}(a, b):\n    return a + b * {i}\n\n\n" for i in range(60))


def build(order="spm", prompt_tokens=600, suffix_tokens=100):
    return PromptBuilder(BYTES, order, prompt_tokens, suffix_tokens)


@pytest.fixture(scope="module")
def fast():
    trained = train_tokenizer([SOURCE], 400)
    trained.encode_special_tokens = True
    return Tokenizer(trained, "trained")


def test_spm_is_markers_suffix_middle_marker_prefix():
    prompt = build("spm").build(URI, "x = ", "\ny\n")
    expected = [FIM.prefix, FIM.suffix, *BYTES.encode("\ny\n"), FIM.middle, *BYTES.encode("x = ")]
    assert list(prompt.token_ids) == expected
    assert (prompt.order, prompt.prefix_tokens, prompt.suffix_tokens) == ("spm", 4, 3)


def test_psm_is_prefix_then_suffix_then_the_middle_marker():
    prompt = build("psm").build(URI, "x = ", "\ny\n")
    expected = [FIM.prefix, *BYTES.encode("x = "), FIM.suffix, *BYTES.encode("\ny\n"), FIM.middle]
    assert list(prompt.token_ids) == expected


@pytest.mark.parametrize("order", ["spm", "psm"])
def test_stop_tokens_occur_in_the_prompt_format(order):
    prompt = build(order).build(URI, "x = ", "\ny\n")
    markers = {token for token in prompt.token_ids if token < 8}
    assert stop_ids(FIM) == markers | {FIM.end_of_text}


def test_an_empty_document_is_the_markers_alone():
    assert build().build(URI, "", "").token_ids == (FIM.prefix, FIM.suffix, FIM.middle)


def test_the_path_heads_a_window_that_begins_at_the_file_start_only():
    builder = build()
    ids = builder.build(URI, "x", "", "pkg/a.py").token_ids
    assert list(ids[3:]) == BYTES.encode("# pkg/a.py\nx")
    long = builder.build(URI, SOURCE, "", "pkg/a.py").token_ids
    assert "pkg" not in BYTES.decode(long)
    assert BYTES.decode(long).endswith(SOURCE[-100:])


@pytest.mark.parametrize("order", ["spm", "psm"])
@pytest.mark.parametrize("cursor", range(0, len(SOURCE), 61))
def test_prompts_keep_their_budgets(order, cursor):
    prompt = build(order).build(URI, SOURCE[:cursor], SOURCE[cursor:])
    assert len(prompt.token_ids) <= 600
    assert prompt.suffix_tokens <= 100
    text = BYTES.decode(prompt.token_ids)
    if order == "psm":
        prefix, suffix = text[: prompt.prefix_tokens], text[prompt.prefix_tokens :]
    else:
        prefix, suffix = text[prompt.suffix_tokens :], text[: prompt.suffix_tokens]
    assert SOURCE[:cursor].endswith(prefix)
    assert SOURCE[cursor:].startswith(suffix)
    start = cursor - len(prefix)
    assert start == 0 or SOURCE[start - 1] == "\n", "the window begins at a line start"
    end = cursor + len(suffix)
    assert end == len(SOURCE) or SOURCE[end - 1] == "\n", "the suffix ends at a line end"


def test_the_window_moves_in_jumps_of_a_quarter_while_typing():
    builder, starts, sizes = build(), [], []
    for cursor in range(len(SOURCE) // 2, len(SOURCE)):
        prompt = builder.build(URI, SOURCE[:cursor], "")
        starts.append(cursor - prompt.prefix_tokens)
        sizes.append(prompt.prefix_tokens)
    jumps = [after - before for before, after in itertools.pairwise(starts)]
    moves = [jump for jump in jumps if jump]
    assert 1 <= len(moves) <= len(jumps) / 60
    budget = 600 - 100 - 3
    assert all(budget / 8 <= move <= budget / 2 for move in moves)
    assert min(sizes) >= budget / 2


def test_the_window_survives_an_edit_above_it():
    builder = build()
    first = builder.build(URI, SOURCE, "")
    edited = "import os\n" + SOURCE + "x"
    second = builder.build(URI, edited, "")
    assert second.token_ids[: len(first.token_ids)] == first.token_ids


def test_going_up_in_the_file_rebuilds_the_window():
    builder = build()
    builder.build(URI, SOURCE, "")
    near_start = SOURCE[:300]
    assert BYTES.decode(builder.build(URI, near_start, "").token_ids) == near_start


def test_windows_of_two_documents_are_apart():
    builder = build()
    first = builder.build(URI, SOURCE, "")
    builder.build("file:///b.py", "x", "")
    assert builder.build(URI, SOURCE + "y", "").token_ids[:-1] == first.token_ids


def test_one_endless_line_is_cut_and_quick():
    encoded = []

    class Counting(ByteTokenizer):
        def encode(self, text):
            encoded.append(len(text))
            return super().encode(text)

    builder = PromptBuilder(Counting(), "spm", 600, 100)
    prompt = builder.build(URI, "x" * 500_000, "y" * 500_000)
    assert len(prompt.token_ids) == 600
    assert sum(encoded) < 40_000


def test_special_tokens_spelled_in_source_never_become_special_ids(fast):
    builder = PromptBuilder(fast, "spm", 600, 200)
    fim, spelled = fast.fim_tokens(), "".join(names[0] for names in FIM_NAMES.values())
    prompt = builder.build(URI, f"x = '{spelled}'\n{spelled}", f"{spelled}\n{spelled}")
    special = [token for token in prompt.token_ids if token in fast.special_ids()]
    assert special == [fim.prefix, fim.suffix, fim.middle]
    assert fast.decode(list(prompt.token_ids)).count("<|fim_middle|>") == 4


def test_line_by_line_equals_the_whole_text_for_the_embedded_tokenizer(fast):
    prompt = PromptBuilder(fast, "spm", 20_000, 100).build(URI, SOURCE[:-20], "")
    assert list(prompt.token_ids[3:]) == fast.encode(SOURCE[:-20])


def test_a_model_without_infilling_tokens_is_refused_in_one_line():
    plain = tokenizers.Tokenizer(tokenizers.models.BPE())
    plain.add_special_tokens(["<|endoftext|>", "<|fim_prefix|>"])
    with pytest.raises(ModelMismatch, match="middle, suffix") as refused:
        PromptBuilder(Tokenizer(plain, "chatty"), "psm", 100, 10)
    assert "\n" not in str(refused.value)
    assert "'chatty'" in str(refused.value)


def test_line_breaks():
    assert common_newline("a\r\nb\n") == "\r\n"
    assert common_newline("a\nb\r\n") == common_newline("a") == common_newline("\n") == "\n"
    assert as_read(("a\r\nb\rc\n", "d")) == ("a\nb\nc\n", "d")


def test_half_a_surrogate_pair_is_read_as_one_character_and_a_whole_one_as_it_is():
    assert as_read(("a\ud83db", "\udc00", "😀")) == ("a\ufffdb", "\ufffd", "😀")
