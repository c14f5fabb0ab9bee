"""What is said about a checkpoint, its encoder and its stored states before anything is loaded."""

from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

from code2lora_lsp.config import FollowSettings, ModelSettings, Settings
from code2lora_lsp.errors import ModelMismatch, ModelMissing
from code2lora_lsp.neural.code2lora.checkpoint import save_checkpoint
from code2lora_lsp.neural.encoders import TransformersEncoder
from code2lora_lsp.recipe import SOURCE_V1
from code2lora_lsp.runtime.model_folders import verify_backbone
from code2lora_lsp.runtime.models import (
    StoredProgress,
    describe_checkpoint,
    load_follow_models,
    stored_progress,
)
from tests.gitrepo import GitRepo
from tests.neural.tiny_code2lora import checkpoint
from tests.runtime.test_model_loading import write_model

EXTERNAL = "Qwen/Qwen3-Embedding-0.6B"


@pytest.fixture
def make_settings(tmp_path):
    """Settings with a tiny backbone and a checkpoint for it."""
    backbone = tmp_path / "backbone"
    backbone.mkdir()
    write_model(backbone)

    def make(kind="evo", trained_with="backbone", encoder="auto"):
        made = checkpoint(kind)
        manifest = replace(made.manifest, encoder=trained_with, recipe_id=SOURCE_V1.recipe_id)
        folder = tmp_path / "checkpoint"
        save_checkpoint(folder, replace(made, manifest=manifest))
        model = ModelSettings(backbone=str(backbone), checkpoint=str(folder), encoder=str(encoder))
        return Settings(model, follow=FollowSettings(state_dir=str(tmp_path / "states")))

    return make


def describe(settings, tmp_path):
    return describe_checkpoint(settings, tmp_path / "checkpoint")


def test_a_checkpoint_with_an_encoder_of_its_own_needs_that_encoder_s_folder(
    make_settings, tmp_path
):
    with pytest.raises(ModelMissing, match=f"{EXTERNAL}; set model.encoder"):
        describe(make_settings(trained_with=EXTERNAL), tmp_path)
    folder = tmp_path / "encoder"
    with pytest.raises(ModelMissing, match=r"needs a config\.json"):
        describe(make_settings(trained_with=EXTERNAL, encoder=folder), tmp_path)
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    found = describe(make_settings(trained_with=EXTERNAL, encoder=folder), tmp_path)
    assert f"encoder {folder}" in found


def test_a_backbone_that_cannot_embed_is_refused_with_a_checkpoint_that_needs_it_to(
    make_settings, tmp_path
):
    settings = make_settings()
    assert "encoder backbone" in describe(settings, tmp_path)
    write_model(tmp_path / "backbone", model_type="llama")
    with pytest.raises(ModelMismatch, match="Qwen2-family"):
        describe(settings, tmp_path)


def test_the_encoder_runs_on_the_backbone_s_device(make_settings, tmp_path, monkeypatch):
    folder = tmp_path / "encoder"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    asked = []

    def load(*arguments):
        asked.append(arguments)
        return SimpleNamespace(encoder_id="fake")

    monkeypatch.setattr(TransformersEncoder, "from_pretrained", load)
    backbone = SimpleNamespace(device=torch.device("meta"), check_fits=None)
    settings = make_settings(trained_with=EXTERNAL, encoder=folder)
    assert load_follow_models(settings, backbone, lambda: False) is not None
    assert asked == [(folder, torch.device("meta"))]


def test_stored_states_are_counted_where_the_key_can_be_computed(make_settings, tmp_path):
    repo = GitRepo(tmp_path / "project")
    assert stored_progress(make_settings(), repo.root) == "no commit touches source yet"
    repo.commit("one.py", "one = 1\n")
    assert stored_progress(make_settings(), repo.root) == StoredProgress(0, 0, None)
    repo.commit("two.py", "two = 2\n")
    assert stored_progress(make_settings(), repo.root) == StoredProgress(0, 1, None)


@pytest.mark.parametrize(
    ("kind", "trained_with", "words"),
    [("static", "backbone", "stores no states"), ("evo", EXTERNAL, f"{EXTERNAL} is loaded")],
)
def test_where_stored_states_cannot_be_counted_it_says_why(
    make_settings, tmp_path, kind, trained_with, words
):
    repo = GitRepo(tmp_path / "project")
    repo.commit("one.py", "one = 1\n")
    said = stored_progress(make_settings(kind, trained_with), repo.root)
    assert isinstance(said, str)
    assert words in said


@pytest.mark.parametrize("content", ["{}", "[]", "not json", '{"sha256": 1}'])
def test_a_manifest_without_hashes_is_a_mismatch_with_a_remedy(tmp_path, content):
    (tmp_path / "manifest.json").write_text(content)
    with pytest.raises(ModelMismatch, match="copy the model again"):
        verify_backbone(tmp_path)
