"""Files written as upstream's trainers write them, imported: the same adapters as upstream's."""

import argparse
import json

import numpy as np
import pytest
import torch
import transformers
from c2l.config import C2LConfig
from c2l.core import Code2LoRAHead, CommitGRU
from c2l.export import build_peft_config, build_peft_state_dict
from c2l.pipeline import AdapterGenerator, GeneratedAdapter
from safetensors.torch import load_file

from code2lora_lsp.neural.code2lora.checkpoint import load_checkpoint
from code2lora_lsp.neural.code2lora.hypernetwork import Code2LoraEvo, Code2LoraStatic
from code2lora_lsp.neural.code2lora.published import import_published
from code2lora_lsp.neural.lora import Projection
from code2lora_lsp.neural.peft_format import CONFIG_NAME, WEIGHTS_NAME, load_peft, save_peft
from tests.neural.tiny_code2lora import TYPE_DIMS
from tests.parity.reference import TOLERANCE, largest_difference

N_LAYERS = 3
BACKBONE = "Qwen/Qwen2.5-Coder-1.5B"


def arguments(**changes):
    """What upstream's ``vars(args)`` holds, shortened."""
    namespace = argparse.Namespace(
        output_dir="runs/gru_v2", model_name=BACKBONE, target_modules=list(TYPE_DIMS), rank=4,
        alpha=8.0, tasks=["assert_rhs"], lr=5e-5, bptt_window=16, per_step_input="diff",
        eval_suites=["cr_val"], save_every_eval=False, seed=3407, device="cuda", **changes,
    )  # fmt: skip
    return vars(namespace)


def write_evo(path, n_tasks):
    torch.manual_seed(n_tasks)
    gru = CommitGRU(diff_input_dim=24, repo_state_dim=24, hidden_dim=20)
    head = Code2LoRAHead(
        input_dim=20, type_dims=TYPE_DIMS, hidden_dim=16, rank=4, num_tasks=n_tasks, task_dim=6
    )
    torch.save(
        {
            "gru_state": gru.state_dict(),
            "head_state": head.state_dict(),
            "head_config": head.config_dict(),
            "gru_config": {
                "diff_input_dim": gru.diff_input_dim,
                "repo_state_dim": gru.repo_state_dim,
                "hidden_dim": gru.hidden_dim,
            },
            "type_dims": head.type_dims,
            "args": arguments(),
            "per_step_input": "diff",
        },
        path,
    )


def reference_factors(path, snapshot, diffs, task_id):
    """Load with upstream's own loader, walk as its pipeline does."""
    generator = AdapterGenerator(C2LConfig(ckpt_path=str(path), offline=True, device="cpu"))
    generator.load()
    with torch.no_grad():
        state = generator._gru.init_hidden(snapshot.unsqueeze(0))
        for diff in diffs:
            state = generator._gru.step(diff.unsqueeze(0), state)
        context = generator._gru.output_norm(state[-1])
        return generator, generator._head(context, task_id=task_id)


@pytest.fixture(scope="module")
def backbone_folder(tmp_path_factory):
    """A Qwen2 config whose projections have the tiny type dimensions."""
    folder = tmp_path_factory.mktemp("backbone")
    transformers.Qwen2Config(
        vocab_size=64, hidden_size=32, intermediate_size=48, num_hidden_layers=N_LAYERS,
        num_attention_heads=4, num_key_value_heads=2,
    ).save_pretrained(folder)  # fmt: skip
    return folder


def generated(generator, theirs, base_model):
    """The reference's value of a finished adapter, ready for its export."""
    return GeneratedAdapter(
        repo_id="owner/name",
        task="assert_rhs",
        base_model=base_model,
        target_modules=list(generator._head.types),
        rank=generator._rank,
        alpha=generator._alpha,
        A={t: a[0].numpy().astype(np.float32) for t, a in theirs["A"].items()},
        B={t: b[0].numpy().astype(np.float32) for t, b in theirs["B"].items()},
        type_dims=dict(generator._type_dims),
    )


@pytest.mark.parametrize(("n_tasks", "task_id"), [(0, None), (2, 1)])
def test_an_imported_evo_file_gives_the_reference_s_adapter_and_export(
    tmp_path, backbone_folder, n_tasks, task_id
):
    path = tmp_path / "gru_head.best.pt"
    write_evo(path, n_tasks)
    torch.manual_seed(7)
    snapshot, diffs = torch.nn.functional.normalize(torch.randn(24), dim=0), torch.randn(6, 24)
    generator, theirs = reference_factors(path, snapshot, diffs, task_id)

    import_published(path, tmp_path / "out", n_layers=N_LAYERS)
    evo = Code2LoraEvo(load_checkpoint(tmp_path / "out"))
    state = evo.initial_state(snapshot)
    for diff in diffs:
        state = evo.step(diff, state)
    adapter = evo.adapter(state, "c" * 40, task_id)

    assert adapter.scale == generator._alpha / generator._rank
    for name in TYPE_DIMS:
        pair = adapter.pairs[Projection(N_LAYERS - 1, name)]
        assert largest_difference(pair.a, theirs["A"][name][0]) <= TOLERANCE
        assert largest_difference(pair.b, theirs["B"][name][0]) <= TOLERANCE

    exported = generated(generator, theirs, str(backbone_folder))
    save_peft(adapter, tmp_path / "peft", str(backbone_folder))
    ours, expected = load_file(tmp_path / "peft" / WEIGHTS_NAME), build_peft_state_dict(exported)
    assert set(ours) == set(expected)
    assert max(largest_difference(ours[key], expected[key]) for key in expected) <= TOLERANCE
    config = json.loads((tmp_path / "peft" / CONFIG_NAME).read_text())
    assert config == build_peft_config(exported)
    assert load_peft(tmp_path / "peft").adapter_id == adapter.adapter_id


def test_an_imported_static_file_gives_the_reference_s_adapter(tmp_path):
    torch.manual_seed(3)
    head = Code2LoRAHead(input_dim=24, type_dims=TYPE_DIMS, hidden_dim=16, rank=4)
    path = tmp_path / "head.best.pt"
    torch.save(
        {
            "state_dict": head.state_dict(),
            "config": head.config_dict(),
            "type_dims": head.type_dims,
            "args": arguments(),
        },
        path,
    )
    import_published(path, tmp_path / "out", n_layers=N_LAYERS)
    snapshot = torch.nn.functional.normalize(torch.randn(24), dim=0)
    adapter = Code2LoraStatic(load_checkpoint(tmp_path / "out")).adapter(snapshot, None)
    with torch.no_grad():
        theirs = head(snapshot.unsqueeze(0))
    for name in TYPE_DIMS:
        pair = adapter.pairs[Projection(0, name)]
        assert largest_difference(pair.a, theirs["A"][name][0]) <= TOLERANCE
        assert largest_difference(pair.b, theirs["B"][name][0]) <= TOLERANCE


def test_the_published_backbone_s_layers_are_known(tmp_path):
    with torch.device("meta"):
        head = Code2LoRAHead(input_dim=8, type_dims={"k_proj": (1536, 256)}, hidden_dim=4, rank=2)
    state = {key: torch.zeros(tensor.shape) for key, tensor in head.state_dict().items()}
    path = tmp_path / "head.best.pt"
    torch.save({"state_dict": state, "config": head.config_dict(), "args": arguments()}, path)
    backbone = import_published(path, tmp_path / "out").backbone
    assert (backbone.name, backbone.n_layers) == (BACKBONE, 28)
