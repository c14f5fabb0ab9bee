"""Our decoder against transformers and peft: the same numbers, the same greedy tokens."""

import copy

import pytest
import torch

from code2lora_lsp.neural.decoder import Decoder
from code2lora_lsp.neural.decoder_config import decoder_config
from code2lora_lsp.neural.few_tokens import TORCH
from code2lora_lsp.neural.sampling import GreedySampler
from code2lora_lsp.neural.session import DecodeSession
from code2lora_lsp.neural.transformers_decoder import TransformersDecoder
from tests.fakes import random_adapter, random_weights
from tests.neural.recorder import Recorder

torch.set_num_threads(1)

TOLERANCE = 1e-4
PROMPT = [(7 * i * i + 3 * i) % 251 for i in range(150)]
VARIANTS = {
    "untied": {},
    "tied": {"tie_word_embeddings": True},
    "linear rope": {
        "rope_parameters": {"rope_type": "linear", "factor": 4.0, "rope_theta": 10_000.0}
    },
    "large theta, one kv head": {
        "rope_parameters": {"rope_type": "default", "rope_theta": 1e6},
        "num_key_value_heads": 1,
    },
    "all heads": {"num_key_value_heads": 4},
}


def make_pair(**changes):
    """The same random weights in transformers and in our decoder."""
    from transformers import Qwen2Config, Qwen2ForCausalLM

    sizes = {
        "vocab_size": 264, "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 3,
        "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 256,
        "tie_word_embeddings": False,
    }  # fmt: skip
    theirs = Qwen2ForCausalLM(Qwen2Config(**{**sizes, **changes})).eval()
    config = decoder_config(theirs.config.to_dict())
    weights = random_weights(config)
    theirs.load_state_dict(weights, strict=not config.tied_embeddings)
    theirs.tie_weights()
    return theirs, Decoder(config, {name: tensor.clone() for name, tensor in weights.items()})


@torch.no_grad()
def their_logits(model, tokens):
    return model(input_ids=torch.tensor([tokens])).logits[0]


@torch.no_grad()
def their_greedy(model, tokens, n_tokens):
    tokens = list(tokens)
    for _ in range(n_tokens):
        tokens.append(int(their_logits(model, tokens)[-1].argmax()))
    return tokens[-n_tokens:]


def our_greedy(session, tokens, n_tokens):
    sampler = GreedySampler(session.backbone.vocabulary_size)
    found = [sampler.pick(session.feed(tokens, lambda: None).logits).token_id]
    while len(found) < n_tokens:
        found.append(sampler.pick(session.advance(found[-1])).token_id)
    return found


def merged_by_hand(model, adapter):
    copied = copy.deepcopy(model)
    for projection, pair in adapter.pairs.items():
        with torch.no_grad():
            linear = copied.get_submodule(projection.module_path)
            linear.weight += adapter.scale * pair.b @ pair.a
    return copied


def difference(first, second):
    return float((first - second).abs().max())


@pytest.mark.parametrize("variant", VARIANTS)
def test_logits_equal_those_of_transformers(variant):
    theirs, ours = make_pair(**VARIANTS[variant])
    expected = their_logits(theirs, PROMPT)
    assert difference(ours.prefill(PROMPT, ours.new_cache(200)), expected[-1]) <= TOLERANCE
    cache = ours.new_cache(200)
    for position, token in enumerate(PROMPT):
        assert difference(ours.decode_one(token, cache), expected[position]) <= TOLERANCE


@pytest.mark.parametrize("with_adapter", [False, True])
def test_greedy_tokens_equal_those_of_transformers(with_adapter):
    theirs, ours = make_pair()
    session = DecodeSession(ours, 256)
    if with_adapter:
        adapter = random_adapter(ours.config)
        plain = their_greedy(theirs, PROMPT, 24)
        theirs = merged_by_hand(theirs, adapter)
        session.bind(adapter)
    expected = their_greedy(theirs, PROMPT, 24)
    assert our_greedy(session, PROMPT, 24) == expected
    if with_adapter:
        assert expected != plain, "an adapter without effect would prove nothing"


def test_chunks_crops_and_reuse_leave_the_logits_as_they_were():
    theirs, ours = make_pair()
    session = DecodeSession(ours, 256)
    session.feed([*PROMPT[:90], 5, 6, 7], lambda: None)
    session.advance(9)
    fed = session.feed(PROMPT, lambda: None)
    assert fed.reused_tokens == 90
    assert difference(fed.logits, their_logits(theirs, PROMPT)[-1]) <= TOLERANCE
    again = session.feed(PROMPT[:40], lambda: None)
    assert again.reused_tokens == 39
    assert difference(again.logits, their_logits(theirs, PROMPT)[39]) <= TOLERANCE


def test_uneven_chunks_equal_one_pass():
    _, ours = make_pair()
    whole = ours.prefill(PROMPT, ours.new_cache(200))
    cache = ours.new_cache(200)
    for start, end in ((0, 1), (1, 64), (64, 149), (149, 150)):
        chunked = ours.prefill(PROMPT[start:end], cache)
    assert difference(chunked, whole) <= TOLERANCE


@pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing:FutureWarning")
def test_a_peft_adapter_gives_the_logits_of_ours_bound(tmp_path):
    import peft
    from safetensors.torch import save_file

    theirs, ours = make_pair()
    adapter = random_adapter(ours.config, scale=2.0 / 3, rank=3)
    names = sorted({projection.name for projection in adapter.pairs})
    peft.LoraConfig(r=3, lora_alpha=2, target_modules=names).save_pretrained(tmp_path)
    tensors = {}
    for projection, pair in adapter.pairs.items():
        stem = f"base_model.model.{projection.module_path}"
        tensors[f"{stem}.lora_A.weight"] = pair.a.clone()
        tensors[f"{stem}.lora_B.weight"] = pair.b.clone()
    save_file(tensors, tmp_path / "adapter_model.safetensors")
    expected_plain = their_logits(theirs, PROMPT)[-1]
    expected = their_logits(peft.PeftModel.from_pretrained(theirs, tmp_path).eval(), PROMPT)[-1]
    session = DecodeSession(ours, 200)
    session.bind(adapter)
    assert difference(session.feed(PROMPT, lambda: None).logits, expected) <= TOLERANCE
    assert difference(expected, expected_plain) > 0.1, "the adapter must matter"


@torch.no_grad()
def test_hidden_states_equal_the_final_norm_of_transformers_with_padding():
    theirs, ours = make_pair()
    ids = torch.tensor([PROMPT[:40], PROMPT[40:80]])
    mask = torch.ones_like(ids)
    mask[1, 25:] = 0
    expected = theirs.model(input_ids=ids, attention_mask=mask).last_hidden_state
    found = ours.hidden_states(ids, mask)
    assert difference(found[mask.bool()], expected[mask.bool()]) <= TOLERANCE
    assert torch.isfinite(found).all()
    assert not found.is_inference(), "heads are trained on these"


@torch.no_grad()
def test_hidden_states_ignore_a_bound_adapter():
    _, ours = make_pair()
    ids = torch.tensor([PROMPT[:30]])
    before = ours.hidden_states(ids, torch.ones_like(ids))
    DecodeSession(ours, 64).bind(random_adapter(ours.config))
    assert torch.equal(ours.hidden_states(ids, torch.ones_like(ids)), before)


def test_the_fallback_decodes_as_ours_does_with_and_without_adapter():
    theirs, ours = make_pair()
    sessions = DecodeSession(TransformersDecoder(theirs), 256), DecodeSession(ours, 256)
    adapters = random_adapter(ours.config), random_adapter(ours.config, seed=5), None
    answers = []
    for adapter in adapters:
        for session in sessions:
            session.bind(adapter)
        slow, fast = (our_greedy(session, PROMPT, 12) for session in sessions)
        assert slow == fast
        answers.append(fast)
        edited = [*PROMPT[:100], 1, 2, 3]
        slow_fed, fast_fed = (session.feed(edited, lambda: None) for session in sessions)
        assert slow_fed.reused_tokens == fast_fed.reused_tokens == 100
        assert difference(slow_fed.logits, fast_fed.logits) <= TOLERANCE
    assert answers[0] != answers[1] != answers[2] != answers[0]


def test_tokens_run_ahead_have_their_logits_in_every_backbone():
    theirs, ours = make_pair()
    replayed = Decoder(ours.config, theirs.state_dict())
    replayed.steps_through = TORCH
    assert replayed.capture(256, Recorder().record)
    expected = their_logits(theirs, PROMPT[:60])[50:]
    for backbone in (ours, replayed, TransformersDecoder(theirs)):
        cache = backbone.new_cache(256)
        backbone.prefill(PROMPT[:50], cache)
        rows = [
            *backbone.decode_ahead(PROMPT[50:58], cache),
            backbone.decode_one(PROMPT[58], cache),
        ]
        assert difference(torch.stack(rows), expected[:9]) <= TOLERANCE
        assert cache.tokens == PROMPT[:59]


def test_the_fallback_never_writes_its_pristine_weights_and_shares_the_rest():
    theirs, ours = make_pair()
    slow = TransformersDecoder(theirs)
    before = {name: p.detach().clone() for name, p in theirs.named_parameters()}
    plain_bytes = slow.memory_bytes
    for seed in range(5):
        slow.merged(random_adapter(ours.config, seed))
    for name, parameter in theirs.named_parameters():
        assert torch.equal(parameter, before[name]), name
    linear = sum(t.numel() * 4 for layer in ours.pristine.layers for t in layer.matrices)
    assert slow.memory_bytes == plain_bytes + linear


def test_the_fallback_embeds_as_ours_does():
    theirs, ours = make_pair()
    ids = torch.tensor([PROMPT[:30]])
    slow = TransformersDecoder(theirs).hidden_states(ids, torch.ones_like(ids))
    assert difference(slow, ours.hidden_states(ids, torch.ones_like(ids))) <= TOLERANCE
