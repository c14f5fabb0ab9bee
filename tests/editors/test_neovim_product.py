"""The product as it ships in a real Neovim: keys, the real server, the embedded model, commits.

With ``CODE2LORA_PICTURES=1`` the pictures of the README are drawn anew.
"""

import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.editors.neovim import PLUGIN, ROOT, Neovim, needs_neovim, neovim
from tests.editors.picture import take_picture
from tests.gitrepo import GitRepo
from tests.projects import pottery

pytestmark = needs_neovim()

MODEL_S = 120.0
ASKING = "def unload(kiln):\n    for rack in kiln.racks"
TAUGHT = "".join(
    f"def {verb}_{{name}}(kiln):\n    for rack in kiln.racks_by_glaze(kiln.{{shelves}}):\n"
    f"        rack.{verb}()\n\n\n"
    for verb in ("load", "unload", "count", "stack", "weigh", "label")
)
CONFIG = """
vim.opt.runtimepath:append("{plugin}")
vim.lsp.config("code2lora_lsp", {{
  cmd = {{ "{python}", "-m", "code2lora_lsp", "--set", "follow.stateDir={states}",
          "--set", "follow.pollS=0.3" }},
  settings = {{ code2lora = {{ completion = {{ minConfidence = 0 }} }} }},
}})
vim.lsp.enable("code2lora_lsp")
vim.keymap.set("i", "<C-f>", "<Plug>(code2lora-accept)")
vim.keymap.set("i", "<C-g>w", "<Plug>(code2lora-accept-word)")
vim.o.statusline = " %t %m%=%{{v:lua.require'code2lora'.status()}} "
vim.o.columns, vim.o.lines, vim.o.termguicolors = 84, 10, true
vim.cmd("filetype indent off")
vim.o.autoindent = false -- what is typed here brings its own
"""


@contextmanager
def editing(file: Path, folder: Path) -> Iterator[Neovim]:
    states = folder / "states"
    config = CONFIG.format(plugin=PLUGIN, python=sys.executable, states=states)
    with neovim(config, file, folder / "home", PYTHONPATH=str(ROOT), HOME=str(folder)) as editor:
        yield editor


@pytest.fixture(scope="module")
def repo(tmp_path_factory) -> GitRepo:
    repo = GitRepo(tmp_path_factory.mktemp("neovim") / "pottery")
    repo.commit(pottery(), message="A pottery")
    return repo


@pytest.fixture(scope="module")
def shared(repo) -> Iterator[Neovim]:
    with editing(repo.root / "first.py", repo.root.parent) as editor:
        wait_adapter(editor, repo)
        yield editor


@pytest.fixture
def editor(shared, tmp_path_factory) -> Neovim:
    """The shared editor, in normal mode."""
    shared.press("<C-\\><C-n>:silent! only<CR>")
    return shared


def status_of(editor: Neovim) -> str:
    return str(editor.lua('require("code2lora").status()'))


def wait_adapter(editor: Neovim, repo: GitRepo) -> None:
    """Until the status names the adapter of HEAD."""
    expected = f"adapter @ {repo.head[:6]}"
    editor.wait_until(expected, lambda: status_of(editor).startswith(expected), MODEL_S)


def open_file(editor: Neovim, file: Path) -> None:
    editor.press(f":edit! {file}<CR>")
    editor.wait_until("served buffer", lambda: has_client(editor) and name_of(editor) == file.name)


def has_client(editor: Neovim) -> Any:
    return editor.lua("vim.lsp.get_clients({ bufnr = 0 })[1] and true")


def name_of(editor: Neovim) -> Any:
    return editor.lua("vim.fn.expand('%:t')")


def type_text(editor: Neovim, text: str) -> None:
    """All of a buffer anew, by keys."""
    editor.press("ggVGc" + text.replace("<", "<lt>").replace("\n", "<CR>"))


def ghost(editor: Neovim) -> str:
    """What the screen shows in the cursor's line behind what is in the buffer."""
    row = int(editor.lua("vim.fn.screenrow()"))
    line = editor.line()
    shown = str(editor.screen_rows()[row - 1])
    return shown[len(line) :].rstrip() if shown.startswith(line) else ""


def wait_ghost(editor: Neovim, expected: str = "") -> str:
    return str(
        editor.wait_until(
            f"ghost text {expected}",
            lambda: ghost(editor).startswith(expected) and ghost(editor),
            MODEL_S,
        )
    )


def commit_in_terminal(editor: Neovim, repo: GitRepo, name: str, shelves: str) -> None:
    """As a user does: write a file, then ``git commit`` in Neovim's own terminal."""
    (repo.root / f"{name}.py").write_text(TAUGHT.format(name=name, shelves=shelves))
    before = repo.head
    command = f"git -C {repo.root} add -A && git -C {repo.root} commit -q -m Unload_{name}"
    editor.press(f":split +terminal<CR>i{command}<CR>")
    editor.wait_until("commit", lambda: repo.head != before)
    editor.press("<C-\\><C-n>:bwipeout!<CR>")


def test_a_commit_in_a_terminal_changes_the_status_and_the_next_suggestion_which_is_accepted(
    editor, repo, tmp_path
):
    file = repo.root / "ask.py"
    open_file(editor, file)
    type_text(editor, ASKING)
    editor.wait_until("answer", lambda: counted(editor) > 0, MODEL_S)
    assert "by_glaze" not in editor.screen()
    editor.press("<Esc>")
    commit_in_terminal(editor, repo, "all", "warm_shelves")
    wait_adapter(editor, repo)
    editor.press("A")
    shown = wait_ghost(editor, "_by_glaze")
    save_picture(editor, "ghost-text.png", tmp_path)
    asked = counted(editor)
    editor.press("_by")
    wait_ghost(editor, "_glaze")
    editor.wait_until("next answer", lambda: counted(editor) > asked)
    assert ghost(editor) == shown.removeprefix("_by")
    accept_and_save(editor)
    editor.wait_until("file", lambda: file.exists() and file.read_text() == ASKING + shown + "\n")


def accept_and_save(editor: Neovim) -> None:
    before = editor.line()
    editor.press("<C-f>")
    editor.wait_until("inserted text", lambda: editor.line() != before)
    editor.press("<Esc>:write<CR>")


def counted(editor: Neovim) -> int:
    """Questions the server was asked."""
    return int(status(editor)["counts"]["asked"])


def status(editor: Neovim) -> dict[str, Any]:
    return ask(editor, "code2lora/status")


def ask(editor: Neovim, method: str) -> dict[str, Any]:
    client = 'vim.lsp.get_clients({ name = "code2lora_lsp" })[1]'
    return dict(editor.lua(f'{client}:request_sync("{method}", vim.empty_dict(), 10000, 0).result'))


def save_picture(editor: Neovim, name: str, folder: Path) -> None:
    """Draw the screen; into the repository only where that is wished."""
    if os.environ.get("CODE2LORA_PICTURES"):
        folder = PLUGIN / "images"
    image = take_picture(editor, folder / name)
    assert len(image.getcolors(1 << 24)) > 3, "an empty screen"


def test_the_toggle_silences_and_brings_back(editor, repo):
    open_file(editor, repo.root / "toggle.py")
    editor.press(":LspCode2LoraToggle<CR>")
    editor.wait_until("off", lambda: status_of(editor) == "completions are switched off")
    asked = counted(editor)
    type_text(editor, "import argparse\n\nparser = argparse.")
    editor.wait_until("question", lambda: counted(editor) > asked)
    assert ghost(editor) == ""
    assert status(editor)["lastEmpty"]["reason"] == "OFF"
    editor.press("<Esc>:LspCode2LoraToggle<CR>A")
    wait_ghost(editor)


def test_a_killed_server_comes_back(editor, repo):
    open_file(editor, repo.root / "killed.py")
    os.kill(int(status(editor)["server"]["pid"]), 9)
    editor.wait_until("word of it", lambda: "the server ended" in status_of(editor))
    wait_adapter(editor, repo)
    type_text(editor, "import argparse\n\nparser = argparse.")
    wait_ghost(editor)


def test_the_history_of_a_repository_is_a_buffer(editor, repo, tmp_path):
    open_file(editor, repo.root / "history.py")
    editor.press(":LspCode2LoraHistory<CR>")
    editor.wait_until("panel", lambda: "Followed in" in editor.screen())
    editor.press(":wincmd o | set columns=110 lines=16<CR>")
    for number in range(3):
        taught = TAUGHT.format(name=number, shelves=f"bisque_{number}")
        repo.commit(f"more{number}.py", taught, message=f"Unload kiln {number}")
        editor.wait_until("its row, unasked", lambda: row_of(editor, repo.head), MODEL_S)
        assert row_of(editor, repo.head).endswith(f"Unload kiln {number}")
    editor.wait_until("its gain, unasked", lambda: "%" in row_of(editor, repo.head), MODEL_S)
    save_picture(editor, "history.png", tmp_path)
    editor.press(":set columns=84 lines=10 | new<CR><C-w>pq")
    editor.wait_until("closed", lambda: "Followed in" not in editor.screen())


def row_of(editor: Neovim, commit_id: str) -> str:
    rows = [row for row in editor.screen_rows() if row.startswith(commit_id[:7])]
    return rows[0] if rows else ""


def test_both_completions_of_a_cursor_are_compared(editor, repo):
    file = repo.root / "compared.py"
    file.write_text(ASKING + "\n")
    commit_in_terminal(editor, repo, "compared_too", "cold_shelves")
    open_file(editor, file)
    wait_adapter(editor, repo)
    editor.press("GA<Cmd>LspCode2LoraCompare<CR>")
    editor.wait_until("comparison", lambda: "# with the adapter @" in editor.screen(), MODEL_S)
    above, below = editor.screen().split("# without")
    assert "_by_glaze" in above
    assert "_by_glaze" not in below


def test_a_folder_without_git_completes_from_the_backbone_and_says_so(tmp_path):
    file = tmp_path / "plain" / "script.py"
    file.parent.mkdir()
    with editing(file, tmp_path) as editor:
        editor.wait_until("status", lambda: "no repository" in status_of(editor), MODEL_S)
        type_text(editor, "import argparse\n\nparser = argparse.")
        shown = wait_ghost(editor)
        accept_and_save(editor)
        editor.wait_until(
            "file", lambda: file.exists() and file.read_text().rstrip().endswith(shown)
        )
        assert re.match(r"plain backbone", status_of(editor))
