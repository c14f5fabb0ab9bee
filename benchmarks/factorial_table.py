"""The table of `code2lora_lsp.training.factorial`, from its JSON lines.

    python benchmarks/factorial_table.py docs/results/factorial.jsonl

Nats per token of each validation repository, then their mean: every repository weighs the same.
Intervals are 95 % bootstraps over repositories. Ranks and p-values are of own adapters dealt out
among the repositories.
"""

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from code2lora_lsp.repopeftbench.statistics import Matrix, cluster_mean, own_ranks, permutation_p

ALL, RARE = 0, 1
HEADER = (
    "| cell (seed) | own | mean | another's | own less mean | own less another's | rank | p "
    "| rare names: own less another's | cosine | across commits |"
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("lines", type=Path)
    lines = [json.loads(line) for line in parser.parse_args().lines.read_text().splitlines()]
    shared = next(line for line in lines if line["name"] == "shared")
    print(_tokens(shared), end="\n\n")
    print(HEADER, "|---" * HEADER.count(" | ") + "|---|", sep="\n")
    for line in lines:
        print("|", " | ".join(_row(line)), "|")


def _tokens(line: dict[str, Any]) -> str:
    tokens = np.array(line["n_tokens"])
    none = (np.array(line["none"]) / tokens).mean(axis=0)
    return (
        f"{len(tokens)} repositories, {tokens[:, ALL].sum()} target tokens, "
        f"{tokens[:, RARE].sum()} of rare names; without adapter {none[ALL]:.4f} and "
        f"{none[RARE]:.4f} nats per token"
    )


def _row(line: dict[str, Any]) -> Iterator[str]:
    yield f"{line['name']} ({line['seed']})"
    tokens = np.array(line["n_tokens"], dtype=np.float64)
    own = np.array(line["own"]) / tokens  # [R, 2]
    yield f"{own[:, ALL].mean():.4f}"
    if line["name"] == "shared":
        yield from [""] * (HEADER.count(" | ") - 1)
        return
    mean = np.array(line["mean"]) / tokens
    crossed = np.array(line["crossed"]) / tokens[:, None]  # [R, R, 2]
    another = _others(crossed)
    yield f"{mean[:, ALL].mean():.4f}"
    yield f"{another[:, ALL].mean():.4f}"
    yield _interval((own - mean)[:, ALL])
    yield _interval((own - another)[:, ALL])
    yield f"{own_ranks(crossed[:, :, ALL]).mean():.1f}"
    yield f"{permutation_p(crossed[:, :, ALL]):.3f}"
    yield _interval((own - another)[:, RARE])
    for figure in ("emitted_cosine", "commit_cosine"):
        yield f"{line[figure]:.4f}"


def _others(crossed: Matrix) -> Matrix:
    """Mean over the other repositories' adapters, [R, 2], of what every adapter costs."""
    count = len(crossed)
    diagonal = crossed[np.arange(count), np.arange(count)]
    others: Matrix = (crossed.sum(axis=1) - diagonal) / (count - 1)
    return others


def _interval(differences: Matrix) -> str:
    estimate = cluster_mean(differences.tolist(), range(len(differences)))
    assert estimate.low is not None
    assert estimate.high is not None
    return f"{estimate.value:+.4f} [{estimate.low:+.4f}, {estimate.high:+.4f}]"


if __name__ == "__main__":
    main()
