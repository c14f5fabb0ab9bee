"""Assertions in a Python test file, by the published rule (code2lora-spec, section 5.1).

The published stream keeps a commit when it brings an assertion that was not there before, so
these rules decide which commits the published checkpoints see. They are kept as they were
published, odd corners included; the parity test holds them against the reference package.
"""

import ast
import hashlib
import re
import warnings
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

ASSERT_METHODS = frozenset(
    {
        "assertEqual", "assertNotEqual", "assertTrue", "assertFalse", "assertIs", "assertIsNot",
        "assertIsNone", "assertIsNotNone", "assertIn", "assertNotIn", "assertIsInstance",
        "assertNotIsInstance", "assertRaises", "assertRaisesRegex", "assertAlmostEqual",
        "assertNotAlmostEqual", "assertDictEqual", "assertListEqual", "assertTupleEqual",
        "assertSetEqual", "assertSequenceEqual", "assertRegex", "assertNotRegex",
        "assertCountEqual", "assertWarns", "assertLogs", "assertMultiLineEqual", "assertGreater",
        "assertGreaterEqual", "assertLess", "assertLessEqual",
    }
)  # fmt: skip
ONE_ARGUMENT = frozenset({"assertTrue", "assertFalse", "assertIsNone", "assertIsNotNone"})
_OPERATORS: dict[type[ast.cmpop], str] = {
    ast.Eq: " == ", ast.NotEq: " != ", ast.Lt: " < ", ast.LtE: " <= ", ast.Gt: " > ",
    ast.GtE: " >= ", ast.In: " in ", ast.NotIn: " not in ", ast.Is: " is ", ast.IsNot: " is not ",
}  # fmt: skip
_LINE = re.compile(r"[^\r\n]*(?:\r\n|\r|\n)|[^\r\n]+\Z")


@dataclass(frozen=True)
class Assertion:
    """One assertion, cut before the text to predict.

    Attributes:
        kind: ``assert``, ``self.assertX``, ``pytest.raises``, ``pytest.approx`` or ``assert_*``.
        prefix: what stands on the assertion's own line(s) before the cut.
        target: what follows the cut, on one line.
        line: 1-based line of the statement or call.
        column: its column, in UTF-8 bytes.
        function: the innermost function around it with "test" in its name, or "".
    """

    kind: str
    prefix: str
    target: str
    line: int
    column: int
    function: str = ""


def find_assertions(source: str) -> list[Assertion]:
    """Assertions in breadth-first order. Text that is not Python has none."""
    tree = _parse(source) if source else None
    if tree is None:
        return []
    segments, nodes = SourceSegments(source), list(ast.walk(tree))
    tests = _TestFunctions(nodes)
    found = ((_read(node, segments), node) for node in nodes)
    return [
        replace(one, function=tests.around(node))
        for one, node in found
        if one is not None and _is_usable(one.target)
    ]


def keyed_assertions(source: str) -> list[tuple[bytes, Assertion]]:
    """Each assertion with a digest over its kind, all text of the file before the cut, and target.

    White space is compared as single spaces. Because the text before it takes part, an edit
    above an assertion makes it new: that is the published rule.
    """
    assertions = find_assertions(source)
    if not assertions:
        return []
    lines = source.splitlines(keepends=True)
    above = _digests_above(lines, {one.line for one in assertions})
    return [(_key(one, lines, above[one.line]), one) for one in assertions]


def assertion_keys(source: str) -> frozenset[bytes]:
    """The digests of ``keyed_assertions``."""
    return frozenset(key for key, _ in keyed_assertions(source))


def text_before(lines: list[str], one: Assertion) -> str:
    """The published prefix: the whole file up to the cut.

    Args:
        lines: ``source.splitlines(keepends=True)``.
        one: an assertion of that source. Its column counts bytes and is applied to characters,
            as published.
    """
    last_line = lines[one.line - 1] if one.line <= len(lines) else ""
    return "".join(lines[: one.line - 1]) + last_line[: one.column] + one.prefix


def _key(one: Assertion, lines: list[str], above: "hashlib._Hash") -> bytes:
    last_line = lines[one.line - 1] if one.line <= len(lines) else ""
    digest = above.copy()
    _add_words(digest, last_line[: one.column] + one.prefix)
    for part in (one.kind, " ".join(one.target.split())):
        digest.update(b"\0" + part.encode("utf-8", "surrogatepass"))
    return digest.digest()


def _digests_above(lines: list[str], wanted: set[int]) -> "dict[int, hashlib._Hash]":
    """For each wanted line number, the digest over all words above that line."""
    digest, found = hashlib.sha1(usedforsecurity=False), {}
    for number in range(1, max(wanted) + 1):
        if number in wanted:
            found[number] = digest.copy()
        if number <= len(lines):
            _add_words(digest, lines[number - 1])
    return found


def _add_words(digest: "hashlib._Hash", text: str) -> None:
    for word in text.split():
        digest.update(word.encode("utf-8", "surrogatepass") + b" ")


def _parse(source: str) -> ast.Module | None:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


class _TestFunctions:
    """Functions with "test" in their name, to look up which one is around a node."""

    def __init__(self, nodes: Sequence[ast.AST]) -> None:
        kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
        found = [node for node in nodes if isinstance(node, kinds) and "test" in node.name.lower()]
        # Of several that begin on one line the published code takes the first it meets.
        found.reverse()
        self._by_line = sorted(found, key=lambda node: node.lineno)
        self._lines = [node.lineno for node in self._by_line]

    def around(self, node: ast.AST) -> str:
        """Name of the one that begins last among those around ``node``, or ""."""
        start, end = getattr(node, "lineno", 0), getattr(node, "end_lineno", 0)
        candidates = self._by_line[: bisect_right(self._lines, start)]
        around = (one.name for one in reversed(candidates) if end <= (one.end_lineno or 0))
        return next(around, "")


def _is_usable(target: str) -> bool:
    return bool(target.strip()) and not target.lstrip().startswith(",")


def _read(node: ast.AST, segments: "SourceSegments") -> Assertion | None:
    if isinstance(node, ast.Assert):
        parts = _plain(node, segments)
    elif isinstance(node, ast.Call):
        parts = _call(node, segments)
    else:
        return None
    if parts is None:
        return None
    kind, prefix, target = parts
    one_line = " ".join(target.split()) if "\n" in target else target
    return Assertion(kind, prefix, one_line, node.lineno, node.col_offset)


_Parts = tuple[str, str, str]
"""Kind, prefix, target."""


def _plain(node: ast.Assert, segments: "SourceSegments") -> _Parts | None:
    test = node.test
    if not isinstance(test, ast.Compare):
        return "assert", "assert ", segments.of(test)
    left, right = segments.of(test.left), segments.of(test.comparators[0])
    if not left or not right:
        return None
    return "assert", f"assert {left}{_OPERATORS[type(test.ops[0])]}", right


def _call(node: ast.Call, segments: "SourceSegments") -> _Parts | None:
    function = node.func
    if isinstance(function, ast.Name):
        return _assert_function(node, function.id, segments)
    if not isinstance(function, ast.Attribute):
        return None
    owner = function.value.id if isinstance(function.value, ast.Name) else ""
    if owner == "self" and function.attr in ASSERT_METHODS:
        return _method(node, function.attr, segments)
    if owner == "pytest" and function.attr in {"raises", "approx"}:
        return _pytest(node, function.attr, segments)
    if _is_mock(function.value):
        return None
    return _assert_function(node, function.attr, segments)


def _method(node: ast.Call, method: str, segments: "SourceSegments") -> _Parts | None:
    arguments = [segments.of(argument) for argument in node.args]
    kind, prefix = f"self.{method}", f"self.{method}("
    if not arguments:
        return None
    if method == "assertRaises" or method in ONE_ARGUMENT:
        return (kind, prefix, arguments[0] + ")") if arguments[0] else None
    if method == "assertRaisesRegex":
        if len(arguments) < 2 or not all(arguments[:2]):
            return None
        return kind, prefix, f"{arguments[0]}, {arguments[1]})"
    if len(arguments) < 2 or not arguments[-1]:
        return None
    return kind, prefix + _joined(arguments[:-1]) + ", ", arguments[-1] + ")"


def _pytest(node: ast.Call, name: str, segments: "SourceSegments") -> _Parts | None:
    first = segments.of(node.args[0]) if node.args else ""
    if not first:
        return None
    named = [(keyword.arg, segments.of(keyword.value)) for keyword in node.keywords]
    options = "".join(f", {name}={text}" for name, text in named if name and text)
    return f"pytest.{name}", f"pytest.{name}(", first + options + ")"


def _assert_function(node: ast.Call, name: str, segments: "SourceSegments") -> _Parts | None:
    if not name.startswith("assert_") or name == "assert_" or not node.args:
        return None
    arguments = [segments.of(argument) for argument in node.args]
    if not arguments[-1]:
        return None
    written = segments.of(node.func) or name
    return "assert_*", f"{written}({_joined(arguments[:-1])}, ", arguments[-1] + ")"


def _is_mock(owner: ast.expr) -> bool:
    """``x.mock.assert_…`` and ``unittest.y.assert_…`` are calls on mocks, not assertions."""
    if not isinstance(owner, ast.Attribute):
        return False
    is_unittest = isinstance(owner.value, ast.Name) and owner.value.id == "unittest"
    return owner.attr == "mock" or is_unittest


def _joined(arguments: list[str]) -> str:
    """Arguments as the published code joins them: an unreadable one leaves no comma."""
    last = len(arguments) - 1
    texts = (text + (", " if i < last else "") if text else "" for i, text in enumerate(arguments))
    return "".join(texts)


class SourceSegments:
    """Source text of syntax nodes. Columns of the syntax tree are UTF-8 bytes."""

    def __init__(self, source: str) -> None:
        self._lines = [line.encode("utf-8", "surrogatepass") for line in _split_lines(source)]

    def of(self, node: ast.expr) -> str:
        """The node's text, or an empty string where the tree holds no end position."""
        if node.end_lineno is None or node.end_col_offset is None:
            return ""
        first, last = node.lineno - 1, node.end_lineno - 1
        if first == last:
            return _text(self._lines[first][node.col_offset : node.end_col_offset])
        parts = [self._lines[first][node.col_offset :], *self._lines[first + 1 : last]]
        return _text(b"".join([*parts, self._lines[last][: node.end_col_offset]]))


def _text(part: bytes) -> str:
    return part.decode("utf-8", "surrogatepass")


def _split_lines(source: str) -> Iterator[str]:
    """Lines as the Python parser counts them: a form feed does not end one."""
    return (match.group() for match in _LINE.finditer(source))
