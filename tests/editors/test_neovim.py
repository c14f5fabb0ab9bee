"""The README's Neovim lines, run as they stand in a real Neovim against the fake server."""

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.editors.neovim import Neovim, neovim, why_not

ROOT = Path(__file__).parents[2]
REASON = why_not()
pytestmark = pytest.mark.skipif(REASON is not None, reason=str(REASON))

SUGGESTION = "total += price"
DOCUMENT = f'# fake: {{"text": "{SUGGESTION}"}}\ndef add(total, price):\n'
CLIENT = 'vim.lsp.get_clients({name = "code2lora_lsp", bufnr = 0})[1]'


def readme_lines() -> str:
    """The README's configuration with this checkout's path and the fake server's command."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    block = re.search(r"```lua\n(.*?)```", readme, re.DOTALL)
    assert block is not None
    command = f'{{ "{sys.executable}", "-m", "tests.e2e.fake_server" }}'
    lines = block[1].replace("~/src/code2lora-lsp", str(ROOT))
    return lines.replace('{ "code2lora-lsp" }', command)


@pytest.fixture
def editor(tmp_path: Path) -> Iterator[Neovim]:
    repository, home = tmp_path / "repository", tmp_path / "home"
    (repository / ".git").mkdir(parents=True)
    home.mkdir()
    file = repository / "shop.py"
    file.write_text(DOCUMENT)
    with neovim(readme_lines(), file, home, PYTHONPATH=str(ROOT)) as editor:
        editor.wait_until("adapter", lambda: editor.lua("vim.g.code2lora_status or ''"))
        editor.wait_until("adapter", lambda: status_of(editor).startswith("adapter @"))
        yield editor


def status_of(editor: Neovim) -> str:
    return str(editor.lua("vim.g.code2lora_status"))


def backend_calls(editor: Neovim) -> list[list[Any]]:
    inside = editor.lua(f'{CLIENT}:request_sync("fake/inside", {{}}, 5000, 0).result')
    return list(inside["calls"])


def test_a_suggestion_is_shown_then_inserted_by_the_accept_key(editor):
    editor.press("Go")
    editor.wait_until("ghost text", lambda: SUGGESTION in editor.screen().split("\n")[2])
    assert editor.line().strip() == ""
    editor.press("<C-f>")
    editor.wait_until("inserted text", lambda: editor.line().strip() == SUGGESTION)


def test_the_status_variable_holds_the_adapter_of_the_repository(editor):
    assert status_of(editor) == "adapter @ a1b2c3"


@pytest.mark.parametrize(
    ("command", "call", "message"),
    [
        ("Refresh", "refresh", "following "),
        ("RollBack", "roll_back", "adapter @ 0ldc0d"),
        ("Unload", "unload", "the model is unloaded"),
        ("Load", "start", "loading the model"),
    ],
)
def test_a_command_reaches_the_backend_and_says_so(editor, command, call, message):
    before = len(backend_calls(editor))
    editor.press(f":LspCode2Lora{command}<CR>")
    editor.wait_until(call, lambda: call in [each[0] for each in backend_calls(editor)[before:]])
    editor.wait_until(message, lambda: f"code2lora: {message}" in messages(editor))


def test_the_toggle_command_switches_off_and_on_again(editor):
    editor.press(":LspCode2LoraToggle<CR>")
    editor.wait_until("off", lambda: "code2lora: completions off" in messages(editor))
    assert status_of(editor) == "completions are switched off"
    editor.press(":LspCode2LoraToggle<CR>")
    editor.wait_until("on", lambda: "code2lora: completions on" in messages(editor))
    assert status_of(editor) == "adapter @ a1b2c3"


def test_the_status_command_shows_the_adapter(editor):
    editor.press(":LspCode2LoraStatus<CR>")
    editor.wait_until("status", lambda: "code2lora: adapter @ a1b2c3" in messages(editor))


def messages(editor: Neovim) -> str:
    return str(editor.lua('vim.api.nvim_exec2("messages", {output = true}).output'))
