"""Population statistics of a backbone: ``python -m code2lora_lsp.training.population CORPUS OUT``.

Every repository of the corpus's training split gives an equal share of the tokens, from files in
an order that the seed decides; they are cut into blocks and written as serving writes them.
"""

import argparse
import sys
from collections import defaultdict
from pathlib import Path

from code2lora_lsp.config import ModelSettings
from code2lora_lsp.neural.ledger.population import Population, save_population
from code2lora_lsp.runtime.block_writer import BlockWriter
from code2lora_lsp.runtime.model_folders import backbone_fingerprint
from code2lora_lsp.runtime.model_loading import load_model
from code2lora_lsp.runtime.population_writing import write_population
from code2lora_lsp.runtime.sources import Sources
from code2lora_lsp.training.corpus import read_shards
from code2lora_lsp.training.splits import Split

N_TOKENS = 300_000


def population_of(
    corpus: Path, model_folder: Path, n_tokens: int = N_TOKENS, seed: int = 0
) -> Population:
    """Write about ``n_tokens`` of a corpus's training split and average them.

    Raises:
        ModelMissing, ModelMismatch: the model cannot be loaded, or a ledger cannot write with it.
        ValueError: the corpus holds no training source.
    """
    model = load_model(model_folder, ModelSettings(), lambda *_: None)
    writer = BlockWriter(model.backbone, model.tokenizer)
    repositories = training_repositories(corpus)
    fingerprint = backbone_fingerprint(model_folder)
    return write_population(repositories, writer, fingerprint, n_tokens, _Lines(), seed)


def training_repositories(corpus: Path) -> list[Sources]:
    """The training split of a corpus, repository by repository."""
    found: dict[str, dict[str, str]] = defaultdict(dict)
    for repository, path, text in read_shards(corpus, Split.TRAIN):
        found[repository][path] = text
    return [Sources.of(name, files) for name, files in found.items()]


class _Lines:
    """One line for every repository that was begun."""

    def __init__(self) -> None:
        self._name = ""

    def __call__(self, name: str, n_tokens: int, wanted: int) -> None:
        if name != self._name:
            self._name = name
            print(f"{name}: {n_tokens:,} of {wanted:,} tokens", file=sys.stderr)


def main() -> None:
    """Parse arguments, compute and save."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("corpus", type=Path)
    parser.add_argument("output", type=Path, help="a .safetensors file")
    parser.add_argument("--model", type=Path, default=Path("models/nano"))
    parser.add_argument("--tokens", type=int, default=N_TOKENS)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    population = population_of(arguments.corpus, arguments.model, arguments.tokens, arguments.seed)
    save_population(population, arguments.output)
    size_mb = arguments.output.stat().st_size / 1e6
    print(f"{arguments.output}: {population.n_tokens:,} tokens, {size_mb:.1f} MB")


if __name__ == "__main__":
    main()
