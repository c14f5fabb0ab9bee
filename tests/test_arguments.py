"""What the command line takes, in which order, and the settings that come of it."""

import itertools
from pathlib import Path

import pytest

from code2lora_lsp import cli
from code2lora_lsp.arguments import COMMAND_NAMES, repository_and_history, settings_of
from code2lora_lsp.arguments import parsed as parsed_line
from code2lora_lsp.errors import ConfigError


class Parsed:
    """What one command saw of its command line, and which log level was set."""

    def __init__(self, monkeypatch):
        self.levels = []
        monkeypatch.setattr(cli, "_set_up_logging", lambda *given: self.levels.append(given))
        for name in ("complete", "adapt", "export"):
            monkeypatch.setitem(cli.COMMANDS, name, self._run)

    def _run(self, arguments):
        self.settings, self.format = settings_of(arguments), arguments.format
        return 0

    def main(self, *arguments):
        assert cli.main([str(argument) for argument in arguments]) == 0
        return self


@pytest.fixture
def parsed(monkeypatch):
    return Parsed(monkeypatch)


@pytest.mark.parametrize(
    "command", [("complete", "a.py:1:1"), ("adapt", "."), ("export", ".", "x")]
)
def test_options_hold_before_and_after_a_command(parsed, tmp_path, command):
    file = tmp_path / "settings.json"
    file.write_text('{"completion": {"maxLines": 3}}')
    options = (
        "--settings", file, "--set", "completion.maxTokens=7", "--log-file", tmp_path / "log",
        "-v", "--format", "json",
    )  # fmt: skip
    for arguments in ((*options, *command), (*command, *options)):
        seen = parsed.main(*arguments)
        assert seen.settings.completion.max_lines == 3
        assert seen.settings.completion.max_tokens == 7
        assert seen.format == "json"
        assert seen.levels[-1] == (tmp_path / "log", 1)
    assert parsed.main(*command).format == "text"
    assert parsed.levels[-1] == (None, 0)


def test_settings_before_and_after_a_command_add_up_and_the_later_wins(parsed):
    before = ("--set", "completion.maxTokens=7", "--set", "completion.maxLines=7", "-v")
    seen = parsed.main(*before, "adapt", ".", "--set", "completion.maxLines=3", "-v")
    assert (seen.settings.completion.max_tokens, seen.settings.completion.max_lines) == (7, 3)
    assert seen.levels[-1] == (None, 2)


def settings_given(*arguments):
    return settings_of(parsed_line([str(argument) for argument in arguments]))


def test_settings_are_checked_as_a_whole_whatever_their_order(tmp_path):
    pairs = [("completion.promptTokens", 2_000), ("completion.suffixTokens", 900)]
    file = tmp_path / "settings.json"
    file.write_text('{"completion": {"promptTokens": 900, "suffixTokens": 400}}')
    for order in (pairs, pairs[::-1]):
        given = [one for name, value in order for one in ("--set", f"{name}={value}")]
        for line in (given, ["--settings", file, *given], [*given[:2], "adapt", *given[2:]]):
            completion = settings_given(*line).completion
            assert (completion.prompt_tokens, completion.suffix_tokens) == (2_000, 900)


@pytest.mark.parametrize(
    "text", ['{"code2lora": {"follow": {"pollS": 2}}}', '{"code2lora.follow.pollS": 2}']
)
def test_a_settings_file_may_be_cut_out_of_an_editors(tmp_path, text):
    file = tmp_path / "settings.json"
    file.write_text(text)
    follow = settings_given("--settings", file, "--set", "follow.workingTree=false").follow
    assert (follow.poll_s, follow.working_tree) == (2.0, False)


def test_a_wrong_setting_is_mended_by_a_later_one(tmp_path):
    again = ("--set", "completion.maxLines=0", "--set", "completion.maxLines=4")
    assert settings_given(*again).completion.max_lines == 4


@pytest.fixture
def checked(monkeypatch):
    """Folders, options and settings of every check that would have been made."""
    seen = []

    def note(arguments, settings):
        poll_s = settings.follow.poll_s
        seen.append((arguments.check, arguments.deep, arguments.format, poll_s))
        return 0

    monkeypatch.setattr(cli, "_check", note)
    return seen


CHECK_OPTIONS = (("--deep",), ("--format", "json"), ("--set", "follow.pollS=2"))


@pytest.mark.parametrize("order", list(itertools.permutations((*CHECK_OPTIONS, ("here", "there")))))
def test_the_folders_of_a_check_may_stand_anywhere_after_it(checked, order):
    assert cli.main(["--check", *itertools.chain(*order)]) == 0
    assert checked == [(["here", "there"], True, "json", 2.0)]


def test_options_may_stand_before_check_and_a_folder_may_be_named_like_a_command(checked):
    assert cli.main(["--set", "follow.pollS=2", "--deep", "--check", "--format=json", "adapt"]) == 0
    assert cli.main(["--check"]) == 0
    assert checked == [(["adapt"], True, "json", 2.0), ([], False, "text", 1.5)]


def test_a_check_is_no_option_of_a_command(capsys):
    with pytest.raises(SystemExit):
        cli.main(["complete", "lib.py:1:1", "--check"])
    assert "unrecognized arguments: --check" in capsys.readouterr().err


def test_every_command_is_known_by_its_name():
    assert {*cli.COMMANDS} == {*COMMAND_NAMES, "serve"}


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (["--history"], (".", 0)),
        (["{here}", "--history"], ("{here}", 0)),
        (["--history", "{here}"], ("{here}", 0)),
        (["--history", "20", "{here}"], ("{here}", 20)),
        (["{here}", "--history", "20"], ("{here}", 20)),
        (["{here}"], ("{here}", None)),
    ],
)
def test_a_folder_after_history_is_the_repository(tmp_path, given, expected):
    arguments = parsed_line(["adapt", *(one.format(here=tmp_path) for one in given)])
    folder, n_commits = expected
    assert repository_and_history(arguments) == (Path(folder.format(here=tmp_path)), n_commits)


def test_a_history_that_is_neither_a_number_nor_a_folder_says_so(capsys):
    with pytest.raises(SystemExit):
        parsed_line(["adapt", "--history", "many"])
    assert "'many' is neither a number of commits nor a folder" in capsys.readouterr().err
    with pytest.raises(ConfigError, match="--history -3"):
        repository_and_history(parsed_line(["adapt", "--history", "-3"]))
