"""Python imports of a text, and the definitions in a known tree that they lead to."""

import ast
import re
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath

from code2lora_lsp.repopeftbench.arms.known_tree import KnownFile, KnownTree

MOST_HOPS = 3
"""Re-exports followed: ``from .core import Name`` in a package's ``__init__``."""

LONGEST_BODY_LINES = 24

_IMPORT = re.compile(
    r"^[ \t]*(?:from[ \t]+[.\w]+[ \t]+import[ \t]+(?:\([^)]*\)|(?:[^\n\\]|\\\n)+)"
    r"|import[ \t]+[^\n]+)$",
    re.MULTILINE,
)

Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


@dataclass(frozen=True)
class Imported:
    """One imported name.

    Attributes:
        module: absolute dotted module, as seen from the repository's root if it was relative.
        name: what is taken from it; "" imports the module itself.
        used_as: the name it has in the importing file.
    """

    module: str
    name: str
    used_as: str


def imports_of(text: str, path: str) -> list[Imported]:
    """Imports of a file of which only a head may be given; statements cut short are left out."""
    found: list[Imported] = []
    for match in _IMPORT.finditer(text):
        try:
            statement = ast.parse(textwrap.dedent(match[0]).strip()).body[0]
        except (SyntaxError, ValueError, IndexError):
            continue
        found += _names(statement, path)
    return found


def _names(statement: ast.stmt, path: str) -> Iterator[Imported]:
    if isinstance(statement, ast.Import):
        for alias in statement.names:
            yield Imported(alias.name, "", alias.asname or alias.name)
    elif isinstance(statement, ast.ImportFrom):
        module = _absolute(statement.module or "", statement.level, path)
        for alias in statement.names:
            yield Imported(module, alias.name, alias.asname or alias.name)


def _absolute(module: str, level: int, path: str) -> str:
    if level == 0:
        return module
    package = PurePosixPath(path).parts[:-level]
    return ".".join([*package, *([module] if module else [])])


class ModuleIndex:
    """Dotted names → files of one tree, and definitions in them."""

    def __init__(self, tree: KnownTree) -> None:
        self._files: dict[str, KnownFile] = {}
        paths = {file.path for file in tree.files}
        for file in tree.files:
            for name in _module_names(file.path, paths):
                self._files.setdefault(name, file)

    def resolve(self, imported: Imported) -> tuple[str, str] | None:
        """Path and text of what an import brings in; ``None`` when the tree does not hold it."""
        if imported.name:
            submodule = self._files.get(f"{imported.module}.{imported.name}")
            if submodule is not None:
                return submodule.path, outline(submodule.text)
            return self._definition(imported.module, imported.name, MOST_HOPS)
        file = self._files.get(imported.module)
        return None if file is None else (file.path, outline(file.text))

    def _definition(self, module: str, name: str, hops: int) -> tuple[str, str] | None:
        file = self._files.get(module)
        if file is None or hops == 0:
            return None
        text = definition_of(file.text, name)
        if text is not None:
            return file.path, text
        for imported in imports_of(file.text, file.path):
            if imported.used_as == name and imported.name:
                return self._definition(imported.module, imported.name, hops - 1)
        return None


def _module_names(path: str, paths: set[str]) -> Iterator[str]:
    """Names a file may be imported by: from the root, from ``src``, from its top package."""
    parts = list(PurePosixPath(path).with_suffix("").parts)
    n_packages = 0
    while n_packages < len(parts) - 1:
        folder = "/".join(parts[: len(parts) - 1 - n_packages])
        if f"{folder}/__init__.py" not in paths:
            break
        n_packages += 1
    starts = {0, len(parts) - 1 - n_packages, 1 if parts[0] == "src" else 0}
    for start in sorted(starts):
        shown = parts[start:]
        if shown[-1] == "__init__":
            shown = shown[:-1]
        if shown:
            yield ".".join(shown)


def definition_of(text: str, name: str) -> str | None:
    """Source of a top-level function, class (as an outline) or assignment; ``None`` without."""
    for node in _body(text):
        if isinstance(node, Definition) and node.name == name:
            return _shown(node, text)
        targets = node.targets if isinstance(node, ast.Assign) else []
        if isinstance(node, ast.AnnAssign):
            targets = [node.target]
        if any(isinstance(target, ast.Name) and target.id == name for target in targets):
            return ast.get_source_segment(text, node)
    return None


def outline(text: str) -> str:
    """First lines of every top-level definition."""
    return "\n".join(_head(node, text) for node in _body(text) if isinstance(node, Definition))


def _body(text: str) -> list[ast.stmt]:
    try:
        return ast.parse(text).body
    except (SyntaxError, ValueError, RecursionError):
        return []


def _shown(node: Definition, text: str) -> str:
    """A class as its header, its assignments and its methods' heads; a function as it is."""
    if not isinstance(node, ast.ClassDef):
        segment = ast.get_source_segment(text, node) or ""
        return "\n".join(segment.split("\n")[:LONGEST_BODY_LINES])
    lines = [_head(node, text)]
    for member in node.body:
        if isinstance(member, Definition):
            lines.append(textwrap.indent(_head(member, text), "    "))
        elif isinstance(member, ast.Assign | ast.AnnAssign):
            lines.append(textwrap.indent(ast.get_source_segment(text, member) or "", "    "))
    return "\n".join(lines)


def _head(node: Definition, text: str) -> str:
    """From the keyword to the line before the body."""
    lines = text.split("\n")[node.lineno - 1 : max(node.lineno, node.body[0].lineno - 1)]
    return textwrap.dedent("\n".join(lines)).rstrip()
