"""Fits the sharp memory's gates on gaps in files that the table has not seen.

Some files of each repository are held out of the table; gaps in those are predicted by backbone and
table, and the gate's weights minimise the mixture's mean negative log-likelihood of all their
tokens, ordinary ones above all. Then the gate for what is near is fitted in the same way, with that
mixture in the backbone's place.
"""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from code2lora_lsp.neural.backbone import Backbone
from code2lora_lsp.neural.sharp.evidence import FEATURES, Reader
from code2lora_lsp.neural.sharp.gate import FittedGate, Gate
from code2lora_lsp.neural.sharp.memory import SharpMemory
from code2lora_lsp.neural.sharp.near import N_BLOCKS, NearText, near_text
from code2lora_lsp.neural.sharp.shelf import Shelf
from code2lora_lsp.neural.sharp.table import NgramTable
from code2lora_lsp.runtime.gate_windows import GateWindow, windows_of
from code2lora_lsp.runtime.ledger_work import remembered_anew
from code2lora_lsp.runtime.model_loading import LoadedModel
from code2lora_lsp.runtime.sources import Sources
from code2lora_lsp.text.blocks import blocks_of
from code2lora_lsp.text.gaps import Coder

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
            raise ValueError("no gaps to fit a gate on: no repository has enough files")
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


def fitted_on(parts: Sequence[Scored], gate: Gate, before: str = "backbone") -> dict[str, object]:
    """What a reader may want to know of a fit.

    Args:
        parts: one per repository.
        gate: that was fitted on them.
        before: what the gate mixes into.
    """
    scored = Scored.join(parts)
    return {
        "repositories": len(parts),
        "tokens": len(scored.backbone),
        "nats_per_token": {
            before: round(mean_nats(scored), 4),
            "mixed": round(mean_nats(scored, gate), 4),
        },
    }


def _chained(weights: Tensor, backbone: Tensor, shares: Tensor, features: Tensor) -> Tensor:
    """The mixture's p, [M]: ``Gate.shares`` for many tokens at once, with a gradient."""
    opened = torch.sigmoid((features * weights).sum(-1)) * features[..., 0]  # [M, orders]
    p = backbone
    for order in range(weights.shape[0]):
        p = (1.0 - opened[:, order]) * p + opened[:, order] * shares[:, order]
    return p


class ReadWindow(NamedTuple):
    """A gap with what the last layer gives before each token that is to be predicted.

    Attributes:
        outputs: [M, D]; what logits are made of, far smaller than these.
    """

    window: GateWindow
    outputs: Tensor


def read_windows(model: LoadedModel, windows: Sequence[GateWindow]) -> list[ReadWindow]:
    """Read each window once.

    Raises:
        ModelMismatch: a ledger cannot write with this backbone, so its last layer is not read.
    """
    return [_read(model.backbone, window) for window in windows]


def _read(decoder: Backbone, window: GateWindow) -> ReadWindow:
    ids = torch.tensor([*window.prompt, *window.target[:-1]], device=decoder.device)
    return ReadWindow(window, decoder.last_layer(ids[None]).output[0, len(window.prompt) - 1 :])


def score_windows(model: LoadedModel, table: NgramTable, read: Sequence[ReadWindow]) -> Scored:
    """Ask a table at every target token.

    Raises:
        ValueError: no windows.
    """
    reader = Reader(table)
    return Scored.join([_score(model.backbone, reader, one) for one in read])


def score_near(
    model: LoadedModel, whole: SharpMemory, shelf: Shelf, read: Sequence[ReadWindow]
) -> Scored:
    """Ask what is near each window, after what ``whole`` leaves.

    Raises:
        ValueError: no windows.
    """

    def score(one: ReadWindow) -> Scored:
        chosen = shelf.like(one.window.prompt, N_BLOCKS)
        return _score(model.backbone, near_text(whole.table, shelf, chosen), one, whole)

    return Scored.join([score(one) for one in read])


def _score(
    decoder: Backbone,
    reader: Reader | NearText,
    read: ReadWindow,
    whole: SharpMemory | None = None,
) -> Scored:
    window = read.window
    n_orders, n_target = reader.longest, len(window.target)
    scored = Scored(
        np.zeros(n_target),
        np.zeros((n_target, n_orders)),
        np.zeros((n_target, n_orders, len(FEATURES))),
    )
    rows = torch.log_softmax(decoder.logits(read.outputs), dim=-1)  # [M, V]
    context = list(window.before)
    for place, (token, row) in enumerate(zip(window.target, rows, strict=True)):
        log_p = whole.mixed(row, context) if whole else row
        scored.backbone[place] = float(log_p[token].double().exp())
        evidence = reader.read(log_p.cpu().numpy(), context)
        if evidence is not None:
            n_found = len(evidence.starts)
            scored.shares[place, :n_found] = evidence.share_of(token)
            scored.features[place, :n_found] = evidence.features
        context.append(token)
    return scored


@dataclass(frozen=True)
class GateText:
    """Of one repository, what a gate is fitted on.

    Attributes:
        table: of the files that are not hidden.
        shelf: their blocks.
        windows: gaps of the hidden ones that the backbone can read.
    """

    table: NgramTable
    shelf: Shelf
    windows: Sequence[GateWindow]


def gate_text(model: LoadedModel, repository: Sources, n_windows: int) -> GateText | None:
    """Hide some files, count the others, ask for gaps in the hidden ones.

    Args:
        model: the backbone.
        repository: its name and paths decide what is hidden.
        n_windows: gaps.

    Returns:
        ``None`` where fewer than ``FEWEST_FILES`` are readable, or no gap was found that the
        backbone can read.
    """
    files = list(repository.by_hash("gate"))
    if len(files) < FEWEST_FILES:
        return None
    n_hidden = max(1, round(len(files) * HIDDEN_SHARE))
    rng = random.Random(repository.name)  # noqa: S311 (no secret)
    hidden = [text for _, text in files[:n_hidden]]
    asked = windows_of(hidden, n_windows, Coder.of(model.tokenizer), model.order, rng)
    windows = [window for window in asked if window.n_tokens <= model.backbone.max_positions]
    if not windows:
        return None
    blocks = (block for path, text in files[n_hidden:] for block in blocks_of(path, text))
    table, shelf = remembered_anew(blocks, model.tokenizer)
    return GateText(table, shelf, windows)


def fit_gates(
    model: LoadedModel,
    texts: Sequence[GateText],
    backbone: str,
    report: Callable[[int, int], None] = lambda _n_done, _n_in_all: None,
) -> list[FittedGate]:
    """The gate of the whole table, and that of what is near.

    Args:
        model: the backbone.
        texts: one per repository.
        backbone: its fingerprint.
        report: of how many repositories the gaps were read, and of how many they will be.

    Raises:
        ModelMismatch: as ``read_windows``.
        ValueError: no texts.
    """
    read: list[list[ReadWindow]] = []
    for text in texts:
        read.append(read_windows(model, text.windows))
        report(len(read), len(texts))
    together = list(zip(texts, read, strict=True))
    parts = [score_windows(model, text.table, windows) for text, windows in together]
    whole = fit_gate(Scored.join(parts), backbone)
    near_parts = [
        score_near(model, SharpMemory(text.table, whole), text.shelf, windows)
        for text, windows in together
    ]
    near = fit_gate(Scored.join(near_parts), backbone)
    return [
        FittedGate(whole, fitted_on(parts, whole)),
        FittedGate(near, fitted_on(near_parts, near, before="mixed with the whole table")),
    ]
