from pathlib import Path

import pytest

from code2lora_lsp.text.tokenizer import Tokenizer
from code2lora_lsp.training.tokenizer import save_tokenizer, train_tokenizer

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def own_sources():
    """Real Python: the package's own files, without the empty ones."""
    texts = (path.read_text(encoding="utf-8") for path in sorted(ROOT.glob("code2lora_lsp/*/*.py")))
    return [text for text in texts if text]


@pytest.fixture(scope="session")
def tokenizer_folder(tmp_path_factory, own_sources):
    """A small tokenizer trained on the package itself."""
    folder = tmp_path_factory.mktemp("tokenizer")
    save_tokenizer(train_tokenizer(own_sources[:20], 600), folder, context_tokens=2048)
    return folder


@pytest.fixture(scope="session")
def tokenizer(tokenizer_folder):
    return Tokenizer.from_folder(tokenizer_folder)
