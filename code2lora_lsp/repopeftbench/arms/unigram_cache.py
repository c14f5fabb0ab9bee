"""The cheap explanation to beat: how often each identifier occurs in the known tree.

    p(token) = (1 - g') p_backbone(token) + g' p_cache(token)

p_cache continues the identifier typed so far: among the tree's identifiers that begin with it,
each weighs as often as it occurs, and votes for the first token of what is left of it (with healing
that token begins with the typed text that was taken back). Those that are complete have nothing
left; their share is the backbone's, so g' = g × (share that goes on). Both parts are distributions
over the same tokens, hence so is the mixture.
"""

import bisect
import re
import time
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from code2lora_lsp.repopeftbench.arms.arm import Answer, Cost, Prepared, Target
from code2lora_lsp.repopeftbench.arms.known_tree import KnownTree, read_known_tree
from code2lora_lsp.repopeftbench.arms.prepared import ScorerArm
from code2lora_lsp.repopeftbench.arms.words import names_of
from code2lora_lsp.repopeftbench.items import Item
from code2lora_lsp.repopeftbench.prompts import Prompt
from code2lora_lsp.repopeftbench.scoring import Scorer
from code2lora_lsp.text.tokenizer import Tokenizer

DEFAULT_WEIGHT = 0.05

_TYPED = re.compile(r"[A-Za-z_]\w*\Z")


class UnigramCache:
    """Identifier counts of one tree, asked by what has been typed of an identifier."""

    def __init__(self, tree: KnownTree, tokenizer: Tokenizer) -> None:
        self.counts = Counter(name for file in tree.files for name in names_of(file.text))
        self._names = sorted(self.counts)
        self._tokenizer = tokenizer
        self._known: dict[tuple[str, str], tuple[float, Mapping[int, float]]] = {}

    @property
    def size_bytes(self) -> int:
        """Names and one 8-byte count each."""
        return sum(len(name.encode()) + 8 for name in self._names)

    def continuation(self, before: str) -> str:
        """The rest of the commonest identifier that goes on from ``before``; "" without one."""
        typed = typed_part(before)
        longer = [name for name in self._beginning_with(typed) if name != typed]
        best = max(longer, key=lambda name: (self.counts[name], name), default=typed)
        return best[len(typed) :]

    def next_token(self, before: str, pending: str = "") -> tuple[float, Mapping[int, float]]:
        """Share of identifiers that go on from ``before``, and p of their next token (sums to 1).

        ``pending`` is the end of ``before`` that the token has to write first. ``(0.0, {})`` when
        no identifier of the tree begins with what is typed.
        """
        key = (typed_part(before), pending)
        if key not in self._known:
            self._known[key] = self._votes(*key)
        return self._known[key]

    def mixed(self, log_p: Tensor, before: str, weight: float, pending: str = "") -> Tensor:
        """Log of the mixture, [V], from the backbone's log p [V] float64; normalised too."""
        share, votes = self.next_token(before, pending)
        weight *= share
        if weight == 0.0:
            return log_p
        mixture = log_p.exp() * (1.0 - weight)
        ids = torch.tensor(list(votes), device=log_p.device)
        added = torch.tensor(list(votes.values()), device=log_p.device, dtype=log_p.dtype)
        return mixture.index_add(0, ids, weight * added).log()

    def _votes(self, typed: str, pending: str) -> tuple[float, Mapping[int, float]]:
        votes: dict[int, float] = defaultdict(float)
        total = going_on = 0
        for name in self._beginning_with(typed):
            count = self.counts[name]
            total += count
            if name != typed:
                votes[self._tokenizer.encode(pending + name[len(typed) :])[0]] += count
                going_on += count
        if not going_on:
            return 0.0, {}
        return going_on / total, {token: count / going_on for token, count in votes.items()}

    def _beginning_with(self, typed: str) -> Sequence[str]:
        start = bisect.bisect_left(self._names, typed)
        end = bisect.bisect_left(self._names, typed + "\U0010ffff")
        return self._names[start:end]


def typed_part(before: str) -> str:
    """The identifier that ``before`` ends inside of; "" where it ends elsewhere."""
    found = _TYPED.search(before[-200:])
    return found[0] if found else ""


class CacheMixer:
    """The mixture at one item. Satisfies ``Mixer``."""

    def __init__(
        self, scorer: Scorer, cache: UnigramCache, prefix: str, prompt: Prompt, weight: float
    ) -> None:
        """``prefix`` is the item's, what is typed included."""
        self._decode, self._cache, self._weight = scorer.model.tokenizer.decode, cache, weight
        self._before, self._typed = prefix[-200:], prompt.typed
        self._n_read = len(scorer.decoding.text_before(prompt.token_ids))

    def mixed(self, log_p: Tensor, context: Sequence[int]) -> Tensor:
        """See ``Mixer``."""
        written = self._decode(list(context[self._n_read :]))
        pending, new = self._typed[len(written) :], written[len(self._typed) :]
        return self._cache.mixed(log_p, self._before + new, self._weight, pending)

    def likely(self, context: Sequence[int]) -> None:  # noqa: ARG002 - the benchmark guesses nothing
        """See ``Mixer``."""
        return


class PreparedCache:
    """Answers with the commonest continuation; scores with the mixture. Satisfies ``Prepared``."""

    def __init__(self, scorer: Scorer, cache: UnigramCache, cost: Cost, weight: float) -> None:
        self.cost = cost
        self._scorer, self._cache, self._weight = scorer, cache, weight

    def answer(self, items: Sequence[Item]) -> list[Answer]:
        self._scorer.bind(None)
        return [self._answer(item) for item in items]

    def _answer(self, item: Item) -> Answer:
        started_s = time.perf_counter()
        text = self._cache.continuation(item.prefix)
        seconds = time.perf_counter() - started_s
        budget = self._scorer.prompt_budget(item.target)
        prompt = self._scorer.prompts.make(item, budget_tokens=budget)
        mixer = CacheMixer(self._scorer, self._cache, item.prefix, prompt, self._weight)
        return self._scorer.scored(item, prompt, text, seconds, mixer)


class UnigramCacheArm(ScorerArm):
    """The backbone mixed with the known tree's identifier frequencies.

    ``prompt_tokens`` of its answers are what the backbone reads for the nats; its text and its
    seconds need none of them.
    """

    name = "unigram-cache"

    def __init__(self, scorer: Scorer, weight: float = DEFAULT_WEIGHT) -> None:
        """``weight`` is g."""
        if not 0.0 <= weight < 1.0:
            raise ValueError(f"weight {weight} is not in [0, 1): the backbone must keep a share")
        super().__init__(scorer)
        self.weight = weight

    @property
    def recipe_key(self) -> str:
        return f"{self._scorer.recipe_key}|weight={self.weight}"

    def prepare(self, target: Target) -> Prepared:
        started_s = time.perf_counter()
        cache = UnigramCache(read_known_tree(target), self._scorer.model.tokenizer)
        cost = Cost(time.perf_counter() - started_s, stored_bytes=cache.size_bytes)
        return PreparedCache(self._scorer, cache, cost, self.weight)
