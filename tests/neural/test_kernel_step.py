"""A few tokens through the compiled kernel are the same tokens through torch."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from code2lora_lsp.neural.decoder import Decoder
from code2lora_lsp.neural.few_tokens import KERNEL, TORCH
from code2lora_lsp.neural.kernel import library
from code2lora_lsp.neural.kernel.library import kernel_build, kernel_library
from code2lora_lsp.neural.lora import LoraAdapter
from tests.fakes import TINY, int8_weights, random_adapter, random_weights

torch.set_num_threads(1)

built = pytest.mark.skipif(kernel_library() is None, reason="the kernel was not built here")

TOLERANCE = 5e-3
"""Of logits around 10: activations have 15 to 16 bits in the kernel."""

PROMPT = [(7 * i * i + 3 * i) % 251 for i in range(90)]
ODD = replace(TINY, width=52, intermediate_width=70, head_dim=10)  # no multiples of a vector
SHAPES = {
    "grouped": TINY,
    "one key-value head": replace(TINY, n_kv_heads=1),
    "a key-value head each": replace(TINY, n_kv_heads=4),
    "tied": replace(TINY, tied_embeddings=True),
    "odd": replace(ODD, tied_embeddings=True),
}


def both(config, weights=None):
    """The same decoder twice: a few tokens in the kernel, and all in torch."""
    weights = weights or int8_weights(config)
    in_kernel, in_torch = Decoder(config, weights), Decoder(config, weights)
    in_kernel.steps_through, in_torch.steps_through = KERNEL, TORCH
    return in_kernel, in_torch


def logits_of(decoder, adapter=None, at_once=1):
    """After a prefill and after each few tokens behind it, [n, V]."""
    weights = decoder.merged(adapter)
    cache = decoder.new_cache(128)
    cache.rebind(weights.adapter_id)
    parts = [PROMPT[:60], *(PROMPT[at : at + at_once] for at in range(60, 90, at_once))]
    found = [decoder.prefill(part, cache, weights) for part in parts]
    return torch.stack(found)


@built
@pytest.mark.parametrize("at_once", [1, 10])
@pytest.mark.parametrize("shape", SHAPES)
def test_the_kernel_and_torch_have_the_same_logits_and_greedy_tokens(shape, at_once):
    kernel, in_torch = (logits_of(one, at_once=at_once) for one in both(SHAPES[shape]))
    assert float((kernel - in_torch).abs().max()) <= TOLERANCE
    assert torch.equal(kernel.argmax(-1), in_torch.argmax(-1))


@built
def test_the_kernel_reads_the_adapter_that_is_merged_now():
    kernel, in_torch = both(TINY)
    whole = random_adapter(seed=1)
    one = {place: pair for place, pair in whole.pairs.items() if place.name == "down_proj"}
    for adapter in (whole, None, LoraAdapter(one, 0.7), random_adapter(seed=2)):
        ours, theirs = logits_of(kernel, adapter), logits_of(in_torch, adapter)
        assert float((ours - theirs).abs().max()) <= TOLERANCE
    assert float((logits_of(kernel, whole) - logits_of(kernel)).abs().max()) > 0.1


@built
def test_what_the_kernel_wrote_to_the_cache_is_what_torch_writes():
    caches = []
    for decoder in both(TINY):
        cache = decoder.new_cache(64)
        for token in PROMPT[:40]:
            decoder.decode_one(token, cache)
        caches.append(cache)
    assert torch.allclose(caches[0].keys, caches[1].keys, atol=TOLERANCE)
    assert torch.allclose(caches[0].values, caches[1].values, atol=TOLERANCE)


@built
@pytest.mark.parametrize("factor", [0.0, 1e-20, 1e4])
def test_numbers_of_any_size_stay_finite_and_right(factor):
    weights = int8_weights(TINY)
    for name in list(weights):
        if "gate_proj" in name or "mlp" in name:
            weights[name] = weights[name] * factor
    kernel, in_torch = (logits_of(decoder) for decoder in both(TINY, weights))
    assert torch.isfinite(kernel).all()
    assert torch.allclose(kernel, in_torch, rtol=1e-3, atol=2e-2)


@built
@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_what_is_not_finite_in_the_cache_shows_in_the_logits(number):
    decoder = both(TINY)[0]
    cache = decoder.new_cache(64)
    decoder.prefill(PROMPT[:40], cache)
    cache.keys[0, 0, 3] = number
    assert not torch.isfinite(decoder.decode_one(5, cache)).all()


@built
def test_keys_that_lie_in_pieces_are_refused():
    decoder = both(TINY)[0]
    cache = decoder.new_cache(64)
    cache.keys = torch.zeros(2, 2, 128, 8)[:, :, :64]
    with pytest.raises(AssertionError, match="one piece"):
        decoder.decode_one(5, cache)


@built
@pytest.mark.parametrize("path", sorted(library._FOLDER.glob(f"*.{sys.platform}.*.so")), ids=str)
def test_every_build_that_runs_here_has_the_same_logits(monkeypatch, path):
    """Not only the fastest, which the other tests run."""
    build = path.name.removeprefix(f"decode_step.{sys.platform}.").removesuffix(".so")
    if build not in library._builds():
        pytest.skip("another processor's")
    monkeypatch.setattr(library, "_builds", lambda: (build,))
    kernel_library.cache_clear()
    try:
        assert kernel_library()._name == str(path)
        assert kernel_build() == build
        kernel, in_torch = (logits_of(one) for one in both(SHAPES["odd"]))
    finally:
        kernel_library.cache_clear()
    assert float((kernel - in_torch).abs().max()) <= TOLERANCE


def test_weights_that_would_be_rounded_are_not_offered_to_the_kernel():
    assert KERNEL not in Decoder(TINY, random_weights(TINY)).step_ways


@built
def test_a_shape_with_a_rest_of_rows_is_not_offered_to_the_kernel():
    config = replace(TINY, vocabulary_size=263)
    assert KERNEL not in Decoder(config, int8_weights(config)).step_ways


def test_without_a_build_for_this_processor_there_is_no_kernel(monkeypatch, tmp_path):
    monkeypatch.setattr(library, "_FOLDER", tmp_path)
    kernel_library.cache_clear()
    try:
        assert kernel_library() is None
        assert KERNEL not in Decoder(TINY, int8_weights(TINY)).step_ways
    finally:
        kernel_library.cache_clear()


@built
@pytest.mark.parametrize("content", ["older", "no library"])
def test_a_build_that_cannot_be_trusted_is_left_alone_with_a_warning(
    monkeypatch, tmp_path, caplog, content
):
    found = Path(kernel_library()._name)
    whole = found.read_bytes() if content == "older" else b"\x7fELF and nothing else"
    (tmp_path / found.name).write_bytes(whole)
    monkeypatch.setattr(library, "_FOLDER", tmp_path)
    monkeypatch.setattr(library, "VERSION", library.VERSION + 1)
    kernel_library.cache_clear()
    try:
        assert kernel_library() is None
        assert found.name in caplog.text
    finally:
        kernel_library.cache_clear()


def test_installing_without_a_compiler_only_loses_the_kernel(tmp_path):
    """As ``pip install`` builds it, with a compiler that is not there."""
    environment = {**os.environ, "CC": str(tmp_path / "no-such-compiler")}
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    root = Path(__file__).parents[2]
    done = subprocess.run(
        build, check=False, cwd=root, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert "no-such-compiler" in done.stdout + done.stderr
    assert list(tmp_path.glob("code2lora_lsp-*-py3-none-any.whl"))
