"""``code2lora-lsp bench`` as a user runs it, on the embedded model and real repositories."""

import json
import sys

import pytest

from code2lora_lsp import cli
from code2lora_lsp.repopeftbench.identifiers import (
    IdentifierFrequency,
    count_repositories,
    embedded_table,
)
from code2lora_lsp.training.splits import Split, split_of
from tests.gitrepo import GitRepo

HELD_OUT = [n for n in (f"ada/r{i:03}" for i in range(90)) if split_of(n) is Split.VALIDATION][:2]

MODULE = """from {package}.store import {name}_store


class {title}Reader:
    def open_{name}_file(self, path):
        return {name}_store.lookup_{name}(path, retries_{name}=3)


def read_{name}_lines(reader, path):
    opened = reader.open_{name}_file(path)
    return opened.split_{name}_lines(keep_{name}=True)
"""
TEST = """from {package} import {name}_reader


def test_{name}():
    value = {name}_reader.count_{name}(4)
    assert value == {number}
    assert {name}_reader.label_{name} == "{name}"
"""


def a_clone(root, repository, words):
    """A repository whose every module uses names of its own."""
    clone = GitRepo(root / repository.replace("/", "+"))
    for number, word in enumerate(words):
        fill = {"package": "pkg", "name": word, "title": word.title(), "number": number}
        clone.commit({
            f"pkg/{word}_reader.py": MODULE.format(**fill),
            f"pkg/use_{word}.py": MODULE.format(**fill).replace("class ", "class Other"),
            f"tests/test_{word}.py": TEST.format(**fill),
        })  # fmt: skip
    return clone.root


def bench(*arguments):
    return cli.main(["bench", *map(str, arguments)])


@pytest.fixture(scope="module")
def items(tmp_path_factory):
    root = tmp_path_factory.mktemp("bench")
    clones = [
        a_clone(root, HELD_OUT[0], ["walrus", "badger", "heron", "marten", "weasel"]),
        a_clone(root, HELD_OUT[1], ["copper", "nickel", "cobalt", "chrome", "barium"]),
    ]
    table = root / "names.json"
    count_repositories([("x/y", "a.py", "import os\n")]).write(table)
    built = root / "items"
    options = ("--frequency", table, "--tasks", "knowledge,static", "--unfiltered", 1)
    assert bench("build", *clones, "--output", built, *options) == 0
    return built


@pytest.fixture(scope="module")
def answered(items):
    assert bench("run", items, "--arms", "backbone,bm25-3", "--most-items", 1) == 0
    return items


def test_bench_alone_explains_itself(capsys):
    assert bench() == 0
    shown = capsys.readouterr().out
    assert all(word in shown for word in ("bench build", "bench run", "bench report", "demand"))


def test_build_hands_its_options_to_the_builder(items):
    manifest = json.loads((items / "manifest.json").read_text())
    assert [one["repository"] for one in manifest["repositories"]] == HELD_OUT
    assert manifest["options"]["tasks"] == ["knowledge", "static"]


def test_without_a_table_the_shipped_one_says_which_names_are_common(tmp_path):
    clone = a_clone(tmp_path, HELD_OUT[0], ["walrus", "badger", "heron", "marten", "weasel"])
    options = ("--tasks", "static", "--output", tmp_path / "items")
    assert bench("build", clone, *options) == 0
    built = json.loads((tmp_path / "items/manifest.json").read_text())["options"]
    table = IdentifierFrequency.read(embedded_table())
    assert built["training_repositories"] == table.n_repositories > 100
    assert not table.is_rare("ABCMeta")
    assert table.is_rare("walrus_shelf")


def test_run_says_how_far_it_is_and_does_nothing_twice(answered, capsys):
    files = {path: path.stat().st_mtime_ns for path in answered.glob("run/answers/*/*.jsonl")}
    assert {path.parent.name for path in files} == {"backbone", "bm25-3"}
    assert bench("run", answered, "--arms", "backbone", "--most-items", 1) == 0
    assert "answers" not in capsys.readouterr().err
    assert all(path.stat().st_mtime_ns == at for path, at in files.items())


def test_other_items_into_the_same_run_are_refused(answered, capsys):
    assert bench("run", answered, "--arms", "backbone", "--most-items", 2) == 2
    assert "items_digest changed" in capsys.readouterr().err


def test_the_arms_are_listed_before_there_are_items(tmp_path, capsys):
    assert bench("run", tmp_path / "no-items", "--arms", "nothing") == 2
    assert "no arm 'nothing'; known are backbone, " in capsys.readouterr().err


@pytest.mark.parametrize("arms", ["backbone", "ledger/other:ada/r001"])
def test_without_items_it_is_said_how_to_build_them(tmp_path, capsys, arms):
    assert bench("run", tmp_path, "--arms", arms) == 2
    shown = capsys.readouterr().err
    assert str(tmp_path / "manifest.json") in shown
    assert "code2lora-lsp bench build" in shown


def test_report_writes_numbers_tables_and_pictures(answered, capsys):
    assert bench("report", answered) == 0
    assert "report.md" in capsys.readouterr().out
    run = answered / "run"
    figures = [json.loads(line) for line in (run / "results.jsonl").read_text().splitlines()]
    assert {f["arm"] for f in figures} == {"backbone", "bm25-3"}
    text = (run / "report.md").read_text()
    assert "| model | nano (" in text
    for line in text.splitlines():
        if line.startswith("!["):
            assert (run / line.partition("](")[2].rstrip(")")).is_file()
    assert "](exact-match-" in text


def test_demand_prints_its_verdict_as_the_exit_code(items, tmp_path, capsys):
    code = bench("demand", items, "--answers", tmp_path, "--tasks", "knowledge", "--most-items", 1)
    shown = capsys.readouterr().out
    assert ("FAILS" in shown, "holds" in shown) == (code == 1, code == 0)
    assert "| knowledge " in shown


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("run", "ITEMS", "--arms", "backbone,nothing"), "no arm 'nothing'; known are backbone"),
        (("run", "ITEMS", "--tasks", "singing"), "--tasks singing: these items have"),
        (("run", "ITEMS", "--arms", "backbone", "--crossed", "evo"), "--crossed: evo"),
        (("run", "NOWHERE"), "manifest"),
        (("report", "ITEMS", "--answers", "NOWHERE"), "holds no answers yet"),
        (("run", "ITEMS", "--set", "model.backbone=nothing-here"), "nothing-here"),
    ],
)
def test_a_wrong_call_is_one_clear_line(items, tmp_path, capsys, arguments, words):
    named = {"ITEMS": items, "NOWHERE": tmp_path / "nowhere"}
    assert bench(*(named.get(a, a) for a in arguments)) == 2
    assert words in capsys.readouterr().err


def test_report_without_matplotlib_names_the_extra(answered, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert bench("report", answered) == 2
    assert 'pip install "code2lora-lsp[bench]"' in capsys.readouterr().err
