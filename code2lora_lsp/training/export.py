"""Ships a checkpoint: ``python -m code2lora_lsp.training.export CHECKPOINT CORPUS TOKENIZER OUT``.

Writes the folder serving loads: ``config.json``, int8 ``model.safetensors``, the tokenizer,
``manifest.json`` with measured losses and hashes, and the model card ``README.md``.
"""

import argparse
import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import Qwen2ForCausalLM

from code2lora_lsp.neural.weights import load_backbone_weights
from code2lora_lsp.text.tokenizer import Tokenizer
from code2lora_lsp.training.checkpoints import Progress, read_progress, read_tensors
from code2lora_lsp.training.corpus import read_shards
from code2lora_lsp.training.corpus_stream import heldout_rows
from code2lora_lsp.training.evaluate import (
    PROMPT_KINDS,
    left_to_right_bits_per_byte,
    line_metrics,
    sample_cursors,
    sample_files,
)
from code2lora_lsp.training.heldout import summed_loss
from code2lora_lsp.training.model_card import model_card
from code2lora_lsp.training.model_configs import CONTEXT_TOKENS, qwen2_config
from code2lora_lsp.training.packing import SourceFile
from code2lora_lsp.training.quantize import INT8_ROWS, save_quantised
from code2lora_lsp.training.splits import Split

FORMAT = "code2lora-backbone-1"
FILES = ("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json")


def export(
    checkpoint: Path,
    corpus: Path,
    tokenizer: Path,
    output: Path,
    *,
    n_files: int,
    n_cursors: int,
    row_tokens: int,
) -> dict[str, Any]:
    """Write the model folder and return its manifest."""
    output.mkdir(parents=True, exist_ok=True)
    progress = read_progress(checkpoint)
    weights, _ = read_tensors(checkpoint)
    save_quantised(weights, output / "model.safetensors")
    config = qwen2_config(progress.model)
    config.architectures = ["Qwen2ForCausalLM"]
    config.save_pretrained(output)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copyfile(tokenizer / name, output / name)
    measured = measure(
        progress.model, weights, load_backbone_weights(output), corpus, tokenizer,
        n_files=n_files, n_cursors=n_cursors, row_tokens=row_tokens,
    )  # fmt: skip
    manifest = _manifest(progress, weights, measured, output, row_tokens)
    (output / "manifest.json").write_text(json.dumps(manifest, indent=1) + "\n", encoding="utf-8")
    repositories = json.loads((corpus / "manifest.json").read_text(encoding="utf-8"))
    (output / "README.md").write_text(model_card(manifest, repositories), encoding="utf-8")
    return manifest


def measure(
    name: str,
    trained: dict[str, Tensor],
    shipped: dict[str, Tensor],
    corpus: Path,
    tokenizer: Path,
    *,
    n_files: int,
    n_cursors: int,
    row_tokens: int,
) -> dict[str, Any]:
    """Losses of the shipped weights on validation repositories, and what quantisation cost."""
    bpe = Tokenizer.from_folder(tokenizer)
    inputs, targets = heldout_rows(corpus, tokenizer, row_tokens)
    model = Qwen2ForCausalLM(qwen2_config(name)).eval()
    nats: list[float] = []
    for weights in (trained, shipped):
        model.load_state_dict(weights | {"lm_head.weight": weights["model.embed_tokens.weight"]})
        total, n_scored = summed_loss(model, inputs, targets, torch.float32)
        nats.append(total / n_scored)
    files = [SourceFile(*record) for record in read_shards(corpus, Split.VALIDATION)]
    cursors = sample_cursors(files, n_cursors)
    some = sample_files(files, n_files)
    return {
        "heldout_nats_per_token": nats[1],
        "quantisation_cost_nats_per_token": nats[1] - nats[0],
        "left_to_right_bits_per_byte": left_to_right_bits_per_byte(model, some, bpe, row_tokens),
        "n_files": len(some),
        "n_cursors": n_cursors,
        "rest_of_line": {kind: line_metrics(model, cursors, kind, bpe) for kind in PROMPT_KINDS},
    }


def _manifest(
    progress: Progress,
    weights: dict[str, Tensor],
    measured: dict[str, Any],
    folder: Path,
    row_tokens: int,
) -> dict[str, Any]:
    """What serving checks and the card repeats."""
    return {
        "format": FORMAT,
        "name": progress.model,
        "architecture": "qwen2",
        "n_parameters": sum(tensor.numel() for tensor in weights.values()),
        "quantisation": INT8_ROWS,
        "fim_order": "spm",
        "context_tokens": CONTEXT_TOKENS,
        "trained_context_tokens": row_tokens,
        "training": {
            "n_tokens": progress.n_tokens,
            "n_steps": progress.n_steps,
            "minutes": round(progress.elapsed_s / 60, 1),
        },
        "validation": measured,
        "sha256": {
            name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in FILES
        },
    }


def main() -> None:
    """Parse arguments, export, print the manifest."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("checkpoint", "corpus", "tokenizer", "output"):
        parser.add_argument(name, type=Path)
    parser.add_argument("--files", type=int, default=150)
    parser.add_argument("--cursors", type=int, default=400)
    parser.add_argument("--row-tokens", type=int, default=1024)
    arguments = parser.parse_args()
    manifest = export(
        arguments.checkpoint, arguments.corpus, arguments.tokenizer, arguments.output,
        n_files=arguments.files, n_cursors=arguments.cursors, row_tokens=arguments.row_tokens,
    )  # fmt: skip
    print(json.dumps(manifest, indent=1))


if __name__ == "__main__":
    main()
