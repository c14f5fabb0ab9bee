import json

import pytest
import torch
from safetensors.torch import save_file

from code2lora_lsp.errors import ModelMismatch, ModelMissing
from code2lora_lsp.neural.weights import ROW_SCALE_SUFFIX, load_backbone_weights, quantise_rows
from code2lora_lsp.training.quantize import quantised, save_quantised


def test_quantisation_errs_by_at_most_half_a_step_of_each_row():
    torch.manual_seed(0)
    matrix = torch.randn(20, 64) * torch.logspace(-4, 2, 20)[:, None]
    values, scale = quantise_rows(matrix)
    assert values.dtype == torch.int8
    error = (values.float() * scale[:, None] - matrix).abs()
    assert (error <= 0.5001 * scale[:, None]).all()


def test_a_row_of_zeros_stays_zero():
    values, scale = quantise_rows(torch.zeros(2, 4))
    assert not values.any()
    assert torch.equal(scale, torch.ones(2))


def test_the_int8_format_comes_back_as_float32_under_the_same_names(tmp_path):
    weights = {"a.weight": torch.randn(8, 16), "norm.weight": torch.randn(16)}
    save_quantised(weights, tmp_path / "model.safetensors")
    loaded = load_backbone_weights(tmp_path)
    assert loaded.keys() == weights.keys()
    assert torch.equal(loaded["norm.weight"], weights["norm.weight"])
    assert loaded["a.weight"].dtype == torch.float32
    torch.testing.assert_close(loaded["a.weight"], weights["a.weight"], rtol=0, atol=0.02)


def test_an_ordinary_model_in_parts_is_read_as_it_is_stored(tmp_path):
    whole = {"a.weight": torch.randn(2, 2).bfloat16(), "b.weight": torch.randn(3)}
    for name, tensor in whole.items():
        save_file({name: tensor}, tmp_path / f"{name}.safetensors")
    index = {"weight_map": {name: f"{name}.safetensors" for name in whole}}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    loaded = load_backbone_weights(tmp_path)
    assert {n: t.dtype for n, t in loaded.items()} == {n: t.dtype for n, t in whole.items()}
    (tmp_path / "b.weight.safetensors").unlink()
    with pytest.raises(ModelMissing, match=r"b\.weight\.safetensors"):
        load_backbone_weights(tmp_path)


@pytest.mark.parametrize("tied", [True, False])
def test_the_head_is_left_out_exactly_when_the_embeddings_are_tied(tmp_path, tied):
    weights = {"lm_head.weight": torch.ones(2, 2), "model.embed_tokens.weight": torch.ones(2, 2)}
    save_file(weights, tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text(json.dumps({"tie_word_embeddings": tied}))
    assert ("lm_head.weight" in load_backbone_weights(tmp_path)) is not tied


def test_an_int8_matrix_without_its_scales_is_refused(tmp_path):
    stored = quantised({"a.weight": torch.randn(2, 2)})
    del stored["a.weight" + ROW_SCALE_SUFFIX]
    save_file(stored, tmp_path / "model.safetensors")
    with pytest.raises(ModelMismatch, match=r"a\.weight"):
        load_backbone_weights(tmp_path)


def test_a_damaged_file_is_refused(tmp_path):
    (tmp_path / "model.safetensors").write_bytes(b"nonsense")
    with pytest.raises(ModelMismatch, match="safetensors"):
        load_backbone_weights(tmp_path)
