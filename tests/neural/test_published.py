import argparse
import json
import os
import pathlib

import numpy as np
import pytest
import torch

from code2lora_lsp.errors import ModelMismatch, ModelMissing
from code2lora_lsp.neural.code2lora.checkpoint import load_checkpoint
from code2lora_lsp.neural.code2lora.manifest import MANIFEST_NAME
from code2lora_lsp.neural.code2lora.published import import_published
from code2lora_lsp.recipe import PUBLISHED_V2
from tests.neural.tiny_code2lora import GRU, TYPE_DIMS, random_gru, random_head

ARGUMENTS = {
    "alpha": 8.0,
    "model_name": "someone/tiny",
    "tasks": ["assert_rhs", "qa"],
    "lr": 5e-5,
    "save_every_eval": False,
}


def head_settings(n_tasks=0, context_width=20):
    return {
        "input_dim": context_width,
        "hidden_dim": 16,
        "rank": 4,
        "types": sorted(TYPE_DIMS),
        "type_dims": {name: list(dims) for name, dims in TYPE_DIMS.items()},
        "num_tasks": n_tasks,
        "task_dim": 6 if n_tasks else 0,
    }


def evo_content(n_tasks=0, **changes):
    content = {
        "gru_state": random_gru().state_dict(),
        "head_state": random_head(n_tasks=n_tasks).state_dict(),
        "head_config": head_settings(n_tasks),
        "gru_config": {"diff_input_dim": 24, "repo_state_dim": 24, "hidden_dim": 20},
        "type_dims": TYPE_DIMS,
        "args": ARGUMENTS,
        "per_step_input": "diff",
    }
    content.update(changes)
    return {key: value for key, value in content.items() if value is not None}


def static_content():
    return {
        "state_dict": random_head(context_width=24).state_dict(),
        "config": head_settings(context_width=24),
        "type_dims": TYPE_DIMS,
        "args": ARGUMENTS,
    }


def imported(tmp_path, content, **options):
    torch.save(content, tmp_path / "gru_head.best.pt")
    import_published(tmp_path / "gru_head.best.pt", tmp_path / "out", n_layers=2, **options)
    return load_checkpoint(tmp_path / "out")


def assert_same_weights(module, state):
    assert list(module.state_dict()) == list(state)
    assert all(torch.equal(module.state_dict()[key], tensor) for key, tensor in state.items())


@pytest.mark.parametrize("n_tasks", [0, 2])
def test_an_evo_file_becomes_a_checkpoint(tmp_path, n_tasks):
    content = evo_content(n_tasks)
    loaded = imported(tmp_path, content)
    assert_same_weights(loaded.head, content["head_state"])
    assert_same_weights(loaded.gru, content["gru_state"])
    manifest = loaded.manifest
    assert (manifest.kind, manifest.alpha, manifest.scale) == ("evo", 8.0, 2.0)
    assert (manifest.embedding_width, manifest.gru) == (12, GRU)
    assert (manifest.backbone.name, manifest.backbone.n_layers) == ("someone/tiny", 2)
    assert manifest.encoder == "Qwen/Qwen3-Embedding-0.6B"
    assert manifest.recipe == PUBLISHED_V2
    assert manifest.tasks == (("assert_rhs", "qa") if n_tasks else ())
    assert manifest.provenance["imported_from"] == "gru_head.best.pt"


def test_a_static_file_becomes_a_checkpoint(tmp_path):
    content = static_content()
    loaded = imported(tmp_path, content)
    assert loaded.gru is None
    assert loaded.manifest.kind == "static"
    assert_same_weights(loaded.head, content["state_dict"])


def test_what_an_old_file_leaves_out_gets_the_loader_s_defaults(tmp_path):
    old = head_settings()
    del old["num_tasks"], old["task_dim"], old["type_dims"], old["input_dim"]
    loaded = imported(
        tmp_path, evo_content(head_config=old, args=None, per_step_input=None, type_dims=None)
    )
    assert loaded.manifest.alpha == 32.0
    assert dict(loaded.manifest.head.type_dims) == TYPE_DIMS
    assert loaded.manifest.head.n_tasks == 0
    assert loaded.manifest.head.context_width == 20
    assert loaded.manifest.backbone.name == "Qwen/Qwen2.5-Coder-1.5B"


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_precisions_are_read_as_float32(tmp_path, dtype):
    state = {key: tensor.to(dtype) for key, tensor in random_head().state_dict().items()}
    loaded = imported(tmp_path, evo_content(head_state=state))
    assert_same_weights(loaded.head, {key: tensor.float() for key, tensor in state.items()})


def test_files_of_the_time_before_zip_archives_are_read(tmp_path):
    content = evo_content()
    path = tmp_path / "old.pt"
    torch.save(content, path, _use_new_zipfile_serialization=False)
    import_published(path, tmp_path / "out", n_layers=2)
    assert_same_weights(load_checkpoint(tmp_path / "out").gru, content["gru_state"])


@pytest.mark.parametrize(
    "arguments",
    [
        argparse.Namespace(alpha=8.0, output=pathlib.Path("runs") / "a"),
        {
            "alpha": np.float64(8.0),
            "seed": np.int64(3),
            "fast": np.bool_(True),
            "out": pathlib.PurePosixPath("a"),
        },
    ],
    ids=["namespace and path", "numpy numbers"],
)
def test_harmless_values_among_the_settings_are_read(tmp_path, arguments):
    loaded = imported(tmp_path, evo_content(args=arguments))
    assert loaded.manifest.alpha == 8.0
    manifest = json.loads((tmp_path / "out" / MANIFEST_NAME).read_text())
    assert manifest["provenance"]["arguments"].get("output", "runs/a") == "runs/a"


class Payload:
    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return os.mkdir, (str(self.marker),)


@pytest.mark.parametrize("zipped", [True, False])
def test_a_file_that_would_run_code_is_refused_unread(tmp_path, zipped):
    path, marker = tmp_path / "evil.pt", tmp_path / "ran"
    torch.save(evo_content(args=Payload(marker)), path, _use_new_zipfile_serialization=zipped)
    with pytest.raises(ModelMismatch, match=r"mkdir to be unpickled, which could run code"):
        import_published(path, tmp_path / "out", n_layers=2)
    assert not marker.exists()
    assert not (tmp_path / "out").exists()


def test_the_list_of_harmless_classes_is_left_as_it_was(tmp_path):
    before = set(torch.serialization.get_safe_globals())
    imported(tmp_path, evo_content())
    assert set(torch.serialization.get_safe_globals()) == before


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"hypernet_state_dict": {}, "hypernet_config": {}}, r"first-generation \(V1\)"),
        ({"model": {}, "step": 3}, r"holds \['model', 'step'\]"),
        ([1, 2], "holds a list"),
        (evo_content(per_step_input="concat"), "steps on 'concat'"),
        (evo_content(per_step_input=None, args={"per_step_input": "repo_state"}), "'repo_state'"),
        (evo_content(head_config={**head_settings(), "basis": 3}), r"unknown settings \['basis'\]"),
        (evo_content(head_config={**head_settings(), "rank": 8}), "weights do not fit"),
        (evo_content(gru_config={"hidden_dim": 20}), r"gru\.\w+ is|weights do not fit"),
        (evo_content(head_state={"trunk.0.weight": 3}), "something other than tensors"),
        (evo_content(args="--alpha 8"), "args is a str"),
        (
            evo_content(head_state=random_head(n_tasks=2).state_dict()),
            "unexpected head.task_embedding",
        ),
    ],
)
def test_a_file_we_do_not_understand_is_refused_with_what_was_seen(tmp_path, content, message):
    with pytest.raises(ModelMismatch, match=message):
        imported(tmp_path, content)
    assert not (tmp_path / "out").exists()


def test_an_unknown_backbone_needs_its_number_of_layers(tmp_path):
    path = tmp_path / "a.pt"
    torch.save(evo_content(), path)
    with pytest.raises(ModelMismatch, match="backbone someone/tiny, whose number of layers"):
        import_published(path, tmp_path / "out")


@pytest.mark.parametrize("content", [b"", b"not a pickle", b"PK\3\4 truncated"])
def test_a_damaged_file_is_refused(tmp_path, content):
    path = tmp_path / "a.pt"
    path.write_bytes(content)
    with pytest.raises(ModelMismatch, match="no PyTorch checkpoint"):
        import_published(path, tmp_path / "out")


def test_an_absent_file_is_missing(tmp_path):
    with pytest.raises(ModelMissing, match="download"):
        import_published(tmp_path / "a.pt", tmp_path / "out")
