"""Random writes on a small grid."""

import torch

from code2lora_lsp.neural.ledger.statistics import Grid
from code2lora_lsp.neural.ledger.writes import Writes

WIDTH, INNER = 6, 10
GRID = Grid(2.0**-10, 2.0**-12)


def random_writes(seed, n_tokens, scale=1.0, *, width=WIDTH, inner=INNER, vocabulary=50):
    generator = torch.Generator().manual_seed(seed)

    def draw(n):
        return torch.randn(n_tokens, n, generator=generator) * scale

    keys, errors, outputs = draw(inner), draw(width), draw(width)
    next_ids = torch.randint(vocabulary, (n_tokens,), generator=generator)
    return Writes(keys, errors, outputs, next_ids)
