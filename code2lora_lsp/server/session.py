"""The mutable LSP-side state of one connection, owned by the event loop."""

import asyncio
import logging
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote

from lsprotocol import types
from pygls.uris import to_fs_path

from code2lora_lsp.config import Settings
from code2lora_lsp.errors import ConfigError
from code2lora_lsp.runtime.api import NoCompletion, Reason
from code2lora_lsp.server.client import ClientTraits
from code2lora_lsp.server.convert import Encoding, Lines
from code2lora_lsp.server.pending import PendingQuestions
from code2lora_lsp.server.repositories import Repositories
from code2lora_lsp.server.toggles import Toggles
from code2lora_lsp.text.acceptance import Edit, narrowed
from code2lora_lsp.text.document import DocumentSnapshot

log = logging.getLogger(__name__)


def document_key(uri: str) -> str:
    """One name per document: clients do not agree on what to percent-encode."""
    return unquote(uri)


def path_of(uri: str) -> Path | None:
    """The file a URI names, links resolved; ``None`` for anything that is not a file.

    Nor is there one where urllib finds no host it could be, as in ``file://[bad``, or where the
    operating system takes no such name, as with a zero in it.
    """
    try:
        path = to_fs_path(uri)
        return Path(os.path.realpath(path)) if path else None
    except ValueError as error:
        log.debug("%r names no file: %s", uri, error)
        return None


@dataclass(frozen=True)
class EditWatcher:
    """Hears of every edit to a document, after it was made.

    Attributes:
        heard: gets the inserted text, and the edit with its place where that is known.
        wants_place: whether where the next one is made is wanted; in a long document that takes
            milliseconds.
    """

    heard: Callable[[str, Edit | None], None]
    wants_place: Callable[[], bool]


class OpenDocument:
    """One document the client has open.

    Attributes:
        held: what looks for its repository and follows it; requests wait until it is done.
    """

    def __init__(self, item: types.TextDocumentItem, encoding: Encoding) -> None:
        self.uri = item.uri
        self.version = item.version
        self.language_id = item.language_id
        self.path = path_of(item.uri)
        self.lines = Lines(item.text, encoding)
        self.held: asyncio.Future[None] | None = None
        self._snapshot: DocumentSnapshot | None = None

    def apply(
        self,
        version: int,
        changes: list[types.TextDocumentContentChangeEvent],
        watcher: EditWatcher | None = None,
    ) -> None:
        """Make changes in their order; the watcher is told of each one after it was made."""
        for change in changes:
            heard = self._hearing(change, watcher) if watcher else None
            if isinstance(change, types.TextDocumentContentChangePartial):
                self.lines.replace(change.range, change.text)
            else:
                self.lines.replace_all(change.text)
            if heard is not None:
                heard()
        self.version = version
        self._snapshot = None

    def _hearing(
        self, change: types.TextDocumentContentChangeEvent, watcher: EditWatcher
    ) -> Callable[[], None]:
        """What tells the watcher of a change once it was made; its place is looked up now."""
        if not isinstance(change, types.TextDocumentContentChangePartial):
            edit = narrowed(self.lines.text(), change.text)
            return lambda: watcher.heard(edit.text, edit)
        if not watcher.wants_place():
            return lambda: watcher.heard(change.text, None)
        start, end = map(self.lines.offset_at, (change.range.start, change.range.end))
        edit = Edit(min(start, end), max(start, end), change.text)
        return lambda: watcher.heard(change.text, edit)

    def snapshot(self) -> DocumentSnapshot:
        if self._snapshot is None:
            self._snapshot = DocumentSnapshot(
                self.uri, self.version, self.language_id, self.lines.text()
            )
        return self._snapshot


@dataclass
class Counts:
    """What happened in this session; shown by ``code2lora/status``, sent nowhere."""

    asked: int = 0
    offered: int = 0
    shown: int = 0
    partially_accepted: int = 0


@dataclass
class Session:
    """Everything that changes while a client is connected.

    Attributes:
        base_settings: command line and initializationOptions; what the editor sends later is
            decoded on top of these.
        settings: what holds now.
        folders: workspace folders by key.
        incidents: messages already shown, so that each is shown once.
        late_errors: what was wrong with initializationOptions, told after ``initialized``.
        last_empty: why the latest request that got nothing got nothing.
        reason: the same, but ``None`` after an offer, and never that it was taken back.
        active: URI of the document last opened, changed, asked about or looked at, open or not.
    """

    base_settings: Settings
    settings: Settings
    repositories: Repositories
    client: ClientTraits = field(default_factory=ClientTraits)
    encoding: Encoding = Encoding.UTF16
    documents: dict[str, OpenDocument] = field(default_factory=dict)
    folders: dict[str, Path] = field(default_factory=dict)
    pending: PendingQuestions = field(default_factory=PendingQuestions)
    toggles: Toggles = field(default_factory=Toggles)
    counts: Counts = field(default_factory=Counts)
    incidents: set[str] = field(default_factory=set)
    last_empty: NoCompletion | None = None
    reason: NoCompletion | None = None
    active: str | None = None
    late_errors: list[ConfigError] = field(default_factory=list)
    was_shut_down: bool = False

    def document(self, uri: str) -> OpenDocument | None:
        return self.documents.get(document_key(uri))

    def completions_on(self) -> bool:
        """The switch for everything, before languages and folders are looked at."""
        if self.toggles.everywhere is not None:
            return self.toggles.everywhere
        return self.settings.completion.enabled

    def language_on(self, language_id: str) -> bool:
        listed = self.settings.completion.languages
        return self.toggles.languages.get(language_id, not listed or language_id in listed)

    def served_languages(self) -> tuple[str, ...]:
        """The languages that are on, for a client that is told which; none stands for all."""
        listed = self.settings.completion.languages
        toggled = (name for name, on in self.toggles.languages.items() if on and name not in listed)
        return (*listed, *toggled) if listed else ()

    def why_off(self, document: OpenDocument) -> NoCompletion | None:
        """Why ``document`` gets no completions at all, or ``None`` if it does."""
        if not self.completions_on():
            return NoCompletion(Reason.OFF, "everywhere")
        if not self.language_on(document.language_id):
            return NoCompletion(Reason.OFF, f"for the language {document.language_id}")
        if self.toggles.folder_of(document.path) is False:
            return NoCompletion(Reason.OFF, "in this folder")
        return None

    def active_root(self) -> Path | None:
        """The repository the user works in: the active file's, or the workspace folder's."""
        if self.active is None:
            return self.folder_root()
        document = self.document(self.active)
        return (
            self.root_for(document) if document else self.repositories.root_of(path_of(self.active))
        )

    def root_for(self, document: OpenDocument) -> Path | None:
        """The repository that a document's completions know."""
        if document.path is None:
            return self.folder_root()
        return self.repositories.root_of(document.path)

    def folder_root(self) -> Path | None:
        """The repository of a document that is in no file, such as an untitled one.

        That is the first workspace folder's that has one; without, the first one followed.
        """
        roots = (self.repositories.root_of(folder) for folder in self.folders.values())
        return next((root for root in (*roots, *self.repositories.roots()) if root), None)
