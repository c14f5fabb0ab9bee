"""``python -m code2lora_lsp`` is ``code2lora-lsp``."""

import sys

from code2lora_lsp.cli import main

sys.exit(main())
