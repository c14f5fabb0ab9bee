"""What is counted of one connection, on its way to disk. On the event loop, but for the writing."""

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any

from lsprotocol import types

from code2lora_lsp.runtime.acceptance_counts import (
    AcceptanceCounts,
    add_counts,
    counts_path,
    read_counts,
)
from code2lora_lsp.server import protocol
from code2lora_lsp.server.acceptance import Acceptance
from code2lora_lsp.server.latency import Latencies
from code2lora_lsp.server.session import EditWatcher, OpenDocument, Session, document_key
from code2lora_lsp.text.acceptance import Offer

log = logging.getLogger(__name__)

STORE_EVERY_S = 30.0


class Metrics:
    """Shows ``Acceptance`` what happens, where the setting allows it, and stores what it counts.

    Attributes:
        latencies: of this session; never stored.
    """

    def __init__(self, session: Session, spawn: Callable[[Coroutine[Any, Any, Any]], Any]) -> None:
        self.latencies = Latencies()
        self._session, self._spawn = session, spawn
        self._acceptance = Acceptance(self._text_of)
        self._timer: asyncio.TimerHandle | None = None
        self._failed = False

    @property
    def is_on(self) -> bool:
        return self._session.settings.metrics.enabled

    def offered(
        self, document: OpenDocument, start: int, end: int, *texts: str
    ) -> list[types.Command | None]:
        """Items are about to be answered with; the command that each one's acceptance runs."""
        if not self.is_on:
            return [None] * len(texts)
        whole = document.snapshot().text
        around = whole[:start], whole[start:end], whole[end:]
        offers = [Offer(*around, text) for text in texts]
        ids = self._acceptance.offered(document_key(document.uri), *offers)
        self._arm()
        return [
            types.Command(title="accepted", command=protocol.ACCEPTED, arguments=[offer_id])
            for offer_id in ids
        ]

    def watcher(self, document: OpenDocument) -> EditWatcher | None:
        """Who wants to hear of edits to a document; nobody, where nothing was offered."""
        key, acceptance = document_key(document.uri), self._acceptance
        if not (acceptance.has_accepted(key) or acceptance.has_offered(key)):
            return None
        return EditWatcher(
            lambda inserted, edit: acceptance.changed(key, inserted, edit, document.lines.text()),
            lambda: acceptance.has_accepted(key),
        )

    def accepted(self, offer_id: str) -> None:
        """The editor ran the item's command."""
        if self.is_on:
            self._acceptance.accepted(offer_id)
            self._arm()

    def closed(self, document: OpenDocument) -> None:
        self._acceptance.closed(document_key(document.uri), document.lines.text())

    async def acceptance_json(self) -> dict[str, Any]:
        """``acceptance`` of ``code2lora/history``: what is stored, and what is not yet."""
        path = counts_path(self._session.settings)
        kept = await asyncio.to_thread(read_counts, path)
        counts = (kept.counts if kept else AcceptanceCounts()) + self._acceptance.counts
        return {
            "enabled": self.is_on,
            "since": kept.since if kept else None,
            "shown": counts.shown,
            "accepted": counts.accepted,
            "acceptedWords": counts.accepted_words,
            "acceptedLines": counts.accepted_lines,
            "judged": counts.judged,
            "keptAfter30s": counts.kept,
        }

    async def close(self) -> None:
        """The connection ended: judge what is watched by what is there now, and store the rest."""
        if self._timer is not None:
            self._timer.cancel()
        for document in self._session.documents.values():
            self.closed(document)
        await self._store()

    def _text_of(self, key: str) -> str | None:
        document = self._session.documents.get(key)
        return document.lines.text() if document else None

    def _arm(self) -> None:
        """Look again when something is due; at the latest when it is time to store."""
        if self._timer is None:
            due_s = self._acceptance.next_due_s
            delay_s = STORE_EVERY_S if due_s is None else min(due_s, STORE_EVERY_S)
            self._timer = asyncio.get_running_loop().call_later(delay_s, self._tick)

    def _tick(self) -> None:
        self._timer = None
        self._acceptance.judge()
        self._spawn(self._store())
        if self._acceptance.next_due_s is not None:
            self._arm()

    async def _store(self) -> None:
        counts, path = self._acceptance.take(), counts_path(self._session.settings)
        if not counts:
            return
        try:
            await asyncio.to_thread(add_counts, path, counts)
        except OSError as error:
            self._acceptance.give_back(counts)
            if not self._failed:
                self._failed = True
                log.warning("%s cannot be written (%s); counts stay in memory", path, error)
