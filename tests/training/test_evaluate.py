import pytest
import torch

from code2lora_lsp.training import evaluate
from code2lora_lsp.training.evaluate import (
    LineCursor,
    left_to_right_bits_per_byte,
    line_metrics,
    prompt_ids,
    sample_cursors,
    sample_files,
)
from code2lora_lsp.training.packing import SourceFile

CURSOR = LineCursor("import os\n\n\ndef f(a):\n    return os.pa", "th.join(a)", "\n\nx = f(1)\n")
FILES = [SourceFile("a/b", f"f{i}.py", f"def f{i}(x):\n    return x + {i}\n") for i in range(30)]


def planted(monkeypatch, change):
    """Logits that are sure of what follows; ``change`` may alter the list of following ids."""

    def logits_of(_, ids):
        following = change([*ids[1:], 0])  # id 0 is <|endoftext|>
        return torch.nn.functional.one_hot(torch.tensor(following), 600).float() * 100

    monkeypatch.setattr(evaluate, "logits_of", logits_of)


def exact(monkeypatch, tokenizer, change):
    planted(monkeypatch, change)
    return line_metrics(None, [CURSOR], "spm", tokenizer)["exact_match"]


def test_a_line_is_exact_when_every_choice_and_the_stop_are_right(monkeypatch, tokenizer):
    assert exact(monkeypatch, tokenizer, lambda ids: ids) == 1.0


def test_a_line_break_counts_as_a_stop(monkeypatch, tokenizer):
    line_break = tokenizer.encode("\n")[0]
    assert exact(monkeypatch, tokenizer, lambda ids: [*ids[:-1], line_break]) == 1.0


@pytest.mark.parametrize("wrong_at", [-1, -2, -3])
def test_one_wrong_choice_or_no_stop_is_not_exact(monkeypatch, tokenizer, wrong_at):
    def change(ids):
        ids[wrong_at] = tokenizer.encode("z")[0]
        return ids

    assert exact(monkeypatch, tokenizer, change) == 0.0


def test_choices_inside_the_prompt_do_not_matter(monkeypatch, tokenizer):
    assert exact(monkeypatch, tokenizer, lambda ids: [5, 5, 5, 5, *ids[4:]]) == 1.0


def test_a_sure_and_right_model_needs_no_bits_and_a_uniform_one_log2_of_its_vocabulary(
    monkeypatch, tokenizer
):
    planted(monkeypatch, lambda ids: ids)
    assert left_to_right_bits_per_byte(None, FILES, tokenizer, 64) < 1e-6
    monkeypatch.setattr(evaluate, "logits_of", lambda _, ids: torch.zeros(len(ids), 1024))
    text = SourceFile("a/b", "c.py", "x = 1\n")
    n_tokens = len(tokenizer.encode(text.text))
    bits = left_to_right_bits_per_byte(None, [text], tokenizer, 64)
    assert bits == pytest.approx(10 * n_tokens / 6)


def test_prompts_are_laid_out_as_in_training(tokenizer):
    fim, encode = tokenizer.fim_tokens(), tokenizer.encode
    prefix, suffix = encode(CURSOR.before), encode(CURSOR.after)
    assert prompt_ids(CURSOR, "spm", tokenizer) == [
        fim.prefix, fim.suffix, *suffix, fim.middle, *prefix,
    ]  # fmt: skip
    assert prompt_ids(CURSOR, "psm", tokenizer) == [
        fim.prefix, *prefix, fim.suffix, *suffix, fim.middle,
    ]  # fmt: skip
    assert prompt_ids(CURSOR, "left_to_right", tokenizer) == [fim.end_of_text, *prefix]


def test_samples_are_the_same_every_time_and_leave_something_to_complete():
    assert sample_files(FILES, 5) == sample_files(FILES[::-1], 5)
    cursors = sample_cursors(FILES, 40)
    assert cursors == sample_cursors(FILES, 40)
    for cursor in cursors:
        assert cursor.rest.strip()
        assert "\n" not in cursor.rest
        assert cursor.after.startswith("\n")
