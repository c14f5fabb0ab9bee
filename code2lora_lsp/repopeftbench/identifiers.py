"""Names in Python source, and in how many training repositories each is found.

``python -m code2lora_lsp.repopeftbench.identifiers CORPUS OUT.json`` counts them over the training
shards of a corpus (see ``training.corpus``). Names of fewer than three repositories are left out:
the filter only has to know which are common.
"""

import argparse
import ast
import json
import keyword
import re
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import groupby
from pathlib import Path

from code2lora_lsp.config import models_root
from code2lora_lsp.errors import ConfigError
from code2lora_lsp.neural.atomic_file import write_text
from code2lora_lsp.training.corpus import read_shards
from code2lora_lsp.training.splits import Split

FORMAT = "code2lora-identifier-frequency-1"
RARE_REPOSITORIES = 2
"""A name is rare when at most so many training repositories have it (conditioning.md, 3.2)."""

SHORTEST_CHARS = 4

EMBEDDED_TABLE = Path("nano", "training_names.json")
"""Under ``models``: counted over the repositories that ``nano`` was trained on."""

_LEXEMES = re.compile(
    r"""[rRbBuUfF]{0,2}(?:\"\"\"(?:[^\\]|\\.)*?\"\"\"|'''(?:[^\\]|\\.)*?'''"""
    r"""|"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*')|\#[^\n]*|([A-Za-z_]\w*)""",
    re.DOTALL,
)


def identifier_counts(text: str) -> Counter[str]:
    """Occurrences of each name in code; keywords, strings (f-strings too) and comments left out."""
    names = (name for name in _LEXEMES.findall(text) if name)
    return Counter(name for name in names if not keyword.iskeyword(name))


def is_askable(name: str) -> bool:
    """Whether a name is long enough to be asked for, and one somebody chose."""
    is_special = name.startswith("__") and name.endswith("__")
    return len(name) >= SHORTEST_CHARS and not is_special and not keyword.iskeyword(name)


@lru_cache(maxsize=4096)
def defined_names(text: str) -> frozenset[str]:
    """Names that a file binds: functions, classes, parameters, variables, attributes, fields.

    Text that is not Python binds none. Remembered, as the trees of near commits share files.
    """
    try:
        nodes = list(ast.walk(ast.parse(text)))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return frozenset()
    return frozenset(name for node in nodes if (name := _bound_by(node)) is not None)


def _bound_by(node: ast.AST) -> str | None:
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return node.name
    if isinstance(node, ast.arg):
        return node.arg
    if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
        return node.id
    if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
        return node.attr
    return None


@dataclass(frozen=True)
class IdentifierFrequency:
    """In how many training repositories a name is found.

    Attributes:
        n_repositories: how many were counted.
        repositories: name -> count, only for names above ``RARE_REPOSITORIES``.
    """

    n_repositories: int
    repositories: Mapping[str, int]

    def is_rare(self, name: str) -> bool:
        return name not in self.repositories

    def write(self, path: Path) -> None:
        """Write as JSON, atomically."""
        document = {
            "format": FORMAT,
            "n_repositories": self.n_repositories,
            "least": RARE_REPOSITORIES + 1,
            "repositories": dict(sorted(self.repositories.items())),
        }
        write_text(path, json.dumps(document, separators=(",", ":")) + "\n")

    @classmethod
    def read(cls, path: Path) -> "IdentifierFrequency":
        """Inverse of ``write``.

        Raises:
            ConfigError: the file is absent or something else.
        """
        try:
            document = json.loads(path.read_text(encoding="utf-8"))
            kind = document["format"], document["least"]
            table = cls(int(document["n_repositories"]), dict(document["repositories"]))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ConfigError(_not_a_table(path, repr(error))) from error
        if kind != (FORMAT, RARE_REPOSITORIES + 1):
            raise ConfigError(_not_a_table(path, f"it holds format and least count {kind}"))
        return table


def embedded_table() -> Path:
    """The table that ships with the models."""
    return models_root() / EMBEDDED_TABLE


def _not_a_table(path: Path, why: str) -> str:
    return (
        f"{path} is no table of identifier frequencies of this version ({why}); make one with "
        "`python -m code2lora_lsp.repopeftbench.identifiers CORPUS OUT.json`"
    )


def count_repositories(files: Iterable[tuple[str, str, str]]) -> IdentifierFrequency:
    """Count over (repository, path, text), the files of one repository together.

    Raises:
        ConfigError: there is no file, so that every name would pass for rare.
    """
    found: Counter[str] = Counter()
    n_repositories = 0
    for _, group in groupby(files, key=lambda file: file[0]):
        names: set[str] = set()
        for _, _, text in group:
            names.update(identifier_counts(text))
        found.update(name for name in names if len(name) >= SHORTEST_CHARS)
        n_repositories += 1
    if n_repositories == 0:
        raise ConfigError("the corpus has no training files; build it with training.corpus")
    common = {name: count for name, count in found.items() if count > RARE_REPOSITORIES}
    return IdentifierFrequency(n_repositories, common)


def main(arguments: list[str] | None = None) -> None:
    """Count and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("corpus", type=Path)
    parser.add_argument("output", type=Path)
    options = parser.parse_args(arguments)
    started_s = time.perf_counter()
    try:
        table = count_repositories(read_shards(options.corpus, Split.TRAIN))
    except ConfigError as error:
        parser.exit(2, f"{options.corpus}: {error}\n")
    table.write(options.output)
    seconds = time.perf_counter() - started_s
    print(
        f"{len(table.repositories)} names in at least {RARE_REPOSITORIES + 1} of "
        f"{table.n_repositories} training repositories, in {seconds:.0f} s: {options.output}"
    )


if __name__ == "__main__":
    main()
