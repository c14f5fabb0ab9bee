"""Switches thrown by hand: they outrank the settings until the session ends."""

from dataclasses import dataclass, field
from pathlib import Path


@dataclass
class Toggles:
    """Completions on or off: everywhere, per language id, per folder. Owned by the event loop.

    Attributes:
        everywhere: ``None`` leaves it to ``completion.enabled``.
        languages: language id → switch; a language switched on is served although the settings
            do not list it.
        folders: folder → switch; the innermost folder decides.
    """

    everywhere: bool | None = None
    languages: dict[str, bool] = field(default_factory=dict)
    folders: dict[Path, bool] = field(default_factory=dict)

    def folder_of(self, path: Path | None) -> bool | None:
        """What the innermost switched folder around ``path`` says."""
        if path is None:
            return None
        around = [folder for folder in self.folders if path.is_relative_to(folder)]
        innermost = max(around, key=lambda folder: len(folder.parts), default=None)
        return None if innermost is None else self.folders[innermost]
