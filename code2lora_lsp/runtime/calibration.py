"""What a ledger needs for a backbone, made of Python packages on this machine.

Population statistics (``population_writing``) and the sharp memory's gates (``gate_fit``), written
as one folder that the server finds by the backbone's fingerprint. Of what is read only means and
the gates' few numbers are kept, and the names of the packages.
"""

import hashlib
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from code2lora_lsp.config import ModelSettings
from code2lora_lsp.errors import ConfigError
from code2lora_lsp.neural.sharp.gate import FittedGate
from code2lora_lsp.runtime.block_writer import BlockWriter
from code2lora_lsp.runtime.gate_fit import (
    FEWEST_FILES,
    fit_gates,
    gate_text,
)
from code2lora_lsp.runtime.ledger_folders import calibrated_folder, check_replaceable, write_ledger
from code2lora_lsp.runtime.model_folders import backbone_fingerprint
from code2lora_lsp.runtime.model_loading import LoadedModel, load_model
from code2lora_lsp.runtime.population_writing import write_population
from code2lora_lsp.runtime.sources import Sources

N_TOKENS = 100_000
FEWEST_TOKENS = 1_000

TOKENS_PER_GAP = 500
"""One gap to fit the gates on for as many tokens asked for; it takes about as many to read it."""

FEWEST_GAPS = 64

MOST_GATE_PACKAGES = 16
LEAST_GATE_TOKENS = 500
"""With fewer tokens of gaps 40 numbers are not fitted, and there is no gate."""

Report = Callable[[str, int, int], None]
"""What is being done, how much of it is done, and how much there is to do."""


@dataclass(frozen=True)
class Calibrated:
    """What was made.

    Attributes:
        n_packages: that gave tokens.
        gates: what the fit of each says of itself; none where there is none.
    """

    folder: Path
    fingerprint: str
    n_tokens: int
    n_packages: int
    gates: list[dict[str, object]]


def calibrate(
    backbone: Path,
    settings: ModelSettings,
    packages: Sequence[Sources],
    report: Report,
    *,
    n_tokens: int = N_TOKENS,
    output: Path | None = None,
) -> Calibrated:
    """Read packages with a backbone and write its ledger's folder, whole or not at all.

    Args:
        backbone: folder of the model.
        settings: device and threads.
        packages: each gives an equal share of the tokens.
        report: progress.
        n_tokens: to be written into the statistics; the gates take about as many again to read.
        output: ``None`` is where the server looks.

    Raises:
        ModelMissing, ModelMismatch: the model cannot be loaded, or a ledger cannot write with it.
        ConfigError: nothing worth reading, or ``output`` cannot be written or holds other things.
    """
    if n_tokens < FEWEST_TOKENS:
        raise ConfigError(f"{n_tokens} tokens are too few; ask for {FEWEST_TOKENS:,} or more")
    fingerprint = backbone_fingerprint(backbone)
    folder = output or calibrated_folder(fingerprint)
    check_replaceable(folder)
    model = load_model(backbone, settings, lambda *_: None)
    site = model.backbone.ledger_site  # refuses before anything is read
    tally = _Tally(report)
    writer = BlockWriter(model.backbone, model.tokenizer)
    try:
        population = write_population(packages, writer, fingerprint, n_tokens, tally)
    except ValueError as error:
        raise ConfigError(f"{error}; name other folders with --packages") from error
    n_gaps = max(FEWEST_GAPS, n_tokens // TOKENS_PER_GAP)
    gates = _gates(model, packages, n_gaps, fingerprint, report)
    versions = {package.name: package.version for package in packages}
    facts: dict[str, object] = {
        "backbone": {"name": model.name, "fingerprint": fingerprint},
        "projection": site.projection.module_path,
        "n_tokens": population.n_tokens,
        "packages": [
            {"name": name, "version": versions[name], "n_tokens": n}
            for name, n in sorted(tally.n_tokens.items())
        ],
    }
    try:
        write_ledger(folder, population, gates, facts=facts)
    except OSError as error:
        raise ConfigError(f"{folder} cannot be written: {error}; choose --output") from error
    fits = [one.fitted_on for one in gates]
    return Calibrated(folder, fingerprint, population.n_tokens, len(tally.n_tokens), fits)


class _Tally:
    """Tokens by package, passed on as progress."""

    def __init__(self, report: Report) -> None:
        self._report, self._n_before = report, 0
        self.n_tokens: Counter[str] = Counter()

    def __call__(self, name: str, n_done: int, n_wanted: int) -> None:
        self.n_tokens[name] += n_done - self._n_before
        self._n_before = n_done
        self._report("statistics", min(n_done, n_wanted), n_wanted)


def _gates(
    model: LoadedModel, packages: Sequence[Sources], n_gaps: int, backbone: str, report: Report
) -> list[FittedGate]:
    """The gates of the sharp memory; none where packages are too few or too small."""
    large = [package for package in packages if len(package.paths) >= FEWEST_FILES]
    chosen = sorted(large, key=_place)[:MOST_GATE_PACKAGES]
    found = (gate_text(model, package, -(-n_gaps // len(chosen))) for package in chosen)
    texts = [text for text in found if text]
    n_tokens = sum(len(window.target) for text in texts for window in text.windows)
    if n_tokens < LEAST_GATE_TOKENS:
        return []
    return fit_gates(
        model, texts, backbone, lambda *done: report("gates of the sharp memory", *done)
    )


def _place(package: Sources) -> bytes:
    return hashlib.sha256(f"gate {package.name}".encode()).digest()
