"""Calls that no command can answer."""

import pytest

from tests.cli.imports import imports


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--set", "model.devise=cpu"), "model.devise"),
        (("--set", "model.device"), "NAME=VALUE"),
        (("--tcp", "here:there"), "--tcp"),
        (("--tcp", "99999999"), "65535"),
        (("--settings", "absent.json"), "absent.json"),
        (("import", "absent.pt", "out"), "absent.pt"),
        (("adapt", "/"), "no git repository in /"),
        (("adapt", "lib.py"), "lib.py is not a folder"),
        (("adapt", "absent"), "absent does not exist"),
        (("adapt", ".git"), "is a git directory, not a work tree"),
        (("adapt", ".", "--rank", "8"), "--out PEFT_DIR"),
        (("--deep",), "--check"),
        (("--set", 'follow.exclude=["!"]'), "'!'"),
    ],
)
def test_a_wrong_call_is_one_clear_line(run, arguments, words):
    done = run(*arguments)
    assert done.returncode == 2
    assert words in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "command", [("adapt", "{}"), ("adapt", "--history", "{}"), ("export", "{}", "x")]
)
def test_a_folder_that_is_no_repository_is_refused_before_anything_is_loaded(
    run, tmp_path, command
):
    called = [word.format(tmp_path) for word in command]
    done = run(*called, "--set", "model.backbone=nothing-here", PYTHONPROFILEIMPORTTIME="1")
    assert done.returncode == 2
    assert f"code2lora-lsp: no git repository in {tmp_path} or above it" in done.stderr
    assert not imports(done, "torch")
