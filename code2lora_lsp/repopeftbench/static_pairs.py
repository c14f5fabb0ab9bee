"""Assertions of a test file as the static track cuts them (code2lora-spec, section 5.2)."""

import ast
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

from code2lora_lsp.history.assertions import ASSERT_METHODS, ONE_ARGUMENT, SourceSegments
from code2lora_lsp.repopeftbench.structured_prefix import Function, Place, structured_prefix

_Definition = TypeVar("_Definition", bound=Function | ast.ClassDef)


@dataclass(frozen=True)
class Pair:
    """One assertion cut in two; ``prefix`` is None outside any function."""

    kind: str
    path: str
    function: str
    line: int
    column: int
    prefix: str | None
    target: str
    was_multiline: bool

    @property
    def quality(self) -> tuple[bool, int]:
        """Smaller is preferred: one line before several, then the shorter."""
        return self.was_multiline, len(self.target)


def pairs_of(path: str, source: str) -> Iterator[Pair]:
    """Every assertion of one file, unfiltered, breadth first; none if it is not Python."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            module = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return
    segments, lines, nodes = SourceSegments(source), source.splitlines(), list(ast.walk(module))
    functions = [node for node in nodes if isinstance(node, Function)]
    classes = [node for node in nodes if isinstance(node, ast.ClassDef)]
    for node in nodes:
        read = _read(node, segments)
        if read is None or not read.target.strip():
            continue
        function = _innermost(functions, read.line)
        owner = _innermost(classes, read.line)
        place = function and Place(read.line, read.target_column, function, owner)
        yield Pair(
            kind=read.kind,
            path=path,
            function=function.name if function else "",
            line=read.line,
            column=read.column,
            prefix=structured_prefix(lines, module, place) if place else None,
            target=" ".join(read.target.split()) if "\n" in read.target else read.target,
            was_multiline="\n" in read.target,
        )


@dataclass(frozen=True)
class _Read:
    kind: str
    target: str
    target_column: int
    line: int
    column: int


def _read(node: ast.AST, segments: SourceSegments) -> _Read | None:
    """An assertion and where its target begins; a plain ``assert`` needs a comparison here."""
    if isinstance(node, ast.Assert):
        if not isinstance(node.test, ast.Compare):
            return None
        right = node.test.comparators[0]
        parts = "assert", segments.of(right), right
    elif isinstance(node, ast.Call) and node.args:
        found = _call(node, segments)
        if found is None:
            return None
        parts = found
    else:
        return None
    kind, target, first = parts
    return _Read(kind, target, first.col_offset, node.lineno, node.col_offset)


_Parts = tuple[str, str, ast.expr]
"""Kind, target, and the expression the target begins with."""


def _call(node: ast.Call, segments: SourceSegments) -> _Parts | None:
    function, arguments = node.func, node.args
    first, last = arguments[0], arguments[-1]
    if isinstance(function, ast.Attribute):
        owner = function.value.id if isinstance(function.value, ast.Name) else ""
        kind = f"{owner}.{function.attr}"
        if owner == "self" and function.attr in ASSERT_METHODS:
            return _method(kind, function.attr, arguments, segments)
        if kind in {"pytest.raises", "pytest.approx"}:
            named = [(one.arg, segments.of(one.value)) for one in node.keywords]
            options = "".join(f", {name}={text}" for name, text in named if name and text)
            return kind, segments.of(first) + options + ")", first
        if isinstance(function.value, ast.Attribute) and function.value.attr == "mock":
            return None
        name = function.attr
    elif isinstance(function, ast.Name):
        name = function.id
    else:
        return None
    if not name.startswith("assert_") or name == "assert_":
        return None
    return "assert_*", segments.of(last) + ")", last


def _method(
    kind: str, method: str, arguments: Sequence[ast.expr], segments: SourceSegments
) -> _Parts | None:
    first, last = arguments[0], arguments[-1]
    if method == "assertRaisesRegex":
        pattern = f", {segments.of(arguments[1])}" if len(arguments) > 1 else ""
        return kind, segments.of(first) + pattern + ")", first
    if method == "assertRaises" or method in ONE_ARGUMENT:
        return kind, segments.of(first) + ")", first
    return (kind, segments.of(last) + ")", last) if len(arguments) > 1 else None


def _innermost(definitions: Sequence[_Definition], line: int) -> _Definition | None:
    """The definition around ``line`` that begins last."""
    around = [node for node in definitions if node.lineno <= line <= (node.end_lineno or 0)]
    return max(around, key=lambda node: node.lineno, default=None)
