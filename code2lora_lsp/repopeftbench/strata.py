"""Strata of an item: how much of what it asks an arm can have seen."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from code2lora_lsp.repopeftbench.gaps import words
from code2lora_lsp.repopeftbench.identifiers import defined_names
from code2lora_lsp.repopeftbench.items import Item


@dataclass(frozen=True)
class Known:
    """What an arm can have read.

    Attributes:
        counts: occurrences of each name in the known tree less the hidden files.
        texts: path -> text of these files.
    """

    counts: Counter[str]
    texts: Mapping[str, str]


def with_sites(items: Sequence[Item], known: Known) -> list[Item]:
    """Add the stratum ``site``: is the name bound in what is known, or only used."""
    names = {item.identifier for item in items}
    defined: set[str] = set()
    for text in known.texts.values():
        if (names - defined) & words(text):
            defined |= names & defined_names(text)
    return [
        replace(item, strata={**item.strata, "site": _site(item, known.counts, defined)})
        for item in items
    ]


def _site(item: Item, counts: Counter[str], defined: Collection[str]) -> str:
    if item.identifier in defined:
        return "defined"
    return "used" if counts[item.identifier] else "absent"


def seen(count: int) -> str:
    """Stratum of how often a name is found in what is known."""
    if count == 0:
        return "never"
    if count == 1:
        return "once"
    return "2-5" if count <= 5 else "more"
