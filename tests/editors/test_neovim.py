"""Keys in a real Neovim against the real server around a scripted backend."""

import json
from typing import Any

import pytest

from tests.editors.neovim import Neovim, needs_neovim
from tests.editors.served_neovim import (
    SUGGESTION,
    below,
    editing,
    inside,
    readme_lines,
    see_ghost,
    text,
)

pytestmark = needs_neovim()

LATE_S = 3.0
"""Seconds until the fake server answers: asked after an accepted part, it would begin anew."""


def test_a_suggestion_is_shown_then_inserted_by_the_accept_key(editor):
    see_ghost(editor)
    editor.press("<C-f>")
    editor.wait_until("inserted text", lambda: text(editor) == [SUGGESTION])
    assert editor.lua("vim.api.nvim_win_get_cursor(0)") == [3, len(SUGGESTION)]


def test_the_server_is_told_where_the_cursor_rests_and_not_of_each_move(editor):
    def told():
        return [each["before"].rpartition("\n")[2] for each in inside(editor)["expected"]]

    editor.press("G0")
    editor.lua(
        "(function() for col = 1, 6 do vim.api.nvim_win_set_cursor(0, {2, col}) "
        "vim.api.nvim_exec_autocmds('CursorMoved', {buffer = 0}) end end)()"
    )
    editor.wait_until("last place", lambda: told()[-1] == "total ")
    editor.press("0")
    editor.wait_until("start of the line", lambda: told()[-1] == "")
    assert told().count("total ") <= 2


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


@needs_neovim("0.11")
def test_neovim_0_11_gets_an_ordinary_completion_item(tmp_path):
    with editing(tmp_path, readme_lines(), "0.11") as editor:
        editor.press("Go<C-x><C-o>")
        editor.wait_until("inserted text", lambda: text(editor) == [SUGGESTION])
        assert editor.lua("vim.fn.exists(':LspCode2LoraHistory')") == 2
