"""Python source → blocks, the unit a ledger writes, adds and removes.

A block is a top-level function or class, a method of a long class, or what stands between those
(imports, constants). Lines that stand directly above a definition belong to it. Every line of a
file is in exactly one block, blank lines at a block's ends aside, so that an edit changes the
blocks it touches and no other. Secrets are to be redacted before.

What parses depends on the Python that runs this; a state that is kept has to be keyed by it.
"""

import ast
import hashlib
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

LONG_CLASS_CHARS = 2_000
"""A class longer than this is cut into its methods."""

MAX_BLOCK_CHARS = 4_000
"""Anything longer is cut into runs of lines, a longer line into pieces; about 1,000 tokens each."""

_DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


@dataclass(frozen=True)
class Block:
    """A piece of a file with what has to be known to read it alone.

    Attributes:
        header: ``# path`` and, for a method, the line its class begins with; ends in a newline.
        text: whole lines, or pieces of one that is too long.
    """

    header: str
    text: str

    @cached_property
    def block_id(self) -> str:
        """32 hex digits of a SHA-256 of header and text: equal blocks write the same."""
        return hashlib.sha256(f"{self.header}\0{self.text}".encode()).hexdigest()[:32]


@dataclass(frozen=True)
class BlockChange:
    """What a commit does to the blocks of a tree; blocks it leaves alone are in neither."""

    removed: tuple[Block, ...]
    added: tuple[Block, ...]


def blocks_of(path: str, source: str) -> list[Block]:
    """The blocks of one file in order; none for a blank one.

    Args:
        path: with forward slashes; a renamed file has other blocks.
        source: with LF line breaks. Text that is no Python is cut into runs of lines.
    """
    if not source.strip():
        return []
    lines = source.split("\n")
    header = f"# {path}\n"
    found: list[Block] = []
    for piece in _cut(_parse(source), lines):
        above = f"{header}{piece.inside}\n" if piece.inside else header
        text = "\n".join(lines[piece.start : piece.stop])
        found += (Block(above, part) for part in _capped(text))
    return found


def blocks_of_tree(files: Mapping[str, str]) -> Counter[Block]:
    """How often each block stands in a tree; ``files`` is path → source."""
    return Counter(block for path, source in files.items() for block in blocks_of(path, source))


def changed_blocks(before: Mapping[str, str], after: Mapping[str, str]) -> BlockChange:
    """What changes between two states of some files.

    Only files that differ need to be given; a file that one state lacks is absent from it.
    """
    old = {path: source for path, source in before.items() if after.get(path) != source}
    new = {path: source for path, source in after.items() if before.get(path) != source}
    was, now = blocks_of_tree(old), blocks_of_tree(new)
    return BlockChange(_repeated(was - now), _repeated(now - was))


def _repeated(blocks: Counter[Block]) -> tuple[Block, ...]:
    return tuple(blocks.elements())


@dataclass(frozen=True)
class _Piece:
    """Lines ``start`` to ``stop`` (from 0, exclusive); ``inside`` is the line of their class."""

    start: int
    stop: int
    inside: str = ""


def _parse(source: str) -> list[ast.stmt]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return ast.parse(source).body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return []


def _cut(statements: list[ast.stmt], lines: list[str]) -> Iterator[_Piece]:
    """The whole file in pieces; a file without statements is one."""
    for piece, node in _runs(statements, _Piece(0, len(lines)), lines):
        size = sum(len(line) + 1 for line in lines[piece.start : piece.stop])
        if isinstance(node, ast.ClassDef) and size > LONG_CLASS_CHARS:
            inside = lines[node.lineno - 1]
            head, *methods = (part for part, _ in _runs(node.body, piece, lines))
            yield head  # its own first line is the class's
            yield from (_Piece(part.start, part.stop, inside) for part in methods)
        else:
            yield piece


def _runs(
    statements: list[ast.stmt], whole: _Piece, lines: list[str]
) -> Iterator[tuple[_Piece, ast.stmt | None]]:
    """One piece per definition and one per run of other statements between them."""
    cuts: list[tuple[int, ast.stmt | None]] = []  # where a piece starts, what it defines
    end = whole.start
    for statement in statements:
        first = _first_line(statement, lines, end)
        is_definition = isinstance(statement, _DEFINITIONS)
        follows_definition = not cuts or cuts[-1][1] is not None
        if first >= end and (is_definition or follows_definition):
            cuts.append((first, statement if is_definition else None))
        end = max(end, statement.end_lineno or end)
    if cuts and cuts[0][1] is None:
        cuts[0] = (whole.start, None)  # what stands above the first statement belongs to it
    elif not cuts or cuts[0][0] > whole.start:
        cuts.insert(0, (whole.start, None))
    stops = [*(start for start, _ in cuts[1:]), whole.stop]
    for (start, node), stop in zip(cuts, stops, strict=True):
        yield _Piece(start, stop), node


def _first_line(statement: ast.stmt, lines: list[str], earliest: int) -> int:
    """Where a statement begins (from 0), its decorators and the comments above it included."""
    decorators = statement.decorator_list if isinstance(statement, _DEFINITIONS) else []
    first = min([statement.lineno, *(node.lineno for node in decorators)]) - 1
    while first > earliest and lines[first - 1].lstrip().startswith("#"):
        first -= 1
    return first


def _capped(text: str) -> Iterator[str]:
    """``text`` without blank lines at its ends, in runs of lines that are not too long."""
    run: list[str] = []
    size = 0
    for line in _short_lines(text.split("\n")):
        if run and size + len(line) + 1 > MAX_BLOCK_CHARS:
            yield from _without_blank_ends(run)
            run, size = [], 0
        run.append(line)
        size += len(line) + 1
    yield from _without_blank_ends(run)


def _short_lines(lines: Iterable[str]) -> Iterator[str]:
    for line in lines:
        for start in range(0, max(len(line), 1), MAX_BLOCK_CHARS - 1):
            yield line[start : start + MAX_BLOCK_CHARS - 1]


def _without_blank_ends(lines: list[str]) -> Iterator[str]:
    filled = [index for index, line in enumerate(lines) if line.strip()]
    if filled:
        yield "\n".join(lines[filled[0] : filled[-1] + 1]) + "\n"
