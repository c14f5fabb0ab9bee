"""Population statistics of a backbone: equal shares of several repositories, written as served."""

from collections.abc import Callable, Iterator, Sequence

from code2lora_lsp.neural.ledger.population import Population, PopulationSum
from code2lora_lsp.neural.ledger.writes import Writes
from code2lora_lsp.runtime.block_writer import BlockWriter
from code2lora_lsp.runtime.sources import Sources
from code2lora_lsp.text.blocks import blocks_of

ReportTokens = Callable[[str, int, int], None]
"""The name of what was read last, tokens written so far, tokens wanted."""


def write_population(
    repositories: Sequence[Sources],
    writer: BlockWriter,
    backbone: str,
    n_tokens: int,
    report: ReportTokens,
    seed: int = 0,
) -> Population:
    """The means over about ``n_tokens``; what a small repository lacks, the later ones give.

    Args:
        repositories: read in the order of their names, files in one that the seed decides.
        writer: of the backbone.
        backbone: its fingerprint.
        n_tokens: of all together.
        report: called after every block.
        seed: see above.

    Raises:
        ModelMismatch: a ledger cannot write with this backbone.
        ValueError: nothing was written, or non-finite numbers were.
    """
    site = writer.decoder.ledger_site
    total = PopulationSum(site.width, site.inner_width)
    for index, repository in enumerate(sorted(repositories, key=lambda one: one.name)):
        share = (n_tokens - total.n_tokens) / (len(repositories) - index)
        before = total.n_tokens
        for writes in _writes(writer, repository, seed):
            total.add(writes)
            report(repository.name, total.n_tokens, n_tokens)
            if total.n_tokens - before >= share:
                break
    return total.population(backbone)


def _writes(writer: BlockWriter, repository: Sources, seed: int) -> Iterator[Writes]:
    for path, text in repository.shuffled(seed):
        for block in blocks_of(path, text):
            yield writer.writes(block)
