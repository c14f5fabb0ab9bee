"""One served Neovim for all the tests of a file."""

from collections.abc import Iterator

import pytest

from tests.editors.neovim import Neovim
from tests.editors.served_neovim import KEYS, editing, readme_lines


@pytest.fixture(scope="module")
def shared(tmp_path_factory) -> Iterator[Neovim]:
    with editing(tmp_path_factory.mktemp("neovim"), readme_lines() + KEYS) as editor:
        yield editor


@pytest.fixture
def editor(shared) -> Neovim:
    """The shared editor on the document as it was, in normal mode."""
    shared.press("<C-\\><C-n>:silent! only | edit! shop.py | messages clear<CR>")
    shared.wait_until(
        "buffer", lambda: shared.lua("#vim.api.nvim_buf_get_lines(0, 0, -1, true)") == 2
    )
    return shared
