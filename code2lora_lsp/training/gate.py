"""Fits the sharp memory's gate: ``python -m code2lora_lsp.training.gate CORPUS OUT.json``.

Of each repository of the corpus's training split a tenth of the files is held out of the table;
gaps in those are predicted by backbone and table, and the gate's weights minimise the mixture's
mean negative log-likelihood of all their tokens, ordinary ones above all.
"""

import argparse
import hashlib
import random
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from code2lora_lsp.config import ModelSettings
from code2lora_lsp.errors import ModelMismatch
from code2lora_lsp.history.secrets import redact
from code2lora_lsp.neural.decoder import Decoder
from code2lora_lsp.neural.sharp.evidence import FEATURES, Reader
from code2lora_lsp.neural.sharp.gate import Gate, save_gate
from code2lora_lsp.neural.sharp.table import NgramTable
from code2lora_lsp.runtime.model_loading import LoadedModel, load_model
from code2lora_lsp.runtime.models import backbone_fingerprint
from code2lora_lsp.text.blocks import blocks_of
from code2lora_lsp.text.views import counted_texts
from code2lora_lsp.training.corpus import read_shards
from code2lora_lsp.training.fim_examples import Coder
from code2lora_lsp.training.gate_windows import GateWindow, windows_of
from code2lora_lsp.training.splits import Split

N_REPOSITORIES = 32
WINDOWS_PER_REPOSITORY = 40
HIDDEN_SHARE = 0.1
FEWEST_FILES = 20
PENALTY = 1e-4
"""Of the squared weights, against the mean nats per token: keeps rarely used ones near zero."""

LEAST_P = 1e-12


@dataclass(frozen=True)
class Scored:
    """Target tokens with what backbone and table say of them.

    Attributes:
        backbone: p_0 of each, [M].
        shares: p̂_n of each, [M, orders]; 0 beyond what the table has.
        features: x_n, [M, orders, len(FEATURES)]; 0 beyond, where λ_n is 0.
    """

    backbone: NDArray[np.float64]
    shares: NDArray[np.float64]
    features: NDArray[np.float64]

    @classmethod
    def join(cls, parts: Sequence["Scored"]) -> "Scored":
        """All of them, in order.

        Raises:
            ValueError: there are none.
        """
        if not parts:
            raise ValueError("nothing to fit a gate on; the corpus holds no training source")
        arrays = ((part.backbone, part.shares, part.features) for part in parts)
        return cls(*(np.concatenate(of_all) for of_all in zip(*arrays, strict=True)))


def fit_gate(scored: Scored, backbone: str) -> Gate:
    """The weights of least mean nats, by L-BFGS from λ = 0.12 everywhere."""
    features, shares = torch.from_numpy(scored.features), torch.from_numpy(scored.shares)
    weights = torch.zeros(features.shape[1:], dtype=torch.float64)
    weights[:, 0] = -2.0
    weights.requires_grad_()
    optimizer = torch.optim.LBFGS([weights], max_iter=200, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimizer.zero_grad()
        p = _chained(weights, torch.from_numpy(scored.backbone), shares, features)
        value = -p.clamp(min=LEAST_P).log().mean() + PENALTY * weights.square().sum()
        value.backward()
        return value

    optimizer.step(loss)  # type: ignore[no-untyped-call,unused-ignore]
    return Gate(weights.detach().numpy(), backbone)


def mean_nats(scored: Scored, gate: Gate | None = None) -> float:
    """Of each target token; without a gate, the backbone's."""
    p = torch.from_numpy(scored.backbone)
    if gate is not None:
        shares, features = torch.from_numpy(scored.shares), torch.from_numpy(scored.features)
        p = _chained(torch.from_numpy(gate.weights), p, shares, features)
    return -float(p.clamp(min=LEAST_P).log().mean())


def _chained(weights: Tensor, backbone: Tensor, shares: Tensor, features: Tensor) -> Tensor:
    """The mixture's p, [M]: ``Gate.shares`` for many tokens at once, with a gradient."""
    opened = torch.sigmoid((features * weights).sum(-1)) * features[..., 0]  # [M, orders]
    p = backbone
    for order in range(weights.shape[0]):
        p = (1.0 - opened[:, order]) * p + opened[:, order] * shares[:, order]
    return p


def score_windows(model: LoadedModel, table: NgramTable, windows: Sequence[GateWindow]) -> Scored:
    """Read each window once and ask the table at every target token.

    Raises:
        ModelMismatch: the model is none of our decoder's.
        ValueError: no windows.
    """
    reader, decoder = Reader(table), _decoder(model)
    return Scored.join([_score(decoder, reader, window) for window in windows])


def _score(decoder: Decoder, reader: Reader, window: GateWindow) -> Scored:
    n_orders, n_target = reader.table.packing.longest, len(window.target)
    scored = Scored(
        np.zeros(n_target),
        np.zeros((n_target, n_orders)),
        np.zeros((n_target, n_orders, len(FEATURES))),
    )
    ids = torch.tensor([*window.prompt, *window.target[:-1]], device=decoder.device)
    outputs = decoder.last_layer(ids[None]).output[0, len(window.prompt) - 1 :]
    rows = torch.log_softmax(decoder.logits(outputs), dim=-1)  # [M, V]
    context = list(window.before)
    for place, (token, log_p) in enumerate(zip(window.target, rows, strict=True)):
        scored.backbone[place] = float(log_p[token].double().exp())
        evidence = reader.read(log_p.cpu().numpy(), context)
        if evidence is not None:
            n_found = len(evidence.starts)
            scored.shares[place, :n_found] = evidence.share_of(token)
            scored.features[place, :n_found] = evidence.features
        context.append(token)
    return scored


def repositories_of(corpus: Path, n_repositories: int) -> Iterator[tuple[str, dict[str, str]]]:
    """Training repositories of enough files, as (name, path → redacted text); a hash chooses.

    Raises:
        ModelMissing, ModelMismatch: as ``read_shards``.
    """
    found = _by_repository(read_shards(corpus, Split.TRAIN))
    large = [name for name, files in found.items() if len(files) >= FEWEST_FILES]
    for name in sorted(large, key=_place)[:n_repositories]:
        yield name, {path: redact(text)[0] for path, text in found[name].items()}


def score_repository(
    model: LoadedModel, name: str, files: dict[str, str], n_windows: int = WINDOWS_PER_REPOSITORY
) -> Scored:
    """Hide some files, count the others, ask for gaps in the hidden ones.

    Args:
        model: the backbone.
        name: ``owner/name``; with the paths it decides what is hidden.
        files: path → text, redacted.
        n_windows: gaps.
    """
    paths = sorted(files, key=lambda path: _place(f"{name} {path}"))
    n_hidden = max(1, round(len(paths) * HIDDEN_SHARE))
    table = _table(model, {path: files[path] for path in paths[n_hidden:]})
    rng = random.Random(name)  # noqa: S311 (no secret)
    hidden = [files[path] for path in paths[:n_hidden]]
    windows = windows_of(hidden, n_windows, Coder.of(model.tokenizer), model.order, rng)
    return score_windows(model, table, windows)


def _table(model: LoadedModel, files: dict[str, str]) -> NgramTable:
    blocks = (block for path, text in files.items() for block in blocks_of(path, text))
    empty = NgramTable.empty(model.backbone.vocabulary_size, model.name)
    texts = (text for block in blocks for text in counted_texts(block))
    return empty.with_changes(model.tokenizer.encode(text) for text in texts)


def _by_repository(rows: Iterable[tuple[str, str, str]]) -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = defaultdict(dict)
    for repository, path, text in rows:
        found[repository][path] = text
    return found


def _place(text: str) -> bytes:
    return hashlib.sha256(f"gate {text}".encode()).digest()


def _decoder(model: LoadedModel) -> Decoder:
    if not isinstance(model.backbone, Decoder):
        raise ModelMismatch(f"{model.name}: a gate is fitted with a Qwen2-family decoder only")
    return model.backbone


def main() -> None:
    """Parse arguments, fit and save."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("corpus", type=Path)
    parser.add_argument("output", type=Path, help="gate.json")
    parser.add_argument("--model", type=Path, default=Path("models/nano"))
    parser.add_argument("--repositories", type=int, default=N_REPOSITORIES)
    arguments = parser.parse_args()
    model = load_model(arguments.model, ModelSettings(), lambda *_: None)
    parts: list[Scored] = []
    for name, files in repositories_of(arguments.corpus, arguments.repositories):
        parts.append(score_repository(model, name, files))
        n_tokens = sum(len(part.backbone) for part in parts)
        print(f"{len(parts)}. {name}: {n_tokens:,} tokens so far", file=sys.stderr)
    scored = Scored.join(parts)
    gate = fit_gate(scored, backbone_fingerprint(arguments.model))
    fitted_on = {
        "repositories": len(parts),
        "tokens": len(scored.backbone),
        "nats_per_token": {
            "backbone": round(mean_nats(scored), 4),
            "mixed": round(mean_nats(scored, gate), 4),
        },
    }
    save_gate(gate, arguments.output, fitted_on)
    print(f"{arguments.output}: {fitted_on}")


if __name__ == "__main__":
    main()
