"""A block's definitions as they will be used: what a table of the block alone has never seen.

    def load(path, *, strict=True)      from pkg.files import load
    in pkg/files.py                     load(path=path, strict=strict)

    class Store(Base)                   class _(Store):
        size: int                       Store(size=size)
        def get(self, key)              self.get(key=key)
                                        .get(key)

Deterministic text, no part of the repository. Nothing is inferred: what the syntax does not say is
not in a view.
"""

import ast
import textwrap
import warnings
from collections.abc import Iterator

from code2lora_lsp.text.blocks import Block

_SOURCE_FOLDERS = ("src", "lib", "python")
_Function = ast.FunctionDef | ast.AsyncFunctionDef


def counted_texts(block: Block) -> list[str]:
    """What a sharp memory counts of a block: its text, and each view of it."""
    return [block.text, *views_of(block)]


def views_of(block: Block) -> list[str]:
    """One text per definition in the block; empty for what defines nothing or does not parse."""
    path, _, inside = block.header.removeprefix("# ").partition("\n")
    body = _parsed(block.text)
    if inside.strip():
        return [view for node in body for view in _of_member(node)]
    return [view for node in body for view in _of_top_level(node, _module(path))]


def _of_top_level(node: ast.stmt, module: str) -> Iterator[str]:
    names = _assigned(node)
    if isinstance(node, _Function | ast.ClassDef):
        names = [node.name]
    imports = "".join(f"from {module} import {name}\n" for name in names) if module else ""
    if isinstance(node, _Function):
        yield imports + _call(node.name, _parameters(node))
    elif isinstance(node, ast.ClassDef):
        fields = [name for item in node.body for name in _assigned(item, annotated_only=True)]
        first = next((item for item in node.body if _is_init(item)), None)
        keywords = _parameters(first)[1:] if isinstance(first, _Function) else fields
        yield f"{imports}class _({node.name}):\n" + _call(node.name, keywords)
        for item in node.body:
            yield from _of_member(item)
    elif imports:
        yield imports


def _of_member(node: ast.stmt) -> Iterator[str]:
    if isinstance(node, _Function) and _is_property(node):
        yield f"self.{node.name}"
    elif isinstance(node, _Function) and not node.name.startswith("__"):
        parameters = _parameters(node)[1:]
        yield f"self.{_call(node.name, parameters)}.{node.name}({', '.join(parameters[:1])}"
    else:
        for name in _assigned(node):
            yield f"self.{name}"


def _is_property(node: _Function) -> bool:
    names = (ast.unparse(decorator).rpartition(".")[2] for decorator in node.decorator_list)
    return any(name in {"property", "cached_property"} for name in names)


def _is_init(node: ast.stmt) -> bool:
    return isinstance(node, ast.FunctionDef) and node.name == "__init__"


def _call(name: str, keywords: list[str]) -> str:
    return f"{name}({', '.join(f'{keyword}={keyword}' for keyword in keywords)})\n"


def _parameters(node: _Function) -> list[str]:
    arguments = node.args
    return [one.arg for one in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs)]


def _assigned(node: ast.stmt, *, annotated_only: bool = False) -> list[str]:
    """Names that a statement binds by assignment, attributes and subscripts aside."""
    targets: list[ast.expr] = []
    if isinstance(node, ast.AnnAssign):
        targets = [node.target]
    elif isinstance(node, ast.Assign) and not annotated_only:
        targets = node.targets
    return [target.id for target in targets if isinstance(target, ast.Name)]


def _module(path: str) -> str:
    """``src/pkg/mod.py`` → ``pkg.mod``; "" for what cannot be imported by a plain name."""
    parts = path.removesuffix(".py").split("/")
    if parts[0] in _SOURCE_FOLDERS:
        parts = parts[1:]
    if parts and parts[-1] == "__init__":
        parts = parts[:-1]
    return ".".join(parts) if parts and all(part.isidentifier() for part in parts) else ""


def _parsed(text: str) -> list[ast.stmt]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return ast.parse(textwrap.dedent(text)).body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return []
