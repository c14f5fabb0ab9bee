"""Places in a Python file where a name has to be known: attributes, calls, keywords, imports."""

import ast
import io
import re
import tokenize
import warnings
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

KINDS = ("attribute", "call", "keyword", "import", "identifier")
LONGEST_TARGET_CHARS = 80
N_FIRST_ARGUMENTS = 2

Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class Gap:
    """``text[start:stop]`` is asked for; ``identifier`` stands in it.

    Attributes:
        function: name of the innermost function around it, or "".
        line: 1-based line of ``start``.
        column: UTF-8 bytes before ``start`` on that line.
    """

    kind: str
    identifier: str
    start: int
    stop: int
    function: str
    line: int
    column: int


def find_gaps(text: str) -> list[Gap]:
    """Every gap of a file in order of position, at most one per position.

    * attribute: ``app.‸ensure_sync‸``, the name after a dot;
    * call: ``‸connect(host, port‸)``, the name and up to two first arguments on its line;
    * keyword: ``run(‸check=False‸)``, the name and its value where that is short;
    * import: ``from pkg.mod import ‸Name‸``;
    * identifier: any other name that is read.

    Text that is not Python has none.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            module = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return []
    places, names = _Places(text), _name_positions(text)
    found: dict[int, Gap] = {}
    for node, function in _nodes(module):
        for span in _spans(node, places):
            if span.start in names and text.startswith(span.identifier, span.start):
                found.setdefault(span.start, span.gap(places, function))
    return [found[start] for start in sorted(found)]


@dataclass(frozen=True)
class _Span:
    kind: str
    identifier: str
    start: int
    stop: int

    def gap(self, places: "_Places", function: str) -> Gap:
        line, column = places.line_and_column(self.start)
        return Gap(self.kind, self.identifier, self.start, self.stop, function, line, column)


class _Places:
    """Offsets of syntax nodes, whose columns count UTF-8 bytes."""

    def __init__(self, text: str) -> None:
        self.text = text
        self._lines = text.split("\n")
        self._starts = [0]
        for line in self._lines:
            self._starts.append(self._starts[-1] + len(line) + 1)

    def offset(self, line: int, column: int) -> int:
        text = self._lines[line - 1]
        before = column if text.isascii() else len(text.encode()[:column].decode("utf-8", "ignore"))
        return self._starts[line - 1] + before

    def start(self, node: ast.expr | ast.keyword | ast.alias) -> int:
        return self.offset(node.lineno, node.col_offset)

    def end(self, node: ast.expr | ast.keyword | ast.alias) -> int:
        return self.offset(node.end_lineno or node.lineno, node.end_col_offset or 0)

    def line_and_column(self, offset: int) -> tuple[int, int]:
        line = bisect_right(self._starts, offset)
        return line, len(self.text[self._starts[line - 1] : offset].encode())

    def is_short(self, start: int, stop: int) -> bool:
        """On one line, and no longer than a target may be."""
        return stop - start <= LONGEST_TARGET_CHARS and "\n" not in self.text[start:stop]


def _nodes(module: ast.Module) -> Iterator[tuple[ast.AST, str]]:
    """Every node with the name of the innermost function around it; calls before their parts."""
    waiting: list[tuple[ast.AST, str]] = [(module, "")]
    for node, function in waiting:
        yield node, function
        inside = node.name if isinstance(node, Function) else function
        waiting += [(child, inside) for child in ast.iter_child_nodes(node)]


def _spans(node: ast.AST, places: _Places) -> Iterator[_Span]:
    if isinstance(node, ast.Call):
        yield from _call(node, places)
        yield from (_keyword(one, one.arg, places) for one in node.keywords if one.arg)
    elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load):
        end = places.end(node)
        yield _Span("attribute", node.attr, end - len(node.attr), end)
    elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
        start = places.start(node)
        yield _Span("identifier", node.id, start, start + len(node.id))
    elif isinstance(node, ast.Import | ast.ImportFrom):
        for alias in node.names:
            name = alias.name.rpartition(".")[2]
            start = places.start(alias) + len(alias.name) - len(name)
            yield _Span("import", name, start, start + len(name))


def _call(node: ast.Call, places: _Places) -> Iterator[_Span]:
    """From the called name to the last of its first arguments that fit on the line."""
    called = node.func
    if isinstance(called, ast.Attribute):
        name = called.attr
    elif isinstance(called, ast.Name):
        name = called.id
    else:
        return
    end = places.end(called)
    start = end - len(name)
    if not places.text.startswith("(", end):
        return
    stops = [places.end(argument) for argument in node.args[:N_FIRST_ARGUMENTS]]
    if not node.args and not node.keywords:
        stops = [places.end(node)]
    fitting = [stop for stop in stops if places.is_short(start, stop)]
    yield _Span("call", name, start, max(fitting, default=end + 1))


def _keyword(node: ast.keyword, name: str, places: _Places) -> _Span:
    start, stop = places.start(node), places.end(node)
    if not places.is_short(start, stop):
        stop = places.start(node.value)
    if not places.is_short(start, stop):
        stop = start + len(name)
    return _Span("keyword", name, start, stop)


def _name_positions(text: str) -> frozenset[int]:
    """Offsets of every name token: positions inside f-strings are not true before Python 3.12."""
    starts = [0]
    for line in io.StringIO(text):
        starts.append(starts[-1] + len(line))
    try:
        tokens = list(tokenize.generate_tokens(io.StringIO(text).readline))
    except (tokenize.TokenError, SyntaxError, ValueError):
        return frozenset()
    return frozenset(
        starts[token.start[0] - 1] + token.start[1]
        for token in tokens
        if token.type == tokenize.NAME
    )


_WORD = re.compile(r"[A-Za-z_]\w*")


@lru_cache(maxsize=4096)
def words(text: str) -> frozenset[str]:
    """Every word that could be a name, strings and comments included; remembered."""
    return frozenset(_WORD.findall(text))
