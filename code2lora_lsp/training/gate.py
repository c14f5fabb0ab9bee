"""Fits the sharp memory's gates: ``python -m code2lora_lsp.training.gate CORPUS FOLDER``.

Of each repository of the corpus's training split a tenth of the files is held out of the table,
see ``runtime.gate_fit``.
"""

import argparse
import hashlib
import sys
from pathlib import Path

from code2lora_lsp.config import ModelSettings
from code2lora_lsp.neural.sharp.gate import save_gate
from code2lora_lsp.runtime.gate_fit import FEWEST_FILES, fit_gates, gate_text
from code2lora_lsp.runtime.ledger_folders import GATE, NEAR_GATE
from code2lora_lsp.runtime.model_folders import backbone_fingerprint
from code2lora_lsp.runtime.model_loading import load_model
from code2lora_lsp.runtime.sources import Sources
from code2lora_lsp.training.population import training_repositories

N_REPOSITORIES = 32
WINDOWS_PER_REPOSITORY = 40


def repositories_of(corpus: Path, n_repositories: int) -> list[Sources]:
    """Training repositories of enough files; a hash chooses.

    Raises:
        ModelMissing, ModelMismatch: as ``read_shards``.
    """
    found = training_repositories(corpus)
    large = [one for one in found if len(one.paths) >= FEWEST_FILES]
    return sorted(large, key=lambda one: _place(one.name))[:n_repositories]


def _place(name: str) -> bytes:
    return hashlib.sha256(f"gate {name}".encode()).digest()


def main() -> None:
    """Parse arguments, fit and save."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("corpus", type=Path)
    parser.add_argument("output", type=Path, help="folder of gate.json and near-gate.json")
    parser.add_argument("--model", type=Path, default=Path("models/nano"))
    parser.add_argument("--repositories", type=int, default=N_REPOSITORIES)
    arguments = parser.parse_args()
    model = load_model(arguments.model, ModelSettings(), lambda *_: None)
    repositories = repositories_of(arguments.corpus, arguments.repositories)
    found = (gate_text(model, one, WINDOWS_PER_REPOSITORY) for one in repositories)
    texts = [text for text in found if text]

    def report(n_done: int, n_in_all: int) -> None:
        print(f"{n_done} of {n_in_all}", file=sys.stderr)

    fitted = fit_gates(model, texts, backbone_fingerprint(arguments.model), report)
    for name, one in zip((GATE, NEAR_GATE), fitted, strict=True):
        save_gate(one.gate, arguments.output / name, one.fitted_on)
        print(f"{arguments.output / name}: {one.fitted_on}")


if __name__ == "__main__":
    main()
