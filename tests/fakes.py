"""Stand-ins: a byte tokenizer, a decoder with planted logits, a clock, tiny random models."""

import threading
from collections.abc import Callable, Sequence

import torch

from code2lora_lsp.neural.decoder_config import DecoderConfig
from code2lora_lsp.neural.lora import LoraAdapter, LoraPair, Projection
from code2lora_lsp.text.tokenizer import FimTokens

FIM = FimTokens(prefix=1, middle=2, suffix=3, end_of_text=0, pad=4, file_sep=6, repo_name=5)
FIRST_BYTE = 8
TINY = DecoderConfig(
    vocabulary_size=264, width=32, intermediate_width=64, n_layers=2, n_heads=4, n_kv_heads=2,
    head_dim=8, max_positions=512,
)  # fmt: skip


class ByteTokenizer:
    """One token per UTF-8 byte; ids 0 to 7 are special."""

    name = "bytes"
    vocabulary_size = 256 + FIRST_BYTE

    def encode(self, text: str) -> list[int]:
        return [byte + FIRST_BYTE for byte in text.encode()]

    def decode(self, token_ids: Sequence[int]) -> str:
        plain = bytes(token - FIRST_BYTE for token in token_ids if token >= FIRST_BYTE)
        return plain.decode("utf-8", "replace")

    def last_piece(self, text: str) -> str:
        return ""  # one byte a token: nothing to take back

    def token_bytes(self) -> dict[int, bytes]:
        return {byte + FIRST_BYTE: bytes([byte]) for byte in range(256)}

    def special_ids(self) -> frozenset[int]:
        return frozenset(range(FIRST_BYTE))

    def fim_tokens(self) -> FimTokens:
        return FIM


class PlantedWeights:
    def __init__(self, adapter_id: str | None) -> None:
        self.adapter_id = adapter_id


class PlantedCache:
    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.tokens: list[int] = []
        self.adapter_id: str | None = None

    def crop(self, length: int) -> None:
        del self.tokens[length:]

    def rebind(self, adapter_id: str | None, *, keeps_tokens: bool = False) -> None:
        if not keeps_tokens:
            self.tokens.clear()
        self.adapter_id = adapter_id


class PlantedDecoder:
    """Satisfies ``Backbone``: continues a prompt with the bytes of ``answer`` and records calls.

    ``answer(adapter_id)`` is the middle to write; what of it was written already is seen from the
    tokens after the FIM middle marker and ``typed`` (the prefix of the prompt). ``before_step`` is
    called at the start of every forward pass, on the engine's thread.
    """

    device = torch.device("cpu")
    dtype = torch.float32
    vocabulary_size = 256 + FIRST_BYTE
    max_positions = 4096
    memory_bytes = 1234
    chunk_tokens = 64
    ahead_tokens = 0

    def __init__(self, answer: Callable[[str | None], str] | str = "answer\n") -> None:
        self.answer = answer if callable(answer) else lambda _: answer
        self.before_step: Callable[[], None] = lambda: None
        self.passes: list[tuple[str | None, int]] = []
        self.threads: set[int] = set()
        self.peak = 12.0
        self.rejected: set[str] = set()
        self._prompt_length = 0

    def new_cache(self, capacity: int) -> PlantedCache:
        return PlantedCache(capacity)

    def check_fits(self, adapter: LoraAdapter) -> None:
        from code2lora_lsp.errors import AdapterRejected

        if adapter.adapter_id in self.rejected:
            raise AdapterRejected("the fake was told to reject it")

    def keeps_cache(self, before: LoraAdapter | None, after: LoraAdapter | None) -> bool:
        return False

    def merged(self, adapter: LoraAdapter | None) -> PlantedWeights:
        return PlantedWeights(adapter.adapter_id if adapter else None)

    def prefill(self, token_ids, cache: PlantedCache, weights: PlantedWeights) -> torch.Tensor:
        self._prompt_length = len(cache.tokens) + len(token_ids)
        return self._step(token_ids, cache, weights)

    def decode_one(self, token_id, cache: PlantedCache, weights: PlantedWeights) -> torch.Tensor:
        return self._step([token_id], cache, weights)

    def _step(self, token_ids, cache: PlantedCache, weights: PlantedWeights) -> torch.Tensor:
        assert cache.adapter_id == weights.adapter_id
        self.threads.add(threading.get_ident())
        self.passes.append((weights.adapter_id, len(token_ids)))
        self.before_step()
        cache.tokens.extend(token_ids)
        middle = [byte + FIRST_BYTE for byte in self.answer(weights.adapter_id).encode()]
        done = len(cache.tokens) - self._prompt_length
        logits = torch.zeros(self.vocabulary_size)
        logits[middle[done] if done < len(middle) else FIM.end_of_text] = self.peak
        return logits


class Clock:
    """A monotonic clock that only moves when told to."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def random_weights(config: DecoderConfig, seed: int = 0) -> dict[str, torch.Tensor]:
    """A Hugging Face state dict with nothing left at a default, so that no part is untested."""
    generator = torch.Generator().manual_seed(seed)

    def draw(*shape: int, around: float = 0.0) -> torch.Tensor:
        return torch.randn(shape, generator=generator) * 0.15 + around

    width = config.width
    weights = {
        "model.embed_tokens.weight": draw(config.vocabulary_size, width),
        "model.norm.weight": draw(width, around=1.0),
    }
    if not config.tied_embeddings:
        weights["lm_head.weight"] = draw(config.vocabulary_size, width)
    for index in range(config.n_layers):
        base = f"model.layers.{index}"
        for name, (out, into) in projection_shapes(config).items():
            weights[Projection(index, name).module_path + ".weight"] = draw(out, into)
            if name in {"q_proj", "k_proj", "v_proj"}:
                weights[Projection(index, name).module_path + ".bias"] = draw(out)
        weights[f"{base}.input_layernorm.weight"] = draw(width, around=1.0)
        weights[f"{base}.post_attention_layernorm.weight"] = draw(width, around=1.0)
    return weights


def projection_shapes(config: DecoderConfig) -> dict[str, tuple[int, int]]:
    """Projection name → (out, in)."""
    width, query, kv, inner = (
        config.width, config.query_width, config.kv_width, config.intermediate_width,
    )  # fmt: skip
    return {
        "q_proj": (query, width), "k_proj": (kv, width), "v_proj": (kv, width),
        "o_proj": (width, query), "gate_proj": (inner, width), "up_proj": (inner, width),
        "down_proj": (width, inner),
    }  # fmt: skip


def int8_weights(config: DecoderConfig, seed: int = 0) -> dict[str, torch.Tensor]:
    """``random_weights`` as an int8 checkpoint holds them, read back as float32."""
    from code2lora_lsp.neural.weights import quantise_rows

    def rounded(matrix: torch.Tensor) -> torch.Tensor:
        levels, scales = quantise_rows(matrix)
        return levels * scales[:, None]

    weights = random_weights(config, seed)
    return {name: rounded(w) if w.ndim == 2 else w for name, w in weights.items()}


def random_adapter(
    config: DecoderConfig = TINY, seed: int = 0, rank: int = 3, **fields
) -> LoraAdapter:
    """An adapter over every projection, large enough to change greedy answers."""
    generator = torch.Generator().manual_seed(1000 + seed)
    pairs = {
        Projection(layer, name): LoraPair(
            torch.randn(rank, into, generator=generator) * 0.2,
            torch.randn(out, rank, generator=generator) * 0.2,
        )
        for layer in range(config.n_layers)
        for name, (out, into) in projection_shapes(config).items()
    }
    return LoraAdapter(pairs, **{"scale": 0.7, "commit_id": f"{seed:040x}", **fields})
