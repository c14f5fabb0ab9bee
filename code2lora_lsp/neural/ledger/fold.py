"""A ledger is a sum over the blocks in a tree: written whole, or carried from commit to commit.

    Static(tree)  = Σ_{b in tree} write(b)
    Evo(t)        = Evo(t−1) + Σ_{b added} write(b) − Σ_{b removed} write(b)

Statistics add exactly, so Evo(t) is Static(tree at t) bit for bit, whatever the path to it: edits,
reverts, merges, renames, another branch. A step costs what its blocks cost, at commit 5 as at
commit 5,000. The condition is that a block writes the same bits when it is removed as when it was
added; whoever cannot promise that (another machine, another number of threads) keeps what was
written.
"""

from collections.abc import Callable, Iterable
from typing import TypeVar

from code2lora_lsp.neural.ledger.statistics import Statistics

BlockT = TypeVar("BlockT")


def fold(
    before: Statistics,
    removed: Iterable[BlockT],
    added: Iterable[BlockT],
    write: Callable[[BlockT], Statistics],
) -> Statistics:
    """The ledger after a change of its tree. ``before`` is unchanged.

    Args:
        before: the ledger; ``no_statistics`` for an empty tree, which makes this Static.
        removed: blocks of that tree, each as often as it goes.
        added: blocks, each as often as it comes.
        write: one block's statistics; called once per block given.

    Raises:
        ShapeMismatch: more tokens are removed than the ledger holds.
        OverflowError: the sum would no longer be exact.
    """
    after = before
    for block in added:
        after = after + write(block)
    for block in removed:
        after = after - write(block)
    return after
