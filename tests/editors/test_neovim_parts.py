"""The Neovim client's own logic, called inside a real Neovim; no server runs."""

import json

import pytest

from tests.editors.neovim import PLUGIN, needs_neovim, neovim

pytestmark = needs_neovim()
DASH = "\N{EN DASH}"


@pytest.fixture(scope="module")
def editor(tmp_path_factory):
    folder = tmp_path_factory.mktemp("parts")
    config = f'vim.opt.runtimepath:append("{PLUGIN}")'
    with neovim(config, folder / "notes.txt", folder / "home") as editor:
        yield editor


def lua(editor, module, call, *arguments):
    """``require("code2lora.<module>").<call>(arguments…)``, arguments going in as JSON."""
    given = ", ".join(f"vim.json.decode({json.dumps(json.dumps(each))})" for each in arguments)
    return editor.lua(f'require("code2lora.{module}").{call}({given})')


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("path) as file:", "path"),
        (") as file:", ")"),
        (" as file:", " as"),
        ("):\n    pass", "):"),
        ("\n    return total", "\n    return"),
        ("größe = 1", "größe"),
        ("→ x", "→"),
        ("   ", "   "),
        ("x", "x"),
    ],
)
def test_a_word_is_white_space_and_one_run_of_characters(editor, text, word):
    assert lua(editor, "pieces", "word", text) == word


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("path) as file:\n    return file", "path) as file:"),
        ("\n    return file\n    # more", "\n    return file"),
        ("path", "path"),
        ("\n", "\n"),
    ],
)
def test_a_line_ends_before_the_line_break(editor, text, line):
    assert lua(editor, "pieces", "line", text) == line


def commit(**changes):
    return {
        "commit": "a1b2c3d4", "parent": None, "time": "2026-11-23T05:12:44+00:00",
        "subject": "Kilns cool down", "nTokens": 412, "distance": 0.08, "referenceCosine": 0.93,
        "reanchored": False, "stepS": 0.4, "withoutNats": 2.0, "withNats": 1.5, "nScored": 388,
        "checkpoint": "5b0e", **changes,
    }  # fmt: skip


def history(*commits, **changes):
    return {
        "schemaVersion": 1,
        "root": "/home/me/project",
        "referenceCommit": None,
        "commits": list(commits),
        "latency": {
            "n": 200, "p50Ms": 61.0, "p95Ms": 240.0,
            "coldN": 12, "coldP50Ms": 210.0, "coldP95Ms": 260.0,
        },
        "cache": {"asked": 200, "reusedShare": 0.94, "withoutModel": 83},
        "acceptance": {
            "enabled": True, "since": None, "shown": 120, "accepted": 41, "acceptedWords": 9,
            "acceptedLines": 3, "judged": 44, "keptAfter30s": 37,
        },
        **changes,
    }  # fmt: skip


def test_a_commit_is_a_row_with_what_its_adapter_gained(editor):
    rows = lua(editor, "history", "lines", history(commit(), commit(withNats=2.2)))
    assert rows[0] == "Followed in /home/me/project"
    assert rows[3].startswith("a1b2c3d 2026-11-23 05:12     412  0.080")
    assert rows[3].endswith("    2.00  1.50 █▌      +25 % Kilns cool down")
    assert rows[4].endswith("    2.00  2.20         -10 % Kilns cool down")


def test_what_is_not_known_of_a_commit_is_a_dash(editor):
    unknown = dict.fromkeys(("nTokens", "distance", "referenceCosine", "withoutNats", "withNats"))
    row = lua(editor, "history", "lines", history(commit(**unknown, reanchored=True)))[3]
    assert row.count(DASH) == 5
    assert f"{DASH}↺" in row
    assert "%" not in row


def test_the_columns_of_the_history_stand_under_their_names(editor):
    header, row = lua(editor, "history", "lines", history(commit()))[2:4]
    ends = {
        "tokens": "412",
        "moved": "0.080",
        "cosine": "0.930",
        "without": "2.00",
        "with ": "1.50 ",
    }
    for name, value in ends.items():
        assert header.index(name) + len(name) == row.index(value) + len(value), name
    assert header.index("subject") == row.index("Kilns")


def test_a_history_without_repository_and_answers_says_so(editor):
    latency = dict.fromkeys(("p50Ms", "p95Ms", "coldP50Ms", "coldP95Ms"))
    empty = history(
        root=None,
        latency={"n": 0, "coldN": 0, **latency},
        cache={"asked": 0, "reusedShare": None, "withoutModel": 0},
        acceptance={"enabled": False},
    )
    text = "\n".join(lua(editor, "history", "lines", empty))
    for words in ("No repository is followed here", "none yet", "nothing yet", "not counted"):
        assert words in text


def test_answers_that_were_all_typed_through_have_no_share_of_a_prompt(editor):
    cache = {"asked": 2, "reusedShare": None, "withoutModel": 2}
    text = "\n".join(lua(editor, "history", "lines", history(cache=cache)))
    assert f"{DASH} of the prompts reused; 2 of 2 answers without the model" in text


def test_both_sides_of_a_comparison_are_shown_with_the_reason_of_an_empty_one(editor):
    result = {
        "withAdapter": {"text": "shelves):\n    pass", "nats": 0.21, "reason": None},
        "without": {
            "text": "",
            "nats": None,
            "reason": {"message": "the model was not sure enough"},
        },
        "adapterCommit": "a1b2c3d4e5",
    }
    assert lua(editor, "compare", "lines", result, "# %s") == [
        "# with the adapter @ a1b2c3, 0.21 nats per token", "shelves):", "    pass", "",
        "# without", "# (the model was not sure enough)",
    ]  # fmt: skip


def test_settings_of_the_editor_become_options_of_the_check(editor):
    settings = {"completion": {"maxLines": 4, "languages": ["python"]}, "follow": {}}
    assert lua(editor, "health", "options", settings) == [
        "--set", 'completion.languages=["python"]', "--set", "completion.maxLines=4",
    ]  # fmt: skip


def test_the_tables_for_neovim_and_for_nvim_lspconfig_agree(editor):
    def read(name):
        file = PLUGIN / name / "code2lora_lsp.lua"
        facts = "{ t.cmd, t.filetypes, t.root_markers, t.settings }"
        return editor.lua(f'(function(t) return {facts} end)(dofile("{file}"))')

    assert read("lsp") == read("nvim-lspconfig")
