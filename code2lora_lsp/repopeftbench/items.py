"""What the benchmark asks: one gap in one file of one commit, and the strata it counts for."""

import dataclasses
import enum
from collections.abc import Mapping


class Track(str, enum.Enum):
    """Which family of tasks an item belongs to.

    ``static`` and ``evolution`` follow the published construction (code2lora-spec, sections 4, 5);
    ``knowledge`` asks for what only the repository can tell.
    """

    STATIC = "static"
    EVOLUTION = "evolution"
    KNOWLEDGE = "knowledge"


class InRepoSplit(str, enum.Enum):
    """Place of an item's commit in its repository's history: 80/10/10 by time."""

    TRAIN = "train"
    VALIDATION = "val"
    TEST = "test"


@dataclasses.dataclass(frozen=True)
class Item:
    """One gap to fill.

    Attributes:
        item_id: stable name: the same gap has the same one in every run and on every machine.
        repository: ``owner/name``.
        commit_id: the commit whose tree the file is read from.
        commit_index: its place, from 0, among the commits of the track's stream.
        in_repo_split: by time.
        kind: an assertion type (``assert``, ``self.assertEqual``, …) or a knowledge task
            (``attribute``, ``call``, ``keyword``, ``import``, ``identifier``, ``added_line``).
        path: file, relative to the root.
        function: name of the enclosing function, or "".
        line: 1-based line of the cut.
        column: UTF-8 bytes before the cut on that line.
        prefix: text before the gap, as the track defines it.
        target: text of the gap.
        suffix: text after the gap; "" in left-to-right form.
        identifier: the name the item is about, inside ``target``; "" where there is none.
        strata: stratum -> value, as in ``{"seen": "once", "site": "defined", "prefix": "32"}``.
    """

    item_id: str
    repository: str
    commit_id: str
    commit_index: int
    in_repo_split: InRepoSplit
    track: Track
    kind: str
    path: str
    function: str
    line: int
    column: int
    prefix: str
    target: str
    suffix: str = ""
    identifier: str = ""
    strata: Mapping[str, str] = dataclasses.field(default_factory=dict)

    def to_json(self) -> dict[str, object]:
        """The item as one JSON object."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, document: Mapping[str, object]) -> "Item":
        """Inverse of ``to_json``."""
        fields = dict(document)
        fields["in_repo_split"] = InRepoSplit(fields["in_repo_split"])
        fields["track"] = Track(fields["track"])
        return cls(**fields)  # type: ignore[arg-type]  # the names are the file format's
