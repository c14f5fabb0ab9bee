"""Trains a Code2LoRA-Evo checkpoint: ``python -m code2lora_lsp.training.evo CLONES BACKBONE OUT``.

Each optimizer step rolls the commit gru over ``n_commits`` real commits of a few repositories and
asks, after every one of them, for lines the next commit adds; the gradient flows back through
``n_bptt`` of those steps (the published trainer detaches after each one: code2lora-spec, section
A3.6). Loss is target-token cross-entropy, as published. What adapters do is measured on validation
repositories: own against none, against other repositories', and against the mean adapter.
"""

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from code2lora_lsp.config import ModelSettings
from code2lora_lsp.neural.atomic_file import write_text
from code2lora_lsp.neural.code2lora.checkpoint import Code2LoraCheckpoint, save_checkpoint
from code2lora_lsp.neural.code2lora.manifest import BackboneReference, CheckpointManifest
from code2lora_lsp.neural.decoder import Decoder
from code2lora_lsp.neural.decoder_config import DecoderConfig
from code2lora_lsp.recipe import SOURCE_V1
from code2lora_lsp.runtime.model_loading import load_model
from code2lora_lsp.runtime.models import encoder_of_backbone
from code2lora_lsp.text.tokenizer import Tokenizer
from code2lora_lsp.training.adapted_backbone import AdaptedBackbone
from code2lora_lsp.training.evo_card import evo_card
from code2lora_lsp.training.evo_model import EvoModel, EvoPlan, projection_dims
from code2lora_lsp.training.evo_scores import batches, score, under
from code2lora_lsp.training.evo_training import train
from code2lora_lsp.training.splits import Split
from code2lora_lsp.training.timeline_cache import load_timelines
from code2lora_lsp.training.timelines import Timeline, TimelinePlan, TimelineReader


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


@dataclass(frozen=True)
class Parts:
    """What a run is made of besides its timelines.

    Attributes:
        config: of the backbone.
        backbone: the frozen one, in float32, that gradients pass through.
    """

    config: DecoderConfig
    reader: TimelineReader
    backbone: AdaptedBackbone
    pad_id: int


def load_parts(folder: Path, plan: EvoPlan) -> Parts:
    """Load a backbone twice: as the encoder of timelines and as what adapters are trained on."""
    tokenizer = Tokenizer.from_folder(folder)
    decoder = load_model(folder, ModelSettings(device="cpu"), lambda *_: None).backbone
    assert isinstance(decoder, Decoder)
    encoder = encoder_of_backbone(decoder, tokenizer, folder)
    reader = TimelineReader(SOURCE_V1, TimelinePlan(), encoder, tokenizer)
    types = sorted(projection_dims(decoder.config))
    adapted = AdaptedBackbone.from_folder(folder, types, plan.alpha / plan.rank)
    torch.set_num_threads(plan.threads)  # loading a model sets them as serving does
    return Parts(decoder.config, reader, adapted, tokenizer.fim_tokens().pad)


def corpus_repositories(folder: Path) -> dict[str, Any]:
    """Entries of a corpus manifest by repository name."""
    corpus = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    return {entry["repository"]: entry for entry in corpus["repositories"]}


def run(places: Places, plan: EvoPlan) -> None:
    """One whole run; figures go to stdout as JSON lines."""
    parts, sources = load_parts(places.backbone, plan), corpus_repositories(places.corpus)
    training, validation = (
        load_timelines(places.clones, sources, split, parts.reader, places.cache)
        for split in (Split.TRAIN, Split.VALIDATION)
    )
    model = EvoModel(parts.config, plan)
    assert model.gru is not None
    for line in train(model, parts.backbone, training, plan, parts.pad_id):
        if line["step"] % 20 == 0:
            print(json.dumps(line), flush=True)
    figures = evaluate(model, parts.backbone, training, validation, parts.pad_id)
    print(json.dumps({"after": figures}), flush=True)
    provenance = {
        "trained_on": [timeline.repository for timeline in training],
        "validated_on": [timeline.repository for timeline in validation],
        "optimizer_steps": line["step"], "plan": asdict(plan), "validation": figures,
    }  # fmt: skip
    manifest = CheckpointManifest(
        kind="evo", recipe_id=SOURCE_V1.recipe_id, encoder="backbone",
        embedding_width=parts.reader.encoder.width, alpha=plan.alpha, head=model.head.config,
        gru=model.gru.config, provenance=provenance,
        backbone=BackboneReference(
            places.backbone.name, parts.config.n_layers, parts.reader.encoder.encoder_id
        ),
    )  # fmt: skip
    save_checkpoint(
        places.output, Code2LoraCheckpoint(manifest, model.head, model.gru), torch.float16
    )
    write_text(places.output / "README.md", evo_card(provenance, sources, parts.reader.plan))


def evaluate(
    model: EvoModel,
    backbone: AdaptedBackbone,
    training: Sequence[Timeline],
    validation: Sequence[Timeline],
    pad_id: int,
) -> dict[str, float]:
    """Nats per target token of validation repositories under four kinds of adapter."""
    asked = [batches(timeline, pad_id) for timeline in validation]
    scores = score(model, backbone, training, validation, asked)
    n_tokens = float(scores.n_tokens[:, 0].sum())
    none = sum(float(under(backbone, one, None)[0]) for one in asked)
    return {
        "none_nats": none / n_tokens,
        **scores.nats_per_token(),
        "update_cosine": scores.update_cosine,
        "target_tokens": n_tokens,
    }


if __name__ == "__main__":
    main()
