import json
import math

import pytest
import torch
from safetensors.torch import load_file, save_file

from code2lora_lsp.errors import AdapterRejected, ModelMismatch, ModelMissing
from code2lora_lsp.neural.lora import LoraAdapter, LoraPair, Projection
from code2lora_lsp.neural.peft_format import CONFIG_NAME, WEIGHTS_NAME, load_peft, save_peft


def pair(rank=4, n_in=6, n_out=5, seed=0):
    torch.manual_seed(seed)
    return LoraPair(torch.randn(rank, n_in) * 0.1, torch.randn(n_out, rank) * 0.1)


def adapter(scale=2.0, commit_id="c" * 40, ranks=(4, 4)):
    shared = pair()
    return LoraAdapter(
        {
            Projection(0, "q_proj"): shared,
            Projection(1, "q_proj"): shared,
            Projection(0, "up_proj"): pair(ranks[0], seed=1),
            Projection(1, "up_proj"): pair(ranks[1], seed=2),
        },
        scale,
        commit_id=commit_id,
    )


def edit_config(folder, **changes):
    path = folder / CONFIG_NAME
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def edit_weights(folder, edit):
    tensors = load_file(folder / WEIGHTS_NAME)
    edit(tensors)
    save_file(tensors, folder / WEIGHTS_NAME)


@pytest.fixture
def saved(tmp_path):
    save_peft(adapter(), tmp_path, "tiny")
    return tmp_path


@pytest.mark.parametrize(
    "original",
    [
        adapter(),
        adapter(scale=0.1),
        adapter(scale=1 / 3, commit_id=None, ranks=(3, 7)),
        LoraAdapter({Projection(3, "down_proj"): pair()}, 0.7, "x"),
    ],
    ids=["plain", "odd scale", "several ranks", "one projection"],
)
def test_an_adapter_comes_back_bitwise(tmp_path, original):
    save_peft(original, tmp_path, "tiny")
    loaded = load_peft(tmp_path)
    assert loaded.adapter_id == original.adapter_id
    assert (loaded.scale, loaded.commit_id) == (original.scale, original.commit_id)
    assert list(loaded.pairs) == list(original.pairs)
    for projection, expected in original.pairs.items():
        assert torch.equal(loaded.pairs[projection].a, expected.a)
        assert torch.equal(loaded.pairs[projection].b, expected.b)


def test_a_full_grid_names_projections_and_a_partial_one_names_modules(tmp_path):
    save_peft(adapter(), tmp_path, "tiny")
    assert json.loads((tmp_path / CONFIG_NAME).read_text())["target_modules"] == [
        "q_proj",
        "up_proj",
    ]
    save_peft(LoraAdapter({Projection(3, "down_proj"): pair()}, 1.0), tmp_path, "tiny")
    named = json.loads((tmp_path / CONFIG_NAME).read_text())["target_modules"]
    assert named == ["model.layers.3.mlp.down_proj"]


def test_other_files_in_the_folder_are_left_alone(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    save_peft(adapter(), tmp_path, "tiny")
    assert sorted(p.name for p in tmp_path.iterdir()) == [CONFIG_NAME, WEIGHTS_NAME, "notes.txt"]


def test_rank_stabilised_scaling_divides_by_the_root_of_the_rank(saved):
    edit_config(saved, use_rslora=True)
    loaded = load_peft(saved)
    assert loaded.scale == 8.0 / math.sqrt(4)
    assert torch.equal(loaded.pairs[Projection(0, "q_proj")].b, pair().b)


def test_a_projection_s_own_alpha_is_folded_into_its_b(saved):
    edit_config(saved, alpha_pattern={"layers.1.mlp.up_proj": 16.0})
    loaded = load_peft(saved)
    before, after = adapter().pairs, loaded.pairs
    changed = Projection(1, "up_proj")
    torch.testing.assert_close(after[changed].delta(loaded.scale), 2 * before[changed].delta(2.0))
    for projection in before.keys() - {changed}:
        assert torch.equal(after[projection].b, before[projection].b)


def test_an_edited_alpha_wins_over_the_scale_in_the_header(saved):
    edit_config(saved, lora_alpha=4)
    assert load_peft(saved).scale == 1.0


@pytest.mark.parametrize(
    "changes",
    [
        {"use_dora": True},
        {"bias": "lora_only"},
        {"modules_to_save": ["lm_head"]},
        {"fan_in_fan_out": True},
        {"lora_bias": True},
        {"init_lora_weights": "pissa"},
        {"layer_replication": [[0, 2]]},
        {"an_option_of_tomorrow": 1},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_more_than_plain_lora_is_refused_by_name(saved, changes):
    edit_config(saved, **changes)
    with pytest.raises(ModelMismatch, match=next(iter(changes))):
        load_peft(saved)


def test_another_method_is_refused(saved):
    edit_config(saved, peft_type="IA3")
    with pytest.raises(ModelMismatch, match="'IA3'"):
        load_peft(saved)


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda t: t.popitem(), "only one of lora_A and lora_B"),
        (lambda t: t.update({"base_model.model.lm_head.lora_A.weight": torch.zeros(1)}), "lm_head"),
        (
            lambda t: t.update(
                {"base_model.model.model.layers.0.mlp.fc1.lora_A.weight": torch.zeros(1)}
            ),
            "fc1",
        ),
        (lambda t: t.update({k: v.to(torch.int8) for k, v in t.items()}), "int8"),
    ],
)
def test_tensors_that_are_no_lora_of_a_decoder_are_refused(saved, edit, message):
    edit_weights(saved, edit)
    with pytest.raises(ModelMismatch, match=message):
        load_peft(saved)


def test_a_rank_that_contradicts_the_config_is_refused(saved):
    edit_config(saved, r=8)
    with pytest.raises(ModelMismatch, match="has rank 4, the config says 8"):
        load_peft(saved)


def test_non_finite_weights_are_rejected(saved):
    edit_weights(saved, lambda t: next(iter(t.values())).fill_(float("nan")))
    with pytest.raises(AdapterRejected, match="non-finite"):
        load_peft(saved)


def test_half_precision_weights_are_read_as_float32(saved):
    edit_weights(saved, lambda t: t.update({k: v.bfloat16() for k, v in t.items()}))
    loaded = load_peft(saved).pairs[Projection(0, "q_proj")]
    assert torch.equal(loaded.a, pair().a.bfloat16().float())


def test_an_empty_folder_and_a_pickled_adapter_are_missing(tmp_path, saved):
    with pytest.raises(ModelMissing, match=CONFIG_NAME):
        load_peft(tmp_path / "nowhere")
    (saved / WEIGHTS_NAME).rename(saved / "adapter_model.bin")
    with pytest.raises(ModelMissing, match="safe_serialization"):
        load_peft(saved)


@pytest.mark.parametrize(
    ("name", "message"), [(CONFIG_NAME, "not JSON"), (WEIGHTS_NAME, "damaged")]
)
def test_a_damaged_file_is_named(saved, name, message):
    (saved / name).write_bytes(b"\0\1")
    with pytest.raises(ModelMismatch, match=f"{name}.*{message}"):
        load_peft(saved)
