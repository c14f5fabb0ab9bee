"""The commands of the Neovim client, typed in a real one."""

from typing import Any

import pytest

from tests.editors.neovim import Neovim, needs_neovim
from tests.editors.served_neovim import (
    CLIENT,
    SUGGESTION,
    below,
    inside,
    messages,
)

pytestmark = needs_neovim()


def backend_calls(editor: Neovim) -> list[list[Any]]:
    return list(inside(editor)["calls"])


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


@pytest.mark.parametrize(
    ("scope", "said"),
    [("", "everywhere"), (" language", "language python"), (" folder", "folder ")],
)
def test_the_toggle_command_switches_off_and_on_again(editor, scope, said):
    for state in ("off", "on"):
        editor.press(f":messages clear | LspCode2LoraToggle{scope}<CR>")
        editor.wait_until(state, lambda s=state: f"completions {s}: {said}" in messages(editor))


def test_the_folder_of_a_buffer_without_a_name_is_the_one_neovim_is_in(editor):
    editor.press(":enew | set filetype=python<CR>")
    editor.wait_until("client", lambda: editor.lua(f"{CLIENT} and true"))
    folder = editor.lua("vim.uv.fs_realpath(vim.fn.getcwd())")
    for state in ("off", "on"):
        editor.press(":messages clear | LspCode2LoraToggle folder<CR>")
        said = f"completions {state}: folder {folder}"
        editor.wait_until(said, lambda said=said: said in messages(editor).replace("\n", ""))


def test_a_toggle_of_something_unknown_names_what_is_known(editor):
    editor.press(":LspCode2LoraToggle galaxy<CR>")
    editor.wait_until(
        "error", lambda: '"galaxy": expected everywhere, folder, language' in messages(editor)
    )


def test_an_export_says_where_it_is_and_what_it_keeps(editor):
    editor.press(":LspCode2LoraExport peft<CR>")
    folder = str(editor.lua("vim.fn.getcwd()")) + "/peft"
    expected = f"written to {folder}, rank 16, keeps 98.8 % of it"
    editor.wait_until("message", lambda: expected in messages(editor).replace("\n", ""))


def test_the_history_command_opens_a_buffer_that_q_closes(editor):
    editor.press(":LspCode2LoraHistory<CR>")
    editor.wait_until("history", lambda: "Followed in" in editor.screen())
    assert not editor.lua("vim.bo.modifiable")
    editor.press("q")
    editor.wait_until("closed", lambda: editor.lua("#vim.api.nvim_list_wins()") == 1)


def test_the_history_that_is_open_is_gone_to_and_can_be_read_when_its_file_is_closed(editor):
    editor.press(":LspCode2LoraHistory<CR>")
    editor.wait_until("history", lambda: "Followed in" in editor.screen())
    editor.press("<C-w>p:LspCode2LoraHistory<CR>")
    editor.wait_until("history", lambda: editor.lua("vim.bo.filetype") == "code2lorahistory")
    assert editor.lua("#vim.api.nvim_list_wins()") == 2
    editor.press("<C-w>p:enew | bwipeout! shop.py<CR><C-w>p")
    editor.lua("vim.cmd('set modifiable | 1delete | messages clear')")
    editor.press("R")
    editor.wait_until("history", lambda: "Followed in" in editor.screen())
    assert messages(editor) == ""


def test_the_compare_command_shows_both_completions(editor):
    editor.press(":LspCode2LoraCompare<CR>")
    editor.wait_until("comparison", lambda: "# without" in editor.screen())
    assert "# with the adapter" in editor.screen()
    assert below(editor).count(SUGGESTION) == 2


def test_the_status_command_shows_the_adapter(editor):
    editor.press(":LspCode2LoraStatus<CR>")
    editor.wait_until("status", lambda: "code2lora: adapter @ a1b2c3" in messages(editor))


def test_the_logs_command_shows_the_end_of_the_log(editor):
    editor.press(":LspCode2LoraLogs<CR>")
    editor.wait_until("log", lambda: str(editor.lua("vim.fn.expand('%:t')")) == "lsp.log")
    assert editor.lua("vim.fn.line('.') == vim.fn.line('$')")
    editor.press(":tabclose<CR>")


def test_commands_about_the_server_are_there_where_no_buffer_is_served(editor):
    editor.press(":new notes.txt<CR>:LspCode2LoraStatus<CR>")
    editor.wait_until("status", lambda: "code2lora: adapter @ a1b2c3" in messages(editor))
    editor.press(":LspCode2LoraUnload<CR>")
    editor.wait_until("unload", lambda: "the model is unloaded" in messages(editor))
    editor.press(":LspCode2LoraLoad<CR>")
    editor.wait_until("load", lambda: "loading the model" in messages(editor))
