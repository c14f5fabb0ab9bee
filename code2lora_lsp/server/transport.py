"""Bytes in, bytes out: one client over stdio or one TCP connection.

pygls reads stdin line by line through a thread pool, three or four thread hops for each message.
Here a thread reads what is there and hands it over in one hop, so messages that queued up are all
seen before the first handler starts, and a late ``$/cancelRequest`` finds its request unstarted.
"""

import asyncio
import logging
import os
import re
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress

from code2lora_lsp.errors import SetupError
from code2lora_lsp.server.language_server import Code2LoraServer

log = logging.getLogger(__name__)
_LENGTH = re.compile(rb"^content-length:\s*(\d+)\s*$", re.IGNORECASE | re.MULTILINE)
_CHUNK_BYTES = 1 << 18


class MessageSplitter:
    """Cuts a byte stream into message bodies."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._wanted_bytes: int | None = None

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        """The bodies that are complete once ``chunk`` is there."""
        self._buffer += chunk
        while self._has_header() and len(self._buffer) >= (self._wanted_bytes or 0):
            body = bytes(self._buffer[: self._wanted_bytes])
            del self._buffer[: self._wanted_bytes]
            self._wanted_bytes = None
            yield body

    def _has_header(self) -> bool:
        while self._wanted_bytes is None:
            header, blank, _rest = self._buffer.partition(b"\r\n\r\n")
            if not blank:
                return False
            del self._buffer[: len(header) + len(blank)]
            if found := _LENGTH.search(header.replace(b"\r\n", b"\n")):
                self._wanted_bytes = int(found.group(1))
            else:
                log.error("a header without Content-Length was skipped: %r", bytes(header[:80]))
        return True


class PipeWriter:
    """A blocking file descriptor behind pygls' writer interface."""

    def __init__(self, descriptor: int, on_lost: Callable[[], None]) -> None:
        self._descriptor = descriptor
        self._on_lost = on_lost

    def write(self, data: bytes) -> None:
        view = memoryview(data)
        try:
            while view:
                view = view[os.write(self._descriptor, view) :]
        except OSError:
            self._on_lost()

    def close(self) -> None:
        """Nothing to do: the descriptor lives as long as the process."""


async def serve_stdio(server: Code2LoraServer) -> None:
    """Serve the client that started us until it exits, closes our stdin or goes away."""
    loop = asyncio.get_running_loop()
    _stop_on_signals(server, loop)
    server.attach(loop)
    server.protocol.set_writer(PipeWriter(_take_stdout(), server.stop))
    splitter = MessageSplitter()

    def receive(chunk: bytes) -> None:
        for body in splitter.feed(chunk):
            server.wire.receive(body)

    def read() -> None:
        with suppress(RuntimeError, OSError):  # the loop is closed: nobody listens any more
            while chunk := os.read(0, _CHUNK_BYTES):
                loop.call_soon_threadsafe(receive, chunk)
            loop.call_soon_threadsafe(server.stop)

    threading.Thread(target=read, name="code2lora-stdin", daemon=True).start()
    await server.stopped()


async def serve_tcp(
    server: Code2LoraServer, host: str, port: int, on_listening: Callable[[str, int], None]
) -> None:
    """Serve the first client that connects, then end. Others are turned away."""
    loop = asyncio.get_running_loop()
    _stop_on_signals(server, loop)
    server.attach(loop)
    is_taken = False

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal is_taken
        if is_taken:
            log.warning("a second client was turned away: one server serves one client")
            writer.close()
            return
        is_taken = True
        await _serve_connection(server, reader, writer)

    try:
        listener = await asyncio.start_server(connected, host, port)
    except OSError as error:
        problem = f"cannot listen on {host}:{port}: {error}. Port 0 takes a free port."
        raise SetupError(problem) from error
    bound_host, bound_port = listener.sockets[0].getsockname()[:2]
    on_listening(bound_host, bound_port)
    await server.stopped()
    listener.close()


async def _serve_connection(
    server: Code2LoraServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    server.protocol.set_writer(writer)
    splitter = MessageSplitter()
    with suppress(OSError):
        while chunk := await reader.read(_CHUNK_BYTES):
            for body in splitter.feed(chunk):
                server.wire.receive(body)
    server.stop()
    writer.close()


def _take_stdout() -> int:
    """Stdout for the protocol alone: what anything prints goes to stderr from now on."""
    ours = os.dup(1)
    sys.stdout.flush()
    os.dup2(2, 1)
    return ours


def _stop_on_signals(server: Code2LoraServer, loop: asyncio.AbstractEventLoop) -> None:
    with suppress(NotImplementedError):  # Windows has no signal handlers on loops
        loop.add_signal_handler(signal.SIGTERM, server.stop)
