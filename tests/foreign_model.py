"""A tiny model of another family than ours in a folder, as transformers saves it."""

import torch

from code2lora_lsp.text.tokenizer import Tokenizer
from code2lora_lsp.training.tokenizer import save_tokenizer, train_tokenizer
from tests.projects import pottery

N_VOCABULARY = 400
CONTEXT_TOKENS = 1024
N_STEPS, BATCH, ROW = 80, 8, 96


def write_foreign(folder, family="Llama", *, trained_on=(), **changes):
    """Config, weights and a tokenizer with every special token; random if trained on nothing."""
    folder.mkdir(parents=True, exist_ok=True)
    fast = train_tokenizer([*pottery().values(), *trained_on], N_VOCABULARY)
    save_tokenizer(fast, folder, context_tokens=CONTEXT_TOKENS)
    model = foreign_model(family, **changes)
    if trained_on:
        encode = Tokenizer.from_folder(folder).encode
        train(model, torch.tensor([token for text in trained_on for token in encode(text)]))
    model.save_pretrained(folder)
    return folder


def foreign_model(family="Llama", **changes):
    import transformers

    torch.manual_seed(0)
    sizes = {
        "vocab_size": N_VOCABULARY, "hidden_size": 48, "intermediate_size": 96,
        "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2,
        "head_dim": 12, "max_position_embeddings": CONTEXT_TOKENS, "tie_word_embeddings": True,
        "initializer_range": 0.1, "bos_token_id": None, "eos_token_id": None, "pad_token_id": None,
    }  # fmt: skip
    config = getattr(transformers, f"{family}Config")(**{**sizes, **changes})
    return getattr(transformers, f"{family}ForCausalLM")(config).eval()


def train(model, stream):
    """Some seconds of learning left to right; ``stream`` is token ids."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    for _ in range(N_STEPS):
        starts = torch.randint(len(stream) - ROW, (BATCH,)).tolist()
        rows = torch.stack([stream[start : start + ROW] for start in starts])
        model(input_ids=rows, labels=rows).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
