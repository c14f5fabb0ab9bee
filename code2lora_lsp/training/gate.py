"""Fits the sharp memory's gate: ``python -m code2lora_lsp.training.gate CORPUS OUT.json``.

Of each repository of the corpus's training split a tenth of the files is held out of the table,
see ``runtime.gate_fit``.
"""

import argparse
import hashlib
import sys
from pathlib import Path

from code2lora_lsp.config import ModelSettings
from code2lora_lsp.neural.sharp.gate import save_gate
from code2lora_lsp.runtime.gate_fit import (
    FEWEST_FILES,
    Scored,
    fit_gate,
    fitted_on,
    score_repository,
)
from code2lora_lsp.runtime.model_loading import load_model
from code2lora_lsp.runtime.models import backbone_fingerprint
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
    parser.add_argument("output", type=Path, help="gate.json")
    parser.add_argument("--model", type=Path, default=Path("models/nano"))
    parser.add_argument("--repositories", type=int, default=N_REPOSITORIES)
    arguments = parser.parse_args()
    model = load_model(arguments.model, ModelSettings(), lambda *_: None)
    parts: list[Scored] = []
    for repository in repositories_of(arguments.corpus, arguments.repositories):
        scored = score_repository(model, repository, WINDOWS_PER_REPOSITORY)
        parts += [scored] if scored else []
        n_tokens = sum(len(part.backbone) for part in parts)
        print(f"{len(parts)}. {repository.name}: {n_tokens:,} tokens so far", file=sys.stderr)
    gate = fit_gate(Scored.join(parts), backbone_fingerprint(arguments.model))
    facts = fitted_on(parts, gate)
    save_gate(gate, arguments.output, facts)
    print(f"{arguments.output}: {facts}")


if __name__ == "__main__":
    main()
