"""A shelf in a stored state."""

import numpy as np
import pytest
import torch

from code2lora_lsp.neural.sharp.shelf import Shelf, ShelvedBlock
from code2lora_lsp.runtime.block_tally import KnownBlock
from code2lora_lsp.runtime.stored_shelf import decoded_shelf, encoded_shelf
from tests.runtime.ledger_following import assert_same_shelf

TEXTS = {"a": [[1, 2, 3], [4], []], "b": [[]], "c": [[7, 0, 7]]}
KNOWN = {block_id: KnownBlock(2, 3, f"{block_id}.py") for block_id in ("c", "x", "a", "b")}
SHELVED = {block_id: known for block_id, known in KNOWN.items() if block_id in TEXTS}


def shelf():
    return Shelf(
        {
            block_id: ShelvedBlock(f"{block_id}.py", tuple(np.array(t, np.int32) for t in texts), 2)
            for block_id, texts in TEXTS.items()
        }
    )


def test_a_shelf_comes_back_as_it_was():
    assert_same_shelf(decoded_shelf(encoded_shelf(shelf(), KNOWN), SHELVED, 8), shelf())


def test_an_empty_one_too():
    assert decoded_shelf(encoded_shelf(Shelf({}), KNOWN), {}, 8).blocks == {}


@pytest.mark.parametrize(
    "damage",
    [
        {"shelf.ids": torch.arange(3, dtype=torch.int32)},
        {"shelf.lengths": torch.tensor([1], dtype=torch.int32)},
        {"shelf.ids": torch.zeros(11, dtype=torch.int32)},
    ],
)
def test_arrays_of_another_shelf_are_refused(damage):
    stored = encoded_shelf(shelf(), KNOWN)
    assert len(stored["shelf.ids"]) == 12
    with pytest.raises(ValueError, match=r"shelf|zip"):
        decoded_shelf(stored | damage, SHELVED, 8)


@pytest.mark.parametrize("token_id", [-2, 8, 2**31 - 1])
def test_ids_that_are_no_tokens_are_refused(token_id):
    stored = encoded_shelf(shelf(), KNOWN)
    stored["shelf.ids"][1] = token_id
    with pytest.raises(ValueError, match=f"ids .*{token_id}.* on the shelf"):
        decoded_shelf(stored, SHELVED, 8)


def test_a_state_without_a_shelf_is_refused():
    with pytest.raises(KeyError):
        decoded_shelf({}, SHELVED, 8)
