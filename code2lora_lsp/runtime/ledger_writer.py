"""Blocks → exact sums, a group at a time; and what has to be equal for equal bits."""

import hashlib
import platform
import sys
from collections.abc import Iterable, Iterator, Sequence

import torch

from code2lora_lsp.cancellation import Cancellation
from code2lora_lsp.history.secrets import REDACTION
from code2lora_lsp.neural.ledger.ladder import Ladder
from code2lora_lsp.neural.ledger.statistics import Grid, Statistics, statistics_of
from code2lora_lsp.neural.ledger.writes import Writes, join
from code2lora_lsp.runtime.block_tally import Piece
from code2lora_lsp.runtime.block_writer import BlockWriter

RULES = "ledger-state-4"
"""Changes with the rules of blocks or writing, and so leaves all stored states aside."""

GROUP_TOKENS = 1_024
"""Summed at once. Sums are exact, so groups change no bit; they save passes over the sums."""


class LedgerWriter:
    """Writes the blocks of one repository; owned by its tracker's thread."""

    def __init__(self, blocks: BlockWriter, grid: Grid) -> None:
        self._blocks, self._grid = blocks, grid

    def sums(
        self, pieces: Sequence[Piece], ladder: Ladder, cancellation: Cancellation
    ) -> Iterator[tuple[list[Piece], Statistics]]:
        """Groups of pieces in the order given, each with its sums.

        Each block is read alone: under the same ladder the same bits now as when it is removed.

        Raises:
            OverflowError: a group cannot be summed exactly.
        """
        group: list[Piece] = []
        written: list[Writes] = []
        n_tokens = 0
        for piece in pieces:
            cancellation.check()
            group.append(piece)
            written.append(self._blocks.writes(piece.block, ladder))
            n_tokens += piece.n_tokens
            if n_tokens >= GROUP_TOKENS:
                yield group, self._sum(written)
                group, written, n_tokens = [], [], 0
        if group:
            yield group, self._sum(written)

    def writes(
        self, pieces: Iterable[Piece], ladder: Ladder, cancellation: Cancellation
    ) -> Writes | None:
        """What pieces write, one after another; ``None`` without pieces."""
        written: list[Writes] = []
        for piece in pieces:
            cancellation.check()
            written.append(self._blocks.writes(piece.block, ladder))
        return join(written) if written else None

    def sum_of(self, writes: Writes) -> Statistics:
        """The sums over some writes.

        Raises:
            OverflowError: they cannot be summed exactly.
        """
        on_cpu = (writes.keys, writes.errors, writes.outputs, writes.next_ids)
        return statistics_of(Writes(*(part.cpu() for part in on_cpu)), self._grid)

    def _sum(self, written: Sequence[Writes]) -> Statistics:
        return self.sum_of(join(written))


def writer_fingerprint(*parts: str, device: torch.device) -> str:
    """12 hex digits of all that can change a bit of a write; states of others are not read.

    Args:
        parts: what is written with: backbone, tokenizer, population, settings.
        device: where the decoder runs.
    """
    is_cpu = device.type == "cpu"
    where = torch.backends.cpu.get_cpu_capability() if is_cpu else torch.cuda.get_device_name()
    machine = (platform.machine(), where, str(torch.get_num_threads()), torch.__version__)
    python = f"{sys.version_info.major}.{sys.version_info.minor}"  # what parses depends on it
    content = "\0".join((RULES, REDACTION, *parts, *machine, python))
    return hashlib.sha256(content.encode()).hexdigest()[:12]
