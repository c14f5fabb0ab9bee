"""A place in a file on disk, as it is named on the command line. Imports no model library."""

import io
from dataclasses import dataclass
from pathlib import Path

from code2lora_lsp.errors import ConfigError, NotARepository
from code2lora_lsp.history.diff import is_utf8
from code2lora_lsp.history.discovery import locate


@dataclass(frozen=True)
class FilePlace:
    """A file as it was read, and an offset in it, in code points."""

    path: Path
    text: str
    offset: int

    @classmethod
    def read(cls, path: Path, line: int, column: int) -> "FilePlace":
        """The place at a line and a column (code points), both counted from 1.

        Raises:
            ConfigError: the file or the position does not exist.
        """
        text = _read(path)
        return cls(path, text, _offset(path, text, line, column))

    def path_in_repository(self) -> str | None:
        """With forward slashes; ``None`` outside all repositories, also by a link leading out.

        Nor has a file one whose name is no UTF-8: no prompt can name it, and it is not followed.
        """
        try:
            root = locate(self.path.parent).root
        except NotARepository:
            return None
        target = self.path.resolve()
        if not target.is_relative_to(root):
            return None
        name = target.relative_to(root).as_posix()
        return name if is_utf8(name) else None


def _read(path: Path) -> str:
    try:
        return path.read_bytes().decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} cannot be read as UTF-8 text ({error})") from error


def _offset(path: Path, text: str, line: int, column: int) -> int:
    lines = list(io.StringIO(text, newline=""))  # \n, \r\n and \r end a line; a form feed does not
    if not text or text.endswith(("\n", "\r")):
        lines.append("")
    if not 1 <= line <= len(lines):
        raise ConfigError(f"{path} has {len(lines)} lines; line {line} does not exist")
    width = len(lines[line - 1].rstrip("\r\n"))
    if not 1 <= column <= width + 1:
        raise ConfigError(
            f"line {line} of {path} has {width} characters; column {column} does not exist"
        )
    return sum(map(len, lines[: line - 1])) + column - 1
