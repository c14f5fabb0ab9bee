r"""The embedded model's tokenizer: ``python -m code2lora_lsp.training.tokenizer CORPUS OUT``.

Byte-level BPE, pre-tokenized and normalized as Qwen2 is, whose merges never reach past a newline,
so encoding a file line by line (each line keeping its "\n") gives the ids of encoding it whole.
Serving relies on that to cache ids per line.
"""

import argparse
import json
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import tokenizers
from tokenizers import Regex, decoders, models, normalizers, pre_tokenizers, trainers

from code2lora_lsp.text.tokenizer import Tokenizer
from code2lora_lsp.training.corpus import read_shards
from code2lora_lsp.training.splits import Split

VOCABULARY_SIZE = 8192
SPECIAL_TOKENS = (
    "<|endoftext|>", "<|fim_prefix|>", "<|fim_middle|>", "<|fim_suffix|>", "<|fim_pad|>",
    "<|repo_name|>", "<|file_sep|>",
)  # fmt: skip

# Qwen2's own pattern. transformers 5 puts it into the tokenizer of every Qwen2 folder, whatever
# tokenizer.json says, and llama.cpp knows only named patterns: with any other one they would encode
# the same text to other ids than the model was trained on.
QWEN2_PATTERN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)


def train_tokenizer(
    texts: Iterable[str], vocabulary_size: int = VOCABULARY_SIZE
) -> tokenizers.Tokenizer:
    """Learn merges from ``texts``; the special tokens take ids 0 to 6 of ``vocabulary_size``.

    While it learns, pre-tokens are also cut after every newline, so that no merge reaches past one.
    """
    tokenizer = tokenizers.Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.decoder = decoders.ByteLevel()
    by_line = pre_tokenizers.Split("\n", behavior="merged_with_previous")
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([_qwen2_split(), by_line, _byte_level()])
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary_size,
        special_tokens=list(SPECIAL_TOKENS),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        max_token_length=24,
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([_qwen2_split(), _byte_level()])
    return tokenizer


def _qwen2_split() -> pre_tokenizers.PreTokenizer:
    return pre_tokenizers.Split(Regex(QWEN2_PATTERN), behavior="isolated")


def _byte_level() -> pre_tokenizers.PreTokenizer:
    return pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)


def save_tokenizer(tokenizer: tokenizers.Tokenizer, folder: Path, context_tokens: int) -> None:
    """Write ``tokenizer.json`` and ``tokenizer_config.json`` for transformers; no BOS is added."""
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    config = {
        "tokenizer_class": "Qwen2Tokenizer",
        "eos_token": "<|endoftext|>",
        "pad_token": "<|fim_pad|>",
        "additional_special_tokens": list(SPECIAL_TOKENS[1:]),
        "model_max_length": context_tokens,
        "clean_up_tokenization_spaces": False,
        "add_bos_token": False,
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(config, indent=1) + "\n")


def add_token_counts(corpus: Path, tokenizer: Tokenizer) -> None:
    """Write into the corpus manifest how many tokens each repository has."""
    counts: Counter[str] = Counter()
    for split in (Split.TRAIN, Split.VALIDATION):
        for repository, _, text in read_shards(corpus, split):
            counts[repository] += len(tokenizer.encode(text))
    path = corpus / "manifest.json"
    manifest = json.loads(path.read_text(encoding="utf-8"))
    for row in manifest["repositories"]:
        row["tokens"] = counts[row["repository"]]
    path.write_text(json.dumps(manifest, indent=1) + "\n", encoding="utf-8")


def main() -> None:
    """Train on the training repositories of a corpus folder and save."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("corpus", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--vocabulary-size", type=int, default=VOCABULARY_SIZE)
    parser.add_argument("--context-tokens", type=int, default=2048)
    arguments = parser.parse_args()
    texts = (text for _, _, text in read_shards(arguments.corpus, Split.TRAIN))
    tokenizer = train_tokenizer(texts, arguments.vocabulary_size)
    save_tokenizer(tokenizer, arguments.output, arguments.context_tokens)
    add_token_counts(arguments.corpus, Tokenizer.from_folder(arguments.output))
    print(f"{tokenizer.get_vocab_size()} tokens written to {arguments.output}")


if __name__ == "__main__":
    main()
