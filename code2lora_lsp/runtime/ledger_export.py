"""A ledger's whole update at a rank that any tool loads, and what that costs.

Other tools have no table beside it, so an export is of the whole step.
"""

from code2lora_lsp.neural.ledger.population import Population
from code2lora_lsp.neural.ledger.readout import ReadoutPlan, truncated
from code2lora_lsp.neural.lora import LoraAdapter


def at_rank(
    adapter: LoraAdapter, population: Population, plan: ReadoutPlan, rank: int
) -> tuple[LoraAdapter, float]:
    """The nearest adapter of a rank, and the part of the update that it keeps.

    What is kept is of the mean square of ΔW x over the population's keys x: trace(ΔW C_pop ΔWᵀ).
    """
    ((projection, pair),) = adapter.pairs.items()
    if pair.rank <= rank:
        return LoraAdapter(adapter.pairs, 1.0, adapter.commit_id), 1.0
    update = pair.delta(1.0)
    smaller = truncated(update, population, plan, rank)
    keys = population.keys
    whole = float((update @ keys * update).sum())
    lost = update - smaller.delta(1.0)
    kept = 1.0 - float((lost @ keys * lost).sum()) / whole
    return LoraAdapter({projection: smaller}, 1.0, adapter.commit_id), kept
