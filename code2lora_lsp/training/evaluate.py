"""How well a backbone predicts validation repositories: bits per byte, and lines completed exactly.

A line counts as completed when greedy decoding would give its rest and stop. That is read from one
teacher-forced pass, which equals decoding token by token as long as every choice is right.
"""

import hashlib
import math
import random
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F  # noqa: N812 (torch's own convention)
from torch import Tensor
from transformers import Qwen2ForCausalLM

from code2lora_lsp.text.tokenizer import Tokenizer
from code2lora_lsp.training.fim_examples import cursor_in_line, head_within
from code2lora_lsp.training.packing import SourceFile

LONGEST_PREFIX_TOKENS = 768
LONGEST_SUFFIX_TOKENS = 128
PROMPT_KINDS = ("spm", "psm", "left_to_right")


@dataclass(frozen=True)
class LineCursor:
    """A cursor inside a line of a file; ``rest`` is what stands between it and the line's end."""

    before: str
    rest: str
    after: str


def sample_files(files: Sequence[SourceFile], n_files: int) -> list[SourceFile]:
    """The same files every time, spread over repositories: chosen by the hash of their names."""
    return sorted(
        files, key=lambda f: hashlib.sha256(f"{f.repository}/{f.path}".encode()).digest()
    )[:n_files]


def sample_cursors(files: Sequence[SourceFile], n_cursors: int, seed: int = 7) -> list[LineCursor]:
    """``n_cursors`` random cursors in random lines, with something left to complete."""
    rng = random.Random(seed)  # noqa: S311 (not a secret)
    cursors: list[LineCursor] = []
    while len(cursors) < n_cursors:
        text = rng.choice(files).text
        start = text.rfind("\n", 0, rng.randrange(len(text))) + 1
        end = text.find("\n", start)
        end = len(text) if end < 0 else end
        cursor = cursor_in_line(text, start, end, rng)
        if text[cursor:end].strip():
            cursors.append(LineCursor(text[:cursor], text[cursor:end], text[end:]))
    return cursors


@torch.no_grad()
def logits_of(model: Qwen2ForCausalLM, ids: list[int]) -> Tensor:
    """Logits [T, V] float32 of one sequence."""
    hidden = model.model(input_ids=torch.tensor([ids]), use_cache=False).last_hidden_state[0]
    logits: Tensor = hidden @ model.model.embed_tokens.weight.T
    return logits


def left_to_right_bits_per_byte(
    model: Qwen2ForCausalLM,
    files: Sequence[SourceFile],
    tokenizer: Tokenizer,
    context_tokens: int,
) -> float:
    """Bits per UTF-8 byte of the first ``context_tokens`` tokens of each file."""
    end_of_text = tokenizer.fim_tokens().end_of_text
    nats, n_bytes = 0.0, 0
    for file in files:
        ids = tokenizer.encode(file.text[: context_tokens * 6])[: context_tokens - 1]
        logits = logits_of(model, [end_of_text, *ids])[:-1]
        nats += F.cross_entropy(logits, torch.tensor(ids), reduction="sum").item()
        n_bytes += len(tokenizer.decode(ids).encode())
    return nats / math.log(2) / n_bytes


def prompt_ids(cursor: LineCursor, kind: str, tokenizer: Tokenizer) -> list[int]:
    """What serving would ask: suffix first, prefix first, or the prefix alone."""
    control = tokenizer.fim_tokens()
    near = cursor.before[-LONGEST_PREFIX_TOKENS * 4 :]
    near = near[near.find("\n") + 1 :] if len(near) < len(cursor.before) else near
    prefix = tokenizer.encode(near)[-LONGEST_PREFIX_TOKENS:]
    suffix = head_within(tokenizer.encode, cursor.after, LONGEST_SUFFIX_TOKENS)
    if kind == "spm":
        return [control.prefix, control.suffix, *suffix, control.middle, *prefix]
    if kind == "psm":
        return [control.prefix, *prefix, control.suffix, *suffix, control.middle]
    return [control.end_of_text, *prefix]


def line_metrics(
    model: Qwen2ForCausalLM,
    cursors: Sequence[LineCursor],
    kind: str,
    tokenizer: Tokenizer,
) -> dict[str, float]:
    """Share of lines completed exactly, and bits per byte of their rests."""
    nats, n_bytes, n_exact = 0.0, 0, 0
    for cursor in cursors:
        prompt = prompt_ids(cursor, kind, tokenizer)
        middle = tokenizer.encode(cursor.rest)
        logits = logits_of(model, [*prompt, *middle])[len(prompt) - 1 :]  # [M + 1, V]
        nats += F.cross_entropy(logits[:-1], torch.tensor(middle), reduction="sum").item()
        n_bytes += len(cursor.rest.encode())
        n_exact += _is_exact(logits.argmax(-1).tolist(), middle, tokenizer)
    return {
        "exact_match": n_exact / len(cursors),
        "bits_per_byte": nats / math.log(2) / n_bytes,
    }


def _is_exact(predicted: list[int], middle: list[int], tokenizer: Tokenizer) -> bool:
    """Whether greedy choices spell the middle and then stop: by <|endoftext|> or a line break."""
    if predicted[: len(middle)] == middle:
        end = predicted[len(middle)]
        return end == tokenizer.fim_tokens().end_of_text or tokenizer.decode([end]).startswith("\n")
    if predicted[: len(middle) - 1] != middle[:-1]:
        return False
    last = tokenizer.decode([predicted[len(middle) - 1]])
    return last == tokenizer.decode(middle[-1:]) + "\n"
