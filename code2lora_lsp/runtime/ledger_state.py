"""What a ledger knows of one tree, and how it is kept on disk between commits."""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from code2lora_lsp.errors import StateUnreadable
from code2lora_lsp.history.repository import Repository
from code2lora_lsp.neural.ledger.ladder import Ladder
from code2lora_lsp.neural.ledger.statistics import Grid, Statistics, no_statistics
from code2lora_lsp.neural.sharp.rows import Rows
from code2lora_lsp.neural.sharp.shelf import Shelf
from code2lora_lsp.neural.sharp.table import ARRAYS, NgramTable
from code2lora_lsp.runtime.block_tally import BlockTally, KnownBlock, Share
from code2lora_lsp.runtime.state_store import StateStore
from code2lora_lsp.runtime.stored_shelf import decoded_shelf, encoded_shelf

log = logging.getLogger(__name__)

KIND = "ledger"
KEPT_PER_REPOSITORY = 4
ID_BYTES = 16


@dataclass(frozen=True)
class LedgerState:
    """Sums over the blocks of one tree.

    Attributes:
        commit_id: of the tree.
        blocks: all of them.
        written: those that ``statistics`` sum over; the share of ``blocks`` once it is complete.
        statistics: D, C and the number of tokens.
        ladder: what all of them were written under.
        table: next tokens of all blocks, or of a share of its own.
        shelf: the blocks that ``table`` counts.
        is_complete: everything that is to be written is.
        step: η of this repository; ``None`` before it was chosen.
        n_moved: tokens written or removed since then.
        n_since_ladder: tokens written or removed since the ladder was made.
    """

    commit_id: str
    blocks: BlockTally
    written: BlockTally
    statistics: Statistics
    table: NgramTable
    is_complete: bool = False
    step: float | None = None
    n_moved: int = 0
    ladder: Ladder = field(default_factory=Ladder)
    n_since_ladder: int = 0
    shelf: Shelf = field(default_factory=lambda: Shelf({}))


@dataclass(frozen=True)
class LedgerShape:
    """What states are made of: sizes of the written projection and of the vocabulary, budgets.

    Attributes:
        width, inner_width: D and F.
        most_tokens: written into the ledger; of a larger tree a share is.
        most_table_tokens: the same for the table.
    """

    width: int
    inner_width: int
    grid: Grid
    vocabulary_size: int
    tokenizer_id: str
    most_tokens: int
    most_table_tokens: int

    def empty(self, commit_id: str) -> LedgerState:
        """Of a tree nothing was read of yet."""
        statistics = no_statistics(self.width, self.inner_width, self.grid)
        table = NgramTable.empty(self.vocabulary_size, self.tokenizer_id)
        return LedgerState(commit_id, BlockTally({}), BlockTally({}), statistics, table)

    def share(self, blocks: BlockTally) -> Share:
        """Of a tree's blocks, those the ledger writes."""
        return Share.of(blocks.n_tokens, self.most_tokens)

    def table_share(self, blocks: BlockTally) -> Share:
        """Of a tree's blocks, those the table counts."""
        return Share.of(blocks.n_tokens, self.most_table_tokens)

    def shares(self, blocks: BlockTally) -> tuple[Share, Share]:
        """Both: which blocks of a tree the ledger writes, and which the table counts."""
        return self.share(blocks), self.table_share(blocks)


class LedgerStates:
    """Complete states of one repository in a store that other repositories share."""

    def __init__(self, store: StateStore, repository: Repository, shape: LedgerShape) -> None:
        self._store, self._repository, self._shape = store, repository, shape

    def at(self, commit_id: str) -> LedgerState | None:
        """The state stored for a commit; ``None`` if there is none, or it is damaged."""
        found = self._store.load(KIND, commit_id)
        if found is None:
            return None
        try:
            return _decoded(commit_id, found, self._shape)
        except (KeyError, ValueError, IndexError, AssertionError) as error:
            log.warning("the state of %s is damaged (%r) and left out", commit_id[:12], error)
            self.drop(commit_id)
            return None

    def nearest(self, n_changed: Callable[[str], int | None]) -> LedgerState | None:
        """The stored state whose tree differs in the fewest files; ``None`` differs in unknown."""
        far = {commit_id: n_changed(commit_id) for commit_id in self._commit_ids()}
        known = {commit_id: n_files for commit_id, n_files in far.items() if n_files is not None}
        for commit_id in sorted(known, key=known.__getitem__):
            state = self.at(commit_id)
            if state is not None:
                return state
        return None

    def save(self, state: LedgerState) -> None:
        """Keep a complete state, and of this repository's only the newest few."""
        try:
            self._store.save(KIND, state.commit_id, _encoded(state))
            for commit_id in self._commit_ids()[KEPT_PER_REPOSITORY:]:
                self.drop(commit_id)
        except OSError as error:
            log.warning(
                "state %s could not be stored (%s); following goes on", state.commit_id[:12], error
            )

    def drop(self, commit_id: str) -> None:
        self._store.remove(KIND, commit_id)

    def _commit_ids(self) -> list[str]:
        """Stored commits that this repository has, the newest state first."""
        return self._repository.commits_among(self._store.keys(KIND))


def _encoded(state: LedgerState) -> dict[str, Tensor]:
    assert state.is_complete
    paths = sorted({block.path for block in state.blocks.known.values()})
    place = {path: index for index, path in enumerate(paths)}
    joined = "\0".join(paths).encode("utf-8", "surrogateescape")
    blocks = state.blocks.known
    counts = [(b.n_times, b.n_tokens, place[b.path]) for b in blocks.values()]
    step = -1 if state.step is None else state.step
    facts = (state.statistics.n_tokens, step, state.n_moved, state.n_since_ladder)
    return {
        "values": state.statistics.values,
        "keys": state.statistics.keys,
        "ladder": torch.stack(state.ladder.rungs),
        "facts": torch.tensor(facts, dtype=torch.float64),
        "ids": _bytes(b"".join(bytes.fromhex(block_id) for block_id in blocks)),
        "counts": torch.tensor(counts, dtype=torch.int32).reshape(-1, 3),
        "paths": _bytes(joined),
        **{f"table.{name}": _signed(getattr(state.table.rows, name)) for name in ARRAYS},
        **encoded_shelf(state.shelf, blocks),
    }


def _decoded(commit_id: str, stored: Mapping[str, Tensor], shape: LedgerShape) -> LedgerState:
    n_tokens, step, n_moved, n_since_ladder = stored["facts"].tolist()
    statistics = Statistics(stored["values"], stored["keys"], int(n_tokens), shape.grid)
    ids = stored["ids"].numpy().tobytes().hex()
    counts = stored["counts"].tolist()
    joined = stored["paths"].numpy().tobytes().decode("utf-8", "surrogateescape")
    paths = joined.split("\0")
    digits = 2 * ID_BYTES
    known = {
        ids[digits * at : digits * (at + 1)]: KnownBlock(n_times, n_each, paths[path])
        for at, (n_times, n_each, path) in enumerate(counts)
    }
    blocks = BlockTally(known)
    written = blocks.taken_by(shape.share(blocks))
    near, far, next_ids, n_seen = (stored[f"table.{name}"].numpy() for name in ARRAYS)
    rows = Rows(near.view(np.uint64), far.view(np.uint64), next_ids, n_seen)
    table = NgramTable(shape.vocabulary_size, shape.tokenizer_id, rows)
    if len(ids) != digits * len(counts) or written.n_tokens != statistics.n_tokens:
        raise ValueError(f"{written.n_tokens} tokens of blocks, {statistics.n_tokens} written")
    chosen = None if step < 0 else step
    return LedgerState(
        commit_id, blocks, written, statistics, table, True, chosen, int(n_moved),
        Ladder(tuple(stored["ladder"])), int(n_since_ladder),
        decoded_shelf(
            stored, blocks.taken_by(shape.table_share(blocks)).known, shape.vocabulary_size
        ),
    )  # fmt: skip


def _bytes(content: bytes) -> Tensor:
    return torch.from_numpy(np.frombuffer(content, np.uint8).copy())


def _signed(array: NDArray[Any]) -> Tensor:
    """The same bits in a type that safetensors writes everywhere."""
    wide = array.view(np.int64) if array.dtype == np.uint64 else array
    return torch.from_numpy(np.ascontiguousarray(wide))


def check_sums(state: LedgerState) -> None:
    """That as many tokens are summed as the blocks have.

    Raises:
        StateUnreadable: they are not; write the tree anew.
    """
    summed, wanted = state.statistics.n_tokens, state.written.n_tokens
    if summed != wanted:
        raise StateUnreadable(
            f"{summed} tokens are summed, the blocks at {state.commit_id[:12]} have {wanted}; "
            "the tree is read anew"
        )
