"""Arms that put text into the prompt: what they find, and what they may not."""

from dataclasses import replace

import pytest
import torch

from code2lora_lsp.errors import ModelMismatch
from code2lora_lsp.repopeftbench.arms.arm import Target
from code2lora_lsp.repopeftbench.arms.chunks import Chunk, chunk_recipe, cut_chunks
from code2lora_lsp.repopeftbench.arms.dependencies import DependenciesArm
from code2lora_lsp.repopeftbench.arms.known_tree import read_known_tree, text_before
from code2lora_lsp.repopeftbench.arms.modules import Imported, ModuleIndex, imports_of
from code2lora_lsp.repopeftbench.arms.oracle import NearestSnippetArm, WrongRepositorySnippetArm
from code2lora_lsp.repopeftbench.arms.plain import BackboneArm, LongerPromptArm
from code2lora_lsp.repopeftbench.arms.retrieval import Bm25Index, DenseIndex, bm25_arm, dense_arm
from code2lora_lsp.repopeftbench.arms.words import words_of
from code2lora_lsp.repopeftbench.leaks import LeakFound
from code2lora_lsp.runtime.models import encoder_of_backbone
from tests.gitrepo import GitRepo
from tests.repopeftbench.tiny_bench import CAR, ENGINE, WHEELS, garage_item, make_garage

CORE = """LIMIT = 3


class Thing:
    size = 1

    def grow(self, by):
        hidden_in_the_body = 1
"""


@pytest.fixture
def encoder(scorer, model_folder):
    model = scorer.model
    return encoder_of_backbone(model.backbone, model.tokenizer, model_folder)


def shown(scorer, arm, target, item):
    """Paths and texts of the snippets an arm puts before an item."""
    return [(s.path, s.text) for s in arm.prepare(target).snippets(item)]


def test_the_known_tree_is_without_hidden_files_and_without_secrets(tmp_path):
    target = make_garage(tmp_path)
    repo = GitRepo(tmp_path)
    key = "AKIA" + "IOSFODNN7EXAMPLE"
    repo.commit(
        {"garage/keys.py": f'KEY = "{key}"\n', "garage/blank.py": "\n", "notes.md": "# x\n"}
    )
    tree = read_known_tree(replace(target, known_commit_id=repo.head))
    texts = {file.path: file.text for file in tree.files}
    assert set(texts) == {"garage/engine.py", "garage/keys.py", "garage/wheels.py"}
    assert key not in texts["garage/keys.py"]
    assert texts["garage/engine.py"] == ENGINE


def test_a_copy_of_a_hidden_file_is_a_leak(tmp_path):
    repo = GitRepo(tmp_path)
    lines = "".join(f"answer_{i} = compute_{i}(first_{i}, second_{i})\n" for i in range(30))
    repo.commit({"hidden.py": lines, "copy.py": "import this\n" + lines})
    with pytest.raises(LeakFound, match=r"copy\.py"):
        read_known_tree(Target("a/b", repo.git_dir, repo.head, frozenset({"hidden.py"})))


def test_text_before_a_cut_is_the_whole_file_above_it_and_nothing_below(garage):
    item = garage_item(garage)
    whole = CAR[: CAR.index("ignite")]
    assert text_before(item, garage) == whole
    assert text_before(replace(item, prefix="engine."), garage) == whole
    assert text_before(replace(item, prefix="x = 1\n    engine."), garage) == whole
    assert text_before(replace(item, path="gone.py", prefix="own"), garage) == "own"


def test_a_longer_prompt_shows_what_the_item_s_budget_hides(published, garage):
    scorer = published
    item = garage_item(garage, strata={"prefix": "32"}, suffix="")
    short = BackboneArm(scorer).prepare(garage).answer([item])[0]
    long = LongerPromptArm(scorer).prepare(garage).answer([item])[0]
    assert short.prompt_tokens == 33
    assert long.prompt_tokens == 1 + len(scorer.model.tokenizer.encode(item.prefix))
    assert long.prompt_tokens > 60


def test_words_are_names_and_their_parts():
    assert words_of("class openFile_v2(HTTPServer): return x") == [
        "openfile_v2", "open", "file", "v", "2", "httpserver", "http", "server", "x",
    ]  # fmt: skip


def test_chunks_are_the_published_windows_where_k_of_them_fit_and_smaller_ones_elsewhere():
    published = chunk_recipe(10_000, 8)
    assert (published.chunk_tokens, published.overlap_tokens) == (512, 64)
    assert chunk_recipe(768, 3).chunk_tokens == 256
    assert chunk_recipe(768, 8).chunk_tokens * 8 <= 768


def test_bm25_finds_the_obvious_chunk(scorer, garage):
    chunks = cut_chunks(read_known_tree(garage), scorer.model.tokenizer, chunk_recipe(10_000, 3))
    index = Bm25Index(chunks)
    assert index.best("tyre.inflate_tyre(", 1)[0].path == "garage/wheels.py"
    assert "ignite_sparkplug" in index.best("engine.ignite_sparkplug(", 1)[0].text
    assert index.best("nothing_here_is_called_so", 3) == []
    assert index.best("", 3) == []
    assert Bm25Index([]).best("engine", 3) == []


def test_bm25_puts_the_best_snippet_next_to_the_prompt(scorer, garage):
    item = garage_item(garage)
    found = shown(scorer, bm25_arm(scorer, 3), garage, item)
    assert 1 < len(found) <= 3
    assert "garage/car.py" not in {path for path, _ in found}
    prompt = scorer.prompts.make(item, bm25_arm(scorer, 3).prepare(garage).snippets(item))
    text = scorer.model.tokenizer.decode(list(prompt.token_ids))
    assert text.index(found[0][1][:20]) < text.index(found[-1][1][:20])


def test_dense_retrieval_finds_the_chunk_that_is_the_query(encoder):
    chunks = [Chunk("a.py", "x = 1\n"), Chunk("b.py", WHEELS), Chunk("c.py", "import os\n")]
    assert DenseIndex(chunks, encoder).best(WHEELS, 2)[0].path == "b.py"
    assert len(DenseIndex(chunks, encoder).best(WHEELS, 8)) == 3
    assert DenseIndex(chunks, encoder).best("", 3) == []
    assert DenseIndex([], encoder).best("x", 3) == []


def test_chunks_that_were_embedded_before_are_not_embedded_again(encoder, tmp_path):
    path = tmp_path / "vectors" / "a+b.safetensors"
    chunks = [Chunk("a.py", "x = 1\n"), Chunk("b.py", WHEELS), Chunk("c.py", "x = 1\n")]
    fresh, kept = DenseIndex(chunks, encoder), DenseIndex(chunks, encoder, path)
    assert torch.equal(fresh._vectors, kept._vectors)
    counting = Counting(encoder)
    again = DenseIndex([Chunk("d.py", ENGINE), *chunks], counting, path)
    assert counting.seen == [ENGINE]
    assert torch.equal(again._vectors[1:], fresh._vectors)
    assert [chunk.path for chunk in again.best(WHEELS, 1)] == ["b.py"]
    assert DenseIndex([], encoder, path).best("x", 3) == []


def test_a_broken_file_of_vectors_is_named_and_kept(encoder, tmp_path):
    path = tmp_path / "a+b.safetensors"
    path.write_bytes(b"not vectors")
    with pytest.raises(ModelMismatch, match=r"holds no vectors .*remove it"):
        DenseIndex([Chunk("a.py", "x = 1\n")], encoder, path)
    assert path.read_bytes() == b"not vectors"


class Counting:
    """An encoder that remembers what it was asked to embed."""

    def __init__(self, encoder):
        self._encoder, self.width, self.seen = encoder, encoder.width, []

    def embed_windows(self, windows, max_tokens):
        self.seen += windows
        return self._encoder.embed_windows(windows, max_tokens)


def test_dense_retrieval_without_an_encoder_says_so(scorer):
    assert "no encoder" in dense_arm(scorer, 3, lambda: None).why_not()


def test_imports_are_read_from_a_file_that_stops_in_the_middle():
    text = "import os.path as p\nfrom . import wheels\nfrom ..b.c import (One,\n    Two as T)\nif x"
    assert imports_of(text, "a/d/e.py") == [
        Imported("os.path", "", "p"),
        Imported("a.d", "wheels", "wheels"),
        Imported("a.b.c", "One", "One"),
        Imported("a.b.c", "Two", "T"),
    ]
    assert imports_of("from a import (b,\n", "x.py") == []


def test_imports_resolve_to_definitions_through_packages_sources_and_re_exports(tmp_path):
    repo = GitRepo(tmp_path)
    repo.commit(
        {
            "src/pkg/__init__.py": "from .core import Thing\n",
            "src/pkg/core.py": CORE,
            "src/pkg/sub/__init__.py": "def helper(a):\n    return a\n",
        }
    )
    index = ModuleIndex(read_known_tree(Target("a/b", repo.git_dir, repo.head)))
    path, text = index.resolve(Imported("pkg", "Thing", "Thing"))
    assert path == "src/pkg/core.py"
    assert text == "class Thing:\n    size = 1\n    def grow(self, by):"
    assert index.resolve(Imported("pkg.core", "LIMIT", "LIMIT")) == (path, "LIMIT = 3")
    assert index.resolve(Imported("pkg", "sub", "sub"))[1] == "def helper(a):"
    assert index.resolve(Imported("src.pkg.sub", "helper", "h"))[1].endswith("return a")
    assert index.resolve(Imported("os", "path", "path")) is None


def test_dependencies_show_what_the_file_imports_the_last_used_last(scorer, garage):
    found = shown(scorer, DependenciesArm(scorer), garage, garage_item(garage))
    assert [path for path, _ in found] == ["garage/wheels.py", "garage/engine.py"]
    assert "def ignite_sparkplug(self, voltage, *, dry_run=False):" in found[1][1]
    assert "return voltage" not in found[1][1]
    cut = garage_item(garage, prefix="engine.")
    assert shown(scorer, DependenciesArm(scorer), garage, cut) == found


def test_the_oracle_shows_the_answer_and_the_control_another_repository(scorer, garage, pantry):
    item = garage_item(garage)
    [(path, text)] = shown(scorer, NearestSnippetArm(scorer), garage, item)
    assert path == "garage/engine.py"
    assert "ignite_sparkplug" in text
    control = WrongRepositorySnippetArm(scorer, [garage, pantry])
    [(path, text)] = shown(scorer, control, garage, item)
    assert path in {"pantry.py", "shelf.py"}
    assert "ignite_sparkplug" not in text


def test_the_oracle_shows_nothing_where_the_tree_lacks_the_answer(scorer, garage):
    item = garage_item(garage, target="nobody_has_this", identifier="nobody_has_this")
    assert shown(scorer, NearestSnippetArm(scorer), garage, item) == []


def test_the_control_needs_a_second_repository(scorer, garage):
    assert "two repositories" in WrongRepositorySnippetArm(scorer, [garage]).why_not()
