"""Statistics made of packages: whole or not at all, and found by the server."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from code2lora_lsp.cancellation import Cancellation
from code2lora_lsp.config import FollowSettings, ModelSettings, Settings
from code2lora_lsp.errors import ConfigError, ModelMismatch, ModelMissing
from code2lora_lsp.history.repository import Repository
from code2lora_lsp.neural.decoder import Decoder
from code2lora_lsp.neural.ledger.readout import nats_with
from code2lora_lsp.neural.ledger.writes import join
from code2lora_lsp.neural.sharp.gate import load_gate
from code2lora_lsp.neural.transformers_decoder import TransformersDecoder
from code2lora_lsp.runtime.block_writer import BlockWriter
from code2lora_lsp.runtime.calibration import calibrate
from code2lora_lsp.runtime.following import chosen, describe, load_following
from code2lora_lsp.runtime.ledger_folders import calibrated_folder, gate_files
from code2lora_lsp.runtime.ledger_models import read_ledger
from code2lora_lsp.runtime.model_folders import backbone_fingerprint
from code2lora_lsp.runtime.model_loading import load_model
from code2lora_lsp.runtime.sources import Sources
from code2lora_lsp.text.blocks import blocks_of
from tests.foreign_model import write_foreign
from tests.gitrepo import GitRepo
from tests.projects import module, pottery

torch.set_num_threads(1)

ROOT = Path(__file__).parents[2]
MODEL = ModelSettings(device="cpu", threads=1)
PACKAGES = [
    Sources("pottery", [*pottery()], pottery().get, "1.0"),
    Sources.of("tools", {f"tools/t{i}.py": module(f"tool{i}", 2) for i in range(24)}),
]


def ignored(*_):
    pass


@pytest.fixture(autouse=True)
def data_folder(tmp_path, monkeypatch):
    """Calibrated ledgers of this test alone."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))


@pytest.fixture(scope="module")
def llama(tmp_path_factory):
    return write_foreign(tmp_path_factory.mktemp("models") / "llama")


@pytest.fixture
def made(llama):
    return calibrate(llama, MODEL, PACKAGES, ignored, n_tokens=6_000)


def serving(llama, tmp_path, **changes):
    return Settings(
        model=replace(MODEL, backbone=str(llama), **changes),
        follow=FollowSettings(state_dir=str(tmp_path / "states")),
    )


def test_one_folder_holds_statistics_gate_and_what_they_are_of(made, llama):
    fingerprint = backbone_fingerprint(llama)
    population = read_ledger(made.folder, fingerprint)
    manifest = json.loads((made.folder / "manifest.json").read_text())
    assert made.folder == calibrated_folder(fingerprint)
    assert 6_000 <= population.n_tokens == made.n_tokens == manifest["n_tokens"]
    assert sorted(manifest["sha256"]) == ["gate.json", "near-gate.json", "population.safetensors"]
    assert manifest["projection"] == "model.layers.1.mlp.down_proj"
    one, other = manifest["packages"]
    assert (one["name"], one["version"], other["version"]) == ("pottery", "1.0", None)
    assert one["n_tokens"] + other["n_tokens"] == made.n_tokens
    assert [load_gate(path, fingerprint).backbone for path in gate_files(made.folder)] == [
        fingerprint, fingerprint,
    ]  # fmt: skip
    assert [json.loads(path.read_text())["fitted_on"] for path in gate_files(made.folder)] == (
        made.gates
    )
    whole, near = (gate["nats_per_token"] for gate in made.gates)
    assert near["mixed"] <= near["mixed with the whole table"] == whole["mixed"]
    assert whole["mixed"] < whole["backbone"]
    assert sorted(path.name for path in made.folder.parent.iterdir()) == [fingerprint]


def test_packages_too_small_for_a_gate_still_give_statistics(llama, tmp_path):
    made = calibrate(llama, MODEL, PACKAGES[:1], ignored, n_tokens=1_000, output=tmp_path / "o")
    assert made.gates == []
    assert sorted(path.name for path in made.folder.iterdir()) == [
        "manifest.json", "population.safetensors",
    ]  # fmt: skip


def test_the_server_finds_it_by_the_backbones_fingerprint_and_adapts(made, llama, tmp_path):
    settings = serving(llama, tmp_path)
    choice = chosen(settings)
    assert (choice.kind, choice.folder) == ("ledger", made.folder)
    assert f"{made.n_tokens:,} tokens" in describe(settings, choice)
    model = load_model(llama, MODEL, lambda *_: None)
    assert isinstance(model.backbone, TransformersDecoder)
    following = load_following(settings, model.backbone, lambda: False)
    repo = GitRepo(tmp_path / "project")
    repo.commit(pottery())
    follower = following.follower(Repository.discover(repo.root))
    *_, last = follower.run(repo.head, Cancellation(), lambda: None)
    adapter = last.knowledge().adapter
    assert adapter is not None
    assert last.knowledge().sharp is not None
    model.backbone.check_fits(adapter)


def observatory():
    """Another project with habits of its own."""
    lines = (
        "    sky_chart.mark_star(meridian, right_ascension={n})\n    return sky_chart.plates[{n}]\n"
    )
    files = {}
    for part in ("dome", "mirror", "lens", "tripod", "prism", "finder", "clock", "cellar"):
        functions = (
            f"def observe_{part}_{n}(sky_chart, meridian):\n" + lines.format(n=n) for n in range(8)
        )
        files[f"observatory/{part}.py"] = "import skychart\n\n\n" + "\n\n".join(functions)
    return files


def follow(models, files, root):
    repo = GitRepo(root)
    repo.commit(files)
    follower = models.follower(Repository.discover(repo.root))
    *_, last = follower.run(repo.head, Cancellation(), lambda: None)
    adapter = last.knowledge().adapter
    assert adapter is not None
    (pair,) = adapter.pairs.values()
    return pair.delta(adapter.scale)


def test_an_own_adapter_helps_hidden_files_far_more_than_another_s(tmp_path):
    """Qwen3, the whole way: calibrated on this package, followed by the server's own parts."""
    folder = write_foreign(tmp_path / "qwen3", "Qwen3", trained_on=own_sources().values())
    made = calibrate(folder, MODEL, [Sources.of("own", own_sources())], ignored, n_tokens=8_000)
    model = load_model(folder, MODEL, lambda *_: None)
    models = load_following(serving(folder, tmp_path), model.backbone, lambda: False)
    assert models.population.n_tokens == made.n_tokens
    writer = BlockWriter(model.backbone, model.tokenizer)
    updates, hidden = {}, {}
    for name, files in (("pottery", pottery()), ("observatory", observatory())):
        *known, last = sorted(files)
        updates[name] = follow(models, {path: files[path] for path in known}, tmp_path / name)
        hidden[name] = join([writer.writes(block) for block in blocks_of(last, files[last])])
    for name, other in (("pottery", "observatory"), ("observatory", "pottery")):
        plain, own, others = (
            nats_with(model.backbone, hidden[name], update)
            for update in (None, updates[name], updates[other])
        )
        seen = f"{name}: {plain:.3f}, own {own:.3f}, the other's {others:.3f}"
        assert own < plain - 0.5, seen
        assert plain - others < (plain - own) / 3, seen  # both are Python of one shape


def own_sources():
    """Path → source of a part of this package."""
    paths = sorted(ROOT.glob("code2lora_lsp/text/*.py"))
    return {path.relative_to(ROOT).as_posix(): path.read_text() for path in paths}


def test_a_model_of_qwen_coders_shape_runs_on_our_decoder(tmp_path):
    """Qwen2.5-Coder-0.5B sixteen times narrower: seven query heads to a key head, tied head."""
    coder = write_foreign(
        tmp_path / "coder", "Qwen2", hidden_size=56, intermediate_size=304, head_dim=4,
        num_attention_heads=14, num_key_value_heads=2, max_position_embeddings=2048,
    )  # fmt: skip
    made = calibrate(coder, MODEL, PACKAGES[:1], ignored, n_tokens=2_000)
    model = load_model(coder, MODEL, lambda *_: None)
    assert isinstance(model.backbone, Decoder)
    following = load_following(serving(coder, tmp_path), model.backbone, lambda: False)
    assert following.population.n_tokens == made.n_tokens
    assert following.population.keys.shape == (304, 304)


def test_without_it_a_foreign_backbone_is_followed_with_nothing(llama, tmp_path):
    assert chosen(serving(llama, tmp_path)) is None
    asked = serving(llama, tmp_path, hypernetwork="ledger")
    with pytest.raises(ModelMissing, match="code2lora-lsp calibrate"):
        describe(asked, chosen(asked))


def test_a_model_that_a_ledger_cannot_write_with_is_refused_before_anything_is_read(tmp_path):
    folder = write_foreign(tmp_path / "olmo", "Olmo2")
    unread = Sources("pottery", ["a.py"], lambda _: pytest.fail("was read"))
    with pytest.raises(ModelMismatch, match="not added as it is"):
        calibrate(folder, MODEL, [unread], ignored)
    assert not (tmp_path / "data").exists()


class Interrupted:
    """Presses Ctrl-C at the n-th report of a stage."""

    def __init__(self, stage, n):
        self.stage, self.n = stage, n

    def __call__(self, stage, n_done, n_wanted):
        self.n -= stage == self.stage
        if self.n == 0:
            raise KeyboardInterrupt


@pytest.mark.parametrize("stage", ["statistics", "gates of the sharp memory"])
def test_an_interrupted_run_leaves_nothing_and_an_earlier_one_whole(stage, llama, tmp_path):
    folder = tmp_path / "ledgers" / "llama"
    with pytest.raises(KeyboardInterrupt):
        calibrate(llama, MODEL, PACKAGES, Interrupted(stage, 1), n_tokens=2_000, output=folder)
    assert not folder.parent.exists() or not list(folder.parent.iterdir())
    first = calibrate(llama, MODEL, PACKAGES, ignored, n_tokens=2_000, output=folder)
    with pytest.raises(KeyboardInterrupt):
        calibrate(llama, MODEL, PACKAGES, Interrupted(stage, 1), n_tokens=3_000, output=folder)
    assert list(folder.parent.iterdir()) == [folder]
    assert read_ledger(folder, first.fingerprint).n_tokens == first.n_tokens
    again = calibrate(llama, MODEL, PACKAGES, ignored, n_tokens=3_000, output=folder)
    assert list(folder.parent.iterdir()) == [folder]
    assert read_ledger(folder, first.fingerprint).n_tokens == again.n_tokens != first.n_tokens


def test_a_folder_of_other_things_is_never_replaced(llama, tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(ConfigError, match="holds other files"):
        calibrate(llama, MODEL, PACKAGES, ignored, output=tmp_path)
    with pytest.raises(ConfigError, match="is a file"):
        calibrate(llama, MODEL, PACKAGES, ignored, output=tmp_path / "notes.txt")
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_too_few_tokens_or_nothing_to_read_are_refused(llama):
    with pytest.raises(ConfigError, match="too few"):
        calibrate(llama, MODEL, PACKAGES, ignored, n_tokens=10)
    with pytest.raises(ConfigError, match="--packages"):
        calibrate(llama, MODEL, [], ignored)
