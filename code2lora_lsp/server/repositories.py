"""Which repositories are followed, and on whose behalf."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

from code2lora_lsp.runtime.api import Backend
from code2lora_lsp.server.backend_host import BackendHost

T = TypeVar("T")


class Repositories:
    """Repositories by holder: a workspace folder or an open document outside all of them.

    A repository is open as long as something holds it. Holding and releasing are serialised, so
    that a release never overtakes the opening it undoes. Lives on the event loop.
    """

    def __init__(self, host: BackendHost) -> None:
        self._host = host
        self._roots: dict[str, Path] = {}
        self._lock = asyncio.Lock()

    def roots(self) -> list[Path]:
        return sorted(set(self._roots.values()))

    def holds(self, holder: str) -> bool:
        return holder in self._roots

    def root_of(self, path: Path | None) -> Path | None:
        """The innermost followed repository that holds ``path``."""
        if path is None:
            return None
        holding = [root for root in self._roots.values() if path.is_relative_to(root)]
        return max(holding, key=lambda root: len(root.parts), default=None)

    async def hold(self, holder: str, folder: Path) -> None:
        """Follow the repository around ``folder``, if there is one, for ``holder``."""
        async with self._lock:
            root = await self._call(lambda backend: backend.open_repository(folder))
            if root is not None:
                self._roots[holder] = root

    async def hold_document(self, holder: str, path: Path) -> None:
        """Follow the document's own repository; one that is followed already is held as well.

        Once more for the same document is allowed: its repository may have come only now.
        """
        async with self._lock:
            known = self.root_of(path)
            root = known
            if known is None or await asyncio.to_thread(_has_own_repository, path, known):
                folder = await asyncio.to_thread(_nearest_folder, path)
                root = await self._call(lambda backend: backend.open_repository(folder)) or known
            if root is not None:
                before = self._roots.get(holder)
                self._roots[holder] = root
                await self._close_if_unheld(before)

    async def release(self, holder: str) -> None:
        """Close the repository ``holder`` held, if it was the last one."""
        async with self._lock:
            await self._close_if_unheld(self._roots.pop(holder, None))

    async def _close_if_unheld(self, root: Path | None) -> None:
        if root is not None and root not in self._roots.values():
            await self._call(lambda backend: backend.close_repository(root))

    def forget(self) -> None:
        """Drop what a lost backend followed."""
        self._roots.clear()

    def _call(self, work: Callable[[Backend], T]) -> Awaitable[T]:
        return asyncio.wrap_future(self._host.call(work))


def _nearest_folder(path: Path) -> Path:
    """The folder of ``path``, or where that is yet to be made the nearest one above it."""
    return next((folder for folder in path.parents if folder.is_dir()), path.parent)


def _has_own_repository(path: Path, known: Path) -> bool:
    """Whether a ``.git`` lies between ``path`` and the root ``known`` (a submodule)."""
    for folder in path.parents:
        if folder == known:
            return False
        if (folder / ".git").exists():
            return True
    return False
