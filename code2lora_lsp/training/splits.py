"""Which repositories may be trained on: the one place where the rule is written.

The first hexadecimal digit of sha256("owner/name", lower case) decides.
A repository cannot move between splits, no list has to be kept, and a fork under the same name
in another casing lands in the same split.
"""

import enum
import hashlib


class Split(str, enum.Enum):
    """What a repository may be used for."""

    TRAIN = "train"
    VALIDATION = "validation"
    RESERVED = "reserved"


def split_of(repository: str) -> Split:
    """Return the split of ``owner/name``; casing does not matter.

    Digits 0 to b are for training, c and d for tuning; e and f are never opened before the final
    report.

    Raises:
        ValueError: ``repository`` is not of the form ``owner/name``.
    """
    owner, slash, name = repository.partition("/")
    if not (owner and slash and name) or "/" in name:
        raise ValueError(f"expected owner/name, got {repository!r}")
    digit = hashlib.sha256(repository.lower().encode()).hexdigest()[0]
    if digit in "0123456789ab":
        return Split.TRAIN
    return Split.VALIDATION if digit in "cd" else Split.RESERVED
