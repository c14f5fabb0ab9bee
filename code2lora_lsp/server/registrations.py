"""Capabilities announced after the handshake, to clients that offer dynamic registration."""

import asyncio
import logging
from typing import TYPE_CHECKING, Any

from lsprotocol import types
from pygls.exceptions import JsonRpcException

if TYPE_CHECKING:
    from code2lora_lsp.server.language_server import Code2LoraServer

log = logging.getLogger(__name__)


class Registrations:
    """What the client was told it may ask; changes are sent in order. Owned by the event loop."""

    def __init__(self, server: "Code2LoraServer") -> None:
        self._server = server
        self._active: dict[str, Any] = {}
        self._lock = asyncio.Lock()

    def is_active(self, method: str) -> bool:
        return method in self._active

    async def set(self, method: str, options: Any | None) -> None:
        """Have ``method`` registered with ``options``, or not at all if ``options`` is ``None``."""
        async with self._lock:
            if self._active.get(method) == options:
                return
            try:
                if method in self._active:
                    await self._unregister(method)
                if options is not None:
                    await self._register(method, options)
            except JsonRpcException as error:
                log.warning("the client refused a registration of %s: %s", method, error)

    async def _register(self, method: str, options: Any) -> None:
        registration = types.Registration(_id(method), method, options)
        await self._server.client_register_capability_async(
            types.RegistrationParams([registration])
        )
        self._active[method] = options

    async def _unregister(self, method: str) -> None:
        del self._active[method]
        await self._server.client_unregister_capability_async(
            types.UnregistrationParams([types.Unregistration(_id(method), method)])
        )


def _id(method: str) -> str:
    return f"code2lora:{method}"
