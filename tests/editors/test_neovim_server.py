"""The server behind a real Neovim: missing, restarted, killed, shared, and its own check."""

import re
import sys
from typing import Any

from tests.editors.neovim import PLUGIN, ROOT, Neovim, needs_neovim, neovim
from tests.editors.served_neovim import (
    CLIENT,
    DOCUMENT,
    KEYS,
    editing,
    messages,
    readme_lines,
    see_ghost,
    status_of,
)

pytestmark = needs_neovim()


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
