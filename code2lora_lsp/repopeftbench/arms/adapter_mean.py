"""The mean of several adapters' updates ΔW, as one adapter of the exact same effect."""

from collections.abc import Iterable, Sequence

import torch

from code2lora_lsp.neural.lora import LoraAdapter, LoraPair, Projection


def mean_adapter(adapters: Sequence[LoraAdapter]) -> LoraAdapter:
    """ΔW = 1/n Σ scale_i B_i A_i per projection; an adapter without a projection counts as zero.

    The factors are put side by side, B = [B_1 … B_n], A = [A_1; …; A_n]. Where that is wider
    than the matrix itself, the product is factored again by SVD, at its full rank. Projections
    that share a pair in every adapter share it in the mean.

    Raises:
        ValueError: no adapters.
    """
    if not adapters:
        raise ValueError("the mean of no adapters does not exist")
    known: dict[tuple[int | None, ...], LoraPair] = {}
    pairs: dict[Projection, LoraPair] = {}
    for projection in sorted({p for adapter in adapters for p in adapter.pairs}):
        found = [adapter.pairs.get(projection) for adapter in adapters]
        key = tuple(None if pair is None else id(pair) for pair in found)
        if key not in known:
            weighted = zip(found, (a.scale / len(adapters) for a in adapters), strict=True)
            known[key] = _sum((pair, weight) for pair, weight in weighted if pair is not None)
        pairs[projection] = known[key]
    return LoraAdapter(pairs, scale=1.0)


def _sum(weighted: Iterable[tuple[LoraPair, float]]) -> LoraPair:
    """Σ weight_i B_i A_i as one pair, each weight split evenly between its two factors."""
    parts = [(pair.a * weight**0.5, pair.b * weight**0.5) for pair, weight in weighted]
    a = torch.cat([part for part, _ in parts])  # [ΣR, in]
    b = torch.cat([part for _, part in parts], dim=1)  # [out, ΣR]
    if a.shape[0] <= min(a.shape[1], b.shape[0]):
        return LoraPair(a, b)
    u, s, vh = torch.linalg.svd(b.double() @ a.double(), full_matrices=False)
    root = s.sqrt()
    return LoraPair((root[:, None] * vh).float(), (u * root).float())
