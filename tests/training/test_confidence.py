"""The confidence gate's calibration: honest cursors, what counts as right, and the fit."""

import json
import math
import random

import pytest

from code2lora_lsp.config import ModelSettings, models_root
from code2lora_lsp.runtime.choosing import Draft
from code2lora_lsp.runtime.confidence import FILE, Calibration, load_calibration
from code2lora_lsp.runtime.model_loading import load_model
from code2lora_lsp.text.gap import Gap
from code2lora_lsp.training import confidence, confidence_rows
from code2lora_lsp.training.confidence_fit import curve, fit, is_right, point_at, samples_of
from code2lora_lsp.training.confidence_rows import (
    Row,
    RowPlan,
    collect_rows,
    read_rows,
    write_rows,
)
from tests.gitrepo import GitRepo


def row(text, p, target, name="owner/name", n_tokens=1):
    """A draft of some equally likely tokens, with the line break at its end."""
    ends = tuple(round(len(text) * (i + 1) / n_tokens) for i in range(n_tokens))
    return Row(name, Gap("x = ", "\n"), target, Draft(text, ends, (math.log(p),) * n_tokens))


@pytest.mark.parametrize(
    ("text", "target", "right"),
    [
        ("load(path)", "load(path)", True),
        ("load(", "load(path)", True),
        ("load", "load(path)", True),
        ("loa", "load(path)", False),
        ("load(path) + 1", "load(path)", False),
        ("save", "load(path)", False),
        ("", "load(path)", False),
    ],
)
def test_right_is_what_the_line_begins_with_up_to_a_word_s_end(text, target, right):
    assert is_right(text, target) is right


def test_the_fit_finds_how_often_such_suggestions_were_right():
    true, rng = Calibration(0.5, 1.4), random.Random(0)
    rows = [
        row("word", p, "word" if rng.random() < true.probability([math.log(p)] * n) else "other",
            n_tokens=n)
        for p in (0.2, 0.4, 0.6, 0.8, 0.95)
        for n in (1, 2, 4)
        for _ in range(200)
    ]  # fmt: skip
    found = fit(samples_of(rows))
    for p in (0.4, 0.6, 0.8):
        log_ps = [math.log(p)] * 2
        assert found.probability(log_ps) == pytest.approx(true.probability(log_ps), abs=0.05)


def test_surer_is_never_less_likely():
    rows = [row("word", p, "word" if p < 0.5 else "other") for p in (0.1, 0.3, 0.7, 0.9)]
    assert fit(samples_of(rows)).slope == 0.0


def test_the_curve_shows_less_and_is_right_more_often_as_the_threshold_rises():
    rows = [row("word", p, "word" if p > 0.5 else "other") for p in (0.1, 0.3, 0.7, 0.9)]
    points = curve(Calibration(1.0, 3.0), rows)
    shown, right = [p.shown for p in points], [p.right for p in points if p.shown]
    assert shown == sorted(shown, reverse=True)
    assert shown[0] == 1.0
    assert right[0] == 0.5
    assert right[-1] == 1.0


def test_a_point_counts_beginnings_and_whole_lines_apart():
    rows = [row("load(path)", 0.5, "load(name)", n_tokens=2), row("load", 0.9, "load")]
    found = point_at(Calibration(), rows, 0.3)
    assert (found.shown, found.right, found.whole) == (1.0, 1.0, 0.5)
    assert found.written == round((len("load(") + len("load")) / len("load(name)load"), 4)


def test_rows_are_read_as_they_were_written(tmp_path):
    rows = [row("wörd\n", 0.5, "wörd"), Row("a/b", Gap("", ""), "", Draft("", (), (None,)))]
    write_rows(tmp_path / "rows.jsonl", rows)
    assert read_rows(tmp_path / "rows.jsonl") == rows


def test_cursors_stand_in_files_the_knowledge_lacks_and_the_clone_stays_as_it_is(
    tmp_path, monkeypatch
):
    repo = GitRepo(tmp_path / "owner+name")
    for number in range(4):
        body = "".join(
            f"def f{number}_{i}(a):\n    return a + {number * 10 + i}\n\n\n" for i in range(9)
        )
        repo.commit(f"module_{number}.py", body)
    head, seen = repo.head, []
    monkeypatch.setattr(confidence_rows, "_hide_files", _spied(confidence_rows._hide_files, seen))
    model = load_model(models_root() / "nano", ModelSettings(), lambda *_: None)
    rows = collect_rows(model, repo.root, RowPlan(n_cursors=3, ledger_tokens=1024))
    (hidden,) = seen
    assert len(rows) == 3
    assert {one.repository for one in rows} == {"owner/name"}
    texts = [one.gap.before + one.target + one.gap.after for one in rows]
    assert set(texts) <= set(hidden.values())
    assert len(hidden) == 2
    assert repo.head == head
    assert all((repo.root / path).is_file() for path in hidden)


def _spied(function, seen):
    def called(*arguments):
        seen.append(function(*arguments))
        return seen[-1]

    return called


def test_the_command_fits_on_kept_rows_and_puts_the_curve_beside_the_model(
    tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr(confidence, "load_model", lambda *_: None)
    monkeypatch.setattr(confidence, "backbone_fingerprint", lambda _: "abc")
    (tmp_path / "model").mkdir()
    rows = [row("word", p, "word" if p > 0.5 else "other") for p in (0.1, 0.3, 0.6, 0.7, 0.9)]
    for name in ("owner+fit", "owner+test"):
        write_rows(tmp_path / f"{name}.jsonl", rows)
    arguments = [str(tmp_path), "--model", str(tmp_path / "model"), "--rows", str(tmp_path)]
    monkeypatch.setattr("sys.argv", ["", *arguments, "--fit", "owner/fit", "--test", "owner/test"])
    monkeypatch.setattr(confidence, "split_of", lambda _: None)
    confidence.main()
    assert "threshold" in capsys.readouterr().out
    raw = json.loads((tmp_path / "model" / FILE).read_text())
    assert raw["tested_on"] == {"repositories": ["owner/test"], "cursors": 5}
    assert [point["threshold"] for point in raw["curve"]][:2] == [0.0, 0.05]
    assert isinstance(load_calibration(tmp_path / "model", "abc"), Calibration)


@pytest.mark.parametrize(
    ("fitted", "tested"), [("same/name", "same/name"), ("made/up19", "same/name")]
)
def test_the_command_refuses_to_test_on_what_it_fits(monkeypatch, capsys, fitted, tested):
    monkeypatch.setattr("sys.argv", ["", "clones", "--fit", fitted, "--test", tested])
    with pytest.raises(SystemExit):
        confidence.main()
    assert fitted in capsys.readouterr().err
