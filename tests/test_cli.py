"""The commands, run as a user runs them, on the embedded model and a real repository."""

import json
import os
import subprocess
import sys

import pytest
import torch
from peft import PeftModel
from transformers import Qwen2Config, Qwen2ForCausalLM

from code2lora_lsp.config import models_root
from code2lora_lsp.neural.weights import load_backbone_weights
from tests.gitrepo import GitRepo


@pytest.fixture(scope="module")
def repo(tmp_path_factory):
    repo = GitRepo(tmp_path_factory.mktemp("cli") / "project")
    for number in range(5):
        repo.commit("lib.py", f"def helper_{number}(path):\n    return open(path).read()\n")
    return repo


@pytest.fixture(scope="module")
def run(repo, tmp_path_factory):
    cache = tmp_path_factory.mktemp("cache")

    def run(*arguments, home=cache):
        environment = {**os.environ, "XDG_CACHE_HOME": str(cache), "HOME": str(home)}
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
    folder = models_root() / "nano"
    model = Qwen2ForCausalLM(Qwen2Config.from_pretrained(folder)).eval()
    model.load_state_dict(load_backbone_weights(folder), strict=False)
    model.tie_weights()
    ids = torch.arange(20, 40)[None]
    with torch.no_grad():
        plain = model(ids).logits
        adapted = PeftModel.from_pretrained(model, tmp_path / "peft")(ids).logits
    assert not torch.allclose(plain, adapted, atol=1e-5)


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
        (("--settings", "absent.json"), "absent.json"),
        (("import", "absent.pt", "out"), "absent.pt"),
        (("adapt", "/"), "/"),
    ],
)
def test_a_wrong_call_is_one_clear_line(run, arguments, words):
    done = run(*arguments)
    assert done.returncode == 2
    assert words in done.stderr
    assert "Traceback" not in done.stderr
