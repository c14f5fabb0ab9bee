"""Our log, forwarded to the client as ``window/logMessage``; stderr gets it anyway."""

import logging
from typing import TYPE_CHECKING

from lsprotocol import types

if TYPE_CHECKING:
    from code2lora_lsp.server.language_server import Code2LoraServer

_ROOT = "code2lora_lsp"


class ClientLog(logging.Handler):
    """Forwards our own records, from any thread, at whatever level the process logs."""

    def __init__(self, server: "Code2LoraServer") -> None:
        super().__init__(logging.INFO)
        self._server = server
        self.setFormatter(logging.Formatter("%(name)s: %(message)s"))

    def attach(self) -> None:
        logging.getLogger(_ROOT).addHandler(self)

    def detach(self) -> None:
        logging.getLogger(_ROOT).removeHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        params = types.LogMessageParams(_kind(record.levelno), self.format(record))
        self._server.on_loop(self._server.window_log_message, params)


def _kind(level: int) -> types.MessageType:
    if level >= logging.ERROR:
        return types.MessageType.Error
    return types.MessageType.Warning if level >= logging.WARNING else types.MessageType.Info
