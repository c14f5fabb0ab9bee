"""`code2lora-lsp --check`, on the embedded model and a real repository."""

import json


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


def test_marks_that_a_pipe_cannot_show_do_not_stop_the_check(run, tmp_path):
    done = run("--check", tmp_path, PYTHONIOENCODING="cp1252")
    assert done.returncode == 2
    assert "? repository" in done.stdout
    assert "checks in" in done.stdout
    assert "Traceback" not in done.stderr
