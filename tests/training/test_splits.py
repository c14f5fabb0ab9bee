import pytest

from code2lora_lsp.training.splits import Split, split_of


@pytest.mark.parametrize(
    ("repository", "split"),
    [
        ("textualize/textual", Split.TRAIN),  # sha256 starts with 0
        ("instagram/libcst", Split.TRAIN),  # b, the last digit of training
        ("arrow-py/arrow", Split.VALIDATION),  # c
        ("pytest-dev/pytest", Split.VALIDATION),  # d
        ("ada/notes3", Split.RESERVED),
    ],
)
def test_the_first_digit_of_the_hash_decides(repository, split):
    assert split_of(repository) is split


def test_casing_does_not_move_a_repository():
    assert split_of("Arrow-Py/ARROW") is split_of("arrow-py/arrow")


@pytest.mark.parametrize("name", ["arrow", "/arrow", "arrow-py/", "a/b/c"])
def test_anything_but_owner_and_name_is_refused(name):
    with pytest.raises(ValueError, match="owner/name"):
        split_of(name)
