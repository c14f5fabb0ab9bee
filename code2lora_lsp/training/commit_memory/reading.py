"""Blocks through the pristine backbone, many at a time.

The same numbers as ``runtime.block_writer`` to rounding. There blocks are read one by one, so that
a block's bits never change; here a repository's history is read once and speed counts.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from code2lora_lsp.neural.ledger.site import LedgerBackbone
from code2lora_lsp.neural.ledger.writes import WINDOW_TOKENS
from code2lora_lsp.runtime.block_writer import LONGEST_HEADER_TOKENS
from code2lora_lsp.text.blocks import Block
from code2lora_lsp.text.tokenizer import Tokenizer

BATCH_TOKENS = 4_096
"""Of one pass, padding included."""


@dataclass(frozen=True)
class BlockStates:
    """What the backbone makes of a block's N tokens.

    Attributes:
        keys: x_i, [N, F] float32.
        outputs: h without adapter, [N, D] float32.
        next_ids: the tokens themselves, each predicted from the row's state, [N] int64.
    """

    keys: Tensor
    outputs: Tensor
    next_ids: Tensor


@dataclass(frozen=True)
class _Window:
    block: int
    start: int
    header_ids: list[int]
    text_ids: list[int]

    @property
    def ids(self) -> list[int]:
        return [*self.header_ids, *self.text_ids]


class BlockReader:
    """Reads blocks in batches of similar length."""

    def __init__(self, decoder: LedgerBackbone, tokenizer: Tokenizer) -> None:
        self._decoder, self._tokenizer = decoder, tokenizer

    def text_ids(self, block: Block) -> list[int]:
        return self._tokenizer.encode(block.text)

    def read(self, blocks: Sequence[Block]) -> list[BlockStates]:
        """The states of each block, in the order given."""
        windows = [
            window for place, block in enumerate(blocks) for window in self._windows(place, block)
        ]
        parts: dict[tuple[int, int], tuple[Tensor, Tensor]] = {}
        for batch in _batches(windows):
            parts.update(self._read(batch))
        return [self._joined(place, block, parts) for place, block in enumerate(blocks)]

    def _windows(self, place: int, block: Block) -> Iterator[_Window]:
        header = self._tokenizer.encode(block.header)[-LONGEST_HEADER_TOKENS:]
        text = self.text_ids(block)
        longest = min(WINDOW_TOKENS, self._decoder.max_positions - len(header))
        for start in range(0, len(text), longest):
            yield _Window(place, start, header, text[start : start + longest])

    def _read(self, batch: Sequence[_Window]) -> dict[tuple[int, int], tuple[Tensor, Tensor]]:
        """Padding stands on the right, where nothing of the text can see it."""
        ids = pad_sequence([torch.tensor(window.ids) for window in batch], batch_first=True)
        states = self._decoder.last_layer(ids)
        found = {}
        for row, window in enumerate(batch):
            first = len(window.header_ids) - 1  # reads the last token of the header
            span = slice(first, first + len(window.text_ids))
            both = states.inner[row, span].float(), states.output[row, span].float()
            found[window.block, window.start] = both
        return found

    def _joined(
        self, place: int, block: Block, parts: dict[tuple[int, int], tuple[Tensor, Tensor]]
    ) -> BlockStates:
        mine = [parts[key] for key in sorted(key for key in parts if key[0] == place)]
        next_ids = torch.tensor(self.text_ids(block))
        keys, outputs = (torch.cat(column) for column in zip(*mine, strict=True))
        return BlockStates(keys, outputs, next_ids)


def _batches(windows: Sequence[_Window]) -> Iterator[list[_Window]]:
    batch: list[_Window] = []
    for window in sorted(windows, key=lambda one: len(one.ids)):
        if batch and len(window.ids) * (len(batch) + 1) > BATCH_TOKENS:
            yield batch
            batch = []
        batch.append(window)
    if batch:
        yield batch
