"""Row streams over a corpus folder."""

from collections.abc import Callable
from pathlib import Path

from torch import Tensor

from code2lora_lsp.text.gaps import Coder
from code2lora_lsp.text.tokenizer import Tokenizer
from code2lora_lsp.training.corpus import read_shards
from code2lora_lsp.training.packing import RowStream, SourceFile, StreamState
from code2lora_lsp.training.ranks import ALONE, Ranks
from code2lora_lsp.training.splits import Split

HELDOUT_SEED = 20_000
N_HELDOUT_ROWS = 48
HELDOUT_ROW_TOKENS = 1024

StreamOpener = Callable[[StreamState | None], RowStream]


def stream_opener(
    corpus: Path, tokenizer: Path, split: Split, *, seed: int, ranks: Ranks = ALONE
) -> StreamOpener:
    """Read the files of a split once; return what opens a stream over them at a state."""
    coder = Coder.of(Tokenizer.from_folder(tokenizer))
    files = [SourceFile(*record) for record in read_shards(corpus, split)]

    def open_at(state: StreamState | None) -> RowStream:
        return RowStream(files, coder, seed=seed, rank=ranks.rank, n_ranks=ranks.count, state=state)

    return open_at


def heldout_rows(
    corpus: Path, tokenizer: Path, n_rows: int = N_HELDOUT_ROWS
) -> tuple[Tensor, Tensor]:
    """Validation inputs and targets, each [n_rows, 1024] int64, the same in every run."""
    opened = stream_opener(corpus, tokenizer, Split.VALIDATION, seed=HELDOUT_SEED)
    return opened(None).rows(n_rows, HELDOUT_ROW_TOKENS)
