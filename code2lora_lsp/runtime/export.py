"""A repository's adapter as a PEFT folder: what the command line and the editors' command share."""

from pathlib import Path

from code2lora_lsp.errors import ConfigError
from code2lora_lsp.neural.lora import LoraAdapter
from code2lora_lsp.neural.peft_format import save_peft

NO_ADAPTER = "no adapter: no step of the ledger predicts held-out blocks better"


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
