"""`code2lora-lsp calibrate` as a user runs it."""

import json

import pytest

from code2lora_lsp import cli
from code2lora_lsp.runtime import calibration
from code2lora_lsp.runtime.ledger_models import read_ledger
from tests.foreign_model import write_foreign
from tests.projects import pottery


@pytest.fixture(scope="module")
def qwen3(tmp_path_factory):
    return write_foreign(tmp_path_factory.mktemp("models") / "qwen3", "Qwen3")


@pytest.fixture
def packages(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    for path, text in pottery().items():
        (tmp_path / "src" / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "src" / path).write_text(text)
    return tmp_path / "src"


def test_calibrate_writes_where_the_server_looks_and_check_then_names_it(qwen3, packages, capsys):
    asked = ["calibrate", "--backbone", str(qwen3), "--packages", str(packages)]
    assert cli.main([*asked, "--tokens", "1500"]) == 0
    said = capsys.readouterr()
    assert "of 2 packages for qwen3" in said.out
    assert "too little source for gates" in said.out
    assert "statistics: 1,500 to do" in said.err
    (folder,) = (packages.parent / "data" / "code2lora-lsp" / "ledgers").iterdir()
    assert f"written to {folder}" in said.out
    n_tokens = read_ledger(folder, folder.name).n_tokens
    cli.main(["--check", str(packages), "--format", "json", "--set", f"model.backbone={qwen3}"])
    findings = {one["check_id"]: one for one in json.loads(capsys.readouterr().out)["checks"]}
    assert f"statistics of {n_tokens:,} tokens" in findings["checkpoint"]["detail"]


def test_check_says_that_calibrate_would_make_what_is_missing(qwen3, packages, capsys):
    cli.main(["--check", str(packages), "--format", "json", "--set", f"model.backbone={qwen3}"])
    findings = {one["check_id"]: one for one in json.loads(capsys.readouterr().out)["checks"]}
    assert findings["checkpoint"]["verdict"] == "warn"
    assert "code2lora-lsp calibrate" in findings["checkpoint"]["hint"]


def test_what_was_made_is_told_to_programs(qwen3, packages, tmp_path, capsys):
    asked = ["calibrate", "--backbone", str(qwen3), "--packages", str(packages / "pottery")]
    out = tmp_path / "out"
    assert cli.main([*asked, "--tokens", "1000", "--output", str(out), "--format", "json"]) == 0
    made = json.loads(capsys.readouterr().out)
    assert (made["folder"], made["n_packages"]) == (str(out), 1)
    assert read_ledger(out, made["fingerprint"]).n_tokens == made["n_tokens"]


def test_ctrl_c_leaves_nothing(qwen3, packages, tmp_path, monkeypatch, capsys):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(calibration, "write_population", interrupted)
    asked = ["calibrate", "--backbone", str(qwen3), "--packages", str(packages)]
    assert cli.main(asked) == cli.EXIT_INTERRUPTED
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--packages", "absent"], "is no folder"),
        (["--backbone", "absent"], "neither a model folder nor one of"),
        (["--packages", "{src}", "--tokens", "7"], "too few"),
        (["--packages", "{src}", "--output", "{src}"], "holds other files"),
    ],
)
def test_a_wrong_call_is_one_clear_line(arguments, words, qwen3, packages, capsys):
    given = [argument.replace("{src}", str(packages)) for argument in arguments]
    backbone = [] if "--backbone" in given else ["--backbone", str(qwen3)]
    assert cli.main(["calibrate", *backbone, *given]) == cli.EXIT_BROKEN
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("code2lora-lsp: ")
    assert words in line
