"""The card of an Evo checkpoint: what it was trained on and what its adapters measured."""

from collections.abc import Mapping, Sequence
from typing import Any

from code2lora_lsp.training.timelines import TimelinePlan


def evo_card(
    provenance: Mapping[str, Any], sources: Mapping[str, Mapping[str, Any]], reads: TimelinePlan
) -> str:
    """Markdown from a checkpoint's provenance and the corpus manifest's entries by name."""
    plan, measured = provenance["plan"], provenance["validation"]
    return f"""# Code2LoRA-Evo checkpoint of the embedded backbone

The published method (arXiv 2606.06492): a commit gru of width {plan["gru_width"]} and a lora head
of width {plan["head_width"]} that emits adapters of rank {plan["rank"]}, one pair per projection
type, shared by all layers. The encoder is the backbone itself. Stored as float16.

Trained by `code2lora_lsp.training.evo` for {plan["minutes"]:g} minutes on two CPU cores:
{provenance["optimizer_steps"]} optimizer steps, each through {plan["n_bptt"]} real commits of
{plan["repositories_per_step"]} repositories. After every commit the adapter is asked for lines that
only the next commit adds. Of each repository the newest {reads.n_steps} stepped commits were read.

## What its adapters are worth

Nats per token of lines added by the next commit, on the last third of each validation repository's
commits ({measured["target_tokens"]:.0f} tokens; no validation repository was trained on):

| adapter | nats per token |
|---|---|
| none | {measured["none_nats"]:.4f} |
| the repository's own | {measured["own_nats"]:.4f} |
| another repository's, mean of all | {measured["other_nats"]:.4f} |
| the mean of the training repositories' | {measured["mean_nats"]:.4f} |

Mean cosine between the updates of different repositories: {measured["update_cosine"]:.3f}
(1 would be one adapter for all). {_verdict(measured)}

## Data

Trained on the history of:

{_table(provenance["trained_on"], sources)}

Measured on, never trained on:

{_table(provenance["validated_on"], sources)}
"""


def _verdict(measured: Mapping[str, float]) -> str:
    """What the figures allow to say, and no more."""
    generic = measured["none_nats"] - measured["mean_nats"]
    own = measured["other_nats"] - measured["own_nats"]
    return (
        f"The mean adapter is worth {generic:+.4f} nats against none; a repository's own is worth "
        f"{own:+.4f} against another's. No confidence interval was computed; read small "
        "differences as none."
    )


def _table(names: Sequence[str], sources: Mapping[str, Mapping[str, Any]]) -> str:
    rows = [
        f"| {name} | {sources[name]['commit'][:12]} | {sources[name]['licence']} |"
        for name in names
    ]
    return "\n".join(["| repository | commit | licence |", "|---|---|---|", *rows])
