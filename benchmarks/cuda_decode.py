"""Prefill and decode on a CUDA card beside transformers' generate and what the memory allows.

Usage: python benchmarks/cuda_decode.py [--rounds 7] [--prompt 512] [--new 64] [--out FILE]

The backbone has the exact shape of Qwen2.5-Coder-1.5B and random weights in bfloat16, made on the
card: how long a pass takes does not depend on the values. Nothing is downloaded. The ways take
turns in shuffled rounds, each with the same ids in:

  generate            transformers, greedy, with its dynamic cache
  eager, captured     ours, one kernel launched after the other, and as a CUDA graph
  … with adapter      the same with a rank 16 adapter of all seven linears bound

What is timed is what serving does: prompts in chunks, logits to the host for every token, the
sampler there. The floor is the bytes of all weights a token reads, by the bandwidth of a copy.
``--tiny --device cpu`` runs all of it with a few thousand weights and no capture, to see that it
does; its times mean nothing.
"""

import argparse
import gc
import json
import random
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

sys.path.insert(0, str(Path(__file__).parents[1]))

from code2lora_lsp.neural import cuda_graph
from code2lora_lsp.neural.decoder import Decoder
from code2lora_lsp.neural.decoder_config import DecoderConfig, decoder_config
from code2lora_lsp.neural.decoder_weights import projection_views
from code2lora_lsp.neural.fixed_passes import WIDTHS
from code2lora_lsp.neural.lora import LoraAdapter, LoraPair
from code2lora_lsp.neural.sampling import GreedySampler
from code2lora_lsp.neural.session import DecodeSession
from code2lora_lsp.runtime.cuda_tuning import tune_cuda

QWEN_1_5B = {
    "vocab_size": 151_936, "hidden_size": 1536, "intermediate_size": 8960,
    "num_hidden_layers": 28, "num_attention_heads": 12, "num_key_value_heads": 2,
    "max_position_embeddings": 32_768, "tie_word_embeddings": True, "rms_norm_eps": 1e-6,
    "rope_parameters": {"rope_type": "default", "rope_theta": 1e6},
}  # fmt: skip
TINY = {
    **QWEN_1_5B, "vocab_size": 512, "hidden_size": 48, "intermediate_size": 96,
    "num_hidden_layers": 2, "num_attention_heads": 6, "num_key_value_heads": 2,
    "max_position_embeddings": 1024,
}  # fmt: skip
RANK = 16
COPIED_BYTES = 1 << 30


@dataclass(frozen=True)
class Figure:
    """One way in one round; milliseconds."""

    way: str
    round: int
    prefill_ms: float
    token_ms: float
    equal_tokens: int


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--prompt", type=int, default=512)
    parser.add_argument("--new", type=int, default=64)
    parser.add_argument("--tiny", action="store_true", help="a few thousand weights")
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--out", type=Path, help="JSON lines go here too")
    arguments = parser.parse_args()
    if arguments.device == "cuda" and not torch.cuda.is_available():
        sys.exit("torch finds no CUDA card here; --tiny --device cpu runs the script without one")
    if arguments.device == "cpu" and not arguments.tiny:
        sys.exit("on a CPU only --tiny: 1.5 billion bfloat16 weights take minutes a token here")
    lines = measured(arguments)
    if arguments.out:
        arguments.out.write_text("".join(json.dumps(line) + "\n" for line in lines))


def measured(arguments: argparse.Namespace) -> list[dict[str, Any]]:
    device = torch.device(arguments.device)
    theirs, config = models(TINY if arguments.tiny else QWEN_1_5B, device)
    ways = Ways(theirs, config, arguments)
    bandwidth = copy_bandwidth(device, COPIED_BYTES if device.type == "cuda" else 1 << 20)
    facts: dict[str, Any] = {
        "device": torch.cuda.get_device_name() if device.type == "cuda" else "CPU, not captured",
        "torch": torch.__version__, "weights_gb": ways.token_bytes / 1e9,
        "copy_gb_per_s": bandwidth / 1e9, "floor_ms": 1000 * ways.token_bytes / bandwidth,
        "chunk_tokens": ways.decoder.chunk_tokens, "ahead_tokens": ways.decoder.ahead_tokens,
        **ways.facts(),
    }  # fmt: skip
    print(json.dumps(facts), flush=True)
    figures: list[Figure] = []
    chance = random.Random(0)
    for number in range(-1, arguments.rounds):  # the first does not count
        ids = [chance.randrange(config.vocabulary_size) for _ in range(arguments.prompt)]
        expected: list[int] = []
        for name in ("generate", *chance.sample(ways.names, len(ways.names))):
            prefill_s, decode_s, tokens = ways.run(name, ids)
            expected = expected or tokens
            equal = sum(1 for one, other in zip(tokens, expected, strict=True) if one == other)
            token_ms = 1000 * decode_s / (arguments.new - 1)
            figure = Figure(name, number, 1000 * prefill_s, token_ms, equal)
            if number >= 0:
                figures.append(figure)
                print(json.dumps(asdict(figure)), flush=True)
    print(table(figures, facts["floor_ms"]))
    return [facts, *map(asdict, figures)]


def models(sizes: dict[str, Any], device: torch.device) -> tuple[Any, DecoderConfig]:
    """Theirs with random weights, and the sizes of ours."""
    import transformers

    config = transformers.Qwen2Config(**sizes)
    torch.manual_seed(0)
    with device:
        dtype = torch.get_default_dtype()
        torch.set_default_dtype(torch.bfloat16)
        try:
            model = transformers.Qwen2ForCausalLM(config).eval()
        finally:
            torch.set_default_dtype(dtype)
    model.generation_config.pad_token_id = 0
    model.generation_config.eos_token_id = None
    return model, decoder_config(config.to_dict())


class Ways:
    """The ways to read a prompt and write tokens."""

    names = ("eager", "captured", "eager with adapter", "captured with adapter")

    def __init__(self, theirs: Any, config: DecoderConfig, arguments: argparse.Namespace) -> None:
        self._theirs, self._new = theirs, arguments.new
        self._device = torch.device(arguments.device)
        weights = theirs.state_dict()
        weights.pop("lm_head.weight", None)  # tied
        self.decoder = Decoder(config, weights, self._device, torch.bfloat16)
        self.token_bytes = self.decoder.memory_bytes  # the tied embedding is read once, as the head
        self._adapter = random_adapter(config, self.decoder)
        capacity = arguments.prompt + arguments.new
        record = cuda_graph.record if self._device.type == "cuda" else run_again
        self._capture_s = self._seconds(lambda: tune_cuda(self.decoder, capacity, record))
        self._captured = DecodeSession(self.decoder, capacity)
        # a cache for more tokens than were captured for decodes without
        self._eager = DecodeSession(self.decoder, capacity + 64)
        self._sampler = GreedySampler(config.vocabulary_size)

    def facts(self) -> dict[str, float]:
        """What happens once or seldom; milliseconds and gigabytes."""
        first_bind_s = self._seconds(lambda: self._captured.bind(self._adapter))
        self._captured.bind(None)
        other = LoraAdapter(self._adapter.pairs, scale=0.5)
        bind_s = self._seconds(lambda: self._captured.bind(other))
        self._captured.bind(None)
        found = {
            "capture_and_trial_ms": 1000 * self._capture_s, "first_bind_ms": 1000 * first_bind_s,
            "bind_ms": 1000 * bind_s, **{f"pass_of_{n}_ms": self._pass_ms(n) for n in WIDTHS},
        }  # fmt: skip
        if self._device.type == "cuda":
            found["peak_gb"] = torch.cuda.max_memory_allocated() / 1e9
        return found

    def run(self, name: str, ids: list[int]) -> tuple[float, float, list[int]]:
        """Seconds to the first token, seconds for the others, and all of them."""
        return self._generate(ids) if name == "generate" else self._ours(name, ids)

    def _ours(self, name: str, ids: list[int]) -> tuple[float, float, list[int]]:
        session = self._captured if name.startswith("captured") else self._eager
        other = self._eager if session is self._captured else self._captured
        other.bind(None)
        session.bind(self._adapter if name.endswith("adapter") else None)
        session.reset()
        gc.collect()
        started_s = time.perf_counter()
        logits = session.feed(ids, lambda: None).logits
        tokens = [self._sampler.pick(logits).token_id]
        first_s = time.perf_counter()
        while len(tokens) < self._new:
            tokens.append(self._sampler.pick(session.advance(tokens[-1])).token_id)
        return first_s - started_s, time.perf_counter() - first_s, tokens

    @torch.inference_mode()
    def _generate(self, ids: list[int]) -> tuple[float, float, list[int]]:
        prompt = torch.tensor([ids], device=self._device)

        def write(count: int) -> list[int]:
            found = self._theirs.generate(
                prompt, attention_mask=torch.ones_like(prompt), do_sample=False,
                max_new_tokens=count, min_new_tokens=count,
            )  # fmt: skip
            return found[0, len(ids) :].tolist()  # type: ignore[no-any-return]

        gc.collect()
        started_s = time.perf_counter()
        write(1)
        first_s = time.perf_counter()
        tokens = write(self._new)
        total_s = time.perf_counter() - first_s
        return first_s - started_s, total_s - (first_s - started_s), tokens

    def _pass_ms(self, n_tokens: int) -> float:
        """Median of captured passes, without sampling."""
        cache = self.decoder.new_cache(self._captured.capacity_tokens)
        self.decoder.prefill([0] * 64, cache)
        taken: list[float] = []
        for _ in range(20):
            cache.crop(64)
            started_s = time.perf_counter()
            self.decoder.decode_ahead([0] * n_tokens, cache)[0].cpu()  # waits for the card
            taken.append(time.perf_counter() - started_s)
        return 1000 * statistics.median(taken)

    def _seconds(self, run: Callable[[], object]) -> float:
        wait(self._device)
        started_s = time.perf_counter()
        run()
        wait(self._device)
        return time.perf_counter() - started_s


def run_again(work: Callable[[], None]) -> Callable[[], None]:
    """Stands in for a capture where there is no card."""
    work()
    return work


def random_adapter(config: DecoderConfig, decoder: Decoder) -> LoraAdapter:
    """Rank 16 over every projection, small enough to be one."""
    generator = torch.Generator().manual_seed(1)
    pairs = {
        projection: LoraPair(
            torch.randn(RANK, view.shape[1], generator=generator) * 0.02,
            torch.randn(view.shape[0], RANK, generator=generator) * 0.02,
        )
        for projection, view in projection_views(config, decoder.pristine).items()
    }
    return LoraAdapter(pairs, scale=1.0)


def copy_bandwidth(device: torch.device, n_bytes: int) -> float:
    """Bytes read and written in a second by the best of some copies."""
    source = torch.zeros(n_bytes, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    best_s = float("inf")
    for _ in range(10):
        wait(device)
        started_s = time.perf_counter()
        target.copy_(source)
        wait(device)
        best_s = min(best_s, time.perf_counter() - started_s)
    return 2 * n_bytes / best_s


def wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize()


def table(figures: list[Figure], floor_ms: float) -> str:
    """Medians, best in brackets."""
    names = list(dict.fromkeys(figure.way for figure in figures))
    rows = {name: [figure for figure in figures if figure.way == name] for name in names}
    theirs = statistics.median(figure.token_ms for figure in rows["generate"])
    lines = [
        "| way | prefill ms | [best] | ms per token | [best] | generate / it | by floor | equal |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name in sorted(names, key=("generate", *Ways.names).index):
        prefill = [figure.prefill_ms for figure in rows[name]]
        token = [figure.token_ms for figure in rows[name]]
        median = statistics.median(token)
        equal = f"{statistics.mean(figure.equal_tokens for figure in rows[name]):.1f}"
        if name.endswith("adapter"):
            equal = "another model"
        lines.append(
            f"| {name} | {statistics.median(prefill):.2f} | {min(prefill):.2f} | {median:.3f} | "
            f"{min(token):.3f} | {theirs / median:.2f}x | {median / floor_ms:.2f}x | {equal} |"
        )
    return "\n".join([*lines, f"floor: {floor_ms:.3f} ms per token"])


if __name__ == "__main__":
    main()
