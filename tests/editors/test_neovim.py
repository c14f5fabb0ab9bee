"""Keys in a real Neovim against the real server around a scripted backend."""

import json
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.editors.neovim import PLUGIN, ROOT, Neovim, needs_neovim, neovim

pytestmark = needs_neovim()

SUGGESTION = "total += price"
DOCUMENT = f'# fake: {{"text": "{SUGGESTION}"}}\ntotal = price = 0\n'
CLIENT = 'vim.lsp.get_clients({name = "code2lora_lsp", bufnr = 0})[1]'
LATE_S = 3.0
"""Seconds until the fake server answers: asked after an accepted part, it would begin anew."""
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


@pytest.fixture(scope="module")
def shared(tmp_path_factory) -> Iterator[Neovim]:
    with editing(tmp_path_factory.mktemp("neovim"), readme_lines() + KEYS) as editor:
        yield editor


@pytest.fixture
def editor(shared) -> Neovim:
    """The shared editor on the document as it was, in normal mode."""
    shared.press("<C-\\><C-n>:silent! only | edit! shop.py | messages clear<CR>")
    shared.wait_until(
        "buffer", lambda: shared.lua("#vim.api.nvim_buf_get_lines(0, 0, -1, true)") == 2
    )
    return shared


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


def backend_calls(editor: Neovim) -> list[list[Any]]:
    return list(inside(editor)["calls"])


def inside(editor: Neovim) -> dict[str, Any]:
    return dict(editor.lua(f'{CLIENT}:request_sync("fake/inside", {{}}, 5000, 0).result'))


def test_a_suggestion_is_shown_then_inserted_by_the_accept_key(editor):
    see_ghost(editor)
    editor.press("<C-f>")
    editor.wait_until("inserted text", lambda: text(editor) == [SUGGESTION])
    assert editor.lua("vim.api.nvim_win_get_cursor(0)") == [3, len(SUGGESTION)]


def test_a_server_that_does_not_advertise_inline_completion_shows_none(tmp_path):
    config = readme_lines("tests.editors.mute_server")
    with editing(tmp_path, config) as editor, pytest.raises(TimeoutError, match="no ghost text"):
        see_ghost(editor, timeout_s=3)


def test_a_key_mapped_with_a_fallback_does_its_own_work_where_nothing_is_shown(editor):
    editor.press("GA<Tab>")
    editor.wait_until("tab", lambda: editor.line() == "total = price = 0   ")
    editor.press("<CR>")
    editor.wait_until("ghost text", lambda: SUGGESTION in below(editor))
    editor.press("<Tab>")
    editor.wait_until("inserted text", lambda: text(editor) == [SUGGESTION])


def test_accepting_right_after_typing_through_does_not_repeat_what_was_typed(editor):
    see_ghost(editor)
    editor.press("tot<C-f>")
    editor.wait_until("inserted text", lambda: text(editor) == [SUGGESTION])


def test_accepting_after_typing_something_else_inserts_nothing(editor):
    see_ghost(editor)
    editor.press("x<C-f>!")
    editor.wait_until("typed text", lambda: text(editor) == ["x!"])


def test_words_are_accepted_one_by_one_and_the_rest_stays_on_the_screen(editor):
    suggest(editor, SUGGESTION, delay_s=LATE_S)
    see_ghost(editor)
    editor.press("<C-g>w")
    editor.wait_until("one word", lambda: text(editor) == ["total"])
    assert SUGGESTION in below(editor)
    editor.press("<C-g>w<C-g>w")
    editor.wait_until("three words", lambda: text(editor) == ["total += price"])


def test_a_line_is_accepted_up_to_its_end_and_the_rest_stays_on_the_screen(editor):
    suggest(editor, "first\n    second", delay_s=LATE_S)
    editor.press("Go")
    editor.wait_until("ghost text", lambda: "second" in below(editor))
    editor.press("<C-g>l")
    editor.wait_until("first line", lambda: text(editor) == ["first"])
    assert "second" in below(editor)
    editor.press("<C-g>l")
    editor.wait_until("second line", lambda: text(editor) == ["first", "    second"])


def test_a_bracket_that_the_suggestion_brings_replaces_the_one_behind_the_cursor(editor):
    suggest(editor, "price)", end=1)
    editor.press("Gosum()<Left>")
    editor.wait_until("ghost text", lambda: "price" in below(editor))
    editor.press("<C-g>w")
    editor.wait_until("word", lambda: text(editor) == ["sum(price)"])
    editor.press("<C-f>")
    editor.wait_until("end", lambda: editor.lua("vim.api.nvim_win_get_cursor(0)") == [3, 10])
    assert text(editor) == ["sum(price)"]


def test_a_suggestion_behind_wide_characters_is_put_where_it_belongs(editor):
    suggest(editor, "= 'wörld'")
    editor.press("Goa = '😀ö'; b ")
    editor.wait_until("ghost text", lambda: "wörld" in below(editor))
    editor.press("=<C-g>w")
    editor.wait_until("word", lambda: text(editor) == ["a = '😀ö'; b = '"])
    editor.press("<C-f>")
    editor.wait_until("rest", lambda: text(editor) == ["a = '😀ö'; b = 'wörld'"])


def suggest(editor: Neovim, suggestion: str, **more: Any) -> None:
    """Have the fake server answer with that."""
    plan = json.dumps(f"# fake: {json.dumps({'text': suggestion, **more})}")
    editor.lua(
        f"vim.api.nvim_buf_set_lines(0, 0, 1, true, {{ vim.json.decode({json.dumps(plan)}) }})"
    )


def test_the_next_key_asks_by_hand_where_there_is_no_other_suggestion(editor):
    see_ghost(editor)
    assert inside(editor)["requests"][-1]["trigger"] == "automatic"
    editor.press("<C-g>n")
    editor.wait_until("question", lambda: inside(editor)["requests"][-1]["trigger"] == "invoked")
    editor.wait_until("ghost text", lambda: SUGGESTION in below(editor))


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


def test_a_server_that_was_not_found_is_started_once_its_command_is_right(tmp_path):
    file = tmp_path / "shop.py"
    file.write_text(DOCUMENT)
    config = readme_lines().replace(sys.executable, "gone-python")
    with neovim(config, file, tmp_path / "home", PYTHONPATH=str(ROOT)) as editor:
        editor.press(":LspCode2LoraStatus<CR>")
        editor.wait_until("word of it", lambda: "no server runs; :LspCode2Lora" in messages(editor))
        editor.press(":LspCode2LoraRestart<CR>")
        editor.wait_until("reason", lambda: "gone-python was not found" in messages(editor))
        cmd = f'{{ "{sys.executable}", "-m", "tests.e2e.fake_server" }}'
        editor.lua(f'vim.lsp.config("code2lora_lsp", {{ cmd = {cmd} }})')
        editor.press(":LspCode2LoraRestart<CR>")
        editor.wait_until("server", lambda: editor.lua(f"{CLIENT} and true"))


def test_a_server_that_is_restarted_or_killed_serves_the_same_buffers_again(tmp_path):
    with editing(tmp_path, readme_lines() + KEYS) as editor:
        process = "vim.lsp.get_clients()[1] and vim.lsp.get_clients()[1].id"
        first = editor.lua(process)
        editor.press(":LspCode2LoraRestart<CR>")
        editor.wait_until("restart", lambda: (editor.lua(process) or first) != first)
        editor.wait_until("adapter", lambda: status_of(editor).startswith("adapter @"))
        pid = editor.lua(
            f'{CLIENT}:request_sync("code2lora/status", {{}}, 5000, 0).result.server.pid'
        )
        editor.lua(f"vim.uv.kill({pid:.0f}, 9)")
        editor.wait_until(
            "word of it", lambda: status_of(editor) == "the server ended; back in 1 s"
        )
        editor.wait_until("adapter", lambda: status_of(editor).startswith("adapter @"))
        see_ghost(editor)


def test_a_second_repository_is_served_by_the_same_server(tmp_path):
    (tmp_path / "other" / ".git").mkdir(parents=True)
    (tmp_path / "other" / "b.py").write_text(DOCUMENT)
    with editing(tmp_path, readme_lines()) as editor:
        editor.press(f":split {tmp_path}/other/b.py<CR>")
        editor.wait_until("client", lambda: editor.lua(f"{CLIENT} and true"))
        editor.wait_until("repository", lambda: "other" in str(root_of(editor)))
        assert editor.lua("#vim.lsp.get_clients()") == 1
        editor.press("<C-w>p")
        editor.wait_until("repository", lambda: "shop" in str(root_of(editor)))


def root_of(editor: Neovim) -> Any:
    return editor.lua('(require("code2lora.status").of(0) or {}).root')


def test_the_health_check_says_what_runs_and_what_the_server_s_own_check_finds(tmp_path):
    config = (
        f"""
      vim.opt.runtimepath:append("{PLUGIN}")
      vim.lsp.config("code2lora_lsp", {{ cmd = {{ "{sys.executable}", "{tmp_path}/check.py" }},
        settings = {{ code2lora = {{ model = {{ threads = 3 }} }} }} }})
    """
        + KEYS
    )
    (tmp_path / "check.py").write_text(CHECK)
    with neovim(config, tmp_path / "notes.txt", tmp_path / "home") as editor:
        editor.press(":checkhealth code2lora<CR>")
        editor.wait_until("report", lambda: "code2lora-lsp 9.9" in report(editor))
        seen = report(editor)
        for words in (
            "suggestions are ghost text", "not running", "<C-F> → <Plug>(code2lora-accept)",
            "OK backbone: nano", "WARNING git: shallow", "fetch more", "ERROR cache: no room",
            "asked --format json --set model.threads=3",
        ):  # fmt: skip
            assert words in seen, seen


CHECK = """
import json, sys
checks = [("ok", "backbone", "nano", ""), ("warn", "git", "shallow", "fetch more"),
          ("fail", "cache", "no room", "make some"), ("skip", "asked", " ".join(sys.argv[3:]), "")]
print(json.dumps({"version": "9.9", "checks": [
    dict(verdict=v, check_id=i, detail=d, hint=h) for v, i, d, h in checks]}))
"""


def report(editor: Neovim) -> str:
    lines = editor.lua("vim.api.nvim_buf_get_lines(0, 0, -1, true)")
    return re.sub(r"[✅⚠️❌]+\s*", "", "\n".join(lines)).replace("asked: ", "asked ")


@needs_neovim("0.11")
def test_neovim_0_11_gets_an_ordinary_completion_item(tmp_path):
    with editing(tmp_path, readme_lines(), "0.11") as editor:
        editor.press("Go<C-x><C-o>")
        editor.wait_until("inserted text", lambda: text(editor) == [SUGGESTION])
        assert editor.lua("vim.fn.exists(':LspCode2LoraHistory')") == 2
