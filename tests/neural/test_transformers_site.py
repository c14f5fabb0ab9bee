"""Which models of transformers a ledger can be written with, and that it reads them right."""

import threading

import pytest
import torch

from code2lora_lsp.errors import ModelMismatch, ShapeMismatch
from code2lora_lsp.neural.decoder import Decoder
from code2lora_lsp.neural.decoder_config import decoder_config
from code2lora_lsp.neural.ledger.readout import nats_with
from code2lora_lsp.neural.ledger.writes import write, written_projection
from code2lora_lsp.neural.lora import LoraAdapter, LoraPair
from code2lora_lsp.neural.transformers_decoder import TransformersDecoder

torch.set_num_threads(1)

HEADER = [7, 3, 9]
TEXT = [(7 * i * i + 3 * i) % 251 for i in range(60)]
SIZES = {
    "vocab_size": 264, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2,
    "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 8,
    "max_position_embeddings": 256,
}  # fmt: skip
WRITTEN = ("Llama", "Mistral", "Qwen2", "Qwen3")
REFUSED = {
    "Gemma": "no plain RMSNorm",
    "Starcoder2": r"one `mlp\.down_proj`",
    "Olmo2": "not added as it is",
    "Cohere": "no plain RMSNorm",
    "Granite": "not its head's",
    "Qwen3Moe": r"one `mlp\.down_proj`",
    "Phi": r"one `mlp\.down_proj`",
}
CHANGES = {"Granite": {"logits_scaling": 4.0}}


def made(family, **changes):
    import transformers

    torch.manual_seed(0)
    config = getattr(transformers, f"{family}Config")(**{**SIZES, **changes})
    model = getattr(transformers, f"{family}ForCausalLM")(config).eval()
    with torch.no_grad():  # zeros and ones would let a wrong equation pass
        for name, parameter in model.named_parameters():
            if "norm" in name:
                parameter.copy_(1.0 + 0.3 * torch.randn_like(parameter))
    return model


@pytest.mark.parametrize("family", ["Llama", "Mistral", "Qwen3"])
def test_errors_times_keys_are_minus_the_gradient_of_other_families_too(family):
    theirs = made(family)
    ours = TransformersDecoder(theirs)
    weight = theirs.get_submodule(written_projection(ours).module_path).weight
    ids = torch.tensor([[*HEADER, *TEXT]])
    logits = theirs(input_ids=ids).logits[0, len(HEADER) - 1 : -1]
    nats = torch.nn.functional.cross_entropy(logits, torch.tensor(TEXT), reduction="none")
    (gradient,) = torch.autograd.grad((2 / 3 * nats**1.5).sum(), weight)
    writes = write(ours, HEADER, TEXT)
    assert torch.allclose(writes.errors.T @ writes.keys, -gradient, atol=1e-4, rtol=1e-4)
    assert nats_with(ours, writes, None) == pytest.approx(nats.mean().item(), rel=1e-5)


def test_qwen2_writes_the_same_through_transformers_as_with_our_decoder():
    theirs = made("Qwen2", tie_word_embeddings=True)
    ours = Decoder(decoder_config(theirs.config.to_dict()), theirs.state_dict())
    one, other = write(TransformersDecoder(theirs), HEADER, TEXT), write(ours, HEADER, TEXT)
    assert torch.allclose(one.keys, other.keys, atol=1e-4)
    assert torch.allclose(one.errors, other.errors, atol=1e-4)
    assert torch.allclose(one.outputs, other.outputs, atol=1e-4)


def test_a_model_in_half_precision_writes_nearly_the_same():
    exact = write(TransformersDecoder(made("Llama")), HEADER, TEXT)
    rounded = write(TransformersDecoder(made("Llama").bfloat16()), HEADER, TEXT)
    assert rounded.errors.dtype == torch.float32
    cosines = torch.nn.functional.cosine_similarity(exact.errors, rounded.errors)
    assert cosines.mean() > 0.99


def test_a_trial_of_an_update_is_what_the_merged_model_says():
    ours = TransformersDecoder(made("Llama"))
    writes = write(ours, HEADER, TEXT)
    update = 0.01 * torch.randn(32, 48, generator=torch.Generator().manual_seed(1))
    adapter = LoraAdapter({written_projection(ours): LoraPair(a=update, b=torch.eye(32))}, 1.0)
    cache = ours.new_cache(200)
    cache.rebind(adapter.adapter_id)
    logits = ours.prefill([*HEADER, *TEXT[:-1]], cache, ours.merged(adapter))
    last = writes[-1:]
    expected = torch.nn.functional.cross_entropy(logits[None], last.next_ids)
    assert nats_with(ours, last, update) == pytest.approx(float(expected), rel=1e-4)


@pytest.mark.parametrize("family", REFUSED)
def test_a_model_that_computes_otherwise_is_refused_in_words(family):
    backbone = TransformersDecoder(made(family, **CHANGES.get(family, {})))
    with pytest.raises(ModelMismatch, match=REFUSED[family]):
        _ = backbone.ledger_site


@pytest.mark.parametrize("family", WRITTEN)
def test_no_list_of_families_decides_what_is_written(family):
    site = TransformersDecoder(made(family)).ledger_site
    assert (site.width, site.inner_width) == (32, 48)
    assert site.projection.module_path == "model.layers.1.mlp.down_proj"


def test_the_engine_may_decode_while_another_thread_reads():
    """Both run the same modules: what one sees is never the other's."""
    ours = TransformersDecoder(made("Llama"))
    expected = ours.last_layer(torch.tensor([TEXT]))
    stopped, failures = threading.Event(), []

    def decode():
        try:
            while not stopped.is_set():
                ours.prefill(HEADER, ours.new_cache(16))
        except Exception as error:  # noqa: BLE001
            failures.append(error)

    engine = threading.Thread(target=decode)
    engine.start()
    seen = [ours.last_layer(torch.tensor([TEXT])) for _ in range(60)]
    stopped.set()
    engine.join()
    assert not failures
    assert all(torch.equal(one.inner, expected.inner) for one in seen)
    assert all(torch.equal(one.output, expected.output) for one in seen)


def test_texts_that_do_not_fit_are_refused():
    ours = TransformersDecoder(made("Llama"))
    for ids in (torch.zeros(3, dtype=torch.int64), torch.zeros(1, 257, dtype=torch.int64)):
        with pytest.raises(ShapeMismatch, match="want"):
            ours.last_layer(ids)
