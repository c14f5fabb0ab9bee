"""The doctor: one finding per check, whatever breaks, and each failure with a remedy."""

import json
import subprocess
import sys

import pytest
import torch

from code2lora_lsp.check import doctor
from code2lora_lsp.check.doctor import examine
from code2lora_lsp.check.report import Verdict
from code2lora_lsp.config import FollowSettings, MetricsSettings, ModelSettings, Settings
from code2lora_lsp.neural.kernel import library
from code2lora_lsp.runtime import model_loading
from code2lora_lsp.runtime.acceptance_counts import AcceptanceCounts, add_counts
from code2lora_lsp.runtime.models import StoredProgress
from tests.gitrepo import GitRepo
from tests.runtime.test_model_loading import write_model


@pytest.fixture
def repo(tmp_path):
    repo = GitRepo(tmp_path / "project")
    repo.commit("one.py", "one = 1\n")
    return repo


@pytest.fixture
def model(tmp_path):
    (tmp_path / "model").mkdir()
    return write_model(tmp_path / "model")


@pytest.fixture
def check(repo, model, tmp_path):
    def check():
        settings = Settings(
            ModelSettings(backbone=str(model)),
            follow=FollowSettings(state_dir=str(tmp_path / "states")),
        )
        return {found.check_id: found for found in examine(settings, repo.root, deep=False)}

    return check


def test_what_became_of_suggestions_is_said_with_the_place_it_is_kept_in(check, tmp_path):
    assert check()["metrics"].verdict is Verdict.SKIP
    path = tmp_path / "states" / "metrics.json"
    add_counts(path, AcceptanceCounts(shown=1200, accepted=300, judged=290, kept=250))
    found = check()["metrics"]
    assert found.verdict is Verdict.OK
    assert "1,200 suggestions shown, 300 accepted" in found.detail
    assert "250 of 290 kept after 30 s" in found.detail
    assert str(path) in found.detail


def test_what_is_not_counted_is_said_to_be_off(tmp_path):
    settings = Settings(metrics=MetricsSettings(enabled=False))
    assert "metrics.enabled" in doctor._metrics(settings).detail


ALL = [
    "python", "packages", "device", "kernel", "backbone", "fim_tokens", "checkpoint", "repository",
    "watcher", "state_store", "adapter", "metrics",
]  # fmt: skip


def test_a_check_that_breaks_is_a_failure_with_a_hint_and_hides_no_other(check, monkeypatch):
    def broken(settings, folder):
        raise RuntimeError("a wheel came off")

    monkeypatch.setattr(doctor, "_watcher", broken)
    found = check()
    assert list(found) == ALL
    assert found["watcher"].verdict is Verdict.FAIL
    assert "a wheel came off" in found["watcher"].detail
    assert found["watcher"].hint
    assert found["state_store"].verdict is Verdict.OK


def test_a_damaged_tokenizer_and_a_manifest_without_hashes_are_failures_with_a_remedy(check, model):
    (model / "tokenizer.json").write_text('{"version": ')
    (model / "manifest.json").write_text("{}")
    found = check()
    assert list(found) == ALL
    for name, file in (("fim_tokens", "tokenizer.json"), ("backbone", "manifest.json")):
        assert found[name].verdict is Verdict.FAIL
        assert str(model / file) in found[name].detail
        assert "copy the model" in found[name].detail


def test_without_the_compiled_kernel_it_is_said_what_to_install(check, monkeypatch, tmp_path):
    monkeypatch.setattr(library, "_FOLDER", tmp_path)
    found = check()["kernel"]
    assert found.verdict is Verdict.WARN
    assert "not compiled" in found.detail
    assert "C compiler" in found.hint


def test_the_kernel_in_use_is_named_by_what_it_was_compiled_for(check, monkeypatch):
    monkeypatch.setattr(library, "_found", lambda: ("x86-64-v4", None))
    found = check()["kernel"]
    assert (found.verdict, found.detail) == (Verdict.OK, "compiled (x86-64-v4)")


def test_where_a_gpu_decodes_no_kernel_is_missed(monkeypatch):
    device = torch.device("cuda", 0), torch.bfloat16
    monkeypatch.setattr(model_loading, "choose_device", lambda settings: device)
    found = doctor._kernel(Settings())
    assert (found.verdict, found.detail) == (Verdict.SKIP, "not needed on cuda:0")


def test_without_torch_every_check_that_needs_it_says_so(repo, tmp_path):
    script = (
        "import sys; sys.modules['torch'] = None; from code2lora_lsp.cli import main; "
        "sys.exit(main(['--check', '--format', 'json']))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=repo.root, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    checks = {check["check_id"]: check for check in json.loads(done.stdout)["checks"]}
    assert list(checks) == ALL
    for name in ("device", "kernel", "backbone", "checkpoint", "state_store", "adapter"):
        assert checks[name]["verdict"] == "fail"
        assert "torch" in checks[name]["detail"]
        assert "pip install" in checks[name]["hint"]
    assert checks["repository"]["verdict"] == "ok"


@pytest.mark.parametrize(
    ("progress", "verdict", "words"),
    [
        (StoredProgress(0, 0, None), Verdict.OK, "up to date"),
        (StoredProgress(3, 3, "ab" * 20), Verdict.OK, "up to date"),
        (StoredProgress(1, 3, "ab" * 20), Verdict.OK, "2 of 3 commits behind"),
        (StoredProgress(0, 3, None), Verdict.SKIP, "3 commits to fold"),
        ("nobody can know", Verdict.SKIP, "nobody can know"),
    ],
)
def test_the_adapter_line_says_how_far_the_stored_states_are(
    check, monkeypatch, progress, verdict, words
):
    from code2lora_lsp.runtime import following

    monkeypatch.setattr(following, "stored_progress", lambda settings, folder: progress)
    found = check()["adapter"]
    assert found.verdict is verdict
    assert words in found.detail
