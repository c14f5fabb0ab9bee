"""The fake server, keeping from the editor that it knows inline completion: for a negative control.

It still answers the request; so does a pygls server whose feature was registered without options.
"""

import sys
from typing import Any

from lsprotocol import types

from code2lora_lsp.server import lifecycle
from tests.e2e import fake_server


class WithoutOptions:
    """lsprotocol's types, as ``initialize`` sees them, without the options that are advertised."""

    def __getattr__(self, name: str) -> Any:
        return (lambda: None) if name == "InlineCompletionOptions" else getattr(types, name)


if __name__ == "__main__":
    lifecycle.types = WithoutOptions()  # type: ignore[attr-defined]
    sys.exit(fake_server.main())
