"""One block of source → what it writes into a ledger; the same for serving, training, benchmark."""

from code2lora_lsp.neural.ledger.ladder import Ladder
from code2lora_lsp.neural.ledger.site import LedgerBackbone
from code2lora_lsp.neural.ledger.writes import Writes, write
from code2lora_lsp.text.blocks import Block
from code2lora_lsp.text.tokenizer import Tokenizer

LONGEST_HEADER_TOKENS = 64
"""Of a header the end is kept."""


class BlockWriter:
    """Reads blocks one by one with the pristine backbone, so that equal blocks write equal bits.

    Not thread-safe by promise of the tokenizer; the decoder's pristine weights are only read.
    """

    def __init__(self, decoder: LedgerBackbone, tokenizer: Tokenizer) -> None:
        self.decoder, self._tokenizer = decoder, tokenizer

    def writes(self, block: Block, ladder: Ladder | None = None) -> Writes:
        """Keys and errors of the block's tokens; those of its header are read, not written.

        Args:
            block: of a ladder's part that it reaches.
            ladder: what errors are measured under; ``None`` is the backbone alone.
        """
        header_ids = self._tokenizer.encode(block.header)[-LONGEST_HEADER_TOKENS:]
        reference = ladder.under(block.block_id) if ladder is not None else None
        if reference is not None:
            reference = reference.to(self.decoder.device)
        return write(self.decoder, header_ids, self._tokenizer.encode(block.text), reference)
