"""A ledger's whole update at a rank that any tool loads, and what that costs."""

from code2lora_lsp.neural.ledger.population import Population
from code2lora_lsp.neural.ledger.readout import ReadoutPlan, truncated
from code2lora_lsp.neural.lora import LoraAdapter


def at_rank(
    adapter: LoraAdapter, population: Population, plan: ReadoutPlan, rank: int
) -> tuple[LoraAdapter, float]:
    """The nearest adapter of a rank, and the part of the update that it keeps.

    What is kept is of the mean square of ΔW x over the population's keys x: trace(ΔW C_pop ΔWᵀ).
    """
    if adapter.rank <= rank:
        return adapter, 1.0
    ((projection, pair),) = adapter.pairs.items()
    update = pair.delta(adapter.scale)
    smaller = truncated(update, population, plan, rank)
    keys = population.keys
    whole = float((update @ keys * update).sum())
    lost = update - smaller.delta(1.0)
    kept = 1.0 - float((lost @ keys * lost).sum()) / whole
    return LoraAdapter({projection: smaller}, 1.0, adapter.commit_id), kept
