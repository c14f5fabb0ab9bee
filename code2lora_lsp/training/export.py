"""Ships a checkpoint: ``python -m code2lora_lsp.training.export CHECKPOINT CORPUS TOKENIZER OUT``.

Writes the folder serving loads: ``config.json``, int8 ``model.safetensors``, the tokenizer, and
``manifest.json`` with measured losses and hashes. ``training.evaluate`` and ``training.model_card``
then measure and describe what was shipped.
"""

import argparse
import hashlib
import json
import shutil
from collections.abc import Iterable
from itertools import pairwise
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
from code2lora_lsp.training.heldout import summed_loss, token_losses
from code2lora_lsp.training.model_configs import CONTEXT_TOKENS, qwen2_config
from code2lora_lsp.training.pretraining import Plan
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
    n_long_files: int,
    hardware: str,
) -> dict[str, Any]:
    """Write the model folder and return its manifest; ``hardware`` says what it was trained on."""
    output.mkdir(parents=True, exist_ok=True)
    progress = read_progress(checkpoint)
    weights, _ = read_tensors(checkpoint)
    save_quantised(weights, output / "model.safetensors")
    config = qwen2_config(progress.model)
    config.architectures = ["Qwen2ForCausalLM"]
    config.save_pretrained(output)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copyfile(tokenizer / name, output / name)
    shipped = load_backbone_weights(output)
    measured = measure(progress.model, weights, shipped, corpus, tokenizer, n_long_files)
    manifest = _manifest(progress, weights, measured, output, hardware)
    (output / "manifest.json").write_text(json.dumps(manifest, indent=1) + "\n", encoding="utf-8")
    return manifest


def measure(
    name: str,
    trained: dict[str, Tensor],
    shipped: dict[str, Tensor],
    corpus: Path,
    tokenizer: Path,
    n_long_files: int,
) -> dict[str, Any]:
    """Losses of the shipped weights on validation repositories, and what quantisation cost."""
    inputs, targets = heldout_rows(corpus, tokenizer)
    model = Qwen2ForCausalLM(qwen2_config(name)).eval()
    nats: list[float] = []
    for weights in (trained, shipped):
        model.load_state_dict(weights | {"lm_head.weight": weights["model.embed_tokens.weight"]})
        total, n_scored = summed_loss(model, inputs, targets, torch.float32)
        nats.append(total / n_scored)
    bpe = Tokenizer.from_folder(tokenizer)
    texts = [text for _, _, text in read_shards(corpus, Split.VALIDATION)]
    return {
        "heldout_nats_per_token": nats[1],
        "quantisation_cost_nats_per_token": nats[1] - nats[0],
        "nats_by_position": nats_by_position(model, texts, bpe, n_long_files),
    }


def nats_by_position(
    model: Qwen2ForCausalLM, texts: Iterable[str], tokenizer: Tokenizer, n_files: int
) -> dict[str, float]:
    """Loss of files longer than the context, by how much of the file stands before a token."""
    total, n_read = torch.zeros(CONTEXT_TOKENS), 0
    end = tokenizer.fim_tokens().end_of_text
    for text in texts:
        ids = tokenizer.encode(text[: CONTEXT_TOKENS * 8])[:CONTEXT_TOKENS]
        if len(ids) < CONTEXT_TOKENS or n_read == n_files:
            continue
        total += token_losses(model, torch.tensor([end, *ids[:-1]]), torch.tensor(ids))
        n_read += 1
    bounds = [0, 128, 256, 512, 1024, CONTEXT_TOKENS]
    return {
        f"{start}-{stop}": float(total[start:stop].mean() / n_read)
        for start, stop in pairwise(bounds)
        if n_read
    }


def _manifest(
    progress: Progress,
    weights: dict[str, Tensor],
    measured: dict[str, Any],
    folder: Path,
    hardware: str,
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
        "trained_context_tokens": Plan().stages[-1].row_tokens,
        "training": {
            "n_tokens": progress.n_tokens,
            "n_steps": progress.n_steps,
            "minutes": round(progress.elapsed_s / 60, 1),
            "hardware": hardware,
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
    parser.add_argument("--long-files", type=int, default=40)
    parser.add_argument("--hardware", default="unnamed hardware", help="for the card")
    arguments = parser.parse_args()
    manifest = export(
        arguments.checkpoint, arguments.corpus, arguments.tokenizer, arguments.output,
        n_long_files=arguments.long_files, hardware=arguments.hardware,
    )  # fmt: skip
    print(json.dumps(manifest, indent=1))


if __name__ == "__main__":
    main()
