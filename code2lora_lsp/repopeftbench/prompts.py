r"""One item → prompt token ids within a budget, truncated from the left.

    left to right:  <|endoftext|> [context] prefix
    FIM, SPM:       [context] <|fim_prefix|><|fim_suffix|> suffix <|fim_middle|> prefix
    FIM, PSM:       [context] <|fim_prefix|> prefix <|fim_suffix|> suffix <|fim_middle|>

Context is what an arm adds: snippets of other files. Where the model has the tokens for it, it is
laid out as Qwen2.5-Coder's repository-level rows are (and the embedded model's, see
``training.packing``); else as commented text at the head of the prefix:

    <|repo_name|>owner/name\n (<|file_sep|>path\n text)+ <|file_sep|>path\n <|fim_prefix|> …

As in serving, the prefix is healed: what is typed of its last word is left out, and the answer
has to begin with it (``text.healing``). Without healing, prefix and target are encoded as they
stand, which is the published form.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from code2lora_lsp.repopeftbench.items import Item
from code2lora_lsp.runtime.model_loading import LoadedModel
from code2lora_lsp.text.fim import MOST_CHARS_PER_TOKEN, N_MARKERS
from code2lora_lsp.text.gaps import head_within
from code2lora_lsp.text.healing import Healer

MAX_NEW_TOKENS = 64
"""Decoded per item, as published (code2lora-spec, section 7)."""

SMALL_WINDOW_TOKENS = 2048
SMALL_WINDOW_PROMPT_TOKENS = 1536
CONTEXT_SHARE = 0.5
"""Most of a prompt that may be context; the item's own text has the rest."""

SUFFIX_TOKENS = 128


@dataclass(frozen=True)
class Prompt:
    """What is read before an answer.

    Attributes:
        typed: text taken back from the end of the prefix; whatever is written begins with it.
    """

    token_ids: tuple[int, ...]
    typed: str = ""


@dataclass(frozen=True)
class Snippet:
    """Text of another file, put before the prompt; ``path`` is its heading."""

    path: str
    text: str


def default_prompt_tokens(max_positions: int) -> int:
    """1,536 of a window of 2,048; of a larger one all but the tokens to be decoded."""
    widest = max_positions - MAX_NEW_TOKENS
    if max_positions > SMALL_WINDOW_TOKENS:
        return widest
    return min(SMALL_WINDOW_PROMPT_TOKENS, widest)


def is_infilling(item: Item) -> bool:
    """Whether the item is asked in FIM form: it has a suffix, or its stratum ``form`` says so."""
    form = item.strata.get("form")
    return form == "fim" if form is not None else bool(item.suffix)


class PromptMaker:
    """Builds prompts for one model. No state: the same item has the same prompt in every run."""

    def __init__(
        self, model: LoadedModel, prompt_tokens: int | None = None, *, heals: bool = True
    ) -> None:
        """``prompt_tokens`` is the whole prompt, markers and context included.

        Raises:
            ValueError: the budget leaves no room in the model's window to decode.
        """
        most = model.backbone.max_positions - MAX_NEW_TOKENS
        self.prompt_tokens = prompt_tokens or default_prompt_tokens(model.backbone.max_positions)
        if not N_MARKERS < self.prompt_tokens <= most:
            raise ValueError(
                f"prompt_tokens {self.prompt_tokens} is not within {N_MARKERS + 1} to {most}, "
                f"what a window of {model.backbone.max_positions} leaves beside the answer"
            )
        self._tokenizer = model.tokenizer
        self._order = model.order
        self._fim = model.tokenizer.fim_tokens()
        self._healer = Healer(model.tokenizer) if heals else None

    @property
    def context_tokens(self) -> int:
        """Most tokens of context."""
        return int(self.prompt_tokens * CONTEXT_SHARE)

    def make(
        self,
        item: Item,
        snippets: Sequence[Snippet] = (),
        *,
        prefix: str | None = None,
        budget_tokens: int | None = None,
    ) -> Prompt:
        """Prompt of an item.

        Args:
            item: its stratum ``prefix``, where a number, is the most tokens of prefix shown.
            snippets: context, the most relevant last; what exceeds ``context_tokens`` is cut,
                the least relevant first.
            prefix: shown whole instead of the item's own.
            budget_tokens: a smaller budget than ``prompt_tokens``.
        """
        budget = min(budget_tokens or self.prompt_tokens, self.prompt_tokens)
        context = self._context(item, snippets, int(budget * CONTEXT_SHARE))
        suffix: list[int] = []
        if is_infilling(item):
            suffix = head_within(
                self._tokenizer.encode, item.suffix, min(SUFFIX_TOKENS, budget // 4)
            )
        room = budget - len(context) - len(suffix) - N_MARKERS
        kept, typed = self._split(item.prefix if prefix is None else prefix)
        limit = item.strata.get("prefix", "")
        if prefix is None and limit.isdigit():
            room = min(room, int(limit))
        shown = self._tokenizer.encode(kept[-room * MOST_CHARS_PER_TOKEN :])[-room:]
        fim = self._fim
        if not is_infilling(item):
            return Prompt((fim.end_of_text, *context, *shown), typed)
        if self._order == "spm":
            ids = (*context, fim.prefix, fim.suffix, *suffix, fim.middle, *shown)
        else:
            ids = (*context, fim.prefix, *shown, fim.suffix, *suffix, fim.middle)
        return Prompt(ids, typed)

    def _split(self, prefix: str) -> tuple[str, str]:
        return (prefix, "") if self._healer is None else self._healer.split(prefix)

    def _context(self, item: Item, snippets: Sequence[Snippet], budget: int) -> list[int]:
        if not snippets:
            return []
        head, tail = self._frame(item)
        room = budget - len(head) - len(tail)
        parts: list[list[int]] = []
        for snippet in reversed(snippets):
            ids = self._snippet(snippet)[: max(room, 0)]
            room -= len(ids)
            parts.insert(0, ids)
        body = [token for part in parts for token in part]
        return [*head, *body, *tail] if body else []

    def _frame(self, item: Item) -> tuple[list[int], list[int]]:
        fim = self._fim
        if fim.repo_name is None or fim.file_sep is None:
            return [], self._tokenizer.encode(f"# {item.path}\n")
        encode = self._tokenizer.encode
        return (
            [fim.repo_name, *encode(f"{item.repository}\n")],
            [fim.file_sep, *encode(f"{item.path}\n")],
        )

    def _snippet(self, snippet: Snippet) -> list[int]:
        text = snippet.text.rstrip("\n") + "\n"
        if self._fim.repo_name is None or self._fim.file_sep is None:
            return self._tokenizer.encode(f"# {snippet.path}\n{text}")
        return [self._fim.file_sep, *self._tokenizer.encode(f"{snippet.path}\n{text}")]
