"""``workspace/executeCommand``. Arguments are optional: nothing, a path or URI, or an object."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from operator import methodcaller
from pathlib import Path
from typing import Any, TypeVar

from lsprotocol import types

from code2lora_lsp.errors import Code2LoraError
from code2lora_lsp.runtime.api import EXPORT_RANK, Backend, EngineState, Reason
from code2lora_lsp.server import protocol
from code2lora_lsp.server.document_sync import hold_repositories
from code2lora_lsp.server.events import register_for
from code2lora_lsp.server.language_server import Code2LoraServer
from code2lora_lsp.server.lifecycle import hold_folders, start_backend
from code2lora_lsp.server.places import path_named, path_of_document
from code2lora_lsp.server.status import announce, backend_status, full_status
from code2lora_lsp.server.wire import Refused

T = TypeVar("T")
_KNOWN = ("folder", "uri", "language", "enabled", "to", "rank")


@dataclass(frozen=True)
class Arguments:
    """What a command is about; all of it optional.

    Attributes:
        is_in_no_file: the document given is in none, and ``path`` is ``None``.
    """

    path: Path | None = None
    is_in_no_file: bool = False
    language: str | None = None
    enabled: bool | None = None
    to: Path | None = None
    rank: int | None = None

    @classmethod
    def decode(cls, given: tuple[object, ...]) -> "Arguments":
        """Arguments as clients send them: at most one value that is not null.

        Raises:
            Refused: more values, an unknown name or a value of the wrong type.
        """
        values = [value for value in given if value is not None]
        if len(values) > 1:
            raise Refused(f"expected at most one argument, got {len(values)}: {values!r}")
        if not values:
            return cls()
        raw = {"folder": values[0]} if isinstance(values[0], str) else values[0]
        if not isinstance(raw, dict):
            raise Refused(f"expected a path, a URI or an object, got {raw!r}")
        if unknown := sorted(set(raw) - set(_KNOWN)):
            raise Refused(f"unknown argument {unknown[0]!r}; known here: {', '.join(_KNOWN)}")
        uri, folder = _typed(raw, "uri", str), _typed(raw, "folder", str)
        path = path_of_document(uri) if uri else path_named(folder) if folder else None
        language, enabled = _typed(raw, "language", str), _typed(raw, "enabled", bool)
        to, rank = _typed(raw, "to", str), _typed(raw, "rank", int)
        in_no_file = bool(uri) and path is None
        return cls(path, in_no_file, language, enabled, path_named(to) if to else None, rank)


def _typed(raw: dict[str, Any], name: str, kind: type[T]) -> T | None:
    value = raw.get(name)
    if value is None or isinstance(value, kind):
        return value
    raise Refused(f"argument {name!r}: expected {kind.__name__}, got {value!r}")


async def refresh_adapter(ls: Code2LoraServer, *given: object) -> protocol.Json:
    """Read HEAD again, of one repository or of all; undoes a roll-back.

    Workspace folders that were in none are looked at again before.
    """
    arguments = Arguments.decode(given)
    if not ls.session.settings.follow.enabled:
        raise Refused("no repository is followed: the setting follow.enabled is off; switch it on")
    if ls.host.backend is not None:
        await hold_folders(ls)
    roots = _roots(ls, arguments)
    if backend_status(ls).engine is EngineState.UNLOADED:
        await _call(ls, lambda backend: backend.start())
    for root in roots:
        await _call(ls, methodcaller("refresh", root))
    return {"refreshed": [str(root) for root in roots]}


async def roll_back_adapter(ls: Code2LoraServer, *given: object) -> protocol.Json:
    """Use the adapter before the current one until the next refresh."""
    root = _root(ls, Arguments.decode(given))
    commit = await _call(ls, lambda backend: backend.roll_back(root))
    if commit is None:
        raise Refused(f"{root}: there is no earlier adapter to roll back to")
    return {"root": str(root), "adapterCommit": commit}


async def export_adapter(ls: Code2LoraServer, *given: object) -> protocol.Json:
    """Write the adapter in force as a PEFT folder."""
    arguments = Arguments.decode(given)
    folder, rank = arguments.to, EXPORT_RANK if arguments.rank is None else arguments.rank
    if folder is None or rank < 1:
        raise Refused(f"expected 'to', a folder to write into, and a 'rank' of 1 or more: {given}")
    root = _root(ls, arguments)
    try:
        written = await _call(ls, lambda backend: backend.export_adapter(root, folder, rank))
    except Code2LoraError as error:
        raise Refused(str(error)) from error
    return {"folder": written.folder, "rank": written.rank, "kept": round(written.kept, 4)}


async def unload_model(ls: Code2LoraServer, *given: object) -> protocol.Json:
    """Free the model's memory; ``loadModel`` or ``refreshAdapter`` bring it back."""
    Arguments.decode(given)
    await _call(ls, lambda backend: backend.unload())
    ls.session.pending.drop_all(Reason.UNLOADED, "")
    return {"unloaded": True}


async def load_model(ls: Code2LoraServer, *given: object) -> protocol.Json:
    """Load the model again after ``unloadModel``; after a failed start, try once more."""
    Arguments.decode(given)
    if ls.host.failure:
        start_backend(ls)
    else:
        await _call(ls, lambda backend: backend.start())
    return {"loading": True}


def show_status(ls: Code2LoraServer, *given: object) -> protocol.Json:
    """Show the status in one sentence and return all of it."""
    Arguments.decode(given)
    status = full_status(ls)
    last = status["lastEmpty"]
    why = f" (last empty answer: {last['message']})" if last else ""
    message = f"code2lora: {status['message']}{why}"
    ls.window_show_message(types.ShowMessageParams(types.MessageType.Info, message))
    return status


def accepted(ls: Code2LoraServer, *given: object) -> None:
    """An editor accepted an item whole; what it does not say right is not worth an error."""
    if given and isinstance(given[0], str):
        ls.metrics.accepted(given[0])


def toggle_completions(ls: Code2LoraServer, *given: object) -> protocol.Json:
    """Flip completions everywhere, for a language or in a folder; ``enabled`` sets them."""
    arguments = Arguments.decode(given)
    result = _toggle(ls, arguments)
    if not result["enabled"]:
        ls.session.pending.drop_all(Reason.OFF, str(result["scope"]))
    else:
        hold_repositories(ls)
    register_for(ls)
    ls.session.reason = None
    announce(ls)
    return result


def _toggle(ls: Code2LoraServer, arguments: Arguments) -> protocol.Json:
    session, toggles = ls.session, ls.session.toggles
    if arguments.language and arguments.path:
        raise Refused("a toggle is for a language or for a folder, not for both at once")
    if arguments.is_in_no_file:
        raise Refused("this document is in no file: give a folder, a language or nothing")
    if arguments.language:
        language = arguments.language
        on = _flipped(arguments, is_on=session.language_on(language))
        toggles.languages[language] = on
        return {"scope": f"language {language}", "enabled": on}
    if arguments.path:
        folder = arguments.path if arguments.path.is_dir() else arguments.path.parent
        on = _flipped(arguments, is_on=toggles.folder_of(folder) is not False)
        toggles.folders[folder] = on
        return {"scope": f"folder {folder}", "enabled": on}
    toggles.everywhere = on = _flipped(arguments, is_on=session.completions_on())
    return {"scope": "everywhere", "enabled": on}


def _flipped(arguments: Arguments, *, is_on: bool) -> bool:
    return not is_on if arguments.enabled is None else arguments.enabled


def _roots(ls: Code2LoraServer, arguments: Arguments) -> list[Path]:
    """The followed repositories meant: the one around the given path, or all. Never empty."""
    followed = ls.session.repositories.roots()
    if not followed:
        raise Refused("no repository is followed: open a folder or a file inside a git work tree")
    if arguments.is_in_no_file:
        root = ls.session.folder_root()
    elif arguments.path is None:
        return followed
    else:
        root = ls.session.repositories.root_of(arguments.path)
    if root is None:
        known = ", ".join(str(root) for root in followed)
        raise Refused(f"{arguments.path} is in no followed repository; followed are: {known}")
    return [root]


def _root(ls: Code2LoraServer, arguments: Arguments) -> Path:
    """The one meant, or in use."""
    roots = _roots(ls, arguments)
    root = roots[0] if arguments.path or arguments.is_in_no_file else ls.session.active_root()
    if root is None:
        known = ", ".join(map(str, roots))
        raise Refused(f"the file in use is in no followed repository; name one of: {known}")
    return root


async def _call(ls: Code2LoraServer, work: Callable[[Backend], T]) -> T:
    if ls.host.backend is None:
        raise Refused(ls.host.failure or "the engine is still starting; try again in a moment")
    return await asyncio.wrap_future(ls.host.call(work))


COMMANDS: dict[str, Callable[..., Any]] = {
    protocol.REFRESH_ADAPTER: refresh_adapter,
    protocol.SHOW_STATUS: show_status,
    protocol.TOGGLE_COMPLETIONS: toggle_completions,
    protocol.ROLL_BACK_ADAPTER: roll_back_adapter,
    protocol.UNLOAD_MODEL: unload_model,
    protocol.LOAD_MODEL: load_model,
    protocol.ACCEPTED: accepted,
    protocol.EXPORT_ADAPTER: export_adapter,
}
