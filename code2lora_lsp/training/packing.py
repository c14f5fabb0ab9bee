"""Packs training sequences into rows of equal length, in an order that can be resumed exactly."""

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import torch
from torch import Tensor

from code2lora_lsp.text.tokenizer import FimTokens
from code2lora_lsp.training.fim_examples import Encode, Window, next_example

SMALLEST_EXAMPLE_TOKENS = 48
IGNORED_TARGET = -100
SEGMENT_CHARS = 4000
N_OPEN_SEGMENTS = 16


@dataclass(frozen=True)
class SourceFile:
    """One file of the corpus."""

    repository: str
    path: str
    text: str


@dataclass(frozen=True)
class Segment:
    """Part of a file, about as long as a row: whole lines from ``start`` up to ``stop``."""

    file: SourceFile
    start: int
    stop: int


@dataclass
class StreamState:
    """Where a stream stands.

    Attributes:
        epoch: pass over the segments.
        position: how many segments of this rank's share of the pass were opened.
        n_examples: sequences made so far; seeds the random choices of the next one.
        open_segments: [index of the segment, offset in the file] of those being read.
    """

    epoch: int = 0
    position: int = 0
    n_examples: int = 0
    open_segments: list[list[int]] = field(default_factory=list)

    def to_tensor(self) -> Tensor:
        """The state as int64 [3 + 2 N_OPEN_SEGMENTS]: what ranks send one another."""
        pairs = [number for pair in self.open_segments for number in pair]
        padding = [-1] * (2 * N_OPEN_SEGMENTS - len(pairs))
        return torch.tensor([self.epoch, self.position, self.n_examples, *pairs, *padding])

    @classmethod
    def from_tensor(cls, tensor: Tensor) -> "StreamState":
        """Inverse of ``to_tensor``."""
        pairs = [pair for pair in tensor[3:].view(-1, 2).tolist() if pair[0] >= 0]
        epoch, position, n_examples = tensor[:3].tolist()
        return cls(epoch, position, n_examples, pairs)


def cut_into_segments(files: Sequence[SourceFile]) -> list[Segment]:
    """All of the files' text as segments that end at line ends."""
    return [
        Segment(file, start, stop) for file in files for start, stop in pairwise(_cuts(file.text))
    ]


def _cuts(text: str) -> list[int]:
    """Offsets where a text is cut: 0, line starts about ``SEGMENT_CHARS`` apart, its end."""
    cuts = [0]
    while len(text) - cuts[-1] > 1.5 * SEGMENT_CHARS:
        cuts.append(text.find("\n", cuts[-1] + SEGMENT_CHARS) + 1 or len(text))
    return cuts if cuts[-1] == len(text) else [*cuts, len(text)]


class RowStream:
    """Endless rows of token ids from one rank's share of the files.

    Every random choice is seeded by the state, so a stream opened at a saved state goes on alike.
    """

    def __init__(
        self,
        files: Sequence[SourceFile],
        encode: Encode,
        control: FimTokens,
        row_tokens: int,
        *,
        seed: int = 0,
        rank: int = 0,
        n_ranks: int = 1,
        state: StreamState | None = None,
    ) -> None:
        """Read segments ``rank``, ``rank + n_ranks``, … of each shuffled pass."""
        self._segments = cut_into_segments(files)
        self._encode, self._control, self._row_tokens = encode, control, row_tokens
        self._seed, self._rank, self._n_ranks = seed, rank, n_ranks
        self.state = state or StreamState()
        self._order = self._shuffled(self.state.epoch)

    def rows(self, n_rows: int) -> tuple[Tensor, Tensor]:
        """Next inputs and targets, each [n_rows, row_tokens] int64; padding has target -100."""
        ids = torch.tensor([self._row() for _ in range(n_rows)])
        inputs, targets = ids[:, :-1].contiguous(), ids[:, 1:].clone()
        targets[targets == self._control.pad] = IGNORED_TARGET
        return inputs, targets

    def _row(self) -> list[int]:
        """Fill one row of ``row_tokens + 1`` ids with examples cut to fit; pad what is left."""
        row: list[int] = [self._control.end_of_text]
        while (room := self._row_tokens + 1 - len(row)) >= SMALLEST_EXAMPLE_TOKENS:
            row += self._example(room)
        return row + [self._control.pad] * room

    def _example(self, room_tokens: int) -> list[int]:
        """Return the next example of one of the open segments.

        Neighbours in a row come from different segments, since the start of one is in the suffix
        of the one before. Long examples are the rule, so that the whole context gets trained.
        """
        state = self.state
        rng = random.Random(f"{self._seed}/{self._rank}/{state.n_examples}")  # noqa: S311 (not a secret)
        share = 1.0 if rng.random() < 0.6 else rng.uniform(0.15, 0.9)
        budget_tokens = min(room_tokens, max(SMALLEST_EXAMPLE_TOKENS, int(share * room_tokens)))
        while len(state.open_segments) < N_OPEN_SEGMENTS:
            self._open_next()
        index, offset = state.open_segments.pop(rng.randrange(N_OPEN_SEGMENTS - 1))
        segment = self._segments[index]
        window = Window(segment.file.path, segment.file.text, offset, segment.stop)
        ids, end = next_example(window, budget_tokens, self._encode, self._control, rng)
        state.n_examples += 1
        if segment.file.text[end : segment.stop].strip():
            state.open_segments.append([index, end])  # last, where the next draw cannot take it
        return ids

    def _open_next(self) -> None:
        """Open this rank's next segment; a new shuffled pass begins after the last one."""
        state = self.state
        if state.position >= len(self._order):
            state.epoch, state.position = state.epoch + 1, 0
            self._order = self._shuffled(state.epoch)
        index = self._order[state.position]
        state.open_segments.insert(0, [index, self._segments[index].start])
        state.position += 1

    def _shuffled(self, epoch: int) -> list[int]:
        """Return the indices of this rank's share of a pass.

        Segments rather than files are shuffled: rows that follow one another in a file make
        gradients of successive steps alike, and the model learns that file instead of Python.
        """
        order = list(range(len(self._segments)))
        random.Random(f"{self._seed}/order/{epoch}").shuffle(order)  # noqa: S311 (not a secret)
        return order[self._rank :: self._n_ranks]
