from dataclasses import replace

import pytest
import torch
import transformers

from code2lora_lsp.cancellation import Cancellation, Cancelled
from code2lora_lsp.errors import EmbeddingFailed, ModelMismatch, ModelMissing, ShapeMismatch
from code2lora_lsp.neural import encoders
from code2lora_lsp.neural.encoder import cut_windows, embed_diff, embed_file, pool_snapshot
from code2lora_lsp.neural.encoders import BackboneEncoder, TransformersEncoder
from code2lora_lsp.recipe import SOURCE_V1, WindowRecipe


class Words:
    """Splits on spaces; a token id is the length of its word."""

    def encode(self, text):
        return [len(word) for word in text.split()]

    def decode(self, token_ids):
        return " ".join("x" * n for n in token_ids)


class CountingBackbone:
    """Hidden state [token id, position, 1]; garbage where the mask is 0. Remembers its batches."""

    def __init__(self):
        self.shapes = []

    def hidden_states(self, token_ids, attention_mask):
        self.shapes.append(tuple(token_ids.shape))
        position = torch.arange(token_ids.shape[1]).expand(token_ids.shape)
        states = torch.stack([token_ids, position, torch.ones_like(position)], dim=-1).float()
        return torch.where(attention_mask.bool().unsqueeze(-1), states, torch.tensor(1e9))


def make_encoder(backbone=None):
    return BackboneEncoder(backbone or CountingBackbone(), Words(), width=3, encoder_id="fake-1")


def words(*lengths):
    return " ".join("x" * n for n in lengths)


def test_windows_overlap_and_end_with_the_one_that_reaches_the_end():
    recipe = WindowRecipe(chunk_tokens=4, overlap_tokens=1, min_tokens=1)
    assert cut_windows(range(9), recipe) == [[0, 1, 2, 3], [3, 4, 5, 6], [6, 7, 8]]
    assert cut_windows(range(4), recipe) == [[0, 1, 2, 3]]
    assert cut_windows([], recipe) == []


def test_windows_below_the_minimum_are_left_out():
    recipe = WindowRecipe(chunk_tokens=4, overlap_tokens=1, min_tokens=3)
    assert cut_windows(range(8), recipe) == [[0, 1, 2, 3], [3, 4, 5, 6]]
    assert cut_windows(range(2), recipe) == []


@pytest.mark.parametrize(
    ("limit", "starts"), [(1, [0]), (2, [0, 9]), (4, [0, 3, 6, 9]), (10, list(range(10)))]
)
def test_a_limit_spreads_the_windows_from_first_to_last(limit, starts):
    recipe = WindowRecipe(chunk_tokens=1, overlap_tokens=0, min_tokens=1, max_windows=limit)
    assert cut_windows(range(10), recipe) == [[s] for s in starts]


def test_a_diff_is_maximum_then_mean_and_not_normalised():
    recipe = replace(SOURCE_V1, diff_windows=WindowRecipe(2, 0, 2))
    embedding = embed_diff(words(1, 3, 7, 9), make_encoder(), recipe)
    assert embedding.tolist() == [8.0, 0.5, 1.0, 5.0, 0.5, 1.0]


def test_a_file_is_the_mean_of_its_windows():
    recipe = replace(SOURCE_V1, snapshot_windows=WindowRecipe(2, 0, 2))
    assert embed_file(words(1, 3, 7, 9), make_encoder(), recipe).tolist() == [5.0, 0.5, 1.0]


def test_a_snapshot_is_mean_then_maximum_of_unit_length():
    pooled = pool_snapshot(torch.tensor([[1.0, 0.0], [3.0, 2.0]]))
    torch.testing.assert_close(pooled, torch.tensor([2.0, 1.0, 3.0, 2.0]) / 18**0.5)
    assert pool_snapshot(torch.zeros(0, 2)).tolist() == [0.0] * 4
    with pytest.raises(ShapeMismatch):
        pool_snapshot(torch.zeros(2))


@pytest.mark.parametrize("text", ["", "  \n\t", "x x x"])
def test_a_blank_or_very_short_diff_is_a_zero_vector(text):
    backbone = CountingBackbone()
    assert embed_diff(text, make_encoder(backbone), SOURCE_V1).tolist() == [0.0] * 6
    assert backbone.shapes == []


def test_a_file_without_a_window_has_no_vector():
    assert embed_file("x x x", make_encoder(), SOURCE_V1) is None


def test_neither_batching_nor_order_changes_a_vector(monkeypatch):
    texts = [words(*range(1, n)) for n in (5, 40, 2, 17, 17, 90, 3)]
    together = make_encoder().embed_windows(texts, 512)
    alone = torch.cat([make_encoder().embed_windows([text], 512) for text in texts])
    assert torch.equal(together, alone)
    monkeypatch.setattr(encoders, "MAX_BATCH_TOKENS", 64)
    assert torch.equal(make_encoder().embed_windows(texts, 512), together)


def test_batches_hold_similar_lengths_and_respect_the_token_budget(monkeypatch):
    monkeypatch.setattr(encoders, "MAX_BATCH_TOKENS", 64)
    backbone = CountingBackbone()
    texts = [words(*[1] * n) for n in (3, 90, 4, 30, 2, 31)]
    make_encoder(backbone).embed_windows(texts, 512)
    assert backbone.shapes == [(1, 90), (2, 31), (3, 4)]


def test_a_window_is_cut_at_the_recipe_s_length():
    backbone = CountingBackbone()
    make_encoder(backbone).embed_windows([words(*[1] * 9)], 5)
    assert backbone.shapes == [(1, 5)]


def test_a_window_without_tokens_is_a_zero_vector():
    assert make_encoder().embed_windows(["", "xx"], 5).tolist() == [[0.0] * 3, [2.0, 0.0, 1.0]]


def test_cancellation_is_noticed_between_two_batches(monkeypatch):
    monkeypatch.setattr(encoders, "MAX_BATCH_TOKENS", 1)
    cancellation = Cancellation()
    backbone = CountingBackbone()

    def hidden_states(token_ids, attention_mask):
        cancellation.cancel("enough")
        return CountingBackbone.hidden_states(backbone, token_ids, attention_mask)

    backbone.hidden_states = hidden_states
    with pytest.raises(Cancelled, match="enough"):
        embed_diff(words(*[1] * 1000), make_encoder(backbone), SOURCE_V1, cancellation)
    assert len(backbone.shapes) == 1


def test_a_failing_encoder_is_an_embedding_failure():
    backbone = CountingBackbone()

    def fail(token_ids, attention_mask):
        raise RuntimeError("no kernel")

    backbone.hidden_states = fail
    with pytest.raises(EmbeddingFailed, match="fake-1: no kernel"):
        embed_file(words(1, 2, 3, 4), make_encoder(backbone), SOURCE_V1)


def test_a_non_finite_vector_is_an_embedding_failure():
    backbone = CountingBackbone()
    backbone.hidden_states = lambda ids, mask: torch.full((*ids.shape, 3), float("nan"))
    with pytest.raises(EmbeddingFailed, match="non-finite"):
        embed_diff(words(1, 2, 3, 4), make_encoder(backbone), SOURCE_V1)


def test_vectors_carry_no_gradient_but_can_feed_a_training_step():
    vector = embed_diff(words(1, 2, 3, 4), make_encoder(), SOURCE_V1)
    assert not vector.requires_grad
    layer = torch.nn.Linear(6, 1)
    layer(vector).backward()
    assert layer.weight.grad.abs().sum() > 0


@pytest.fixture
def encoder_folder(tmp_path):
    transformers.Qwen3Config(
        vocab_size=32, hidden_size=8, intermediate_size=8, num_hidden_layers=1,
        num_attention_heads=1, num_key_value_heads=1, head_dim=8,
    ).save_pretrained(tmp_path)  # fmt: skip
    return tmp_path


def test_an_encoder_folder_without_weights_is_missing_them_and_names_the_remedy(encoder_folder):
    with pytest.raises(ModelMissing, match="copy the model folder again") as caught:
        TransformersEncoder.from_pretrained(encoder_folder)
    assert str(encoder_folder) in str(caught.value)


@pytest.mark.parametrize(
    ("file", "content"),
    [("config.json", '{"model_type": "no-such-model"}'), ("model.safetensors", "no weights")],
)
def test_an_encoder_folder_that_cannot_be_loaded_is_a_mismatch_with_a_remedy(
    encoder_folder, file, content
):
    (encoder_folder / file).write_text(content)
    with pytest.raises(ModelMismatch, match="copy the model folder again") as caught:
        TransformersEncoder.from_pretrained(encoder_folder)
    assert str(encoder_folder) in str(caught.value)


def test_an_encoder_is_never_downloaded_and_none_of_its_code_runs(encoder_folder, monkeypatch):
    asked = []

    def refuse(folder, **options):
        asked.append((folder, options["local_files_only"], options["trust_remote_code"]))
        if len(asked) == 2:
            raise OSError("enough was seen")
        return torch.nn.Linear(1, 1)

    monkeypatch.setattr(transformers.AutoModel, "from_pretrained", refuse)
    monkeypatch.setattr(transformers.AutoTokenizer, "from_pretrained", refuse)
    with pytest.raises(ModelMissing, match="enough was seen"):
        TransformersEncoder.from_pretrained(encoder_folder)
    assert asked == [(encoder_folder, True, False)] * 2
