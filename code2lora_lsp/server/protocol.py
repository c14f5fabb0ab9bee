"""Our own methods, their names and JSON shapes; ``docs/protocol.md`` describes them for clients."""

import os
from dataclasses import fields, is_dataclass
from enum import Enum
from pathlib import Path
from typing import Any

from code2lora_lsp.config import camel
from code2lora_lsp.runtime.api import (
    BackendStatus,
    EngineState,
    FollowState,
    NoCompletion,
    RepositoryStatus,
)
from code2lora_lsp.server.session import Session

STATUS = "code2lora/status"
STATUS_CHANGED = "code2lora/statusChanged"
HISTORY = "code2lora/history"
HISTORY_CHANGED = "code2lora/historyChanged"
COMPARE = "code2lora/compare"
DID_SHOW_COMPLETION = "textDocument/didShowCompletion"
DID_PARTIALLY_ACCEPT_COMPLETION = "textDocument/didPartiallyAcceptCompletion"
DID_FOCUS = "textDocument/didFocus"

REFRESH_ADAPTER = "code2lora.refreshAdapter"
SHOW_STATUS = "code2lora.showStatus"
TOGGLE_COMPLETIONS = "code2lora.toggleCompletions"
ROLL_BACK_ADAPTER = "code2lora.rollBackAdapter"
UNLOAD_MODEL = "code2lora.unloadModel"
LOAD_MODEL = "code2lora.loadModel"
ACCEPTED = "code2lora.accepted"
EXPORT_ADAPTER = "code2lora.exportAdapter"

SCHEMA_VERSION = 1
_SHORT_COMMIT = 6

Json = dict[str, Any]


def to_json(value: Any) -> Any:
    """A value of ``runtime.api`` as JSON: camelCase names, enum values, paths as strings."""
    if is_dataclass(value):
        return {camel(item.name): to_json(getattr(value, item.name)) for item in fields(value)}
    if isinstance(value, (tuple, list)):
        return [to_json(item) for item in value]
    if isinstance(value, Enum):
        return value.value
    return str(value) if isinstance(value, Path) else value


def status_json(session: Session, status: BackendStatus, failure: str | None, version: str) -> Json:
    """The answer to ``code2lora/status``."""
    engine = to_json(status)
    repositories = engine.pop("repositories")
    engine["state"] = engine.pop("engine")
    return {
        "schemaVersion": SCHEMA_VERSION,
        "server": {"name": "code2lora-lsp", "version": version, "pid": os.getpid()},
        **short_status(session, status, failure),
        "engine": engine,
        "repositories": repositories,
        "completions": _completions(session),
        "lastEmpty": empty_json(session.last_empty),
        "counts": to_json(session.counts),
    }


def _completions(session: Session) -> Json:
    toggles = session.toggles
    return {
        "enabled": session.completions_on(),
        "languages": list(session.settings.completion.languages),
        "toggledLanguages": dict(toggles.languages),
        "toggledFolders": {str(folder): on for folder, on in toggles.folders.items()},
    }


def empty_json(empty: NoCompletion | None) -> Json | None:
    """Why nothing was offered, as ``lastEmpty`` says it."""
    if empty is None:
        return None
    return {"reason": empty.reason.name, "message": empty.reason.value, "detail": empty.detail}


def short_status(session: Session, status: BackendStatus, failure: str | None) -> Json:
    """What fits a status bar: the content of ``code2lora/statusChanged``."""
    repository = _active_repository(session, status)
    kind, message = _kind_and_message(session, status, repository, failure)
    following = [r for r in status.repositories if r.state is FollowState.FOLLOWING]
    return {
        "busy": status.engine is EngineState.LOADING or bool(following),
        "kind": kind,
        "message": message,
        "root": repository.root if repository else None,
        "reason": empty_json(session.reason),
    }


def _active_repository(session: Session, status: BackendStatus) -> RepositoryStatus | None:
    active = session.active_root()
    return next((r for r in status.repositories if active and r.root == str(active)), None)


def _kind_and_message(
    session: Session,
    status: BackendStatus,
    repository: RepositoryStatus | None,
    failure: str | None,
) -> tuple[str, str]:
    if failure or status.engine is EngineState.FAILED:
        return "Error", failure or status.detail or "the model could not be loaded"
    if not session.completions_on():
        return "Inactive", "completions are switched off"
    if status.engine is EngineState.UNLOADED:
        return "Inactive", "the model is unloaded"
    if status.engine is not EngineState.READY:
        return "Normal", "loading the model"
    return _about_adapter(repository)


def _about_adapter(repository: RepositoryStatus | None) -> tuple[str, str]:
    if repository is None:
        return "Normal", "plain backbone: no repository"
    if repository.state is FollowState.FAILED:
        return "Warning", f"{adapter_message(repository)}: {repository.detail}"
    return "Normal", adapter_message(repository)


def adapter_message(repository: RepositoryStatus) -> str:
    """``adapter @ a1b2c3, 2 commits behind`` and its relatives."""
    if repository.adapter_commit is None:
        return "no adapter yet"
    text = f"{_what_is_known(repository)} @ {repository.adapter_commit[:_SHORT_COMMIT]}"
    if repository.adapter_id is None:
        is_coming = repository.state is FollowState.FOLLOWING
        text += ", the adapter follows" if is_coming else ", no adapter"
    if repository.state is FollowState.PINNED:
        return text + ", pinned"
    behind = repository.commits_behind
    if not behind:
        n_edited = repository.edited_files
        return f"{text}, {n_edited} file{'s' if n_edited > 1 else ''} edited" if n_edited else text
    return f"{text}, {behind} commit{'s' if behind > 1 else ''} behind"


def _what_is_known(repository: RepositoryStatus) -> str:
    if repository.adapter_id is not None:
        return "adapter"
    return "names" if repository.memory_id is not None else "nothing known"
