"""The unigram cache: a proper mixture, and the commonest continuation."""

import math
from dataclasses import replace

import pytest
import torch

from code2lora_lsp.repopeftbench.arms.arm import Target
from code2lora_lsp.repopeftbench.arms.known_tree import KnownFile, KnownTree, read_known_tree
from code2lora_lsp.repopeftbench.arms.plain import BackboneArm
from code2lora_lsp.repopeftbench.arms.unigram_cache import (
    CacheMixer,
    UnigramCache,
    UnigramCacheArm,
)
from tests.repopeftbench.tiny_bench import garage_item


@pytest.fixture
def cache(scorer, tmp_path):
    text = "engine = engine + engine_room\nwheel = engine\nengine_room = for_wheel\n"
    tree = KnownTree(Target("a/b", tmp_path, "0" * 40), (KnownFile("a.py", text),))
    return UnigramCache(tree, scorer.model.tokenizer)


def test_names_are_counted_without_keywords(cache):
    assert cache.counts == {"engine": 3, "engine_room": 2, "wheel": 1, "for_wheel": 1}


def test_the_commonest_identifier_that_goes_on_is_the_answer(cache):
    assert cache.continuation("x = en") == "gine"
    assert cache.continuation("x = engine") == "_room"
    assert cache.continuation("x = ") == "engine"
    assert cache.continuation("self.wh") == "eel"
    assert cache.continuation("nobody") == ""
    assert cache.continuation("wheel") == ""


def test_votes_are_the_counts_of_what_goes_on(cache, scorer):
    encode = scorer.model.tokenizer.encode
    share, votes = cache.next_token("x = engine")
    assert share == pytest.approx(2 / 5)
    assert votes == {encode("_room")[0]: pytest.approx(1.0)}
    share, votes = cache.next_token("x = ")
    assert share == 1.0
    assert votes[encode("engine")[0]] >= 3 / 7
    assert math.fsum(votes.values()) == pytest.approx(1.0)
    assert cache.next_token("nobody") == (0.0, {})
    _, healed = cache.next_token("x.wh", ".wh")
    assert set(healed) == {encode(".wheel")[0]}


@pytest.mark.parametrize("before", ["x = ", "en", "engine", "nobody", "x.f"])
@pytest.mark.parametrize("weight", [0.0, 0.05, 0.5, 0.99])
def test_the_mixture_is_normalised_and_the_backbone_keeps_its_share(cache, before, weight):
    log_p = torch.randn(300, dtype=torch.float64).log_softmax(0)
    mixed = cache.mixed(log_p, before, weight)
    assert float(mixed.exp().sum()) == pytest.approx(1.0)
    share, votes = cache.next_token(before)
    silent = [token for token in range(300) if token not in votes]
    ratio = (mixed - log_p)[silent].exp()
    assert torch.allclose(ratio, torch.full_like(ratio, 1 - weight * share))


def test_every_step_of_an_answer_is_normalised_healing_included(scorer, garage):
    cache = UnigramCache(read_known_tree(garage), scorer.model.tokenizer)
    item = garage_item(garage, prefix="engine.ig", target="nite_sparkplug(14)", identifier="")
    prompt, sums = scorer.prompts.make(item), []

    class Watched(CacheMixer):
        def mixed(self, log_p, context):
            mixed = super().mixed(log_p, context)
            sums.append(float(mixed.exp().sum()))
            assert not torch.isinf(mixed).all()
            return mixed

    scorer.bind(None)
    found = scorer.answer(item, prompt, Watched(scorer, cache, item.prefix, prompt, 0.3))
    assert sums == pytest.approx([1.0] * len(sums))
    assert math.isfinite(found.target_nats)


def test_the_arm_answers_with_the_cache_and_gains_on_names_the_tree_repeats(scorer, garage):
    item = garage_item(garage, prefix="engine.ig", target="nite_sparkplug", suffix="")
    item = replace(item, identifier="")
    alone = BackboneArm(scorer).prepare(garage).answer([item])[0]
    cached = UnigramCacheArm(scorer, 0.3).prepare(garage).answer([item])[0]
    unused = UnigramCacheArm(scorer, 0.0).prepare(garage).answer([item])[0]
    assert cached.text == "nite_sparkplug"
    assert cached.target_nats < alone.target_nats - 1
    assert unused.token_nats == alone.token_nats


def test_a_cache_without_a_backbone_is_no_mixture(scorer):
    with pytest.raises(ValueError, match="must keep a share"):
        UnigramCacheArm(scorer, 1.0)
