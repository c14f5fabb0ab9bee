"""``make demo``: its story on small repositories, and one clear line where there is none."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.gitrepo import GitRepo, isolated_environment

DEMO = Path(__file__).parents[2] / "editors" / "demo.py"


def demo(repository, home):
    environment = isolated_environment() | {"HOME": str(home), "XDG_CACHE_HOME": str(home / "c")}
    return subprocess.run(
        [sys.executable, str(DEMO), repository], env=environment, capture_output=True, text=True,
        timeout=120, check=False,
    )  # fmt: skip


def times(output, words):
    """Seconds in the line that holds these words."""
    return float(re.search(rf"{words}\D* ([0-9.]+) s", output)[1])


def test_the_demo_shows_the_first_adapter_the_one_of_head_and_the_one_of_a_commit(tmp_path):
    repo = GitRepo(tmp_path / "project")
    for number in range(4):
        repo.commit("lib.py", f"def helper_{number}(path):\n    return open(path).read()\n")
    done = demo("~/project", tmp_path)
    assert done.returncode == 0, done.stderr
    assert times(done.stdout, "first knowledge after") <= times(
        done.stdout, "knowledge of HEAD after"
    )
    assert f"@ {repo.head[:7]}" in done.stdout
    assert re.search(rf"known after .*: (adapter|names)[\w, ]+ @ (?!{repo.head[:7]})", done.stdout)
    assert done.stdout.count("completion after") == 2
    started = Path(done.stdout.splitlines()[-1].split(": ", 1)[1])
    assert started.is_file()
    assert started.name == "code2lora-lsp"
    before, after = done.stdout.split("committed status_summary.py")
    assert "_line⟧" not in before
    assert "_line⟧" in after, "what the commit brought is offered"


def test_the_demo_on_a_repository_without_python_says_so_and_goes_on(tmp_path):
    repo = GitRepo(tmp_path / "project")
    repo.commit("notes.txt", "words\n")
    done = demo(str(repo.root), tmp_path)
    assert done.returncode == 0, done.stderr
    assert "knowledge of HEAD after" in done.stdout
    assert re.search(r"known after .*: (adapter|names)[\w, ]+ @", done.stdout)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda folder: None, "is not a folder"),
        (lambda folder: folder.mkdir(), "not a git repository"),
        (GitRepo, "HEAD has no commit yet"),
    ],
)
def test_the_demo_without_a_repository_to_show_is_one_clear_line(tmp_path, make, words):
    make(tmp_path / "project")
    done = demo("~/project", tmp_path)
    assert done.returncode == 1
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 1
    assert str(tmp_path / "project") in done.stderr
    assert words in done.stderr


def test_the_demo_runs_this_project_s_server_and_nothing_of_the_repository_shown(tmp_path):
    repo = GitRepo(tmp_path / "project")
    repo.commit({"torch.py": "", "code2lora_lsp/__main__.py": "raise SystemExit('theirs')\n"})
    done = demo(str(repo.root), tmp_path)
    assert done.returncode == 0, done.stderr
    assert "theirs" not in done.stderr
