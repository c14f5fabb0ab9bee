"""One repository's commits → what is kept of them."""

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from code2lora_lsp.history.diff import is_test_path
from code2lora_lsp.neural.ledger.site import LedgerBackbone
from code2lora_lsp.text.blocks import Block
from code2lora_lsp.training.commit_memory.history import CommitBlocks
from code2lora_lsp.training.commit_memory.ledger_track import (
    LedgerTrack,
    TrackPlan,
    bounded,
    surprise,
)
from code2lora_lsp.training.commit_memory.marks import (
    FreshLines,
    Mark,
    NameFacts,
    names_of,
    token_marks,
)
from code2lora_lsp.training.commit_memory.reading import BlockReader, BlockStates
from code2lora_lsp.training.commit_memory.stored import CommitFeatures

Pairs = Sequence[tuple[Block, BlockStates]]


@dataclass(frozen=True)
class FeaturePlan:
    """How much of each repository is read and kept.

    Attributes:
        added_tokens, removed_tokens: most of one commit that the ledger takes in or gives back;
            what is beyond stays as it was.
        items, writes: most tokens of one commit that are kept to be asked, and to be written.
    """

    n_commits: int = 48
    added_tokens: int = 500
    removed_tokens: int = 1_000
    items: int = 256
    writes: int = 128
    seed: int = 3407
    track: TrackPlan = field(default_factory=TrackPlan)


@dataclass(frozen=True)
class CommitRows:
    """What is kept of one commit; the names are those of ``CommitFeatures``."""

    tokens: dict[str, Tensor]
    facts: Tensor
    key_means: Tensor
    error_means: Tensor

    @property
    def n_tokens(self) -> int:
        return len(self.tokens["next_ids"])


class CommitExtractor:
    """Follows one repository; give it the commits in order."""

    def __init__(
        self,
        decoder: LedgerBackbone,
        reader: BlockReader,
        pieces: dict[int, bytes],
        track: LedgerTrack,
        names: NameFacts,
        plan: FeaturePlan,
    ) -> None:
        """``pieces`` says what each token stands for; ``track`` has been started."""
        self._decoder, self._reader, self._pieces = decoder, reader, pieces
        self._track, self._names, self._plan = track, names, plan
        self._rng = random.Random(plan.seed)  # noqa: S311 - not a secret

    def take(self, commit: CommitBlocks) -> CommitRows:
        """Take one commit in; what is kept of it."""
        plan, track = self._plan, self._track
        removed = self._read(track.held(commit.removed), plan.removed_tokens)
        added = self._read(commit.added, plan.added_tokens)
        marks = self._marks(commit, added)
        keys, outputs, next_ids = _joined(added, track.update)
        before = outputs + keys @ track.update.T
        errors = track.change(removed, added)
        after = outputs + keys @ track.update.T
        self._follow_names(commit)
        fresh = (marks & Mark.FRESH).bool()
        missed = surprise(self._decoder, before, next_ids)
        is_item, is_write = self._sample(fresh), _top(missed, fresh, plan.writes)
        tokens = {
            "keys": keys.half(), "outputs": outputs.half(), "before": before.half(),
            "after": after.half(), "next_ids": next_ids.int(), "marks": marks,
            "is_item": is_item, "is_write": is_write,
        }  # fmt: skip
        of_fresh = [moved[fresh] for moved in (outputs, before, after)]
        key_means = [_mean_key(pairs, keys.shape[1]) for pairs in (removed, added)]
        return CommitRows(
            {name: tensor[is_item | is_write] for name, tensor in tokens.items()},
            self._facts(commit, removed, added, of_fresh, next_ids[fresh]),
            torch.stack(key_means), torch.stack(errors),
        )  # fmt: skip

    def _read(self, blocks: Sequence[Block], most_tokens: int) -> Pairs:
        """The first ones by the end of their ids that fit; of added ones at least one."""
        chosen: list[Block] = []
        n_tokens = 0
        for block in sorted(blocks, key=lambda one: one.block_id[::-1]):
            n_tokens += len(self._reader.text_ids(block))
            if chosen and n_tokens > most_tokens:
                break
            chosen.append(block)
        return list(zip(chosen, self._reader.read(chosen), strict=True))

    def _marks(self, commit: CommitBlocks, added: Pairs) -> Tensor:
        fresh = FreshLines(commit.removed)
        parts = [torch.zeros(0, dtype=torch.int8)]
        for block, states in added:
            pieces = [self._pieces[int(token)] for token in states.next_ids]
            found = token_marks(block, pieces, fresh.of(block), self._names)
            parts.append(torch.from_numpy(found))
        return torch.cat(parts)

    def _follow_names(self, commit: CommitBlocks) -> None:
        for block in commit.removed:
            self._names.in_tree.subtract(names_of(block))
        for block in commit.added:
            self._names.in_tree.update(names_of(block))

    def _sample(self, fresh: Tensor) -> Tensor:
        places = fresh.nonzero()[:, 0].tolist()
        chosen = self._rng.sample(places, min(self._plan.items, len(places)))
        is_item = torch.zeros_like(fresh)
        is_item[chosen] = True
        return is_item

    def _facts(
        self,
        commit: CommitBlocks,
        removed: Pairs,
        added: Pairs,
        outputs: Sequence[Tensor],
        next_ids: Tensor,
    ) -> Tensor:
        """Sizes as logarithms, the share of tests, and nats of the fresh tokens.

        Of these: by the backbone alone, under the ledger before, and under the ledger after.
        """
        n_removed, n_added = (sum(len(s.next_ids) for _, s in p) for p in (removed, added))
        in_tests = [is_test_path(_path(block)) for block in commit.added]
        share = sum(in_tests) / max(1, len(in_tests))
        nats = [
            float(surprise(self._decoder, moved, next_ids).mean()) if len(next_ids) else 0.0
            for moved in outputs
        ]
        sizes = [n_added, n_removed, len(next_ids), len(commit.added)]
        return torch.tensor([*map(bounded, sizes), share, *nats])


def joined_rows(rows: Sequence[CommitRows], updates: Sequence[Tensor]) -> CommitFeatures:
    """All commits of one repository, and ledger updates on the way."""
    counts = torch.tensor([0, *(one.n_tokens for one in rows)])
    tokens = {name: torch.cat([one.tokens[name] for one in rows]) for name in rows[0].tokens}
    return CommitFeatures(
        **tokens, starts=counts.cumsum(0), facts=torch.stack([one.facts for one in rows]),
        key_means=torch.stack([one.key_means for one in rows]),
        error_means=torch.stack([one.error_means for one in rows]),
        updates=torch.stack([update.half() for update in updates]),
    )  # fmt: skip


def name_counts(blocks: Counter[Block]) -> Counter[bytes]:
    """How many blocks of a tree hold each name."""
    counts: Counter[bytes] = Counter()
    for block, times in blocks.items():
        for name in names_of(block):
            counts[name] += times
    return counts


def _joined(pairs: Pairs, update: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Keys, outputs and next tokens of all blocks, as wide as the update."""
    width, inner_width = update.shape
    keys = [torch.zeros(0, inner_width), *(states.keys for _, states in pairs)]
    outputs = [torch.zeros(0, width), *(states.outputs for _, states in pairs)]
    next_ids = [torch.zeros(0, dtype=torch.int64), *(states.next_ids for _, states in pairs)]
    return torch.cat(keys), torch.cat(outputs), torch.cat(next_ids)


def _mean_key(pairs: Pairs, inner_width: int) -> Tensor:
    if not pairs:
        return torch.zeros(inner_width)
    return torch.cat([states.keys for _, states in pairs]).mean(0)


def _top(values: Tensor, among: Tensor, most: int) -> Tensor:
    """The largest ``values`` where ``among`` is true, as a mask."""
    masked = values.masked_fill(~among, -torch.inf)
    chosen = torch.zeros_like(among)
    chosen[masked.topk(min(most, int(among.sum()))).indices] = True
    return chosen


def _path(block: Block) -> str:
    return block.header.partition("\n")[0].removeprefix("# ")
