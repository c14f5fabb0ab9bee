import json
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file, save_file

from code2lora_lsp.errors import ModelMismatch, ModelMissing
from code2lora_lsp.neural.code2lora.checkpoint import (
    WEIGHTS_NAME,
    Code2LoraCheckpoint,
    file_sha256,
    load_checkpoint,
    save_checkpoint,
)
from code2lora_lsp.neural.code2lora.commit_gru import CommitGruConfig
from code2lora_lsp.neural.code2lora.manifest import MANIFEST_NAME, BackboneReference, read_manifest
from tests.neural.tiny_code2lora import checkpoint, manifest, random_head


def edit_manifest(folder, **changes):
    path = folder / MANIFEST_NAME
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


@pytest.fixture
def saved(tmp_path):
    save_checkpoint(tmp_path, checkpoint())
    return tmp_path


@pytest.mark.parametrize(("kind", "n_tasks"), [("evo", 0), ("evo", 2), ("static", 0)])
def test_a_checkpoint_comes_back_as_it_was_saved(tmp_path, kind, n_tasks):
    original = checkpoint(kind, n_tasks=n_tasks)
    written = save_checkpoint(tmp_path, original)
    loaded = load_checkpoint(tmp_path)
    assert loaded.manifest == written
    assert replace(written, weights_sha256="") == original.manifest
    for name in ("head", "gru"):
        before, after = getattr(original, name), getattr(loaded, name)
        assert (before is None) == (after is None)
        if before is not None:
            assert not after.training
            assert list(after.state_dict()) == list(before.state_dict())
            for key, tensor in before.state_dict().items():
                assert torch.equal(after.state_dict()[key], tensor), key


def test_weights_are_in_one_file_under_prefixes(saved):
    assert {key.split(".")[0] for key in load_file(saved / WEIGHTS_NAME)} == {"gru", "head"}
    assert sorted(p.name for p in saved.iterdir()) == [MANIFEST_NAME, WEIGHTS_NAME]


def test_half_precision_storage_is_read_as_float32(tmp_path):
    original = checkpoint()
    save_checkpoint(tmp_path, original, torch.float16)
    head = load_checkpoint(tmp_path).head
    assert {p.dtype for p in head.parameters()} == {torch.float32}
    expected = original.head.trunk[0].weight.half().float()
    assert torch.equal(head.trunk[0].weight, expected)


def test_a_loaded_checkpoint_can_be_trained_on_without_touching_the_file(saved):
    before = file_sha256(saved / WEIGHTS_NAME)
    head = load_checkpoint(saved).head
    optimizer = torch.optim.SGD(head.parameters(), lr=1.0)
    head(torch.randn(1, 20)).a["q_proj"].sum().backward()
    optimizer.step()
    assert not torch.equal(head.trunk[0].weight, checkpoint().head.trunk[0].weight)
    assert file_sha256(saved / WEIGHTS_NAME) == before


def test_the_checkpoint_id_changes_with_the_weights(tmp_path):
    save_checkpoint(tmp_path / "a", checkpoint())
    save_checkpoint(tmp_path / "b", checkpoint(seed=1))
    save_checkpoint(tmp_path / "c", checkpoint())
    first, second, third = (load_checkpoint(tmp_path / n).checkpoint_id for n in "abc")
    assert len(first) == 16
    assert first == third != second


def test_a_folder_without_a_checkpoint_says_how_published_files_come_in(tmp_path):
    with pytest.raises(ModelMissing, match="code2lora-lsp import"):
        load_checkpoint(tmp_path)


def test_absent_weights_are_missing(saved):
    (saved / WEIGHTS_NAME).unlink()
    with pytest.raises(ModelMissing, match=WEIGHTS_NAME):
        load_checkpoint(saved)


def test_changed_weights_are_refused_by_their_hash(saved):
    path = saved / WEIGHTS_NAME
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(ModelMismatch, match="SHA-256"):
        load_checkpoint(saved)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format": "code2lora-checkpoint/2"}, "update code2lora-lsp"),
        ({"recipe_id": "published-v2-000000000000"}, "recipe 'published-v2-000000000000'"),
        ({"kind": "other"}, "neither 'evo' nor 'static'"),
        ({"kind": "static"}, "commit grus"),
        ({"embedding_width": 13}, "gru.diff_width is 24"),
        ({"alpha": 0}, "positive"),
        ({"backbone": {"name": "tiny"}}, "damaged"),
        ({"alpha": "8"}, "damaged"),
        ({"surprise": 1}, "damaged"),
        ({"head": None}, "damaged"),
    ],
)
def test_a_manifest_that_does_not_hold_together_is_refused(saved, changes, message):
    edit_manifest(saved, **changes)
    with pytest.raises(ModelMismatch, match=message):
        load_checkpoint(saved)


@pytest.mark.parametrize("text", ["{", "[]", "3", ""])
def test_a_manifest_that_is_no_object_is_refused(saved, text):
    (saved / MANIFEST_NAME).write_text(text)
    with pytest.raises(ModelMismatch, match="not a JSON object"):
        read_manifest(saved)


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda t: t.pop("gru.output_norm.bias"), r"no gru\.output_norm\.bias"),
        (lambda t: t.update({"head.extra": torch.zeros(1)}), r"unexpected head\.extra"),
        (lambda t: t.update({"gru.output_norm.bias": torch.zeros(3)}), r"\[3\], not \[20\]"),
        (lambda t: t.update({"gru.output_norm.bias": torch.zeros(20).int()}), "int32"),
    ],
)
def test_weights_that_do_not_fit_the_manifest_are_named(saved, edit, message):
    tensors = load_file(saved / WEIGHTS_NAME)
    edit(tensors)
    save_file(tensors, saved / WEIGHTS_NAME)
    edit_manifest(saved, weights_sha256=file_sha256(saved / WEIGHTS_NAME))
    with pytest.raises(ModelMismatch, match=message):
        load_checkpoint(saved)


def test_nothing_is_written_when_modules_contradict_the_manifest(tmp_path):
    wrong = Code2LoraCheckpoint(manifest("static"), random_head(context_width=20))
    with pytest.raises(ModelMismatch, match=r"head\.trunk\.0\.weight"):
        save_checkpoint(tmp_path / "new", wrong)
    wrong = replace(manifest(), gru=CommitGruConfig(24, 24, 21))
    with pytest.raises(
        ModelMismatch, match=r"context_width is 20, the rest of the manifest says 21"
    ):
        save_checkpoint(tmp_path / "new", Code2LoraCheckpoint(wrong, random_head()))
    assert not (tmp_path / "new").exists()


def test_another_backbone_is_refused():
    fits = replace(manifest(), backbone=BackboneReference("tiny", 2, "abc"))
    fits.check_backbone(n_layers=2, fingerprint="abc")
    manifest().check_backbone(n_layers=2, fingerprint="anything")
    with pytest.raises(ModelMismatch, match="2 layers, the backbone has 3"):
        fits.check_backbone(n_layers=3, fingerprint="abc")
    with pytest.raises(ModelMismatch, match="tiny abc, the backbone is abd"):
        fits.check_backbone(n_layers=2, fingerprint="abd")
