"""`code2lora-lsp adapt` and `export`, on the embedded model and a real repository."""

import json
import sys

import pytest
import torch
from peft import PeftModel
from transformers import Qwen2Config, Qwen2ForCausalLM

from code2lora_lsp.config import models_root
from code2lora_lsp.neural.weights import load_backbone_weights
from tests.gitrepo import GitRepo
from tests.projects import pottery


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


def test_without_python_adapt_says_that_this_is_why_there_is_no_adapter(run, tmp_path):
    repo = GitRepo(tmp_path / "project")
    repo.commit("notes.txt", "words\n")
    done = run("adapt", repo.root)
    assert done.returncode == 0, done.stderr
    assert f"no adapter @ {repo.head[:12]}: the tree holds no Python" in done.stdout


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
