"""Trains a Code2LoRA-Evo checkpoint: ``python -m code2lora_lsp.training.evo CLONES BACKBONE OUT``.

Each optimizer step rolls the commit gru over ``n_bptt`` real commits of a few repositories and
asks, after every one of them, for lines the next commit adds; the gradient flows back through all
of those steps (the published trainer detaches after each one: code2lora-spec, section A3.6). Loss
is target-token cross-entropy, as published. What adapters do is measured on validation
repositories: own against none, against another repository's, and against the mean of all.
"""

import argparse
import json
import math
import random
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from code2lora_lsp.config import ModelSettings
from code2lora_lsp.neural.atomic_file import write_text
from code2lora_lsp.neural.code2lora.checkpoint import (
    BackboneReference,
    CheckpointManifest,
    Code2LoraCheckpoint,
    save_checkpoint,
)
from code2lora_lsp.neural.code2lora.commit_gru import CommitGru, CommitGruConfig
from code2lora_lsp.neural.code2lora.lora_head import LoraFactors, LoraHead, LoraHeadConfig
from code2lora_lsp.neural.decoder import Decoder
from code2lora_lsp.neural.decoder_config import DecoderConfig
from code2lora_lsp.recipe import SOURCE_V1
from code2lora_lsp.runtime.model_loading import load_model
from code2lora_lsp.runtime.models import encoder_of_backbone
from code2lora_lsp.text.tokenizer import Tokenizer
from code2lora_lsp.training.adapted_backbone import AdaptedBackbone
from code2lora_lsp.training.evo_card import evo_card
from code2lora_lsp.training.splits import Split
from code2lora_lsp.training.timeline_cache import load_timelines
from code2lora_lsp.training.timelines import Item, Timeline, TimelinePlan, TimelineReader, pad_items


@dataclass(frozen=True)
class EvoPlan:
    """Widths and schedule of one run.

    Attributes:
        n_bptt: commits the gradient flows back through.
        repositories_per_step: timelines in one optimizer step.
        items_per_commit: gaps asked for after each commit.
    """

    rank: int = 8
    alpha: float = 16.0
    gru_width: int = 256
    head_width: int = 64
    n_bptt: int = 8
    repositories_per_step: int = 2
    items_per_commit: int = 1
    learning_rate: float = 5e-4
    weight_decay: float = 0.01
    largest_gradient_norm: float = 1.0
    minutes: float = 15.0
    threads: int = 2
    seed: int = 3407


class EvoModel(nn.Module):
    """The two trained parts together."""

    def __init__(self, backbone: DecoderConfig, plan: EvoPlan) -> None:
        super().__init__()
        torch.manual_seed(plan.seed)
        width = 2 * backbone.width
        self.gru = CommitGru(CommitGruConfig(width, width, plan.gru_width))
        self.head = LoraHead(
            LoraHeadConfig(
                type_dims=projection_dims(backbone), context_width=plan.gru_width,
                hidden_width=plan.head_width, rank=plan.rank,
            )
        )  # fmt: skip

    def roll(self, timeline: Timeline, start: int, n_steps: int) -> Tensor:
        """Contexts after commits ``start`` … ``start + n_steps - 1``, [n_steps, H].

        The steps before ``start`` are taken without gradient.
        """
        with torch.no_grad():
            state = self.gru.initial_state(timeline.snapshot[None])
            if start:
                _, state = _steps(self.gru, timeline.diffs[None, :start], state)
        if not start:
            state = self.gru.initial_state(timeline.snapshot[None])
        states, _ = _steps(self.gru, timeline.diffs[None, start : start + n_steps], state)
        contexts: Tensor = self.gru.output_norm(states[0])
        return contexts


def _steps(gru: CommitGru, diffs: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
    """Hidden states after each diff, [B, T, H], and the last one, [1, B, H]."""
    states = gru.steps(diffs, state)
    return states, states[:, -1:].transpose(0, 1).contiguous()


def projection_dims(backbone: DecoderConfig) -> dict[str, tuple[int, int]]:
    """(in, out) of every projection type of a backbone."""
    d, q, kv, f = (
        backbone.width, backbone.query_width, backbone.kv_width, backbone.intermediate_width,
    )  # fmt: skip
    return {
        "q_proj": (d, q), "k_proj": (d, kv), "v_proj": (d, kv), "o_proj": (q, d),
        "gate_proj": (d, f), "up_proj": (d, f), "down_proj": (f, d),
    }  # fmt: skip


def train(
    model: EvoModel,
    backbone: AdaptedBackbone,
    timelines: Sequence[Timeline],
    plan: EvoPlan,
    pad_id: int,
    clock: Callable[[], float] = time.monotonic,
) -> Iterator[dict[str, float]]:
    """Optimise until ``plan.minutes`` are over; yields one line of figures per step."""
    rng = random.Random(plan.seed)  # noqa: S311 - not a secret
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=plan.learning_rate, weight_decay=plan.weight_decay
    )
    started_s, step = clock(), 0
    while (share := (clock() - started_s) / (plan.minutes * 60)) < 1:
        for group in optimizer.param_groups:
            group["lr"] = plan.learning_rate * _cosine(share)
        chosen = rng.sample(list(timelines), min(plan.repositories_per_step, len(timelines)))
        contexts, items = _ask(model, chosen, plan, rng)
        if not items:
            continue
        ids, targets = pad_items(items, pad_id)
        nats = backbone.losses(ids, targets, model.head(contexts)).sum()
        loss = nats / (targets >= 0).sum()
        optimizer.zero_grad()
        loss.backward()
        norm = nn.utils.clip_grad_norm_(model.parameters(), plan.largest_gradient_norm)
        optimizer.step()
        step += 1
        yield {"step": step, "share": share, "loss": loss.item(), "gradient_norm": float(norm)}


def _cosine(share: float) -> float:
    """3 % warm-up, then half a cosine to zero (code2lora-spec, section 6)."""
    return min(1.0, share / 0.03) * 0.5 * (1 + math.cos(math.pi * share))


def _ask(
    model: EvoModel, timelines: Sequence[Timeline], plan: EvoPlan, rng: random.Random
) -> tuple[Tensor, list[Item]]:
    """One row per item: the context its adapter comes from, [B, H], and the item."""
    contexts: list[Tensor] = []
    items: list[Item] = []
    for timeline in timelines:
        start = rng.randint(0, max(0, len(timeline.diffs) - 1 - plan.n_bptt))
        rolled = model.roll(timeline, start, plan.n_bptt)
        for offset, context in enumerate(rolled):
            offered = timeline.items[start + offset]
            chosen = rng.sample(offered, min(plan.items_per_commit, len(offered)))
            items += chosen
            contexts += [context] * len(chosen)
    return torch.stack(contexts) if contexts else torch.zeros(0), items


@torch.no_grad()
def evaluate(
    model: EvoModel, backbone: AdaptedBackbone, timelines: Sequence[Timeline], pad_id: int
) -> dict[str, float]:
    """Nats per target token on the last third of each timeline, under four adapters.

    Own is the repository's state after the commit before; other is the next repository's last
    state; mean averages every repository's factors; the cosine is between effective updates.
    """
    last = [model.roll(t, 0, len(t.diffs)) for t in timelines]
    factors = model.head(torch.stack([contexts[-1] for contexts in last]))
    mean = LoraFactors(
        {k: v.mean(0, keepdim=True) for k, v in factors.a.items()},
        {k: v.mean(0, keepdim=True) for k, v in factors.b.items()},
    )
    sums = dict.fromkeys(("none", "own", "other", "mean"), 0.0)
    n_tokens = 0
    for index, timeline in enumerate(timelines):
        other = _row(factors, (index + 1) % len(timelines))
        for step in range(2 * len(timeline.diffs) // 3, len(timeline.diffs)):
            if not timeline.items[step]:
                continue
            ids, targets = pad_items(timeline.items[step], pad_id)
            own = model.head(last[index][step : step + 1])
            for name, used in (("none", None), ("own", own), ("other", other), ("mean", mean)):
                sums[name] += float(backbone.losses(ids, targets, used).sum())
            n_tokens += int((targets >= 0).sum())
    figures = {f"{name}_nats": total / max(n_tokens, 1) for name, total in sums.items()}
    return figures | {"update_cosine": mean_cosine(factors), "target_tokens": float(n_tokens)}


def _row(factors: LoraFactors, index: int) -> LoraFactors:
    rows = slice(index, index + 1)
    return LoraFactors({k: v[rows] for k, v in factors.a.items()},
                       {k: v[rows] for k, v in factors.b.items()})  # fmt: skip


@torch.no_grad()
def mean_cosine(factors: LoraFactors) -> float:
    """Mean pairwise cosine of the effective updates ΔW of a batch; the collapse alarm."""
    gram = sum(
        torch.einsum("ior,jos,irn,jsn->ij", b, b, factors.a[k], factors.a[k])
        for k, b in factors.b.items()
    )
    assert isinstance(gram, Tensor)
    norms = gram.diagonal().clamp_min(1e-20).sqrt()
    cosines = gram / norms[:, None] / norms[None]
    count = len(gram)
    return float((cosines.sum() - count) / max(count * (count - 1), 1))


def main() -> None:
    """Read the clones, train, evaluate on validation repositories, write the checkpoint."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("clones", type=Path, help="folder of bare clones, OWNER+NAME/repo each")
    parser.add_argument("corpus", type=Path, help="folder whose manifest names the repositories")
    parser.add_argument("backbone", type=Path, help="folder of the frozen backbone")
    parser.add_argument("output", type=Path, help="checkpoint folder to write")
    parser.add_argument("--cache", type=Path, default=Path("timelines"))
    parser.add_argument("--minutes", type=float, default=EvoPlan.minutes)
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    plan = EvoPlan(minutes=arguments.minutes, threads=arguments.threads)
    run(
        Places(
            arguments.clones, arguments.corpus, arguments.backbone, arguments.output,
            arguments.cache,
        ),
        plan,
    )  # fmt: skip


@dataclass(frozen=True)
class Places:
    """Folders of one run."""

    clones: Path
    corpus: Path
    backbone: Path
    output: Path
    cache: Path


def run(places: Places, plan: EvoPlan) -> None:
    """One whole run; figures go to stdout as JSON lines."""
    backbone_folder = places.backbone
    tokenizer = Tokenizer.from_folder(backbone_folder)
    decoder = load_model(backbone_folder, ModelSettings(device="cpu"), lambda *_: None).backbone
    assert isinstance(decoder, Decoder)
    torch.set_num_threads(plan.threads)
    encoder = encoder_of_backbone(decoder, tokenizer, backbone_folder)
    reader = TimelineReader(SOURCE_V1, TimelinePlan(), encoder, tokenizer)
    corpus = json.loads((places.corpus / "manifest.json").read_text(encoding="utf-8"))
    sources = {entry["repository"]: entry for entry in corpus["repositories"]}
    training, validation = (
        load_timelines(places.clones, sources, split, reader, places.cache)
        for split in (Split.TRAIN, Split.VALIDATION)
    )
    model = EvoModel(decoder.config, plan)
    types = model.head.config.types
    backbone = AdaptedBackbone.from_folder(backbone_folder, types, plan.alpha / plan.rank)
    pad_id = tokenizer.fim_tokens().pad
    for line in train(model, backbone, training, plan, pad_id):
        if line["step"] % 20 == 0:
            print(json.dumps(line), flush=True)
    figures = evaluate(model, backbone, validation, pad_id)
    print(json.dumps({"after": figures}), flush=True)
    provenance = {
        "trained_on": [timeline.repository for timeline in training],
        "validated_on": [timeline.repository for timeline in validation],
        "optimizer_steps": line["step"], "plan": asdict(plan), "validation": figures,
    }  # fmt: skip
    manifest = CheckpointManifest(
        kind="evo", recipe_id=SOURCE_V1.recipe_id, encoder="backbone",
        embedding_width=encoder.width, alpha=plan.alpha, head=model.head.config,
        gru=model.gru.config, provenance=provenance,
        backbone=BackboneReference(
            backbone_folder.name, decoder.config.n_layers, encoder.encoder_id
        ),
    )  # fmt: skip
    save_checkpoint(
        places.output, Code2LoraCheckpoint(manifest, model.head, model.gru), torch.float16
    )
    write_text(places.output / "README.md", evo_card(provenance, sources, reader.plan))


if __name__ == "__main__":
    main()
