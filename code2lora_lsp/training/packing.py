r"""Packs training sequences into rows of equal length, in an order that can be resumed exactly.

Most rows hold sequences of unrelated files. The others begin as Qwen2.5-Coder's repository-level
ones do: files of one repository under their paths, the last of them possibly to be infilled.

    <|repo_name|>owner/name\n (<|file_sep|>path\n text)+ <|file_sep|>path\n <|fim_prefix|> …
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import torch
from torch import Tensor

from code2lora_lsp.text.gaps import Coder, head_within
from code2lora_lsp.training.fim_examples import Window, next_example

SMALLEST_EXAMPLE_TOKENS = 48
IGNORED_TARGET = -100
SEGMENT_CHARS = 4000
N_OPEN_SEGMENTS = 16
HEADER_SHARE = 0.3
REPOSITORY_SHARE = 0.2
MOST_SIBLINGS = 3
SIBLING_REACH = 24


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


def _place_of(segment: Segment) -> tuple[str, str, int]:
    return segment.file.repository, segment.file.path, segment.start


def _known(token: int | None) -> int:
    """A special token that the tokenizer of an embedded model always has."""
    assert token is not None
    return token


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
        coder: Coder,
        *,
        seed: int = 0,
        rank: int = 0,
        n_ranks: int = 1,
        state: StreamState | None = None,
    ) -> None:
        """Read segments ``rank``, ``rank + n_ranks``, … of each shuffled pass."""
        self._segments = cut_into_segments(files)
        self._by_path = sorted(
            range(len(self._segments)), key=lambda i: _place_of(self._segments[i])
        )
        self._rank_by_path = {index: place for place, index in enumerate(self._by_path)}
        self._coder, self._encode, self._control = coder, coder.encode, coder.control
        self._seed, self._rank, self._n_ranks = seed, rank, n_ranks
        self.state = state or StreamState()
        self._order = self._shuffled(self.state.epoch)

    def rows(self, n_rows: int, row_tokens: int) -> tuple[Tensor, Tensor]:
        """Next inputs and targets, each [n_rows, row_tokens] int64; padding has target -100."""
        ids = torch.tensor([self._row(row_tokens) for _ in range(n_rows)])
        inputs, targets = ids[:, :-1].contiguous(), ids[:, 1:].clone()
        targets[targets == self._control.pad] = IGNORED_TARGET
        return inputs, targets

    def _row(self, row_tokens: int) -> list[int]:
        """Fill one row of ``row_tokens + 1`` ids with examples cut to fit; pad what is left."""
        row: list[int] = [self._control.end_of_text]
        if self._rng("row").random() < REPOSITORY_SHARE:
            row += self._example_among_siblings(row_tokens)
        while (room := row_tokens + 1 - len(row)) >= SMALLEST_EXAMPLE_TOKENS:
            row += self._example(room)
        return row + [self._control.pad] * room

    def _example(self, room_tokens: int) -> list[int]:
        """Return the next example of one of the open segments.

        Long examples are the rule, so that the whole context gets trained.
        """
        rng = self._rng("example")
        share = 1.0 if rng.random() < 0.6 else rng.uniform(0.15, 0.9)
        budget_tokens = min(room_tokens, max(SMALLEST_EXAMPLE_TOKENS, int(share * room_tokens)))
        index, offset = self._draw(rng)
        header = f"# {self._segments[index].file.path}\n" if rng.random() < HEADER_SHARE else ""
        return self._read_on(index, offset, header, budget_tokens, rng)

    def _example_among_siblings(self, room_tokens: int) -> list[int]:
        """Return an example under the name of its repository, after parts of files near it."""
        rng = self._rng("siblings")
        index, offset = self._draw(rng)
        segment, control = self._segments[index], self._control
        row = [_known(control.repo_name), *self._encode(f"{segment.file.repository}\n")]
        for sibling in self._siblings(index, rng):
            text = sibling.file.text[sibling.start : sibling.stop]
            row += self._file_head(sibling.file)
            row += head_within(self._encode, text, room_tokens // (MOST_SIBLINGS + 1))
        row = (row + self._file_head(segment.file))[: room_tokens - SMALLEST_EXAMPLE_TOKENS]
        return row + self._read_on(index, offset, "", room_tokens - len(row), rng)

    def _file_head(self, file: SourceFile) -> list[int]:
        return [_known(self._control.file_sep), *self._encode(f"{file.path}\n")]

    def _siblings(self, index: int, rng: random.Random) -> list[Segment]:
        """Up to ``MOST_SIBLINGS`` segments of other files, near by path, of the same repository."""
        place, file = self._rank_by_path[index], self._segments[index].file
        near = self._by_path[max(0, place - SIBLING_REACH) : place + SIBLING_REACH]
        segments = map(self._segments.__getitem__, near)
        by_path = {s.file.path: s for s in segments if s.file.repository == file.repository}
        others = [segment for path, segment in by_path.items() if path != file.path]
        return rng.sample(others, min(len(others), rng.randint(1, MOST_SIBLINGS)))

    def _draw(self, rng: random.Random) -> list[int]:
        """Take one of the open segments as [index, offset].

        Not the one returned last: neighbours in a row come from different segments, since the
        start of one is in the suffix of the one before.
        """
        while len(self.state.open_segments) < N_OPEN_SEGMENTS:
            self._open_next()
        return self.state.open_segments.pop(rng.randrange(N_OPEN_SEGMENTS - 1))

    def _read_on(
        self, index: int, offset: int, header: str, budget_tokens: int, rng: random.Random
    ) -> list[int]:
        """Make the example at ``offset`` of a drawn segment; return what is left of it."""
        segment = self._segments[index]
        window = Window(header, segment.file.text, offset, segment.stop)
        ids, end = next_example(window, budget_tokens, self._coder, rng)
        self.state.n_examples += 1
        if segment.file.text[end : segment.stop].strip():
            self.state.open_segments.append([index, end])
        return ids

    def _rng(self, purpose: str) -> random.Random:
        seed = f"{self._seed}/{self._rank}/{self.state.n_examples}/{purpose}"
        return random.Random(seed)  # noqa: S311 (not a secret)

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
