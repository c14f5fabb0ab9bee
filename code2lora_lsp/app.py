"""The composition root: the one module that knows every part.

Importing it loads no model library; the backend is built on first use, after ``initialize``.
"""

from pathlib import Path

from code2lora_lsp.config import Settings
from code2lora_lsp.heap import keep_few_arenas
from code2lora_lsp.runtime.api import Backend, Listener


def make_backend(settings: Settings, listener: Listener) -> Backend:
    """The local backend: engine, trackers and stores in this process. Imports torch."""
    from code2lora_lsp.runtime.backend import LocalBackend  # noqa: PLC0415 - torch stays out until now

    return LocalBackend(settings, listener)


def serve_stdio(settings: Settings) -> int:
    """Serve over standard input and output until the client leaves; the exit code LSP asks for."""
    from code2lora_lsp.server.server import create_server, run_stdio  # noqa: PLC0415 - see above

    keep_few_arenas()
    return run_stdio(create_server(make_backend, settings, version()))


def serve_tcp(settings: Settings, host: str, port: int) -> int:
    """Serve the first client that connects to one TCP address."""
    from code2lora_lsp.server.server import create_server, run_tcp  # noqa: PLC0415 - see above

    keep_few_arenas()
    return run_tcp(create_server(make_backend, settings, version()), host, port)


def version() -> str:
    """Version of the installed package."""
    import importlib.metadata  # noqa: PLC0415 - read once, on demand

    try:
        return importlib.metadata.version("code2lora-lsp")
    except importlib.metadata.PackageNotFoundError:
        return "0+unknown"


def read_settings(path: Path | None) -> object:
    """What a JSON file says, not decoded yet; nothing without one.

    Raises:
        ConfigError: the file is not JSON, or no object.
    """
    import json  # noqa: PLC0415 - only when a file is given

    from code2lora_lsp.errors import ConfigError  # noqa: PLC0415

    if path is None:
        return {}
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"settings file {path} cannot be read ({error.strerror})") from error
    except ValueError as error:
        raise ConfigError(f"settings file {path} is not JSON ({error})") from error
    if not isinstance(raw, dict):
        raise ConfigError(f"settings file {path}: expected an object, got {raw!r}")
    return raw
