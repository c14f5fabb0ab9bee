"""Why the paper's hypernetwork collapses: its repairs one at a time, on the same items and steps.

    python -m code2lora_lsp.training.factorial CLONES CORPUS BACKBONE OUT --cache TIMELINES
        --common-names FREQUENCIES.json --validation OWNER/NAME ... [--cells NAME ...]

Every cell asks the training repositories for the same items in the same order. OUT gets one line
of JSON per cell and seed (``CELL-SEED.json``), and the shared LoRA that residual cells stand on;
what is there already is not computed again. ``benchmarks/factorial_table.py`` makes the table.
"""

import argparse
import json
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from code2lora_lsp.errors import ConfigError
from code2lora_lsp.neural.atomic_file import replacing, write_text
from code2lora_lsp.neural.code2lora.lora_head import LoraFactors
from code2lora_lsp.neural.decoder_config import DecoderConfig
from code2lora_lsp.training.adapted_backbone import AdaptedBackbone
from code2lora_lsp.training.evo import corpus_repositories, load_parts
from code2lora_lsp.training.evo_model import EvoModel, EvoPlan, projection_dims
from code2lora_lsp.training.evo_scores import Batch, batches, score, token_counts, under
from code2lora_lsp.training.evo_training import train
from code2lora_lsp.training.rare_tokens import RareNames
from code2lora_lsp.training.shared_lora import SharedLora, train_shared
from code2lora_lsp.training.splits import Split
from code2lora_lsp.training.timeline_cache import load_timelines
from code2lora_lsp.training.timelines import Timeline
from code2lora_lsp.training.whitening import TimelineWhitening

CONTRAST_WEIGHT = 0.5
SHARED = "shared"
ITEMS_ASKED = 24
"""Of each validation repository, under every adapter."""
LAST_STEPS = 20
"""The loss reported is the mean over so many."""


@dataclass(frozen=True)
class Cell:
    """The published method but for what is set here.

    Attributes:
        static: the head reads the snapshot alone.
        whitened: embeddings are centred and whitened on the training repositories.
        residual: the head adds to a frozen LoRA shared by all repositories.
        contrast: own-versus-other loss, weight ``CONTRAST_WEIGHT``.
        n_bptt: commits the gradient flows back through.
    """

    static: bool = False
    whitened: bool = False
    residual: bool = False
    contrast: bool = False
    n_bptt: int = 1

    def plan(self, n_steps: int, seed: int, threads: int) -> EvoPlan:
        return EvoPlan(
            method="static" if self.static else "evo", n_bptt=self.n_bptt,
            contrast_weight=CONTRAST_WEIGHT if self.contrast else 0.0,
            n_optimizer_steps=n_steps, bfloat16=True, seed=seed, threads=threads,
        )  # fmt: skip


CELLS: Mapping[str, Cell] = {
    "published": Cell(),
    "whitened": Cell(whitened=True),
    "residual": Cell(residual=True),
    "contrast": Cell(contrast=True),
    "bptt": Cell(n_bptt=8),
    "repaired": Cell(whitened=True, residual=True, contrast=True, n_bptt=8),
    "static": Cell(static=True),
    "static-repaired": Cell(static=True, whitened=True, residual=True, contrast=True),
}


@dataclass(frozen=True)
class Bench:
    """What every cell is trained and asked on.

    Attributes:
        asked: of each validation timeline, its batches; rare names are counted apart.
        generic_path: where the shared LoRA is kept.
    """

    config: DecoderConfig
    backbone: AdaptedBackbone
    training: Sequence[Timeline]
    validation: Sequence[Timeline]
    asked: Sequence[Sequence[Batch]]
    pad_id: int
    generic_path: Path

    def shared_line(self, plan: EvoPlan) -> dict[str, Any]:
        """Train the shared LoRA, keep it, and ask under it and under nothing."""
        shared = SharedLora(projection_dims(self.config), plan.rank, plan.seed)
        losses = _watched(
            train_shared(shared, self.backbone, self.training, plan, self.pad_id), SHARED
        )
        factors = shared.frozen()
        named = {f"a.{k}": v[0] for k, v in factors.a.items()}
        named |= {f"b.{k}": v[0] for k, v in factors.b.items()}
        with replacing(self.generic_path) as temporary:
            save_file({k: v.contiguous() for k, v in named.items()}, temporary)
        own = [under(self.backbone, one, factors) for one in self.asked]
        none = [under(self.backbone, one, None) for one in self.asked]
        counts = token_counts(self.asked)
        return losses | _rounded(n_tokens=counts, none=torch.stack(none), own=torch.stack(own))

    def line(self, name: str, plan: EvoPlan) -> dict[str, Any]:
        """Train one cell and ask under all its adapters."""
        cell = CELLS[name]
        training, validation = self.training, self.validation
        if cell.whitened:
            whiten = TimelineWhitening.of(training)
            training, validation = whiten(training), whiten(validation)
        model = EvoModel(self.config, plan, self._generic() if cell.residual else None)
        losses = _watched(train(model, self.backbone, training, plan, self.pad_id), name)
        scores = score(model, self.backbone, training, validation, self.asked)
        cosines = {k: v for k, v in asdict(scores).items() if isinstance(v, float)}
        tensors = {k: v for k, v in vars(scores).items() if isinstance(v, Tensor)}
        return losses | {"cell": asdict(cell)} | cosines | _rounded(**tensors)

    def _generic(self) -> LoraFactors:
        if not self.generic_path.is_file():
            raise ConfigError(f"{self.generic_path} is not there; run the cell {SHARED!r} first")
        stored = load_file(self.generic_path)
        return LoraFactors(
            {k[2:]: v[None] for k, v in stored.items() if k.startswith("a.")},
            {k[2:]: v[None] for k, v in stored.items() if k.startswith("b.")},
        )


def _watched(lines: Iterable[dict[str, float]], name: str) -> dict[str, Any]:
    """Follow a training run; its figures go to stderr now and then."""
    started_s, losses = time.process_time(), list[float]()
    for line in lines:
        losses.append(line["loss"])
        if line["step"] % LAST_STEPS == 0:
            print(json.dumps({"cell": name, **line}), file=sys.stderr, flush=True)
    last = losses[-LAST_STEPS:]
    return {
        "optimizer_steps": len(losses),
        "last_loss": round(sum(last) / max(1, len(last)), 4),
        "training_cpu_s": round(time.process_time() - started_s, 1),
    }


def _rounded(**tensors: Tensor) -> dict[str, Any]:
    """Nats to four digits, enough for a difference of a millionth of a nat per token."""
    return {
        name: tensor.tolist() if not tensor.is_floating_point()
        else torch.round(tensor, decimals=4).tolist()
        for name, tensor in tensors.items()
    }  # fmt: skip


def main() -> None:
    arguments = _arguments()
    parts = load_parts(arguments.backbone, EvoPlan(threads=arguments.threads))
    names = corpus_repositories(arguments.corpus)
    training, validation = (
        load_timelines(arguments.clones, wanted, split, parts.reader, arguments.cache)
        for split, wanted in ((Split.TRAIN, names), (Split.VALIDATION, arguments.validation))
    )
    rare = RareNames.from_file(arguments.common_names, parts.reader.tokenizer.token_bytes())
    asked = [batches(timeline, parts.pad_id, rare.marks, ITEMS_ASKED) for timeline in validation]
    bench = Bench(
        parts.config, parts.backbone, training, validation, asked, parts.pad_id,
        arguments.output / f"{SHARED}.safetensors",
    )  # fmt: skip
    for name, seed, path in _wanted(arguments):
        plan = CELLS.get(name, Cell()).plan(arguments.steps, seed, arguments.threads)
        started_s = time.process_time()
        line = bench.shared_line(plan) if name == SHARED else bench.line(name, plan)
        head = {"name": name, "seed": seed, "repositories": [t.repository for t in validation]}
        cpu_s = round(time.process_time() - started_s, 1)
        write_text(path, json.dumps({**head, **line, "cpu_s": cpu_s}) + "\n")


def _wanted(arguments: argparse.Namespace) -> Iterator[tuple[str, int, Path]]:
    """Cells that are not there yet."""
    arguments.output.mkdir(parents=True, exist_ok=True)
    for seed in arguments.seeds:
        for name in arguments.cells:
            path = arguments.output / f"{name}-{seed}.json"
            if not path.is_file():
                yield name, seed, path


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("clones", type=Path, help="folder of bare clones, OWNER+NAME/repo each")
    parser.add_argument("corpus", type=Path, help="folder whose manifest names the repositories")
    parser.add_argument("backbone", type=Path, help="folder of the frozen backbone")
    parser.add_argument("output", type=Path, help="folder for the lines")
    parser.add_argument("--cache", type=Path, default=Path("timelines"))
    parser.add_argument("--common-names", type=Path, required=True, help="identifier table")
    parser.add_argument("--validation", nargs="+", required=True, help="repositories to ask")
    choices = [SHARED, *CELLS]
    parser.add_argument("--cells", nargs="+", choices=choices, default=choices)
    parser.add_argument("--seeds", nargs="+", type=int, default=[EvoPlan.seed])
    parser.add_argument("--steps", type=int, default=150)
    parser.add_argument("--threads", type=int, default=1)
    return parser.parse_args()


if __name__ == "__main__":
    main()
