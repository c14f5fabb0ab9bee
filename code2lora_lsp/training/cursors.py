"""Gaps to fill in files nobody trained on: rests of lines, arguments of calls, identifiers."""

import ast
import hashlib
import io
import keyword
import random
import tokenize
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from code2lora_lsp.text.gaps import cursor_in_line
from code2lora_lsp.training.packing import SourceFile

KINDS = ("line", "arguments", "identifier")
SHORTEST_IDENTIFIER = 3
LONGEST_ARGUMENTS_CHARS = 80


@dataclass(frozen=True)
class Cursor:
    """A gap in a file that parses: ``before`` + ``target`` + ``after`` is the file."""

    kind: str
    repository: str
    path: str
    before: str
    target: str
    after: str


def sample_cursors(files: Sequence[SourceFile], per_repository: int, seed: int = 7) -> list[Cursor]:
    """``per_repository`` gaps of each kind from each repository, the same ones every time.

    Each file gives at most one of a kind; a repository with fewer files than that gives fewer.
    """
    by_repository: dict[str, list[SourceFile]] = {}
    for file in sorted(files, key=lambda f: hashlib.sha256(f"{seed}/{f.path}".encode()).digest()):
        by_repository.setdefault(file.repository, []).append(file)
    return [
        cursor
        for kind in KINDS
        for repository in sorted(by_repository)
        for cursor in _first(_gaps(by_repository[repository], kind, seed), per_repository)
    ]


def _first(cursors: Iterator[Cursor], count: int) -> Iterator[Cursor]:
    return (cursor for _, cursor in zip(range(count), cursors, strict=False))


def _gaps(files: Sequence[SourceFile], kind: str, seed: int) -> Iterator[Cursor]:
    """At most one gap per file, in the order of the files."""
    for file in files:
        tree = parsed(file.text)
        if tree is None:
            continue
        rng = random.Random(f"{seed}/{kind}/{file.repository}/{file.path}")  # noqa: S311 (no secret)
        spans = {"line": _lines, "arguments": _arguments, "identifier": _identifiers}[kind]
        found = spans(file.text, tree, rng)
        if found:
            start, stop = rng.choice(found)
            text = file.text
            yield Cursor(
                kind, file.repository, file.path, text[:start], text[start:stop], text[stop:]
            )


def parsed(text: str) -> ast.Module | None:
    """The syntax tree, or None for text that is not Python."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def _lines(text: str, _: ast.Module, rng: random.Random) -> list[tuple[int, int]]:
    """One random cursor of every line with something left to complete."""
    found, start = [], 0
    for line in text.split("\n"):
        cursor = cursor_in_line(text, start, start + len(line), rng) if line.strip() else start
        if text[cursor : start + len(line)].strip():
            found.append((cursor, start + len(line)))
        start += len(line) + 1
    return found


def _arguments(text: str, tree: ast.Module, _: random.Random) -> list[tuple[int, int]]:
    """What stands between the brackets of every call on one line."""
    starts = _line_starts(text)
    lines = text.split("\n")
    found = []
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call) or node.lineno != node.end_lineno:
            continue
        row, line = node.lineno - 1, lines[node.lineno - 1].encode()
        after_name = len(line[: node.func.end_col_offset].decode())
        stop = len(line[: node.end_col_offset].decode()) - 1
        start = lines[row].find("(", after_name) + 1
        if 0 < start < stop <= start + LONGEST_ARGUMENTS_CHARS:
            found.append((starts[row] + start, starts[row] + stop))
    return found


def _identifiers(text: str, _: ast.Module, __: random.Random) -> list[tuple[int, int]]:
    """Every name in the code, definitions included."""
    starts = _line_starts(text)
    try:
        tokens = list(tokenize.generate_tokens(io.StringIO(text).readline))
    except (tokenize.TokenError, IndentationError):
        return []
    return [
        (starts[token.start[0] - 1] + token.start[1], starts[token.end[0] - 1] + token.end[1])
        for token in tokens
        if token.type == tokenize.NAME
        and len(token.string) >= SHORTEST_IDENTIFIER
        and not keyword.iskeyword(token.string)
    ]


def _line_starts(text: str) -> list[int]:
    """Offset of each line; only LF ends one."""
    starts = [0]
    for line in text.split("\n"):
        starts.append(starts[-1] + len(line) + 1)
    return starts
