"""Calls that no command can answer."""

import pytest


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
