"""What a few tokens can run through besides torch: ``kernel.step`` and ``decoder_step``."""

from collections.abc import Sequence
from typing import Protocol

from torch import Tensor

from code2lora_lsp.neural.decoder_config import DecoderConfig
from code2lora_lsp.neural.decoder_step import DecodeStep
from code2lora_lsp.neural.decoder_weights import DecoderWeights
from code2lora_lsp.neural.int8_rows import Int8Weights
from code2lora_lsp.neural.kernel.step import KernelStep, why_not
from code2lora_lsp.neural.kv_cache import KvCache

KERNEL, NUMPY, TORCH = "kernel", "numpy", "torch"


class Step(Protocol):
    """See ``DecodeStep``, whose numbers are torch's."""

    most_tokens: int

    def run(self, token_ids: Sequence[int], cache: KvCache, weights: DecoderWeights) -> Tensor: ...

    def logits(self, output: Tensor, weights: DecoderWeights) -> Tensor: ...


def known_steps(
    config: DecoderConfig, int8: Int8Weights | None, cos: Tensor, sin: Tensor
) -> dict[str, Step]:
    """Those that a float32 decoder on the CPU has here, numpy's first."""
    steps: dict[str, Step] = {NUMPY: DecodeStep(config, cos, sin)}
    if int8 is not None and why_not(config) is None:
        steps[KERNEL] = KernelStep(config, int8, cos, sin)
    return steps
