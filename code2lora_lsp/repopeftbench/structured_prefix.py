"""The static track's prefix: a test file without its other tests (code2lora-spec, section 5.2)."""

import ast
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

LONGEST_PREFIX_LINES = 600

Function = ast.FunctionDef | ast.AsyncFunctionDef

_SET_UP = frozenset(
    {
        "setUp", "setUpClass", "tearDown", "tearDownClass",
        "setup_method", "teardown_method", "setup", "teardown",
    }
)  # fmt: skip
_HEAD = (ast.Import, ast.ImportFrom, ast.Assign, ast.AnnAssign, ast.AugAssign, ast.Expr)


@dataclass(frozen=True)
class Place:
    """Where an assertion stands.

    Attributes:
        line: 1-based line of the assertion.
        column: where the target begins; UTF-8 bytes, applied to characters of that line as
            published, also where the target begins on a later one.
        function, owner: the function and the class around it that begin last.
    """

    line: int
    column: int
    function: Function
    owner: ast.ClassDef | None


def structured_prefix(lines: Sequence[str], module: ast.Module, place: Place) -> str:
    """Imports, the class line, helpers and the test up to the cut; a blank line at each gap.

    Published corners are kept: a blank line always stands before the assertion's own line, and
    assignments and set-up methods of the class take part even from below it.
    """
    wanted = {
        *_rows(_module_head(module)),
        *_class_rows(place.owner),
        *_rows(_helpers(module, place)),
        *range(_first_row(place.function), place.line - 1),
    }
    kept: list[str] = []
    last = -1
    for row in sorted(row for row in wanted if row < len(lines)):
        if kept and row > last + 1:
            kept.append("")
        kept.append(lines[row])
        last = row
    if kept and last < place.line - 1:
        kept.append("")
    own_line = lines[place.line - 1] if place.line <= len(lines) else ""
    kept.append(own_line[: place.column])
    return "\n".join(kept[-LONGEST_PREFIX_LINES:])


def _module_head(module: ast.Module) -> Iterator[ast.stmt]:
    """Imports, assignments and bare calls above the first definition; no docstrings."""
    for node in module.body:
        if isinstance(node, Function | ast.ClassDef):
            return
        if isinstance(node, _HEAD) and not _is_text(node):
            yield node


def _is_text(node: ast.stmt) -> bool:
    if not isinstance(node, ast.Expr) or not isinstance(node.value, ast.Constant):
        return False
    return isinstance(node.value.value, str)


def _class_rows(owner: ast.ClassDef | None) -> Iterator[int]:
    if owner is None:
        return
    yield owner.lineno - 1
    for node in owner.body:
        is_set_up = isinstance(node, Function) and node.name in _SET_UP
        if is_set_up or isinstance(node, ast.Assign | ast.AnnAssign):
            yield from _rows([node])


def _helpers(module: ast.Module, place: Place) -> Iterator[ast.stmt]:
    """Functions of the module and methods of the class that end above and are no tests."""
    for node in _functions_above(module.body, place):
        if not node.name.startswith("test_"):
            yield node
    for node in _functions_above(place.owner.body if place.owner else (), place):
        is_other_test = node.name.startswith("test_") and node.name != place.function.name
        if node.name not in _SET_UP and not is_other_test:
            yield node


def _functions_above(body: Iterable[ast.stmt], place: Place) -> Iterator[Function]:
    for node in body:
        if isinstance(node, Function) and (node.end_lineno or 0) < place.line:
            yield node


def _first_row(function: Function) -> int:
    """0-based row where it begins, decorators included."""
    return min([function.lineno, *(node.lineno for node in function.decorator_list)]) - 1


def _rows(nodes: Iterable[ast.stmt]) -> Iterator[int]:
    for node in nodes:
        yield from range(node.lineno - 1, node.end_lineno or node.lineno)
