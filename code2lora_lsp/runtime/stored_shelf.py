"""A shelf as arrays of a stored state."""

from collections.abc import Iterator, Mapping

import numpy as np
import torch
from torch import Tensor

from code2lora_lsp.neural.sharp.shelf import BETWEEN, Ids, Shelf, ShelvedBlock
from code2lora_lsp.runtime.block_tally import KnownBlock


def encoded_shelf(shelf: Shelf, known: Mapping[str, KnownBlock]) -> dict[str, Tensor]:
    """Texts and their lengths, in the order of the blocks that are known.

    Args:
        shelf: of a tree.
        known: all blocks of it; those of the shelf are among them, as often.
    """
    codes = [_coded(shelf.blocks[block_id]) for block_id in known if block_id in shelf.blocks]
    joined = np.concatenate([np.empty(0, np.int32), *codes])
    lengths = np.array([len(code) for code in codes], np.int32)
    return {"shelf.ids": torch.from_numpy(joined), "shelf.lengths": torch.from_numpy(lengths)}


def decoded_shelf(
    stored: Mapping[str, Tensor], shelved: Mapping[str, KnownBlock], vocabulary_size: int
) -> Shelf:
    """What ``encoded_shelf`` made arrays of.

    Args:
        stored: the arrays, among others.
        shelved: the blocks of the shelf, in the order they were known in.
        vocabulary_size: token ids are below it.

    Raises:
        KeyError, ValueError: the arrays are damaged, or of other blocks.
    """
    ids, lengths = stored["shelf.ids"].numpy(), stored["shelf.lengths"].numpy()
    if len(ids) != lengths.sum():
        raise ValueError(f"{len(ids)} token ids on the shelf, want {lengths.sum()}")
    if len(ids) and not BETWEEN <= ids.min() <= ids.max() < vocabulary_size:
        raise ValueError(f"ids {ids.min()} to {ids.max()} on the shelf; below {vocabulary_size}")
    codes = np.split(ids, lengths.cumsum()[:-1]) if len(lengths) else []
    return Shelf(
        {
            block_id: ShelvedBlock(known.path, tuple(_texts(code)), known.n_times)
            for (block_id, known), code in zip(shelved.items(), codes, strict=True)
        }
    )


def _coded(block: ShelvedBlock) -> Ids:
    return np.concatenate([part for ids in block.texts for part in ([BETWEEN], ids)]).astype(
        np.int32
    )


def _texts(code: Ids) -> Iterator[Ids]:
    starts = np.flatnonzero(code == BETWEEN)
    if not len(starts) or starts[0] != 0:
        raise ValueError("a block of the shelf begins with no text")
    for text in np.split(code, starts[1:]):
        yield text[1:]
