"""Where a backbone's ledger is: beside it, where one ships, or where ``calibrate`` put it."""

import json
from collections.abc import Sequence
from pathlib import Path

import platformdirs

from code2lora_lsp.errors import ConfigError
from code2lora_lsp.neural.atomic_file import replacing_folder, write_text
from code2lora_lsp.neural.code2lora.checkpoint import file_sha256
from code2lora_lsp.neural.ledger.population import Population, save_population
from code2lora_lsp.neural.sharp.gate import FittedGate, save_gate
from code2lora_lsp.runtime.ledger_models import FORMAT, POPULATION
from code2lora_lsp.runtime.model_folders import backbone_fingerprint

LEDGER_SUFFIX = "-ledger"
"""What a ledger needs for the backbone ``nano`` is in the folder ``nano-ledger`` beside it."""

GATE = "gate.json"
NEAR_GATE = "near-gate.json"
MANIFEST = "manifest.json"


def ledger_folder(backbone: Path) -> Path:
    """The folder that ships beside a backbone, else the one calibrated for it, there or not."""
    beside = backbone.with_name(backbone.name + LEDGER_SUFFIX)
    if (beside / MANIFEST).is_file():
        return beside
    return calibrated_folder(backbone_fingerprint(backbone))


def gate_files(folder: Path) -> list[Path]:
    """The gate of the whole table, then that of what is near; those that are there, in order.

    What is near is mixed into what the whole table leaves, so its gate is none without the other.
    """
    found: list[Path] = []
    for name in (GATE, NEAR_GATE):
        if not (folder / name).is_file():
            break
        found.append(folder / name)
    return found


def calibrated_folder(fingerprint: str) -> Path:
    """Where ``calibrate`` puts a backbone's ledger unless told otherwise."""
    data = platformdirs.user_data_path("code2lora-lsp", appauthor=False)
    return data / "ledgers" / fingerprint


def check_replaceable(folder: Path) -> None:
    """That nothing but a ledger would be replaced.

    Raises:
        ConfigError: the folder is a file, or holds something else.
    """
    if not folder.exists():
        return
    if not folder.is_dir():
        raise ConfigError(f"{folder} is a file; name a folder to write into")
    try:
        is_ledger = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))["format"] == FORMAT
    except (OSError, ValueError, KeyError, TypeError):
        is_ledger = False
    if not is_ledger and any(folder.iterdir()):
        raise ConfigError(f"{folder} holds other files than a ledger's; name an empty folder")


def write_ledger(
    folder: Path,
    population: Population,
    gates: Sequence[FittedGate],
    *,
    facts: dict[str, object],
) -> None:
    """Put a whole ledger in place of the one that was there, or of nothing.

    Args:
        folder: see ``check_replaceable``.
        population: of the backbone.
        gates: of the sharp memory, as far as there are any: the whole table's, what is near.
        facts: more of the manifest.

    Raises:
        OSError: it cannot be written; what was there stays.
    """
    with replacing_folder(folder) as fresh:
        save_population(population, fresh / POPULATION)
        for name, fitted in zip((GATE, NEAR_GATE), gates, strict=False):
            save_gate(fitted.gate, fresh / name, fitted.fitted_on)
        hashes = {path.name: file_sha256(path) for path in sorted(fresh.iterdir())}
        manifest = {"format": FORMAT, "name": folder.name, **facts, "sha256": hashes}
        write_text(fresh / MANIFEST, json.dumps(manifest, indent=1) + "\n")
