"""Trains an embedded backbone: ``python -m code2lora_lsp.training.pretrain CORPUS TOKENIZER OUT``.

One loop for CPU and CUDA, one process or several. The schedule is driven by the clock and reaches
its end: a warm-up, a constant part, then a linear fall to zero at ``--minutes``.
Run again with the same arguments to resume. Written to ``OUT``: ``log.jsonl`` and ``checkpoint/``,
which is replaced every few minutes and is also the result.
"""

import argparse
import os
import sys
from pathlib import Path

import torch

from code2lora_lsp.training.corpus_stream import heldout_rows, stream_opener
from code2lora_lsp.training.model_configs import SHAPES
from code2lora_lsp.training.pretraining import Place, Plan, Pretraining
from code2lora_lsp.training.ranks import join_ranks, launch_ranks
from code2lora_lsp.training.splits import Split


def best_precision(device: torch.device) -> torch.dtype:
    """bfloat16 where the device multiplies it in hardware, else float32 (80 times faster there)."""
    if device.type == "cuda":
        native = torch.cuda.is_bf16_supported()
    else:
        native = torch.cpu._is_avx512_bf16_supported()  # noqa: SLF001 (no public name yet)
    return torch.bfloat16 if native else torch.float32


def main() -> None:
    """Parse arguments; launch the ranks, or be one of them."""
    arguments = _parser().parse_args()
    if "RANK" in os.environ:
        _run_rank(arguments)
    else:
        module = "code2lora_lsp.training.pretrain"
        sys.exit(launch_ranks(module, sys.argv[1:], arguments.processes))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("corpus", "tokenizer", "output"):
        parser.add_argument(name, type=Path)
    parser.add_argument("--model", choices=sorted(SHAPES), default=Plan.model)
    parser.add_argument("--minutes", type=float, default=Plan.minutes)
    parser.add_argument("--rows-scale", type=int, default=Plan.rows_scale)
    parser.add_argument("--muon-rate", type=float, default=Plan.muon_rate)
    parser.add_argument("--adam-rate", type=float, default=Plan.adam_rate)
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--device", default="cpu")
    return parser


def _run_rank(arguments: argparse.Namespace) -> None:
    """Train as one rank."""
    device = torch.device(arguments.device)
    if device.type == "cpu":
        torch.set_num_threads(1)
    place = Place(join_ranks(device), device, best_precision(device))
    plan = Plan(
        model=arguments.model,
        minutes=arguments.minutes,
        rows_scale=arguments.rows_scale,
        muon_rate=arguments.muon_rate,
        adam_rate=arguments.adam_rate,
    )
    corpus, tokenizer = arguments.corpus, arguments.tokenizer
    arguments.output.mkdir(parents=True, exist_ok=True)
    stream_at = stream_opener(corpus, tokenizer, Split.TRAIN, seed=plan.seed, ranks=place.ranks)
    heldout = heldout_rows(corpus, tokenizer)
    Pretraining(plan, stream_at, heldout, arguments.output, place).run()


if __name__ == "__main__":
    main()
