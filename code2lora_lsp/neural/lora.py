"""Adapters as values: made once, checked once, never edited."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import torch
from torch import Tensor

from code2lora_lsp.errors import AdapterRejected

PROJECTION_NAMES = (
    "q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj",
)  # fmt: skip

MAX_DELTA_RATIO = 10.0
"""A pair whose scaled ‖B‖·‖A‖ exceeds this many times √(rank·in·out)·0.3² is absurd.

The published head bounds |A|, |B| ≤ 0.3 element-wise (code2lora-spec, section 3.1), so
‖A‖_F ≤ 0.3·√(R·in) and ‖B‖_F ≤ 0.3·√(out·R); ten times that product is no adapter of ours.
"""


@dataclass(frozen=True, order=True)
class Projection:
    """One adapted linear map of the backbone, such as layer 3's ``down_proj``."""

    layer: int
    name: str

    @property
    def module_path(self) -> str:
        """Module name inside a Hugging Face decoder: ``model.layers.3.mlp.down_proj``."""
        part = "mlp" if self.name in {"gate_proj", "up_proj", "down_proj"} else "self_attn"
        return f"model.layers.{self.layer}.{part}.{self.name}"


@dataclass(frozen=True)
class LoraPair:
    """One low-rank update: ``y = W x + scale · B (A x)``.

    Attributes:
        a: A, [R, in] float32.
        b: B, [out, R] float32.
    """

    a: Tensor
    b: Tensor

    @property
    def rank(self) -> int:
        return self.a.shape[0]

    def delta(self, scale: float) -> Tensor:
        """ΔW = scale · B A, [out, in]."""
        return (self.b @ self.a) * scale


@dataclass(frozen=True)
class LoraAdapter:
    """All pairs of one adapter; immutable and already validated.

    Attributes:
        pairs: projection → pair; several projections may share one pair's tensors, as the
            published head does across layers.
        scale: alpha / rank.
        commit_id: the commit it stands for; ``None`` for one that follows no repository.
        adapter_id: 16 hex digits of a SHA-256 over commit, scale and every tensor.

    Raises:
        AdapterRejected: no pairs, wrong or unequal shapes, non-finite numbers, absurd norms.
    """

    pairs: Mapping[Projection, LoraPair]
    scale: float
    commit_id: str | None = None
    adapter_id: str = ""

    def __post_init__(self) -> None:
        if not self.pairs:
            raise AdapterRejected("the adapter has no projections")
        if not 0 < self.scale < float("inf"):
            raise AdapterRejected(f"scale {self.scale!r} is not a positive number")
        shared = {id(pair): (projection, pair) for projection, pair in self.pairs.items()}
        for projection, pair in shared.values():
            _check_pair(projection, pair, self.scale)
        object.__setattr__(self, "pairs", MappingProxyType(dict(sorted(self.pairs.items()))))
        if not self.adapter_id:
            object.__setattr__(self, "adapter_id", _fingerprint(self))

    @property
    def rank(self) -> int:
        """Largest rank among the pairs."""
        return max(pair.rank for pair in self.pairs.values())

    @property
    def size_bytes(self) -> int:
        """Bytes of the distinct tensors; shared ones count once."""
        tensors = {id(t): t for pair in self.pairs.values() for t in (pair.a, pair.b)}
        return sum(t.numel() * t.element_size() for t in tensors.values())


def leaves_cache_alone(adapter: LoraAdapter | None, n_layers: int) -> bool:
    """Whether all keys and values are those of the plain backbone.

    Behind the last layer's keys and values stand only its own other projections.
    """
    projections = adapter.pairs if adapter is not None else ()
    return all(
        projection.layer == n_layers - 1 and projection.name not in {"k_proj", "v_proj"}
        for projection in projections
    )


def delta_cosine(first: LoraAdapter, second: LoraAdapter) -> float:
    """Cosine of the two effective updates ΔW over all shared projections, without forming ΔW.

    ⟨B₁A₁, B₂A₂⟩ = trace((B₂ᵀB₁)(A₁A₂ᵀ)); 0.0 when either update is zero.
    """
    dot = sum(_inner(first.pairs[p], second.pairs[p]) for p in first.pairs if p in second.pairs)
    norm = (_square_norm(first) * _square_norm(second)) ** 0.5
    return dot / norm if norm > 0 else 0.0


def relative_distance(after: LoraAdapter, before: LoraAdapter) -> float | None:
    """‖ΔW − ΔW′‖ / ‖ΔW′‖ over all projections, ΔW′ being ``before``'s; ``None`` where that is zero.

    Updates are formed one by one: the difference of two that are nearly equal would be lost in
    ‖ΔW‖² + ‖ΔW′‖² − 2⟨ΔW, ΔW′⟩. What several projections share is formed once.
    """
    square, norm = 0.0, 0.0
    known: dict[tuple[int, int], tuple[float, float]] = {}
    for projection in sorted({*after.pairs, *before.pairs}):
        new, old = after.pairs.get(projection), before.pairs.get(projection)
        key = id(new), id(old)
        if key not in known:
            known[key] = _squares(_delta(new, after.scale), _delta(old, before.scale))
        square, norm = square + known[key][0], norm + known[key][1]
    return (square / norm) ** 0.5 if norm > 0 else None


def _delta(pair: LoraPair | None, scale: float) -> Tensor | None:
    return None if pair is None else pair.delta(scale).double()


def _squares(new: Tensor | None, old: Tensor | None) -> tuple[float, float]:
    """‖new − old‖² and ‖old‖², an absent update being zero."""
    if old is None:
        return (0.0 if new is None else float(new.square().sum())), 0.0
    difference = old if new is None else new - old
    return float(difference.square().sum()), float(old.square().sum())


def _square_norm(adapter: LoraAdapter) -> float:
    return sum(_inner(pair, pair) for pair in adapter.pairs.values())


def _inner(first: LoraPair, second: LoraPair) -> float:
    outer = (second.b.T.float() @ first.b.float()) * (second.a.float() @ first.a.float().T)
    return float(outer.sum())


def _check_pair(projection: Projection, pair: LoraPair, scale: float) -> None:
    a, b = pair.a, pair.b
    if a.ndim != 2 or b.ndim != 2 or a.shape[0] != b.shape[1]:
        raise AdapterRejected(
            f"{projection.module_path}: A {list(a.shape)} and B {list(b.shape)} do not share a rank"
        )
    if not (torch.isfinite(a).all() and torch.isfinite(b).all()):
        raise AdapterRejected(f"{projection.module_path}: the adapter holds non-finite numbers")
    norm = float(a.norm() * b.norm()) * scale
    bound = MAX_DELTA_RATIO * scale * 0.09 * a.shape[0] * (a.shape[1] * b.shape[0]) ** 0.5
    if norm > bound:
        raise AdapterRejected(
            f"{projection.module_path}: update norm {norm:.3g} is over {bound:.3g}"
        )


def _fingerprint(adapter: LoraAdapter) -> str:
    digest = hashlib.sha256(f"{adapter.commit_id}\0{adapter.scale}\0".encode())
    seen: dict[int, bytes] = {}
    for projection, pair in adapter.pairs.items():
        digest.update(projection.module_path.encode())
        if id(pair) not in seen:
            seen[id(pair)] = _content(pair.a) + _content(pair.b)
        digest.update(seen[id(pair)])
    return digest.hexdigest()[:16]


def _content(tensor: Tensor) -> bytes:
    """SHA-256 of shape and numbers."""
    wide = tensor.detach().float().contiguous().cpu()
    return hashlib.sha256(f"{list(wide.shape)}".encode() + wide.numpy().tobytes()).digest()
