"""What the settings choose to follow with, and what is refused."""

import json
import shutil
from dataclasses import replace

import pytest

from code2lora_lsp.config import FollowSettings, ModelSettings, Settings, models_root
from code2lora_lsp.errors import ModelMismatch, ModelMissing
from code2lora_lsp.runtime.following import chosen, describe, load_following, stored_progress
from code2lora_lsp.runtime.ledger_folders import gate_files
from code2lora_lsp.runtime.ledger_models import LedgerModels
from code2lora_lsp.runtime.model_loading import load_model
from code2lora_lsp.runtime.models import FollowModels, StoredProgress
from tests.gitrepo import GitRepo


@pytest.fixture
def settings(tmp_path):
    return Settings(follow=FollowSettings(state_dir=str(tmp_path / "states")))


@pytest.fixture(scope="module")
def nano():
    return load_model(models_root() / "nano", ModelSettings(), lambda *_: None).backbone


def with_model(settings, **changes):
    return replace(settings, model=ModelSettings(**changes))


def test_the_shipped_ledger_is_the_default_and_fits_the_shipped_backbone(settings, nano):
    choice = chosen(settings)
    assert (choice.kind, choice.folder.name) == ("ledger", "nano-ledger")
    assert "300,332 tokens" in describe(settings, choice)
    assert isinstance(load_following(settings, nano, lambda: False), LedgerModels)


def test_the_papers_hypernetwork_stays_at_hand(settings, nano, tmp_path):
    asked = with_model(settings, hypernetwork="code2lora")
    assert chosen(asked).folder.name == "nano-evo"
    assert isinstance(load_following(asked, nano, lambda: False), FollowModels)
    named = with_model(settings, checkpoint=str(tmp_path))
    assert (chosen(named).kind, chosen(named).folder) == ("code2lora", tmp_path)
    both = with_model(settings, checkpoint=str(tmp_path), hypernetwork="ledger")
    assert chosen(both).kind == "ledger"


def test_nothing_is_chosen_where_following_or_the_checkpoint_is_off(settings):
    assert chosen(with_model(settings, checkpoint="off")) is None
    assert chosen(with_model(settings, checkpoint="off", hypernetwork="ledger")) is None
    assert chosen(replace(settings, follow=FollowSettings(enabled=False))) is None


@pytest.fixture
def copied(settings, tmp_path):
    """nano and its ledger in a folder of their own."""
    for name in ("nano", "nano-ledger"):
        shutil.copytree(models_root() / name, tmp_path / name)
    return with_model(settings, backbone=str(tmp_path / "nano"))


def test_a_backbone_without_statistics_or_checkpoint_is_followed_with_nothing(copied, tmp_path):
    assert chosen(copied).kind == "ledger"
    shutil.rmtree(tmp_path / "nano-ledger")
    assert chosen(copied) is None
    asked = replace(copied, model=replace(copied.model, hypernetwork="ledger"))
    with pytest.raises(ModelMissing, match="holds no ledger"):
        describe(asked, chosen(asked))


def test_a_gate_for_what_is_near_opens_nothing_alone(copied, tmp_path):
    folder = tmp_path / "nano-ledger"
    whole, near = gate_files(folder)
    assert (whole.name, near.name) == ("gate.json", "near-gate.json")
    near.rename(tmp_path / "away")
    with pytest.raises(ModelMissing, match=r"lacks near-gate\.json"):
        describe(copied, chosen(copied))
    assert gate_files(folder) == [whole]
    (tmp_path / "away").rename(near)
    whole.unlink()
    assert gate_files(folder) == []


def test_a_ledger_of_another_backbone_or_damaged_is_refused(copied, tmp_path):
    folder = tmp_path / "nano-ledger"
    population = folder / "population.safetensors"
    content = bytearray(population.read_bytes())
    content[-1] ^= 1
    population.write_bytes(content)
    with pytest.raises(ModelMismatch, match="differs from its hash"):
        describe(copied, chosen(copied))
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["backbone"]["fingerprint"] = "0" * 12
    (folder / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(ModelMismatch, match=r"for a backbone 0{12}.*code2lora-lsp calibrate"):
        describe(copied, chosen(copied))
    (folder / "manifest.json").write_text("{}")
    with pytest.raises(ModelMismatch, match="damaged"):
        describe(copied, chosen(copied))


def test_whether_head_is_stored_is_known_without_a_model(settings, nano, tmp_path):
    from code2lora_lsp.cancellation import Cancellation
    from code2lora_lsp.history.repository import Repository

    repo = GitRepo(tmp_path / "project")
    assert stored_progress(settings, repo.root) == "the branch has no commit yet"
    repo.commit("a.py", "x = 1\n")
    assert "not stored yet" in stored_progress(settings, repo.root)
    models = load_following(settings, nano, lambda: False)
    follower = models.follower(Repository.discover(repo.root))
    list(follower.run(repo.head, Cancellation(), lambda: None))
    assert stored_progress(settings, repo.root) == StoredProgress(1, 1, repo.head)
    without = replace(settings, follow=replace(settings.follow, exclude=("*.txt",)))
    assert "not stored yet" in stored_progress(without, repo.root)
