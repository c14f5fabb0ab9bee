"""A folder of trained weights that says what they were trained from and how."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from code2lora_lsp.neural.atomic_file import write_text

KEY = "recipe_key"


@dataclass(frozen=True)
class TrainedFolder:
    """Finished once ``marker``, a JSON object and the last file written, names ``recipe_key``."""

    path: Path
    marker: str
    recipe_key: str

    @property
    def is_finished(self) -> bool:
        return self._found() == self.recipe_key

    def why_not(self) -> str | None:
        """A sentence when the folder holds weights trained otherwise."""
        found = self._found()
        if found is None or found == self.recipe_key:
            return None
        return (
            f"{self.path} holds weights of another backbone or training plan ({found}, not "
            f"{self.recipe_key}); remove it or use another work folder"
        )

    def finish(self, facts: Mapping[str, Any]) -> None:
        """Write the marker."""
        document = {KEY: self.recipe_key, **facts}
        write_text(self.path / self.marker, json.dumps(document, indent=1) + "\n")

    def _found(self) -> str | None:
        path = self.path / self.marker
        if not path.is_file():
            return None
        return str(json.loads(path.read_text(encoding="utf-8")).get(KEY))
