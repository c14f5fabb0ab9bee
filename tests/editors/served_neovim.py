"""A real Neovim on a document of a repository, served by the real server around a script."""

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.editors.neovim import ROOT, Neovim, neovim

SUGGESTION = "total += price"
DOCUMENT = f'# fake: {{"text": "{SUGGESTION}"}}\ntotal = price = 0\n'
CLIENT = 'vim.lsp.get_clients({name = "code2lora_lsp", bufnr = 0})[1]'
KEYS = """
for keys, what in pairs({ ["<C-f>"] = "accept", ["<C-g>w"] = "accept-word",
                          ["<C-g>l"] = "accept-line", ["<C-g>n"] = "next" }) do
  vim.keymap.set("i", keys, "<Plug>(code2lora-" .. what .. ")")
end
vim.keymap.set("i", "<Tab>", function()
  return require("code2lora").accept() and "" or "<Tab>"
end, { expr = true })
"""


def readme_lines(module: str = "tests.e2e.fake_server") -> str:
    """The README's configuration with this checkout's path and the fake server's command."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    block = re.search(r"```lua\n(.*?)```", readme, re.DOTALL)
    assert block is not None
    lines = block[1].replace("~/src/code2lora-lsp", str(ROOT))
    return lines.replace('{ "code2lora-lsp" }', f'{{ "{sys.executable}", "-m", "{module}" }}')


@contextmanager
def editing(folder: Path, config: str, version: str = "0.12") -> Iterator[Neovim]:
    """Neovim on ``shop.py`` of a repository, served."""
    (folder / "shop" / ".git").mkdir(parents=True)
    file = folder / "shop" / "shop.py"
    file.write_text(DOCUMENT)
    with neovim(config, file, folder / "home", version, PYTHONPATH=str(ROOT)) as editor:
        editor.wait_until("adapter", lambda: status_of(editor).startswith("adapter @"))
        yield editor


def status_of(editor: Neovim) -> str:
    return str(editor.lua('require("code2lora").status()'))


def messages(editor: Neovim) -> str:
    return str(editor.lua('vim.api.nvim_exec2("messages", {output = true}).output'))


def text(editor: Neovim) -> list[str]:
    return list(editor.lua("vim.api.nvim_buf_get_lines(0, 2, -1, true)"))


def see_ghost(editor: Neovim, timeout_s: float = 30.0) -> None:
    """Open a line below the document, and wait for the suggestion in it."""
    editor.press("Go")
    editor.wait_until("ghost text", lambda: SUGGESTION in below(editor), timeout_s)
    assert text(editor) == [""]


def below(editor: Neovim) -> str:
    """The screen below the document's own two lines."""
    return editor.screen().split("\n", 2)[2]


def inside(editor: Neovim) -> dict[str, Any]:
    return dict(editor.lua(f'{CLIENT}:request_sync("fake/inside", {{}}, 5000, 0).result'))
