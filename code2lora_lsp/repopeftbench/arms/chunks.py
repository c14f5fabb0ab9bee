"""A known tree cut into overlapping windows of tokens, by the published recipe."""

from collections.abc import Iterable
from dataclasses import dataclass

from code2lora_lsp.neural.encoder import cut_windows
from code2lora_lsp.recipe import WindowRecipe
from code2lora_lsp.repopeftbench.arms.known_tree import KnownTree
from code2lora_lsp.repopeftbench.prompts import Snippet
from code2lora_lsp.text.tokenizer import Tokenizer

CHUNK_TOKENS = 512
OVERLAP_SHARE = 8
"""64 of 512 tokens (code2lora-spec, section 6.4)."""

SMALLEST_CHUNK_TOKENS = 16
QUERY_LINES = 16


def chunk_recipe(context_tokens: int, n_snippets: int) -> WindowRecipe:
    """Windows of 512 tokens, or smaller ones, so that ``n_snippets`` fit the context."""
    chunk = max(SMALLEST_CHUNK_TOKENS, min(CHUNK_TOKENS, context_tokens // n_snippets))
    return WindowRecipe(chunk, chunk // OVERLAP_SHARE, min(SMALLEST_CHUNK_TOKENS, chunk))


@dataclass(frozen=True)
class Chunk:
    """One window of one file of the tree."""

    path: str
    text: str

    @property
    def snippet(self) -> Snippet:
        return Snippet(self.path, self.text)


def cut_chunks(tree: KnownTree, tokenizer: Tokenizer, recipe: WindowRecipe) -> list[Chunk]:
    """Every window of every file, in the order of paths; a file under one window is one chunk."""
    return [
        Chunk(file.path, tokenizer.decode(ids))
        for file in tree.files
        for ids in cut_windows(tokenizer.encode(file.text), recipe)
    ]


def query_text(prefix: str) -> str:
    """What retrieval looks for: the last lines before the cut."""
    return "\n".join(prefix.rstrip("\n").split("\n")[-QUERY_LINES:])


def best_last(chunks: Iterable[Chunk]) -> list[Snippet]:
    """Snippets of chunks given best first, turned so that the best is next to the prompt."""
    return [chunk.snippet for chunk in chunks][::-1]
