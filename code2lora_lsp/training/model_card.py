"""The model card: what a model was trained on and how well it does, from measured numbers only."""

from typing import Any


def model_card(manifest: dict[str, Any], corpus: dict[str, Any]) -> str:
    """Markdown from a model's manifest and the manifest of the corpus it was trained on."""
    return "\n".join(
        (_summary(manifest), _results(manifest["validation"]), _data(corpus["repositories"]), _USE)
    )


def _summary(manifest: dict[str, Any]) -> str:
    training, millions = manifest["training"], manifest["n_parameters"] / 1e6
    return f"""# {manifest["name"]}

A fill-in-the-middle model of Python for code2lora-lsp: {millions:.1f} M parameters,
Qwen2 architecture, byte-level BPE of 8,192 tokens, tied embeddings; trained from random weights
by `code2lora_lsp.training.pretrain`.

It was trained briefly: {training["n_tokens"] / 1e6:.1f} M tokens in {training["minutes"]:.0f}
minutes on two CPU cores shared with other work.
It knows indentation, common idioms and what stands in its window; of libraries it knows little.

Stored as int8 with one scale per matrix row (`{manifest["quantisation"]}`).
Trained on windows of {manifest["trained_context_tokens"]} tokens; the configuration allows
{manifest["context_tokens"]}, untested beyond the trained length.
"""


def _results(measured: dict[str, Any]) -> str:
    names = {
        "spm": "suffix first (as served)",
        "psm": "prefix first",
        "left_to_right": "prefix alone",
    }
    left_to_right = measured["left_to_right_bits_per_byte"]
    rows = "\n".join(
        f"| {names[kind]} | {100 * row['exact_match']:.1f} % | {row['bits_per_byte']:.3f} |"
        for kind, row in measured["rest_of_line"].items()
    )
    return f"""## Results on validation repositories

None of these repositories was trained on; files that share most of their lines with a training
file were dropped from them.

| | |
|---|---|
| held-out loss, training mix | {measured["heldout_nats_per_token"]:.3f} nats per token |
| of which int8 storage costs | {measured["quantisation_cost_nats_per_token"]:.4f} nats per token |
| left to right, {measured["n_files"]} files | {left_to_right:.3f} bits per byte |

Rest of the line at {measured["n_cursors"]} random cursors, greedy, stopping included:

| prompt | exactly right | bits per byte of the rest |
|---|---|---|
{rows}
"""


def _data(repositories: list[dict[str, Any]]) -> str:
    return f"""## Data

Public repositories under permissive licences, split by a hash of their name
(`training/splits.py`). Generated, data-like, vendored and duplicate files, and files with
patterns of secrets, were left out; at most 2.5 MB were taken from one repository.
A run shorter than one pass saw a random part of this.

Trained on:

{_table(repositories, "train")}

Measured on (for choosing between runs too), and never trained on:

{_table(repositories, "validation")}
"""


def _table(repositories: list[dict[str, Any]], split: str) -> str:
    rows = [
        f"| {r['repository']} | `{r['commit']}` | {r['licence']} | {r['files']:,} "
        f"| {r['bytes']:,} | {r['tokens']:,} |"
        for r in repositories
        if r["split"] == split
    ]
    head = [
        "| repository | commit | licence | files | bytes | tokens |",
        "|---|---|---|---|---|---|",
    ]
    return "\n".join([*head, *rows])


_USE = """## Use

The prompt is `<|fim_prefix|><|fim_suffix|>` suffix `<|fim_middle|>` prefix; the completion ends at
`<|endoftext|>`. Prefix and suffix are encoded separately.

Load the tokenizer with `tokenizers.Tokenizer.from_file` or `transformers.PreTrainedTokenizerFast`.
Not with `AutoTokenizer` of transformers 5: seeing a Qwen2 configuration, it puts Qwen2's
pre-tokenizer in place of ours, and the ids differ.
"""
