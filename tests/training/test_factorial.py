"""The factorial's command: one line per cell, the shared LoRA first, nothing computed twice."""

import json
import sys
from types import SimpleNamespace

import pytest

from code2lora_lsp.errors import ConfigError
from code2lora_lsp.training import factorial
from code2lora_lsp.training.evo import Parts
from code2lora_lsp.training.splits import Split
from tests.training.tiny_evo import CONFIG, adapted, timeline

TRAINED, ASKED = [timeline(seed) for seed in (1, 2, 3)], [timeline(seed) for seed in (4, 5)]


@pytest.fixture
def run(tmp_path, monkeypatch):
    """The command on tiny repositories: arguments → lines by file name."""
    reader = SimpleNamespace(tokenizer=SimpleNamespace(token_bytes=dict))
    monkeypatch.setattr(
        factorial, "load_parts", lambda *_: Parts(CONFIG, reader, adapted(), pad_id=0)
    )
    monkeypatch.setattr(factorial, "corpus_repositories", lambda _: {})
    monkeypatch.setattr(
        factorial,
        "load_timelines",
        lambda _, __, split, *___: TRAINED if split is Split.TRAIN else ASKED,
    )
    names = tmp_path / "names.json"
    names.write_text('{"repositories": {}}')
    out = tmp_path / "out"

    def command(*arguments):
        places = ["clones", "corpus", "nano", str(out), "--common-names", str(names)]
        asked = ["--validation", "owner/4", "owner/5", "--steps", "2", *arguments]
        monkeypatch.setattr(sys, "argv", ["factorial", *places, *asked])
        factorial.main()
        return {path.stem: json.loads(path.read_text()) for path in out.glob("*.json")}

    return command


def test_every_cell_leaves_a_line_that_says_what_it_was(run):
    lines = run("--seeds", "7")
    assert set(lines) == {f"{name}-7" for name in ("shared", *factorial.CELLS)}
    for name, cell in factorial.CELLS.items():
        line = lines[f"{name}-7"]
        assert factorial.Cell(**line["cell"]) == cell
        assert (line["name"], line["seed"], line["optimizer_steps"]) == (name, 7, 2)
        assert line["repositories"] == ["owner/4", "owner/5"]
        assert line["n_tokens"][0][0] == 6  # two items of three target tokens
        assert line["crossed"][0][0] == line["own"][0]
    assert lines["shared-7"]["none"] != lines["shared-7"]["own"]


def test_what_is_there_is_not_computed_again(run, monkeypatch):
    first = run("--cells", "published", "static")
    monkeypatch.setattr(factorial.Bench, "line", lambda *_: pytest.fail("computed again"))
    assert run("--cells", "published", "static") == first


def test_a_residual_cell_says_what_it_stands_on(run):
    with pytest.raises(ConfigError, match="run the cell 'shared' first"):
        run("--cells", "residual")


def test_cells_differ_from_the_published_one_by_one_repair_each():
    published = vars(factorial.CELLS["published"])
    changed = {
        name: {k for k, v in vars(cell).items() if v != published[k]}
        for name, cell in factorial.CELLS.items()
    }
    singles = {"whitened": "whitened", "residual": "residual", "contrast": "contrast"}
    for name, field in (singles | {"bptt": "n_bptt", "static": "static"}).items():
        assert changed[name] == {field}
    assert changed["repaired"] == {"whitened", "residual", "contrast", "n_bptt"}
    assert changed["static-repaired"] == {"static", "whitened", "residual", "contrast"}
