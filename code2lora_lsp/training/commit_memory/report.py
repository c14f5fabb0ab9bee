"""The experiment's figures as a table: arms against the ledger, intervals over repositories."""

from collections.abc import Mapping, Sequence
from statistics import mean

from code2lora_lsp.training.commit_memory.evaluation import STRATA, Means, difference

UNDER_ANOTHERS = ": under another's"
OWN_LATER = ": own, where another's is asked"
"""Ends of names: another's ledger is only kept from a later commit on, so own is asked anew."""


def table(arms: Mapping[str, Sequence[Sequence[Means]]], reference: str) -> list[str]:
    """Markdown lines: nats per token of the reference, and what each arm changes.

    An arm under another repository's state stands against the same arm under its own.

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
        if name != reference and not name.endswith(OWN_LATER):
            own = name.removesuffix(UNDER_ANOTHERS) + OWN_LATER
            against = over_seeds(arms[own]) if name.endswith(UNDER_ANOTHERS) else base
            averaged = over_seeds(seeds)
            cells = (str(difference(averaged, against, stratum)) for stratum in STRATA)
            lines.append(f"| {name} | {' | '.join(cells)} |")
    return lines


def over_seeds(seeds: Sequence[Sequence[Means]]) -> list[Means]:
    """Repository by repository the mean over seeds; seeds are no further repositories."""
    return [
        {name: mean(one[name] for one in of_repository) for name in of_repository[0]}
        for of_repository in zip(*seeds, strict=True)
    ]
