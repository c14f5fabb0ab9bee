"""A repository or package whose files statistics are taken of, and an order to read them in."""

import hashlib
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from code2lora_lsp.history.secrets import redact


@dataclass(frozen=True)
class Sources:
    """Files of one repository or package.

    Attributes:
        name: decides the order of reading, with a seed.
        paths: of all files, with forward slashes.
        read: a path → its text with LF line breaks; ``None`` where it is not to be read.
        version: of a package, where it is known.
    """

    name: str
    paths: Sequence[str]
    read: Callable[[str], str | None]
    version: str | None = None

    @classmethod
    def of(cls, name: str, files: Mapping[str, str]) -> "Sources":
        """Files that are in memory: path → text."""
        return cls(name, list(files), files.get)

    def shuffled(self, seed: int) -> Iterator[tuple[str, str]]:
        """(path, redacted text) of every readable file, in an order the seed decides."""
        order = random.Random(f"{seed} {self.name}")  # noqa: S311 (no secret)
        return self._texts(order.sample(list(self.paths), len(self.paths)))

    def by_hash(self, purpose: str) -> Iterator[tuple[str, str]]:
        """The same in an order that names alone decide, another one for each purpose."""

        def place(path: str) -> bytes:
            return hashlib.sha256(f"{purpose} {self.name} {path}".encode()).digest()

        return self._texts(sorted(self.paths, key=place))

    def _texts(self, paths: Sequence[str]) -> Iterator[tuple[str, str]]:
        for path in paths:
            text = self.read(path)
            if text is not None:
                yield path, redact(text)[0]
