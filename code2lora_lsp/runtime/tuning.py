"""How a backbone runs fastest on this machine: a short trial, remembered on disk.

Tried are the threads of torch's prefill, whether it multiplies bytes (``neural.int8_products``),
how many tokens of a prompt one pass takes, and what few tokens run through
(``neural.decoder_step``, ``neural.kernel``). A trial takes some tenths of a second with the
embedded model; later starts read its outcome. What is remembered holds for this machine, these
libraries and a model of this size. On a card see ``cuda_tuning``.
"""

import json
import logging
import os
import platform
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch

from code2lora_lsp.config import Settings, state_root
from code2lora_lsp.neural.atomic_file import write_text
from code2lora_lsp.neural.backbone import CHUNK_TOKENS
from code2lora_lsp.neural.decoder import Decoder
from code2lora_lsp.runtime.cuda_tuning import tune_cuda
from code2lora_lsp.runtime.model_loading import LoadedModel, ReportProgress, load_model
from code2lora_lsp.runtime.trial import CHUNKS, Clock, largest_chunk, least

log = logging.getLogger(__name__)

FILE = "speed.json"
MOST_THREADS = 4
WORTH_DOUBLING = 1.4
"""A gain below this is not worth a second core: something else on the machine wants it too."""

LARGE_BYTES = 400_000_000
"""From here on a trial runs fewer tokens: one pass takes longer than a start should."""


@dataclass(frozen=True)
class Tuning:
    """Outcome of a trial.

    Attributes:
        threads: of torch; what does not run through torch takes one.
        reads_int8: prompts are multiplied as bytes.
        chunk_tokens: of a prompt, in one pass.
        steps_through: one of ``Decoder.step_ways``.
    """

    threads: int
    reads_int8: bool
    chunk_tokens: int
    steps_through: str


def load_tuned(folder: Path, settings: Settings, report: ReportProgress) -> LoadedModel:
    """``load_model``, set to run as fast as it does here; raises what that raises."""
    model = load_model(folder, settings.model, report)
    backbone, completion = model.backbone, settings.completion
    if backbone.device.type == "cuda":
        tune_cuda(backbone, completion.prompt_tokens + completion.max_tokens)
    elif isinstance(backbone, Decoder):
        tune(backbone, settings.model.threads, state_root(settings))
    return model


def tune(decoder: Decoder, threads: int, folder: Path, clock: Clock = time.perf_counter) -> Tuning:
    """Try what is not remembered in ``folder``, set it on torch and ``decoder``, and return it.

    Args:
        decoder: a float32 decoder on the CPU; its weights are only read.
        threads: the user's choice, which is not tried; 0 is none.
        folder: where ``FILE`` is; one that cannot be read or written only costs the next trial.
        clock: in seconds.
    """
    path, key = folder / FILE, _key(decoder, threads)
    remembered = _read(path)
    tuning = _tuning_of(remembered.get(key), decoder)
    if tuning is None:
        tuning = _tried(decoder, threads, clock)
        log.info("on this machine: %s", tuning)
        _write(path, {**remembered, key: asdict(tuning)})
    torch.set_num_threads(tuning.threads)
    decoder.read_int8(wanted=tuning.reads_int8)
    decoder.chunk_tokens = tuning.chunk_tokens
    decoder.steps_through = tuning.steps_through
    return tuning


def _tuning_of(found: dict[str, object] | None, decoder: Decoder) -> Tuning | None:
    """What was remembered, unless it is damaged or asks for what is not here any more."""
    try:
        tuning = Tuning(**found)  # type: ignore[arg-type]
    except TypeError:
        return None
    is_whole = isinstance(tuning.threads, int) and tuning.threads > 0
    is_whole = is_whole and isinstance(tuning.reads_int8, bool) and tuning.chunk_tokens in CHUNKS
    return tuning if is_whole and tuning.steps_through in decoder.step_ways else None


def _tried(decoder: Decoder, threads: int, clock: Clock) -> Tuning:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    choice = [threads] if threads else [n for n in (1, 2, MOST_THREADS) if n <= (cores or 1)]
    n_tokens = 64 if decoder.memory_bytes < LARGE_BYTES else 8
    cache = decoder.new_cache(min(max(CHUNKS), decoder.max_positions))
    tokens = [0] * min(n_tokens, cache.capacity // 2)

    def prefill(tokens: Sequence[int] = tokens) -> None:
        cache.crop(0)
        decoder.prefill(tokens, cache)

    def step() -> None:
        cache.crop(len(tokens))
        decoder.decode_one(0, cache)

    of_threads: dict[int, float] = {}
    for number in choice:
        torch.set_num_threads(number)
        of_threads[number] = least(prefill, 3, clock)
    torch.set_num_threads(fewest_worth_it(of_threads))
    of_reading: dict[bool, float] = {}
    for wanted in (False, True):
        decoder.read_int8(wanted=wanted)
        if decoder.reads_int8 is wanted:
            of_reading[wanted] = least(prefill, 3, clock)
    reads_int8 = min(of_reading, key=lambda wanted: of_reading[wanted])
    decoder.read_int8(wanted=reads_int8)
    chunk_tokens = CHUNK_TOKENS
    if decoder.memory_bytes < LARGE_BYTES:
        chunk_tokens = largest_chunk(
            lambda n: least(lambda: prefill([0] * n), 3, clock), cache.capacity
        )
        prefill()
    of_steps: dict[str, float] = {}
    for way in decoder.step_ways:
        decoder.steps_through = way
        of_steps[way] = least(step, 8, clock)
    steps_through = min(of_steps, key=lambda way: of_steps[way])
    return Tuning(torch.get_num_threads(), reads_int8, chunk_tokens, steps_through)


def fewest_worth_it(seconds: Mapping[int, float]) -> int:
    """How many threads to take, from the time each number needs: every next one has to pay."""
    best, *others = sorted(seconds)
    for more in others:
        if seconds[best] < WORTH_DOUBLING * seconds[more]:
            break
        best = more
    return best


def _key(decoder: Decoder, threads: int) -> str:
    parts = (
        platform.machine(), torch.backends.cpu.get_cpu_capability(), os.cpu_count(),
        torch.__version__, np.__version__, decoder.config, decoder.step_ways, threads,
    )  # fmt: skip
    return " ".join(map(str, parts))


def _read(path: Path) -> dict[str, dict[str, object]]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _write(path: Path, tunings: Mapping[str, object]) -> None:
    try:
        write_text(path, json.dumps(tunings, indent=1) + "\n")
    except OSError as error:
        log.warning("%s cannot be written (%s); the next start tries again", path, error)
