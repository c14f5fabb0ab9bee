"""Windows and embeddings against the reference package, through a tiny random Qwen3 encoder."""

import pytest
import tokenizers
import torch
import transformers
from c2l.embedding import Qwen3Embedder, _chunk_token_ids
from hypothesis import given, settings
from hypothesis import strategies as st

from code2lora_lsp.neural.encoder import cut_windows, embed_diff, embed_file, pool_snapshot
from code2lora_lsp.neural.encoders import TransformersEncoder
from code2lora_lsp.recipe import PUBLISHED_V2, WindowRecipe
from tests.parity.reference import TOLERANCE, largest_difference

END = "<|endoftext|>"
DIFF = "".join(
    f"@@ -{i},3 +{i},4 @@ def naïve_{i}(αβγ):\n-    return {i * i} * 'old 🙂'\n+    return {i}\n"
    for i in range(160)
)
FILES = [
    DIFF.replace("@@", "##"),
    "import os\n",
    "x = 1",
    "",
    f"# {END} is only a name here {END}\nclass Point:\n    pass\n" * 9,
    "print('hello world')\n" * 700,
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A Qwen3 model folder: random weights, byte-level BPE that appends an end token."""
    path = tmp_path_factory.mktemp("encoder")
    torch.manual_seed(0)
    config = transformers.Qwen3Config(
        vocab_size=400,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=8,
        max_position_embeddings=4096,
        initializer_range=0.3,
    )
    transformers.Qwen3Model(config).save_pretrained(path)
    fast = tokenizers.Tokenizer(tokenizers.models.BPE())
    fast.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    fast.decoder = tokenizers.decoders.ByteLevel()
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=[END],
        initial_alphabet=tokenizers.pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    fast.train_from_iterator(FILES, trainer)
    fast.post_processor = tokenizers.processors.TemplateProcessing(
        single=f"$A {END}", special_tokens=[(END, fast.token_to_id(END))]
    )
    transformers.PreTrainedTokenizerFast(
        tokenizer_object=fast, eos_token=END, pad_token=END, padding_side="left"
    ).save_pretrained(path)
    return path


@pytest.fixture(scope="module")
def theirs(folder):
    embedder = Qwen3Embedder(model_name=str(folder), batch_size=3)
    embedder.load()
    return embedder


@pytest.fixture(scope="module")
def ours(folder):
    return TransformersEncoder.from_pretrained(folder)


@settings(deadline=None)
@given(
    n_tokens=st.integers(0, 400),
    chunk=st.integers(1, 60),
    overlap=st.integers(0, 59),
    minimum=st.integers(0, 60),
)
def test_windows_are_the_reference_s(n_tokens, chunk, overlap, minimum):
    overlap %= chunk
    ids = list(range(n_tokens))
    recipe = WindowRecipe(chunk, overlap, minimum)
    assert cut_windows(ids, recipe) == _chunk_token_ids(ids, chunk, overlap, minimum)


def test_window_texts_are_the_reference_s(ours, theirs):
    windows = [ours.decode(w) for w in cut_windows(ours.encode(DIFF), PUBLISHED_V2.diff_windows)]
    ids = theirs._tokenizer.encode(DIFF, add_special_tokens=False)
    expected = [
        theirs._tokenizer.decode(w, skip_special_tokens=True)
        for w in _chunk_token_ids(ids, 512, 64, 16)
    ]
    assert len(windows) > 5
    assert windows == expected


def embed_repository(encoder, texts):
    vectors = [v for t in texts if (v := embed_file(t, encoder, PUBLISHED_V2)) is not None]
    return len(vectors), pool_snapshot(torch.stack(vectors))


@pytest.mark.parametrize("text", [DIFF, DIFF[:300], f"{END} and {END}" * 30, "x", " \n"])
def test_a_diff_embedding_is_the_reference_s(ours, theirs, text):
    vector = embed_diff(text, ours, PUBLISHED_V2)
    assert largest_difference(vector, torch.from_numpy(theirs.embed_diff(text))) <= TOLERANCE


def test_diff_embeddings_of_different_texts_differ_by_far_more_than_the_tolerance(ours):
    first, second = (embed_diff(t, ours, PUBLISHED_V2) for t in (DIFF, DIFF[:-40]))
    assert largest_difference(first, second) > 100 * TOLERANCE


def test_a_repository_embedding_is_the_reference_s(ours, theirs):
    n_files, vector = embed_repository(ours, FILES)
    assert n_files == 4
    assert float(vector.norm()) == pytest.approx(1.0, abs=1e-6)
    expected = torch.from_numpy(theirs.embed_repo_state(FILES))
    assert largest_difference(vector, expected) <= TOLERANCE


def test_a_repository_without_files_is_zeros_as_in_the_reference(theirs):
    expected = torch.from_numpy(theirs.embed_repo_state(["", "x"]))
    assert torch.equal(pool_snapshot(torch.zeros(0, 32)), expected)


def test_the_tokenizer_s_padding_side_does_not_matter(folder, ours):
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder, padding_side="right")
    model = transformers.AutoModel.from_pretrained(folder, dtype=torch.float32)
    other = TransformersEncoder(model, tokenizer, name="right")
    windows = [FILES[1], DIFF[:700], FILES[4]]
    assert torch.equal(other.embed_windows(windows, 512), ours.embed_windows(windows, 512))


def test_the_encoder_s_id_changes_with_its_weights(folder, ours):
    model = transformers.AutoModel.from_pretrained(folder, dtype=torch.float32)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    same = TransformersEncoder(model, tokenizer, name=str(folder))
    assert same.encoder_id == ours.encoder_id
    with torch.no_grad():
        model.layers[1].mlp.up_proj.weight.mul_(1.001)
    other = TransformersEncoder(model, tokenizer, name=str(folder))
    assert other.encoder_id != ours.encoder_id
