"""Our folders in peft, and peft's folders in ours: the same logits either way."""

import copy
from types import MappingProxyType

import peft
import pytest
import torch
import transformers

from code2lora_lsp.neural.lora import PROJECTION_NAMES, LoraAdapter, LoraPair, Projection
from code2lora_lsp.neural.peft_format import load_peft, save_peft

pytestmark = pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing. is deprecated")

TOLERANCE = 1e-4
N_LAYERS = 3
TOKENS = torch.tensor([[3, 1, 4, 1, 5, 9, 2, 6, 53, 58]])


def make_model():
    torch.manual_seed(0)
    config = transformers.Qwen2Config(
        vocab_size=64, hidden_size=32, intermediate_size=48, num_hidden_layers=N_LAYERS,
        num_attention_heads=4, num_key_value_heads=2, initializer_range=0.2,
    )  # fmt: skip
    return transformers.Qwen2ForCausalLM(config).eval()


@torch.no_grad()
def logits(model):
    return model(TOKENS).logits


@torch.no_grad()
def with_deltas(adapter):
    """Logits of a model whose weights had every ΔW = scale · BA added by hand."""
    model = make_model()
    for projection, pair in adapter.pairs.items():
        weight = model.get_submodule(projection.module_path).weight
        weight += adapter.scale * pair.b @ pair.a
    return logits(model)


def adapter(projections, rank=lambda projection: 4):
    model, pairs = make_model(), {}
    for seed, projection in enumerate(projections):
        n_out, n_in = model.get_submodule(projection.module_path).weight.shape
        torch.manual_seed(seed)
        r = rank(projection)
        pairs[projection] = LoraPair(torch.randn(r, n_in) * 0.2, torch.randn(n_out, r) * 0.2)
    return LoraAdapter(pairs, 2.0, "c" * 40)


GRID = [Projection(layer, name) for layer in range(N_LAYERS) for name in PROJECTION_NAMES]
ADAPTERS = MappingProxyType(
    {
        "every projection": adapter(GRID),
        "two projections": adapter([Projection(2, "v_proj"), Projection(0, "down_proj")]),
        "several ranks": adapter(GRID, rank=lambda p: 2 + p.layer + 3 * (p.name == "q_proj")),
    }
)


@pytest.mark.parametrize("name", ADAPTERS)
@pytest.mark.parametrize("merged", [False, True])
def test_peft_with_our_folder_gives_the_logits_of_added_deltas(tmp_path, name, merged):
    ours = ADAPTERS[name]
    save_peft(ours, tmp_path, "tiny")
    model = peft.PeftModel.from_pretrained(make_model(), tmp_path)
    if merged:
        model = model.merge_and_unload()
    expected = with_deltas(ours)
    assert (logits(make_model()) - expected).abs().max() > 0.1
    assert (logits(model) - expected).abs().max() <= TOLERANCE


SETTINGS = MappingProxyType(
    {
        "plain": {"target_modules": ["q_proj", "down_proj"]},
        "every linear map": {"target_modules": "all-linear"},
        "one layer": {"target_modules": ["up_proj"], "layers_to_transform": [1]},
        "rank stabilised": {"target_modules": ["o_proj"], "use_rslora": True},
        "patterns": {
            "target_modules": ["k_proj", "gate_proj"],
            "rank_pattern": {"k_proj": 2, r"layers\.2\.mlp\.gate_proj": 7},
            "alpha_pattern": {"model.layers.1.self_attn.k_proj": 3},
        },
        "patterns with rank stabilisation": {
            "target_modules": ["k_proj", "gate_proj"],
            "rank_pattern": {"k_proj": 2},
            "use_rslora": True,
        },
    }
)


@pytest.mark.parametrize("name", SETTINGS)
def test_what_peft_saved_is_loaded_with_the_same_effect(tmp_path, name):
    config = peft.LoraConfig(
        r=5, lora_alpha=9, task_type="CAUSAL_LM", **copy.deepcopy(SETTINGS[name])
    )
    model = peft.get_peft_model(make_model(), config).eval()
    torch.manual_seed(4)
    for key, parameter in model.named_parameters():
        if "lora_" in key:
            torch.nn.init.normal_(parameter, std=0.2)
    model.save_pretrained(tmp_path)
    loaded = load_peft(tmp_path)
    assert (logits(make_model()) - logits(model)).abs().max() > 0.1
    assert (with_deltas(loaded) - logits(model)).abs().max() <= TOLERANCE


def test_what_we_save_again_after_peft_has_the_same_effect(tmp_path):
    config = peft.LoraConfig(
        r=5, lora_alpha=9, target_modules=["q_proj"], rank_pattern={"0.self_attn.q_proj": 3}
    )
    model = peft.get_peft_model(make_model(), config).eval()
    for key, parameter in model.named_parameters():
        if "lora_" in key:
            torch.nn.init.normal_(parameter, std=0.2)
    model.save_pretrained(tmp_path / "theirs")
    save_peft(load_peft(tmp_path / "theirs"), tmp_path / "ours", "tiny")
    again = peft.PeftModel.from_pretrained(make_model(), tmp_path / "ours")
    assert (logits(again) - logits(model)).abs().max() <= TOLERANCE
