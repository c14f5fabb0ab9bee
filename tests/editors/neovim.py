"""A real Neovim, driven through its own remote channel: keys in, screen and buffer out."""

import json
import os
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

TIMEOUT_S = 30.0
ROOT = Path(__file__).parents[2]
PLUGIN = ROOT / "editors" / "neovim"
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
EDITORS = CACHE / "code2lora-lsp-test-editors"
"""Where ``setup_neovim.sh`` puts its Neovims, one folder per version."""

SCREEN = """(function()
  vim.cmd.redraw()
  local rows = {}
  for row = 1, vim.o.lines do
    local cells = {}
    for column = 1, vim.o.columns do cells[column] = vim.fn.screenstring(row, column) end
    rows[row] = table.concat(cells):gsub("%s+$", "")
  end
  return rows
end)()"""


def find(version: str = "0.12") -> str | None:
    """A Neovim of that version: from ``setup_neovim.sh``, else from PATH."""
    for path in (EDITORS / version / "nvim", shutil.which("nvim")):
        if path and Path(path).exists() and version_of(str(path)).startswith(version):
            return str(path)
    return None


def version_of(path: str) -> str:
    """Such as ``0.12.4``; empty if it does not say."""
    answer = subprocess.run([path, "--version"], capture_output=True, text=True, check=False)
    found = re.match(r"NVIM v([\d.]+)", answer.stdout)
    return found[1] if found else ""


def needs_neovim(version: str = "0.12") -> pytest.MarkDecorator:
    """Skips, in one line, where that Neovim is not there."""
    reason = f"no Neovim {version}: tests/editors/setup_neovim.sh gets one"
    return pytest.mark.skipif(find(version) is None, reason=reason)


class Neovim:
    """One running editor. Every call is a short-lived ``nvim --server``."""

    def __init__(self, binary: str, socket: Path) -> None:
        self._binary, self._socket = binary, str(socket)

    def press(self, keys: str) -> None:
        self._remote("--remote-send", keys)

    def lua(self, expression: str) -> Any:
        quoted = f"vim.json.encode({expression} or vim.NIL)".replace("'", "''")
        return json.loads(self._remote("--remote-expr", f"luaeval('{quoted}')"))

    def screen(self) -> str:
        return "\n".join(self.screen_rows())

    def screen_rows(self) -> list[str]:
        """What the user sees, ghost text included, without white space at the ends of lines."""
        return [str(row) for row in self.lua(SCREEN)]

    def line(self) -> str:
        return str(self.lua("vim.api.nvim_get_current_line()"))

    def wait_until(
        self, what: str, condition: Callable[[], Any], timeout_s: float = TIMEOUT_S
    ) -> Any:
        """The first true value; a time-out shows the screen and the messages."""
        deadline_s = time.monotonic() + timeout_s
        while not (value := condition()):
            if time.monotonic() > deadline_s:
                said = self.lua('vim.api.nvim_exec2("messages", {output = true}).output')
                raise TimeoutError(f"no {what} within {timeout_s} s\n{self.screen()}\n{said}")
            time.sleep(0.05)
        return value

    def command(self, *arguments: str) -> list[str]:
        """A command line that talks to this editor."""
        return [self._binary, "--clean", "--server", self._socket, *arguments]

    def _remote(self, *arguments: str) -> str:
        answer = subprocess.run(
            self.command(*arguments),
            capture_output=True, text=True, check=False, timeout=TIMEOUT_S,
        )  # fmt: skip
        if answer.returncode or "E5108" in answer.stderr:
            raise RuntimeError(f"{arguments}: {answer.stderr}")
        return answer.stdout or answer.stderr


@contextmanager
def neovim(
    config: str, file: Path, folder: Path, version: str = "0.12", **environment: str
) -> Iterator[Neovim]:
    """Neovim on ``file`` with ``config`` as its init.lua, and nothing of the user's."""
    binary = find(version)
    assert binary is not None
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "init.lua").write_text(config)
    socket = folder / "socket"
    home = {f"XDG_{kind}_HOME": str(folder) for kind in ("CONFIG", "DATA", "STATE", "CACHE")}
    command = [binary, "--headless", "-n", "-i", "NONE", "-u", str(folder / "init.lua")]
    process = subprocess.Popen(
        [*command, "--listen", str(socket), str(file)],
        cwd=file.parent,
        env={**os.environ, **home, **environment},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    editor = Neovim(binary, socket)
    try:
        deadline_s = time.monotonic() + TIMEOUT_S
        while not socket.exists():
            if time.monotonic() > deadline_s or process.poll() is not None:
                raise TimeoutError("nvim did not open its socket")
            time.sleep(0.02)
        yield editor
        with suppress(RuntimeError):  # it may be gone before it has answered
            editor.press("<C-\\><C-n>:qall!<CR>")
        process.wait(TIMEOUT_S)
    finally:
        process.kill()
        process.wait()
