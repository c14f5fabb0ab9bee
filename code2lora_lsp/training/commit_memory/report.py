"""The experiment's figures as a table: arms against the ledger, intervals over repositories."""

from collections.abc import Mapping, Sequence
from statistics import mean

from code2lora_lsp.training.commit_memory.evaluation import STRATA, Means, difference


def table(arms: Mapping[str, Sequence[Sequence[Means]]], reference: str) -> list[str]:
    """Markdown lines: nats per token of the reference, and what each arm changes.

    Args:
        arms: name → seeds → means by repository, all of the same repositories.
        reference: one of the names, of one seed.
    """
    base = arms[reference][0]
    named = " | ".join(STRATA)
    lines = [f"| against {reference} | {named} |", "|---" * (len(STRATA) + 1) + "|"]
    levels = (f"{mean(one[name] for one in base if name in one):.3f}" for name in STRATA)
    lines.append(f"| {reference}, nats | {' | '.join(levels)} |")
    for name, seeds in arms.items():
        if name != reference:
            averaged = over_seeds(seeds)
            cells = (str(difference(averaged, base, stratum)) for stratum in STRATA)
            lines.append(f"| {name} | {' | '.join(cells)} |")
    return lines


def over_seeds(seeds: Sequence[Sequence[Means]]) -> list[Means]:
    """Repository by repository the mean over seeds; seeds are no further repositories."""
    return [
        {name: mean(one[name] for one in of_repository) for name in of_repository[0]}
        for of_repository in zip(*seeds, strict=True)
    ]
