"""`code2lora-lsp complete`, on the embedded model and a real repository."""

import json

import pytest

from tests.cli.imports import imports
from tests.gitrepo import GitRepo


def test_complete_prints_a_completion_or_says_why_not(run, repo):
    done = run("complete", f"{repo.root / 'lib.py'}:2:12", "--format", "json")
    answer = json.loads(done.stdout)
    assert answer["kind"] in {"completion", "none"}
    assert done.returncode == (0 if answer["kind"] == "completion" else 1)
    if answer["kind"] == "completion":
        assert answer["adapter_commit"] == repo.head


@pytest.mark.parametrize(
    ("place", "words"),
    [
        ("lib.py", "FILE:LINE:COL"),
        ("lib.py:²:1", "FILE:LINE:COL"),
        ("lib.py:1:①", "FILE:LINE:COL"),
        ("lib.py:99:1", "line 99 does not exist"),
        ("lib.py:1:999", "column 999 does not exist"),
        ("absent.py:1:1", "absent.py"),
    ],
)
def test_complete_at_a_place_that_does_not_exist_is_a_clear_error(run, place, words):
    done = run("complete", place, PYTHONPROFILEIMPORTTIME="1")
    assert done.returncode == 2
    assert words in done.stderr
    assert "Traceback" not in done.stderr
    assert not imports(done, "torch"), "said before anything is loaded"


def no_python(folder):
    repo = GitRepo(folder)
    repo.commit("notes.txt", "words\n")
    return repo


def unborn(folder):
    return GitRepo(folder)


def with_a_missing_object(folder):
    repo = GitRepo(folder)
    for number in range(3):
        repo.commit("lib.py", f"lost_{number} = open({number})\n" * 3)
    lost = repo.git("rev-parse", "HEAD:lib.py")
    (repo.git_dir / "objects" / lost[:2] / lost[2:]).unlink()
    return repo


def complete_a_new_file(run, repo, *options):
    file = repo.root / "new.py"
    file.write_text("import os\n\n\ndef read_lines(path):\n    with open(path) as file:\n        r")
    return run("complete", f"{file}:6:10", "--format", "json", *options)


@pytest.fixture(scope="module")
def plain(run, tmp_path_factory):
    """What the backbone alone answers there."""
    repo = no_python(tmp_path_factory.mktemp("plain") / "project")
    return complete_a_new_file(run, repo, "--no-adapter")


@pytest.mark.parametrize(
    ("make", "options", "words"),
    [
        (no_python, (), "nothing is known"),
        (no_python, ("--set", "model.hypernetwork=code2lora"), "no commit touches source yet"),
        (unborn, (), "no commit yet"),
        (with_a_missing_object, (), "git"),
        (no_python, ("--set", "model.checkpoint=off"), "model.checkpoint"),
        (no_python, ("--set", "follow.enabled=false"), "follow.enabled"),
        (no_python, ("--set", "model.checkpoint=/nothing/here"), "/nothing/here"),
    ],
)
def test_complete_without_an_adapter_says_so_and_completes_as_the_editor_would(
    run, plain, tmp_path, make, options, words
):
    done = complete_a_new_file(run, make(tmp_path / "project"), *options)
    lines = [line for line in done.stderr.splitlines() if line.startswith("without the adapter")]
    assert len(lines) == 1, done.stderr
    assert words in lines[0]
    assert "Traceback" not in done.stderr
    answer, expected = json.loads(done.stdout), json.loads(plain.stdout)
    assert done.returncode == plain.returncode
    assert (answer["kind"], answer.get("text")) == (expected["kind"], expected.get("text"))
    assert answer.get("adapter_commit") is None


def test_complete_through_a_link_that_leads_out_of_the_repository(run, repo, tmp_path):
    outside = tmp_path / "outside.py"
    outside.write_text("import os\n")
    link = repo.root / "link.py"
    link.symlink_to(outside)
    try:
        done = run("complete", f"{link}:1:3")
    finally:
        link.unlink()
    assert done.returncode in {0, 1}, done.stderr
    assert "Traceback" not in done.stderr


def test_complete_in_an_excluded_file_offers_nothing_and_says_why(run, repo):
    done = run("complete", f"{repo.root / 'lib.py'}:2:12", "--set", 'follow.exclude=["/lib.py"]')
    assert done.returncode == 1
    assert "excluded by follow.exclude" in done.stderr


def test_complete_where_completions_are_off_offers_nothing_and_says_why(run, repo):
    done = run("complete", f"{repo.root / 'lib.py'}:2:12", "--set", "completion.enabled=false")
    assert done.returncode == 1
    assert "completions are switched off by the setting completion.enabled" in done.stderr
