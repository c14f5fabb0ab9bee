"""The name of a gap: the same in every run and on every machine."""

import dataclasses
import hashlib

from code2lora_lsp.repopeftbench.items import Item

_NAMED_BY = ("repository", "commit_id", "kind", "path", "line", "column", "prefix", "target")


def with_id(item: Item) -> Item:
    """``item`` under its stable name: track and 16 hexadecimal digits over where and what it is.

    The text around the gap takes part, so that one gap asked in two forms is two items.
    """
    parts = [str(getattr(item, name)) for name in _NAMED_BY] + [item.track.value, item.suffix]
    digest = hashlib.sha256("\0".join(parts).encode("utf-8", "surrogatepass")).hexdigest()
    return dataclasses.replace(item, item_id=f"{item.track.value}-{digest[:16]}")
