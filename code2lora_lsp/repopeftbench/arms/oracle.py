"""Two snippets that bound every other arm: one that holds the answer, one that cannot help."""

import random
import re
import time
from collections import Counter
from collections.abc import Sequence

from code2lora_lsp.repopeftbench.arms.arm import CannotPrepare, Cost, Prepared, Target
from code2lora_lsp.repopeftbench.arms.chunks import Chunk, chunk_recipe, cut_chunks, query_text
from code2lora_lsp.repopeftbench.arms.known_tree import read_known_tree
from code2lora_lsp.repopeftbench.arms.prepared import PreparedScorer, ScorerArm
from code2lora_lsp.repopeftbench.arms.words import words_of
from code2lora_lsp.repopeftbench.items import Item
from code2lora_lsp.repopeftbench.prompts import Snippet
from code2lora_lsp.repopeftbench.scoring import Scorer


class OverlapIndex:
    """Chunks ranked by the words they share with an item's surroundings and its target.

    It reads the target, as only an oracle may.
    """

    def __init__(self, chunks: Sequence[Chunk]) -> None:
        self._chunks = chunks
        self._words = [Counter(words_of(chunk.text)) for chunk in chunks]

    def holding(self, item: Item) -> Chunk | None:
        """Best chunk that holds the item's identifier, or its target without one."""
        wanted = item.identifier or item.target.strip()
        if not wanted:
            return None
        whole = re.compile(rf"(?<!\w){re.escape(wanted)}(?!\w)")
        return self._best(item, [i for i, c in enumerate(self._chunks) if whole.search(c.text)])

    def nearest(self, item: Item) -> Chunk | None:
        """Best chunk, whatever it holds."""
        return self._best(item, range(len(self._chunks)))

    def _best(self, item: Item, indices: Sequence[int]) -> Chunk | None:
        wanted = Counter(words_of(query_text(item.prefix) + item.target))
        best = max(indices, key=lambda i: (wanted & self._words[i]).total(), default=None)
        return None if best is None else self._chunks[best]


def _index_of(target: Target, scorer: Scorer) -> OverlapIndex:
    recipe = chunk_recipe(scorer.prompts.context_tokens, 1)
    return OverlapIndex(cut_chunks(read_known_tree(target), scorer.model.tokenizer, recipe))


class NearestSnippetArm(ScorerArm):
    """The oracle: a chunk of the known tree that holds the answer, where there is one."""

    name = "nearest-snippet"

    def prepare(self, target: Target) -> Prepared:
        started_s = time.perf_counter()
        index = _index_of(target, self._scorer)
        cost = Cost(time.perf_counter() - started_s)
        return PreparedScorer(self._scorer, cost, snippets=lambda i: _one(index.holding(i)))


class WrongRepositorySnippetArm(ScorerArm):
    """The control: the chunk most like the item in another repository's tree."""

    name = "wrong-repository-snippet"

    def __init__(self, scorer: Scorer, others: Sequence[Target]) -> None:
        super().__init__(scorer)
        self._others = tuple(others)

    @property
    def recipe_key(self) -> str:
        names = ",".join(sorted({other.repository for other in self._others}))
        return f"{self._scorer.recipe_key}|{names}"

    def why_not(self) -> str | None:
        if len({other.repository for other in self._others}) < 2:
            return "needs at least two repositories: the snippet comes from another one"
        return None

    def prepare(self, target: Target) -> Prepared:
        started_s = time.perf_counter()
        index = _index_of(another(target, self._others), self._scorer)
        cost = Cost(time.perf_counter() - started_s)
        return PreparedScorer(self._scorer, cost, snippets=lambda i: _one(index.nearest(i)))


def another(target: Target, others: Sequence[Target]) -> Target:
    """One of the other repositories' targets, drawn by the target's seed and name.

    Raises:
        CannotPrepare: there is no other repository.
    """
    different = sorted(
        (other for other in others if other.repository != target.repository),
        key=lambda other: (other.repository, other.known_commit_id),
    )
    if not different:
        raise CannotPrepare(f"{target.repository} is the only repository given")
    rng = random.Random(f"{target.seed}/{target.repository}")  # noqa: S311 - not a secret
    return rng.choice(different)


def _one(chunk: Chunk | None) -> list[Snippet]:
    return [] if chunk is None else [chunk.snippet]
