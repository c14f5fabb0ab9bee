"""A tiny model of another family than ours in a folder, as transformers saves it."""

import torch

from code2lora_lsp.training.tokenizer import save_tokenizer, train_tokenizer
from tests.projects import pottery

N_VOCABULARY = 400
CONTEXT_TOKENS = 1024


def write_foreign(folder, family="Llama", *, seed=0, model=None, **changes):
    """Config, weights and a tokenizer with every special token; random if no ``model``."""
    folder.mkdir(parents=True, exist_ok=True)
    save_tokenizer(
        train_tokenizer(list(pottery().values()), N_VOCABULARY), folder,
        context_tokens=CONTEXT_TOKENS,
    )  # fmt: skip
    (model or foreign_model(family, seed, **changes)).save_pretrained(folder)
    return folder


def foreign_model(family="Llama", seed=0, **changes):
    import transformers

    torch.manual_seed(seed)
    sizes = {
        "vocab_size": N_VOCABULARY, "hidden_size": 48, "intermediate_size": 96,
        "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2,
        "head_dim": 12, "max_position_embeddings": CONTEXT_TOKENS, "tie_word_embeddings": True,
        "bos_token_id": None, "eos_token_id": None, "pad_token_id": None,
    }  # fmt: skip
    config = getattr(transformers, f"{family}Config")(**{**sizes, **changes})
    return getattr(transformers, f"{family}ForCausalLM")(config).eval()
