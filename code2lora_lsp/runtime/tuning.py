"""How a backbone runs fastest on this machine: a short trial, remembered on disk.

Tried are the threads of torch's prefill and whether single tokens run through numpy or torch
(``neural.decoder_step``). A trial takes about a tenth of a second with the embedded model; later
starts read its outcome. What is remembered holds for this machine, these libraries and a model of
this size. On a card see ``cuda_tuning``.
"""

import json
import logging
import os
import platform
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch

from code2lora_lsp.config import Settings, state_root
from code2lora_lsp.neural.atomic_file import write_text
from code2lora_lsp.neural.decoder import Decoder
from code2lora_lsp.runtime.cuda_tuning import tune_cuda
from code2lora_lsp.runtime.model_loading import LoadedModel, ReportProgress, load_model
from code2lora_lsp.runtime.trial import Clock, least

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
        threads: of torch, for everything but single tokens in numpy, which take one.
        steps_in_numpy: single tokens run through numpy.
    """

    threads: int
    steps_in_numpy: bool


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
    try:
        tuning = Tuning(**remembered[key])  # type: ignore[arg-type]
    except (KeyError, TypeError):
        tuning = _tried(decoder, threads, clock)
        log.info("on this machine: %s", tuning)
        _write(path, {**remembered, key: asdict(tuning)})
    torch.set_num_threads(tuning.threads)
    decoder.steps_in_numpy = tuning.steps_in_numpy
    return tuning


def _tried(decoder: Decoder, threads: int, clock: Clock) -> Tuning:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    choice = [threads] if threads else [n for n in (1, 2, MOST_THREADS) if n <= (cores or 1)]
    n_tokens = 64 if decoder.memory_bytes < LARGE_BYTES else 8
    cache = decoder.new_cache(min(2 * n_tokens, decoder.max_positions))
    tokens = range(min(n_tokens, cache.capacity // 2))

    def prefill() -> None:
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
    of_steps: dict[bool, float] = {}
    for in_numpy in (True, False):
        decoder.steps_in_numpy = in_numpy
        of_steps[in_numpy] = least(step, 8, clock)
    return Tuning(torch.get_num_threads(), of_steps[True] <= of_steps[False])


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
        torch.__version__, np.__version__, decoder.config, threads,
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
