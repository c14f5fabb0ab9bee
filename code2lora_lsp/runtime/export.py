"""A repository's adapter as a PEFT folder: what the command line and the editors' command share.

And, where there is nothing to write, the sentence that says why.
"""

from pathlib import Path

from code2lora_lsp.errors import ConfigError
from code2lora_lsp.neural.lora import LoraAdapter
from code2lora_lsp.neural.peft_format import save_peft
from code2lora_lsp.runtime.api import BackendStatus, EngineState, FollowState, RepositoryStatus
from code2lora_lsp.runtime.knowledge import STILL_READING, Knowledge
from code2lora_lsp.runtime.tracker import MODELS_NOT_LOADED


def why_no_models(status: BackendStatus, why_none: str) -> str:
    """Why nothing follows now, with what helps.

    Args:
        status: the backend's.
        why_none: what its trackers were told.
    """
    if status.engine is EngineState.UNLOADED:
        return "the model is unloaded; load it first"
    if status.detail:
        return f"no adapter: {status.detail}"
    if why_none != MODELS_NOT_LOADED:
        return f"no adapter: {why_none}"
    return "no adapter: the model is still loading; try again when the status says it is current"


def why_no_adapter(status: RepositoryStatus, knowledge: Knowledge | None) -> str:
    """Why what is followed has no adapter: not yet, or what became of it."""
    if status.state is FollowState.FAILED:
        return status.detail
    if status.state is FollowState.WAITING and status.detail not in {"", MODELS_NOT_LOADED}:
        return status.detail
    is_settled = status.state in {FollowState.CURRENT, FollowState.PINNED}
    return knowledge.why_no_adapter if is_settled and knowledge else STILL_READING


def write_peft(adapter: LoraAdapter, folder: Path, backbone: str) -> None:
    """Write both files of a PEFT folder, in place of those of an earlier export.

    Raises:
        ConfigError: the folder cannot be written.
    """
    try:
        save_peft(adapter, folder, backbone)
    except OSError as error:
        raise ConfigError(f"{folder} cannot be written: {error}") from error


def refuse_file(folder: Path) -> None:
    """Before any work: a folder cannot be made where a file is, nor below one.

    Raises:
        ConfigError: there is one.
    """
    for path in (folder, *folder.parents):
        if path.exists():
            if not path.is_dir():
                raise ConfigError(f"{path} is a file; name a folder to write into")
            return
