"""The commands, run as a user runs them, on the embedded model and a real repository."""

import itertools
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from peft import PeftModel
from transformers import Qwen2Config, Qwen2ForCausalLM

from code2lora_lsp import cli
from code2lora_lsp.arguments import COMMAND_NAMES, repository_and_history, settings_of
from code2lora_lsp.arguments import parsed as parsed_line
from code2lora_lsp.config import models_root
from code2lora_lsp.errors import ConfigError
from code2lora_lsp.neural.weights import load_backbone_weights
from tests.gitrepo import GitRepo
from tests.projects import pottery


@pytest.fixture(scope="module")
def repo(tmp_path_factory):
    repo = GitRepo(tmp_path_factory.mktemp("cli") / "project")
    repo.commit(pottery())
    repo.commit("lib.py", "def helper(path):\n    return open(path).read()\n")
    return repo


@pytest.fixture(scope="module")
def run(repo, tmp_path_factory):
    cache = tmp_path_factory.mktemp("cache")

    def run(*arguments, home=cache, **variables):
        environment = {**os.environ, "XDG_CACHE_HOME": str(cache), "HOME": str(home), **variables}
        return subprocess.run(
            [sys.executable, "-m", "code2lora_lsp", *map(str, arguments)],
            cwd=repo.root, env=environment, capture_output=True, text=True, timeout=120,
            check=False,
        )  # fmt: skip

    return run


def test_adapt_writes_a_peft_folder_that_changes_the_logits(run, repo, tmp_path):
    done = run("adapt", repo.root, "--out", tmp_path / "peft", "--format", "json")
    assert done.returncode == 0, done.stderr
    status = json.loads(done.stdout)
    assert (status["state"], status["adapter_commit"]) == ("current", repo.head)
    assert status["rank"] == 64
    assert 0.5 < status["kept"] < 1
    folder = models_root() / "nano"
    model = Qwen2ForCausalLM(Qwen2Config.from_pretrained(folder)).eval()
    model.load_state_dict(load_backbone_weights(folder), strict=False)
    model.tie_weights()
    ids = torch.arange(20, 40)[None]
    with torch.no_grad():
        plain = model(ids).logits
        adapted = PeftModel.from_pretrained(model, tmp_path / "peft")(ids).logits
    assert not torch.allclose(plain, adapted, atol=1e-5)


@pytest.mark.skipif(sys.platform == "darwin", reason="its file systems refuse such names")
def test_a_file_whose_name_is_no_utf_8_stops_neither_adapt_nor_complete(run, tmp_path):
    repo = GitRepo(tmp_path / "project")
    nameless = "pottery/caf\udce9.py"
    repo.commit(pottery() | {nameless: "def glaze(pot):\n    return \n"})
    done = run("adapt", repo.root, "--format", "json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["adapter_commit"] == repo.head
    done = run("complete", f"{repo.root / nameless}:2:12", "--format", "json")
    assert json.loads(done.stdout)["kind"] in {"completion", "none"}
    assert "Traceback" not in done.stderr
    repo.move(nameless, "pottery/café.py")
    repo.commit()
    done = run("adapt", repo.root, "--format", "json")
    assert json.loads(done.stdout)["adapter_commit"] == repo.head, done.stderr


def test_adapt_shows_the_followed_commits(run, repo, tmp_path):
    states = "--set", f"follow.stateDir={tmp_path}"
    run("adapt", repo.root, *states)
    done = run("adapt", repo.root, *states, "--history", "--format", "json")
    assert done.returncode == 0, done.stderr
    kept = json.loads(done.stdout)
    assert [row["commit"] for row in kept["commits"]] == [repo.head] == [kept["referenceCommit"]]
    assert "no lines were scored yet" in run("adapt", repo.root, *states, "--history").stdout


def test_adapt_shows_what_following_the_newest_commits_would_have_brought(run, repo, tmp_path):
    states = "--set", f"follow.stateDir={tmp_path}"
    done = run("adapt", repo.root, *states, "--history", "1")
    assert done.returncode == 0, done.stderr
    newest, before = done.stdout.splitlines()[2:4]
    assert newest.startswith(repo.head[:8])
    assert int(newest.split()[-1]) > 0
    assert before.split()[-1] == "0"
    assert "better in" in done.stdout


def test_check_is_usable_and_says_so_in_json(run, repo):
    run("adapt", repo.root)
    done = run("--check", repo.root, "--format", "json", "--deep")
    report = json.loads(done.stdout)
    verdicts = {check["check_id"]: check["verdict"] for check in report["checks"]}
    assert "fail" not in verdicts.values(), report
    assert verdicts["adapter"] == "ok"
    assert verdicts["completion"] in {"ok", "warn"}
    assert done.returncode == report["exit_code"]
    assert report["schema_version"] == 1


def test_check_shortens_the_home_folder(run, repo):
    done = run("--check", repo.root, "--format", "json", home=repo.root.parent)
    assert str(repo.root.parent) not in done.stdout
    assert "~/project" in done.stdout


def test_check_outside_a_repository_is_broken(run, tmp_path):
    done = run("--check", tmp_path)
    assert done.returncode == 2
    assert "✗ repository" in done.stdout
    assert str(tmp_path) in done.stdout


def test_check_with_a_model_that_is_not_there_names_the_ones_that_are(run, repo):
    done = run("--check", repo.root, "--set", "model.backbone=nothing-here")
    assert done.returncode == 2
    assert "nothing-here" in done.stdout
    assert "nano" in done.stdout


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
    done = run("complete", place, "--no-adapter")
    assert done.returncode == 2
    assert words in done.stderr
    assert "Traceback" not in done.stderr


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


def test_adapting_a_bare_repository_says_what_to_open_instead(run, tmp_path):
    GitRepo(tmp_path / "bare.git", bare=True)
    done = run("adapt", tmp_path / "bare.git")
    assert done.returncode == 2
    assert "is a bare repository" in done.stderr
    assert "Open a clone" in done.stderr


@pytest.mark.parametrize("out", ["taken", "taken/below"])
@pytest.mark.parametrize("command", [("adapt", ".", "--out"), ("export", ".")])
def test_a_file_where_the_adapter_should_go_is_refused_before_anything_is_loaded(
    run, tmp_path, command, out
):
    (tmp_path / "taken").write_text("mine")
    done = run(*command, tmp_path / out, "--set", "model.backbone=nothing-here")
    assert done.returncode == 2
    assert f"{tmp_path / 'taken'} is a file" in done.stderr
    assert "Traceback" not in done.stderr
    assert (tmp_path / "taken").read_text() == "mine"


def test_marks_that_a_pipe_cannot_show_do_not_stop_the_check(run, tmp_path):
    done = run("--check", tmp_path, PYTHONIOENCODING="cp1252")
    assert done.returncode == 2
    assert "? repository" in done.stdout
    assert "checks in" in done.stdout
    assert "Traceback" not in done.stderr


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


def test_without_python_adapt_says_that_this_is_why_there_is_no_adapter(run, tmp_path):
    repo = no_python(tmp_path / "project")
    done = run("adapt", repo.root)
    assert done.returncode == 0, done.stderr
    assert f"no adapter @ {repo.head[:12]}: the tree holds no Python" in done.stdout


def test_complete_where_completions_are_off_offers_nothing_and_says_why(run, repo):
    done = run("complete", f"{repo.root / 'lib.py'}:2:12", "--set", "completion.enabled=false")
    assert done.returncode == 1
    assert "completions are switched off by the setting completion.enabled" in done.stderr


def test_a_ledger_s_adapter_is_written_at_the_rank_asked_for_and_says_what_is_lost(
    run, repo, tmp_path
):
    done = run("export", repo.root, tmp_path / "small", "--rank", "8")
    assert done.returncode == 0, done.stderr
    assert f"written to {tmp_path / 'small'}, rank 8, which keeps" in done.stdout
    config = json.loads((tmp_path / "small" / "adapter_config.json").read_text())
    assert config["r"] == 8
    refused = run("export", repo.root, tmp_path / "none", "--rank", "0")
    assert refused.returncode == 2
    assert "--rank 0" in refused.stderr
