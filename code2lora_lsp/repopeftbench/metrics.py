"""Scores of one answer: exact match three ways, edit similarity, CodeBLEU, nats."""

import math
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher

from code2lora_lsp.repopeftbench.arms.arm import Answer
from code2lora_lsp.repopeftbench.items import Item
from code2lora_lsp.repopeftbench.postprocessing import (
    normalised,
    plain_prediction,
    published_prediction,
    published_reference,
)

MAX_NGRAM = 4

_CODE_TOKEN = re.compile(
    r"[a-zA-Z_]\w*|0[xXoObB][\da-fA-F_]+|\d[\d_]*\.?\d*[eE]?[\d_]*"
    r"|\"(?:[^\"\\]|\\.)*\"|'(?:[^'\\]|\\.)*'|[^\s]"
)


@dataclass(frozen=True)
class CodeBleu:
    """Which CodeBLEU was computed, and how: one choice per report, never per item.

    Attributes:
        name: as it is printed beside every number.
        compare: (prediction, reference), both non-empty and different, to a score in [0, 1].
    """

    name: str
    compare: Callable[[str, str], float]

    def score(self, prediction: str, reference: str) -> float:
        """1.0 if equal, 0.0 if either is empty, else ``compare`` (code2lora-spec, section 7)."""
        prediction, reference = prediction.strip(), reference.strip()
        if not prediction or not reference:
            return 0.0
        return 1.0 if prediction == reference else self.compare(prediction, reference)


def choose_code_bleu() -> CodeBleu:
    """The package ``codebleu`` where it works, else the published fallback, saying why."""
    try:
        from codebleu import calc_codebleu  # type: ignore[import-not-found]

        calc_codebleu(["a = 1"], ["a = 2"], lang="python")
    except Exception as error:  # noqa: BLE001 - its parsers fail in many ways; the reason is printed
        return CodeBleu(f"smoothed 4-gram BLEU (codebleu: {_reason(error)})", smoothed_bleu)

    def compare(prediction: str, reference: str) -> float:
        return float(calc_codebleu([reference], [prediction], lang="python")["codebleu"])

    return CodeBleu("codebleu", compare)


def _reason(error: Exception) -> str:
    if isinstance(error, ModuleNotFoundError):
        return f"no module {error.name}"
    return f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"


def smoothed_bleu(prediction: str, reference: str) -> float:
    """BLEU over code tokens with n = 1 … 4, every count plus one, brevity min(1, |p| / |r|)."""
    tokens, expected = _CODE_TOKEN.findall(prediction), _CODE_TOKEN.findall(reference)
    if not tokens or not expected:
        return 0.0
    log_precision = 0.0
    for n in range(1, MAX_NGRAM + 1):
        matches = (_ngrams(tokens, n) & _ngrams(expected, n)).total()
        log_precision += math.log((matches + 1) / (max(len(tokens) - n + 1, 1) + 1)) / MAX_NGRAM
    return min(1.0, len(tokens) / len(expected)) * math.exp(log_precision)


def _ngrams(tokens: Sequence[str], n: int) -> Counter[tuple[str, ...]]:
    return Counter(tuple(tokens[i : i + n]) for i in range(len(tokens) - n + 1))


def exact_match(prediction: str, reference: str) -> bool:
    """Equal after the published normalisation; both already post-processed."""
    return normalised(prediction) == normalised(reference)


def edit_similarity(prediction: str, reference: str) -> float:
    """Ratio of difflib, in [0, 1]; two empty strings are alike."""
    return SequenceMatcher(None, prediction, reference).ratio()


def begins_with_target(text: str, target: str) -> bool:
    """Whether the completion starts with the whole target and not with a longer name.

    The match for gaps that end in the middle of a line: in left-to-right form a model writes on,
    ``ensure_sync(app)`` after the target ``ensure_sync``.
    """
    text, target = text.strip(), target.strip()
    if not target or not text.startswith(target):
        return False
    rest = text[len(target) : len(target) + 1]
    return not (_in_name(target[-1]) and rest and _in_name(rest))


def _in_name(character: str) -> bool:
    return character == "_" or character.isalnum()


SCORES = (
    "exact_match", "plain_match", "target_first", "edit_similarity", "code_bleu",
    "target_nats", "identifier_nats", "asked_nats", "nats_per_token",
    "prompt_tokens", "query_seconds",
)  # fmt: skip


def scores_of(item: Item, answer: Answer, code_bleu: CodeBleu) -> dict[str, float]:
    """Every score of one answer, keyed as in ``SCORES``.

    ``identifier_nats`` is absent where the item has no identifier, ``nats_per_token`` where the
    target has no token. ``asked_nats`` is the identifier's, or the target's without one.
    """
    prediction = published_prediction(answer.text, item.target)
    reference = published_reference(item.target)
    scores = {
        "exact_match": float(exact_match(prediction, reference)),
        "plain_match": float(plain_prediction(answer.text, item.target) == item.target.strip()),
        "target_first": float(begins_with_target(answer.text, item.target)),
        "edit_similarity": edit_similarity(prediction, reference),
        "code_bleu": code_bleu.score(prediction, reference),
        "target_nats": answer.target_nats,
        "asked_nats": answer.target_nats,
        "prompt_tokens": float(answer.prompt_tokens),
        "query_seconds": answer.seconds,
    }
    if answer.identifier_nats is not None:
        scores["identifier_nats"] = scores["asked_nats"] = answer.identifier_nats
    if answer.n_target_tokens:
        scores["nats_per_token"] = answer.target_nats / answer.n_target_tokens
    return scores
