"""Population statistics of a backbone: ``python -m code2lora_lsp.training.population CORPUS OUT``.

Every repository of the corpus's training split gives an equal share of the tokens, from files in
an order that the seed decides; they are cut into blocks and written as serving writes them.
"""

import argparse
import random
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path

from code2lora_lsp.config import ModelSettings
from code2lora_lsp.errors import ModelMismatch
from code2lora_lsp.history.secrets import redact
from code2lora_lsp.neural.decoder import Decoder
from code2lora_lsp.neural.ledger.population import Population, PopulationSum, save_population
from code2lora_lsp.neural.ledger.writes import Writes
from code2lora_lsp.runtime.block_writer import BlockWriter
from code2lora_lsp.runtime.model_loading import load_model
from code2lora_lsp.runtime.models import backbone_fingerprint
from code2lora_lsp.text.blocks import blocks_of
from code2lora_lsp.training.corpus import read_shards
from code2lora_lsp.training.splits import Split

N_TOKENS = 300_000


def population_of(
    corpus: Path, model_folder: Path, n_tokens: int = N_TOKENS, seed: int = 0
) -> Population:
    """Write about ``n_tokens`` of a corpus's training split and average them.

    Raises:
        ModelMissing, ModelMismatch: the model cannot be loaded, or is none of our decoder's.
        ValueError: the corpus holds no training source.
    """
    model = load_model(model_folder, ModelSettings(), lambda *_: None)
    if not isinstance(model.backbone, Decoder):
        raise ModelMismatch(f"{model_folder}: a ledger writes with a Qwen2-family decoder only")
    writer = BlockWriter(model.backbone, model.tokenizer)
    config = model.backbone.config
    total = PopulationSum(config.width, config.intermediate_width)
    repositories = _by_repository(read_shards(corpus, Split.TRAIN))
    for index, (name, files) in enumerate(sorted(repositories.items())):
        share = (n_tokens - total.n_tokens) / (len(repositories) - index)
        before = total.n_tokens
        for writes in _writes(writer, files, random.Random(f"{seed} {name}")):  # noqa: S311 (no secret)
            total.add(writes)
            if total.n_tokens - before >= share:
                break
        print(
            f"{index + 1} of {len(repositories)} repositories, {total.n_tokens:,} tokens",
            file=sys.stderr,
        )
    return total.population(backbone_fingerprint(model_folder))


def _by_repository(
    rows: Iterable[tuple[str, str, str]],
) -> dict[str, list[tuple[str, str]]]:
    """Repository → its (path, text)."""
    found: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for repository, path, text in rows:
        found[repository].append((path, text))
    return found


def _writes(
    writer: BlockWriter, files: list[tuple[str, str]], order: random.Random
) -> Iterator[Writes]:
    for path, text in order.sample(files, len(files)):
        for block in blocks_of(path, redact(text)[0]):
            yield writer.writes(block)


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
