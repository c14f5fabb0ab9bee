"""The decoder's promises that need no other library: shapes, buffers, caches, refusals."""

import hashlib
import itertools

import pytest
import torch

from code2lora_lsp.errors import AdapterRejected, ModelMismatch, ModelMissing, ShapeMismatch
from code2lora_lsp.neural.backbone import CHUNK_TOKENS
from code2lora_lsp.neural.decoder import Decoder
from code2lora_lsp.neural.decoder_config import decoder_config, read_config_json
from code2lora_lsp.neural.decoder_weights import HALF_MERGED
from code2lora_lsp.neural.lora import LoraAdapter, LoraPair, Projection
from code2lora_lsp.neural.sampling import GreedySampler
from code2lora_lsp.neural.session import DecodeSession
from tests.fakes import TINY, random_adapter, random_weights

torch.set_num_threads(1)

CONFIG = {
    "model_type": "qwen2", "vocab_size": 264, "hidden_size": 32, "intermediate_size": 64,
    "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2,
    "max_position_embeddings": 512,
}  # fmt: skip
PROMPT = list(range(20, 60))


@pytest.fixture(scope="module")
def decoder():
    return Decoder(TINY, random_weights(TINY))


def digest(weights):
    content = (tensor.numpy().tobytes() for tensor in weights.tensors())
    return hashlib.sha256(b"".join(content)).hexdigest()


def test_config_is_read_in_the_spelling_of_transformers_4_and_5():
    old = decoder_config({**CONFIG, "rope_theta": 5e5, "rope_scaling": None})
    new = decoder_config({**CONFIG, "rope_parameters": {"rope_theta": 5e5, "rope_type": "default"}})
    assert old == new
    assert (old.rope_theta, old.head_dim, old.rope_factor) == (5e5, 8, 1.0)
    linear = decoder_config({**CONFIG, "rope_scaling": {"type": "linear", "factor": 2}})
    assert linear.rope_factor == 2.0


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"model_type": "llama"}, "llama"),
        ({"use_sliding_window": True}, "qwen2"),
        ({"hidden_act": "gelu"}, "gelu"),
        ({"rope_scaling": {"type": "yarn", "factor": 4.0}}, "yarn"),
        ({"num_key_value_heads": 3}, "divide"),
        ({"hidden_size": None}, "config.json"),
    ],
)
def test_a_config_we_do_not_compute_is_refused_by_name(change, named):
    with pytest.raises(ModelMismatch, match=named):
        decoder_config({**CONFIG, **change})


def test_a_folder_without_a_config_says_so(tmp_path):
    with pytest.raises(ModelMissing, match=r"config\.json"):
        read_config_json(tmp_path)
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(ModelMismatch, match="not JSON"):
        read_config_json(tmp_path)


def test_weights_of_another_shape_are_refused_by_name():
    weights = random_weights(TINY)
    name = "model.layers.1.mlp.down_proj.weight"
    with pytest.raises(ModelMismatch, match=name):
        Decoder(TINY, {**weights, name: torch.zeros(3, 3)})
    del weights[name]
    with pytest.raises(ModelMismatch, match=f"lack {name}"):
        Decoder(TINY, weights)


def test_weights_with_nan_are_refused():
    weights = random_weights(TINY)
    weights["model.layers.0.self_attn.q_proj.weight"][1, 1] = float("nan")
    with pytest.raises(ModelMismatch, match="non-finite"):
        Decoder(TINY, weights)


def test_pristine_weights_are_bitwise_unchanged_after_a_thousand_adapters():
    decoder = Decoder(TINY, random_weights(TINY))
    before = digest(decoder.pristine)
    adapters = [random_adapter(seed=seed) for seed in range(20)]
    first = digest(decoder.merged(adapters[0]))
    assert first != before
    for turn in range(1000):
        decoder.merged(adapters[turn % 20])
    assert digest(decoder.pristine) == before
    assert digest(decoder.merged(adapters[0])) == first, "a merge depends on what came before it"
    assert decoder.merged(None) is decoder.pristine


def test_projections_an_adapter_leaves_out_are_pristine_after_a_full_one(decoder):
    decoder.merged(random_adapter())
    whole = random_adapter(seed=3)
    only = Projection(1, "k_proj")
    weights = decoder.merged(LoraAdapter({only: whole.pairs[only]}, scale=0.5))
    for layer, pristine in zip(weights.layers, decoder.pristine.layers, strict=True):
        changed = [
            not torch.equal(one, other)
            for one, other in zip(layer.matrices, pristine.matrices, strict=True)
        ]
        assert changed == [layer is weights.layers[1], False, False, False]
    rows = slice(TINY.query_width, TINY.query_width + TINY.kv_width)
    difference = weights.layers[1].qkv - decoder.pristine.layers[1].qkv
    assert torch.allclose(difference[rows], whole.pairs[only].delta(0.5), atol=1e-6)
    assert not difference[: rows.start].any()
    assert not difference[rows.stop :].any()


def test_an_adapter_that_does_not_fit_is_refused_and_the_bound_one_stays(decoder):
    session = DecodeSession(decoder, 128)
    good = random_adapter(seed=1)
    session.bind(good)
    session.feed(PROMPT, lambda: None)
    pair = LoraPair(torch.zeros(2, 31), torch.zeros(32, 2))
    for projection in (Projection(0, "q_proj"), Projection(7, "q_proj")):
        with pytest.raises(AdapterRejected, match=projection.module_path):
            session.bind(LoraAdapter({projection: pair}, scale=1.0))
    assert session.adapter_id == good.adapter_id
    assert session.tokens == tuple(PROMPT)


def test_binding_an_adapter_discards_the_kv_cache(decoder):
    session = DecodeSession(decoder, 128)
    plain = session.feed(PROMPT, lambda: None)
    adapter = random_adapter(seed=2)
    assert session.bind(adapter)
    assert session.tokens == ()
    adapted = session.feed(PROMPT, lambda: None)
    assert adapted.reused_tokens == 0
    assert not torch.allclose(adapted.logits, plain.logits, atol=1e-2)
    assert not session.bind(adapter), "the same adapter is no change"
    assert session.tokens == tuple(PROMPT)
    assert session.bind(None)
    back = session.feed(PROMPT, lambda: None)
    assert back.reused_tokens == 0
    assert torch.equal(back.logits, plain.logits)


def only(name, layer=TINY.n_layers - 1, seed=4):
    whole = random_adapter(seed=seed)
    projection = Projection(layer, name)
    return LoraAdapter({projection: whole.pairs[projection]}, scale=0.7)


@pytest.mark.parametrize("name", ["down_proj", "gate_proj", "o_proj", "q_proj"])
def test_behind_the_last_keys_and_values_an_adapter_keeps_the_cache_and_changes_the_logits(
    decoder, name
):
    session = DecodeSession(decoder, 128)
    plain = session.feed(PROMPT, lambda: None)
    for adapter in (only(name), only("down_proj", seed=5), None, only(name)):
        session.bind(adapter)
        kept = session.feed(PROMPT, lambda: None)
        assert kept.reused_tokens == len(PROMPT) - 1
        fresh = DecodeSession(decoder, 128)
        fresh.bind(adapter)
        assert torch.allclose(kept.logits, fresh.feed(PROMPT, lambda: None).logits, atol=1e-5)
    assert not torch.allclose(kept.logits, plain.logits, atol=1e-2)


@pytest.mark.parametrize(("name", "layer"), [("k_proj", 1), ("v_proj", 1), ("down_proj", 0)])
def test_an_adapter_that_reaches_keys_or_values_drops_the_cache(decoder, name, layer):
    session = DecodeSession(decoder, 128)
    session.bind(only("down_proj"))
    session.feed(PROMPT, lambda: None)
    session.bind(only(name, layer))
    assert session.tokens == ()
    session.feed(PROMPT, lambda: None)
    session.bind(only("down_proj"))
    assert session.tokens == ()


def test_a_cache_of_one_adapter_never_meets_the_weights_of_another(decoder):
    cache = decoder.new_cache(64)
    first = decoder.merged(random_adapter(seed=1))
    with pytest.raises(AssertionError, match="met weights"):
        decoder.prefill(PROMPT, cache, first)
    cache.rebind(first.adapter_id)
    decoder.prefill(PROMPT, cache, first)
    decoder.merged(random_adapter(seed=2))  # the one second buffer now holds this adapter
    with pytest.raises(AssertionError, match="met weights"):
        decoder.decode_one(1, cache, first)


def test_a_merge_that_breaks_half_way_leaves_the_plain_backbone_bound(decoder, monkeypatch):
    session = DecodeSession(decoder, 64)
    session.bind(random_adapter(seed=1))
    calls = []

    def break_later(*_):
        calls.append(1)
        if len(calls) == 5:
            raise MemoryError

    monkeypatch.setattr("code2lora_lsp.neural.decoder.merge_into", break_later)
    with pytest.raises(MemoryError):
        session.bind(random_adapter(seed=2))
    assert session.adapter_id is None
    assert decoder._second.adapter_id == HALF_MERGED
    monkeypatch.undo()
    plain = decoder.prefill(PROMPT, decoder.new_cache(64))
    assert torch.allclose(session.feed(PROMPT, lambda: None).logits, plain, atol=1e-5)
    assert session.bind(random_adapter(seed=1)), "the buffer is rebuilt, not trusted"


def test_a_cancelled_prefill_keeps_the_chunks_it_finished(decoder):
    session = DecodeSession(decoder, 512)
    prompt = [(5 * i) % 200 for i in range(3 * CHUNK_TOKENS + 10)]
    checks = []

    def stop_in_the_third_chunk():
        checks.append(len(session.tokens))
        if len(session.tokens) == 2 * CHUNK_TOKENS:
            raise InterruptedError

    with pytest.raises(InterruptedError):
        session.feed(prompt, stop_in_the_third_chunk)
    assert len(session.tokens) == 2 * CHUNK_TOKENS
    steps = [after - before for before, after in itertools.pairwise(checks)]
    assert max(steps) <= CHUNK_TOKENS
    fed = session.feed(prompt, lambda: None)
    assert fed.reused_tokens == 2 * CHUNK_TOKENS
    whole = decoder.prefill(prompt, decoder.new_cache(512))
    assert torch.allclose(fed.logits, whole, atol=1e-4)


def test_generated_tokens_stay_in_the_cache(decoder):
    session = DecodeSession(decoder, 128)
    session.feed(PROMPT, lambda: None)
    session.advance(99)
    assert session.feed([*PROMPT, 99, 98], lambda: None).reused_tokens == len(PROMPT) + 1


def test_a_full_cache_refuses_rather_than_overwrites(decoder):
    cache = decoder.new_cache(len(PROMPT))
    decoder.prefill(PROMPT, cache)
    with pytest.raises(ShapeMismatch, match="of a cache for 40"):
        decoder.decode_one(1, cache)
    with pytest.raises(ShapeMismatch):
        decoder.prefill([], cache)
    with pytest.raises(ShapeMismatch):
        cache.crop(41)
    with pytest.raises(ShapeMismatch):
        decoder.new_cache(TINY.max_positions + 1)


@pytest.mark.parametrize("shapes", [((3,), (3,)), ((1, 4), (1, 3)), ((1, 513), (1, 513))])
def test_hidden_states_refuse_other_shapes(decoder, shapes):
    ids, mask = (torch.ones(shape, dtype=torch.long) for shape in shapes)
    with pytest.raises(ShapeMismatch):
        decoder.hidden_states(ids, mask)


def test_memory_counts_the_second_buffer_once():
    decoder = Decoder(TINY, random_weights(TINY))
    plain = decoder.memory_bytes
    assert plain == sum(tensor.numel() * 4 for tensor in random_weights(TINY).values())
    decoder.merged(random_adapter())
    decoder.merged(random_adapter(seed=1))
    matrices = sum(t.numel() * 4 for layer in decoder.pristine.layers for t in layer.matrices)
    assert decoder.memory_bytes == plain + matrices


def test_bfloat16_merges_round_once():
    decoder = Decoder(TINY, random_weights(TINY), dtype=torch.bfloat16)
    adapter = random_adapter()
    merged = decoder.merged(adapter).layers[0].out
    pair = adapter.pairs[Projection(0, "o_proj")]
    exact = decoder.pristine.layers[0].out.float() + pair.delta(adapter.scale)
    assert torch.equal(merged, exact.to(torch.bfloat16))
    logits = decoder.prefill(PROMPT, decoder.new_cache(64))
    exact_logits = Decoder(TINY, random_weights(TINY)).prefill(PROMPT, decoder_cache())
    assert logits.dtype == torch.float32
    assert torch.nn.functional.cosine_similarity(logits, exact_logits, dim=0) > 0.98


def decoder_cache():
    return Decoder(TINY, random_weights(TINY)).new_cache(64)


def test_the_sampler_never_takes_a_banned_token_and_rescales_the_rest():
    logits = torch.tensor([0.0, 5.0, 2.0, 1.0])
    free = GreedySampler(4).pick(logits)
    assert free.token_id == 1
    assert free.log_probability == pytest.approx(float(torch.log_softmax(logits, 0)[1]), abs=1e-5)
    held = GreedySampler(4, banned={1, 9}).pick(logits)
    assert held.token_id == 2
    expected = torch.log_softmax(logits[[0, 2, 3]], 0)[1]
    assert held.log_probability == pytest.approx(float(expected), abs=1e-5)
    assert logits[1] == 5.0, "the argument is the decoder's"


def test_the_sampler_refuses_nan_and_other_shapes():
    with pytest.raises(ValueError, match="NaN"):
        GreedySampler(3).pick(torch.tensor([0.0, float("nan"), 1.0]))
    with pytest.raises(ShapeMismatch):
        GreedySampler(3).pick(torch.zeros(1, 3))
