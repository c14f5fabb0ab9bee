"""A real Neovim, driven through its own remote channel: keys in, screen and buffer out."""

import json
import os
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

TIMEOUT_S = 30.0
OLDEST = (0, 12)
SCREEN = """(function()
  vim.cmd.redraw()
  local rows = {}
  for row = 1, vim.o.lines do
    local cells = {}
    for column = 1, vim.o.columns do cells[column] = vim.fn.screenstring(row, column) end
    rows[row] = vim.trim(table.concat(cells))
  end
  return table.concat(rows, "\\n")
end)()"""


def why_not() -> str | None:
    """The reason to skip, or ``None`` where a Neovim with inline completion is on PATH."""
    path = shutil.which("nvim")
    if path is None:
        return "no nvim on PATH; install Neovim 0.12 or newer to run the editor tests"
    answer = subprocess.run([path, "--version"], capture_output=True, text=True, check=False)
    found = re.match(r"NVIM v(\d+)\.(\d+)", answer.stdout)
    if found is None:
        return f"{path} --version said {answer.stdout[:40]!r}; expected NVIM v0.12 or newer"
    if (int(found[1]), int(found[2])) < OLDEST:
        return f"{found[0]} is too old for inline completion; install 0.12 or newer"
    return None


class Neovim:
    """One running editor. Every call is a short-lived ``nvim --server``."""

    def __init__(self, socket: Path) -> None:
        self._socket = str(socket)

    def press(self, keys: str) -> None:
        self._remote("--remote-send", keys)

    def lua(self, expression: str) -> Any:
        quoted = f"vim.json.encode({expression} or vim.NIL)".replace("'", "''")
        return json.loads(self._remote("--remote-expr", f"luaeval('{quoted}')"))

    def screen(self) -> str:
        return str(self.lua(SCREEN))

    def line(self) -> str:
        return str(self.lua("vim.api.nvim_get_current_line()"))

    def wait_until(self, what: str, condition: Callable[[], Any]) -> Any:
        """The first true value; a time-out shows the screen and the messages."""
        deadline_s = time.monotonic() + TIMEOUT_S
        while not (value := condition()):
            if time.monotonic() > deadline_s:
                said = self.lua('vim.api.nvim_exec2("messages", {output = true}).output')
                raise TimeoutError(f"no {what} within {TIMEOUT_S} s\n{self.screen()}\n{said}")
            time.sleep(0.05)
        return value

    def _remote(self, *arguments: str) -> str:
        command = ["nvim", "--server", self._socket, *arguments]
        answer = subprocess.run(
            command, capture_output=True, text=True, check=False, timeout=TIMEOUT_S
        )
        if answer.returncode or "E5108" in answer.stderr:
            raise RuntimeError(f"{arguments}: {answer.stderr}")
        return answer.stdout or answer.stderr


@contextmanager
def neovim(config: str, file: Path, folder: Path, **environment: str) -> Iterator[Neovim]:
    """Neovim on ``file`` with ``config`` as its init.lua, and nothing of the user's."""
    (folder / "init.lua").write_text(config)
    socket = folder / "socket"
    home = {f"XDG_{kind}_HOME": str(folder) for kind in ("CONFIG", "DATA", "STATE", "CACHE")}
    command = ["nvim", "--headless", "-n", "-i", "NONE", "-u", str(folder / "init.lua")]
    process = subprocess.Popen(
        [*command, "--listen", str(socket), str(file)],
        env={**os.environ, **home, **environment},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    editor = Neovim(socket)
    try:
        deadline_s = time.monotonic() + TIMEOUT_S
        while not socket.exists():
            if time.monotonic() > deadline_s or process.poll() is not None:
                raise TimeoutError("nvim did not open its socket")
            time.sleep(0.02)
        yield editor
        editor.press("<C-\\><C-n>:qall!<CR>")
        process.wait(TIMEOUT_S)
    finally:
        process.kill()
        process.wait()
